"""A venue's REST client: ccxt's exchange, opened once a process, paced, and believed only if its answer has a shape.

Reading only. ccxt's objects are handed to the other modules of `market/` that speak with a venue, and never further.
"""

import difflib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError
from triplegain_pipelines.settings.venues import VenueSettings

_TIMEOUT_MILLISECONDS = 10_000
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0
# Binance lists its futures at other addresses, which do not answer everywhere; only spot is read here.
_OPTIONS: dict[str, dict[str, Any]] = {"binance": {"fetchMarkets": {"types": ["spot"]}}}
_LONGEST_ERROR = 300
_OPENING = threading.Lock()
_T = TypeVar("_T")


class Pace:
    """Turns of equal length for calls from any thread: at most so many a second.

    Args:
        calls_per_second: a venue's limit, or the share of it that a back-fill may use.
    """

    def __init__(self, calls_per_second: float) -> None:
        self._seconds = 1 / calls_per_second
        self._lock = threading.Lock()
        self._next = monotonic_seconds()

    def wait(self, cost: float | None = None) -> None:  # noqa: ARG002 - ccxt's weights; a venue's limit counts calls
        """Return when it is this call's turn."""
        with self._lock:
            now = monotonic_seconds()
            turn = max(now, self._next)
            self._next = turn + self._seconds
        time.sleep(turn - now)


class LastAnswer(threading.local):
    """What this thread's newest call brought: the parsed answer, and when it was sent and received (monotonic s)."""

    answer: Any = None
    sent: float = 0.0
    received: float = 0.0


def open_exchange(venue: VenueSettings, base_url: str | None = None) -> Any:  # noqa: ANN401 - ccxt has no types
    """The exchange of ccxt for this venue, one for each process, so that its pace holds over all calls.

    Its `last_answer` is a `LastAnswer`.

    Args:
        venue: which exchange, and how often it may be called.
        base_url: address to use in place of the venue's own.

    Raises:
        InputError: ccxt has no such exchange.
    """
    # `cache` alone lets two threads that come at once make two, each with a pace of its own.
    with _OPENING:
        return _opened(venue.ccxt, base_url, venue.calls_per_second)


def call(exchange: Any, method: str, *arguments: object) -> Any:  # noqa: ANN401 - ccxt has no types
    """One call, its errors turned into ours.

    Raises:
        InputError: the venue has no such symbol.
        TransientError: no answer, a busy venue, or an answer that cannot be read: the same call may succeed later.
        PermanentError: the venue refused the call.
    """
    import ccxt

    what = " ".join([exchange.id, method, *(text for text in arguments[:1] if isinstance(text, str))])
    try:
        return getattr(exchange, method)(*arguments)
    except ccxt.BadSymbol as error:
        msg = f"{exchange.id} has no {arguments[0]}; {_similar(exchange, str(arguments[0]))}"
        raise InputError(msg) from error
    except ccxt.OperationFailed as error:  # time-outs, lost connections, busy, rate limits, maintenance
        msg = f"{what} failed ({said(error)}); it may work later"
        raise TransientError(msg) from error
    except ccxt.BaseError as error:
        msg = f"{what} was refused ({said(error)})"
        raise PermanentError(msg) from error
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        # JSON of another shape than ccxt's parsers expect makes them fall over in these ways.
        msg = f"{what} gave an answer that cannot be read ({said(error)}); it may work later"
        raise TransientError(msg) from error


def said(error: BaseException) -> str:
    """An error of ccxt for a text of ours: its kind and its words on one line, cut short.

    ccxt puts the whole answer into its errors: a page of markup, or signs that would steer a person's terminal.
    """
    words = "".join(sign if sign.isprintable() else " " for sign in str(error)[: 4 * _LONGEST_ERROR])
    return f"{type(error).__name__}: {' '.join(words.split())[:_LONGEST_ERROR]}"


def retrying(read: Callable[[], _T]) -> _T:
    """`read` tried again after transient errors. Only ever for reading, never for an order."""
    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        before_sleep=_say_again,
        reraise=True,
    )
    return attempts(read)


def redirect(addresses: Any, base_url: str) -> Any:  # noqa: ANN401 - ccxt's table of addresses, nested as it likes
    """Every address of `addresses` with the host of `base_url` and the path it had: venues tell their APIs by it."""
    if isinstance(addresses, dict):
        return {name: redirect(address, base_url) for name, address in addresses.items()}
    return base_url + urlsplit(addresses).path if isinstance(addresses, str) else addresses


@cache
def _opened(identity: str, base_url: str | None, calls_per_second: float) -> Any:  # noqa: ANN401 - ccxt has no types
    import ccxt

    if identity not in ccxt.exchanges:
        msg = f"ccxt knows no venue {identity!r}; use an id such as kraken, binance or coinbase in venues.yaml"
        raise InputError(msg)
    exchange = getattr(ccxt, identity)(
        {"enableRateLimit": True, "timeout": _TIMEOUT_MILLISECONDS, "options": _OPTIONS.get(identity, {})}
    )
    exchange.throttle = Pace(calls_per_second).wait
    if base_url is not None:
        exchange.urls["api"] = redirect(exchange.urls["api"], base_url)
    exchange.last_answer = LastAnswer()
    exchange.fetch = _timed(exchange.fetch, exchange.last_answer)
    exchange.parse_json = _strict_json(exchange.parse_json, exchange.last_answer)
    exchange.parse_ohlcvs = _strict_candles(exchange.parse_ohlcvs, exchange.last_answer)
    exchange.fetch_markets = _strict_markets(exchange.fetch_markets)
    return exchange


def _timed(fetch: Callable[..., Any], last: LastAnswer) -> Callable[..., Any]:
    """The HTTP call of ccxt, which notes when it was sent and answered, without the wait for its turn before it."""

    def fetch_and_note(*arguments: object, **named: object) -> Any:  # noqa: ANN401 - it is what JSON holds
        last.sent = monotonic_seconds()
        try:
            return fetch(*arguments, **named)
        finally:
            last.received = monotonic_seconds()

    return fetch_and_note


def _strict_json(parse: Callable[[str], Any], last: LastAnswer) -> Callable[[str], Any]:
    """The JSON parser of ccxt, refusing what is not JSON, which ccxt itself would read as an answer without content."""

    def parse_or_fail(text: str) -> Any:  # noqa: ANN401 - it is what JSON holds
        from ccxt import BadResponse

        last.answer = parse(text)
        if last.answer is None:
            msg = f"the answer is not JSON: {text[:80]!r}"
            raise BadResponse(msg)
        return last.answer

    return parse_or_fail


def _strict_candles(parse: Callable[..., Any], last: LastAnswer) -> Callable[..., Any]:
    """The parser of candles of ccxt, which believes 'no candles' only if the venue itself sent an empty list.

    Where rows are expected but absent, ccxt puts in an empty list of its own. The parser is not told the time and the
    number of rows wanted: by these ccxt drops rows whose time it cannot read, and the end of a page with duplicates.
    """

    def parse_or_fail(ohlcvs: object, *arguments: object) -> Any:  # noqa: ANN401 - ccxt has no types
        from ccxt import BadResponse

        if not isinstance(ohlcvs, list) or (not ohlcvs and not any(ohlcvs is part for part in _parts(last.answer))):
            msg = f"the answer holds no list of candles: {str(last.answer)[:80]}"
            raise BadResponse(msg)
        market_and_timeframe = arguments[:2]
        return parse(ohlcvs, *market_and_timeframe)

    return parse_or_fail


def _strict_markets(fetch: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The listing of markets of ccxt, refusing an empty one, after which every symbol would seem unknown."""

    def fetch_or_fail(*arguments: object, **named: object) -> list[Any]:
        from ccxt import BadResponse

        markets = fetch(*arguments, **named)
        if not markets:
            msg = "the venue lists no market at all"
            raise BadResponse(msg)
        return markets

    return fetch_or_fail


def _parts(answer: Any) -> Iterator[Any]:  # noqa: ANN401 - it is what JSON holds
    yield answer
    if isinstance(answer, dict):
        for part in answer.values():
            yield from _parts(part)


def _similar(exchange: Any, symbol: str) -> str:  # noqa: ANN401 - ccxt has no types
    symbols = exchange.symbols or ()
    close = difflib.get_close_matches(symbol, symbols, n=3)
    return f"it has {', '.join(close)}" if close else f"it trades {len(symbols)} others: check the spelling"


def _say_again(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logging.getLogger(__name__).warning("reading again after attempt %s: %s", state.attempt_number, error)
