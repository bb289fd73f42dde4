"""REST history and tickers of the exchanges that ccxt knows. Reading only; ccxt's objects never leave this module."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import polars as pl
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.market import Quote, exact_price
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS

_TIMEOUT_MILLISECONDS = 10_000
_ATTEMPTS = 4
_MAXIMUM_TICKER_AGE = timedelta(seconds=10)
_STEP = Timeframe.M1.duration
_SYSTEM_CLOCK = SystemClock()
_T = TypeVar("_T")


def fetch_candles(
    venue: str,
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    base_url: str | None = None,
    clock: Clock = _SYSTEM_CLOCK,
) -> pl.DataFrame:
    """The 1-minute candles opened in [since, until) that the venue still gives and that have closed by now.

    Venues reach back only so far: Kraken gives its newest 720 candles whatever `since` says. The frame then starts
    later than asked, and the hole is for the caller to record as a gap. Kraken's REST answers hold a candle of zero
    volume where nobody traded; it is kept as published. The number of trades is not known from here.

    Args:
        venue: id of an exchange in ccxt, such as `kraken`.
        symbol: such as BTC/USDT.
        since: first opening time wanted.
        until: opening time up to which is wanted, excluded.
        base_url: address to use in place of the venue's own.
        clock: tells which candles have closed; an open one is dropped by its time, never by its position.

    Returns:
        A candle frame, possibly empty.

    Raises:
        InputError: there is no such venue, or it has no such symbol.
        TransientError: the venue failed again and again; the same call may succeed later.
        PermanentError: the venue refused the call.
    """
    exchange = _exchange(venue, base_url)
    until = min(until, last_closed_open(clock.now(), Timeframe.M1, timedelta(0)) + _STEP)
    pages: list[pl.DataFrame] = []
    cursor = since
    while cursor < until:
        page = _page(exchange, symbol, cursor)
        fresh = page.filter(pl.col("opened_at").is_between(cursor, until, closed="left"))
        if fresh.is_empty():
            break
        pages.append(fresh)
        cursor = fresh["opened_at"][-1] + _STEP
    return pl.concat(pages) if pages else pl.DataFrame(schema=dict(CANDLE_COLUMNS))


class TickerPrices:
    """Prices from a venue's ticker: the middle between the best bid and the best ask. It is a `PriceSource`.

    Args:
        venue: id of an exchange in ccxt.
        clock: tells how long an answer took.
        base_url: address to use in place of the venue's own.
    """

    def __init__(self, venue: str, clock: Clock, base_url: str | None = None) -> None:
        self._venue, self._clock, self._base_url = venue, clock, base_url

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price at the moment of the answer, which must not be before `at`.

        Kraken's ticker carries no time, so it is taken to be as old as the question; the last trade is not used,
        because in a thin market it may be hours old.

        Raises:
            UnavailableError: the call failed, the ticker has no bid or ask, they cross, or it is older than 10 s.
        """
        asked = self._clock.now()
        try:
            ticker = _call(_exchange(self._venue, self._base_url), "fetch_ticker", symbol)
        except (TransientError, PermanentError) as error:
            msg = f"{self._venue} gives no price of {symbol}: {error}"
            raise UnavailableError(msg) from error
        answered = self._clock.now()
        stamp = ticker.get("timestamp")
        valid = datetime.fromtimestamp(stamp / 1000, UTC) if stamp else asked
        if answered - valid > _MAXIMUM_TICKER_AGE or answered < at:
            msg = f"{self._venue}'s price of {symbol} is from {valid.isoformat()}: too old at {answered.isoformat()}"
            raise UnavailableError(msg)
        return Quote(symbol, self._middle(symbol, ticker), answered)

    def _middle(self, symbol: str, ticker: dict[str, Any]) -> Decimal:
        bid, ask = ticker.get("bid"), ticker.get("ask")
        if not bid or not ask or not 0 < bid <= ask:
            msg = f"{self._venue}'s ticker of {symbol} has bid {bid} and ask {ask}: that is no price"
            raise UnavailableError(msg)
        return (exact_price(bid) + exact_price(ask)) / 2


def _page(exchange: Any, symbol: str, since: datetime) -> pl.DataFrame:  # noqa: ANN401 - ccxt has no types
    milliseconds = int(since.timestamp() * 1000)
    rows = _retrying(lambda: _call(exchange, "fetch_ohlcv", symbol, "1m", milliseconds))
    table = pl.DataFrame(
        rows, schema=["time", "open", "high", "low", "close", "volume"], orient="row", infer_schema_length=None
    )
    return (
        table.with_columns(
            opened_at=pl.from_epoch(pl.col("time").cast(pl.Int64), time_unit="ms"), trades=pl.lit(None, pl.Int32)
        )
        .with_columns(pl.col("opened_at").dt.replace_time_zone("UTC"))
        .select(pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items())
        .sort("opened_at")
    )


@cache
def _exchange(venue: str, base_url: str | None) -> Any:  # noqa: ANN401 - ccxt has no types
    """One exchange object for each venue and process, so that its rate limit holds over all calls."""
    import ccxt

    if venue not in ccxt.exchanges:
        msg = f"ccxt knows no venue {venue!r}; use an id such as kraken, binance or coinbase"
        raise InputError(msg)
    exchange = getattr(ccxt, venue)({"enableRateLimit": True, "timeout": _TIMEOUT_MILLISECONDS})
    exchange.parse_json = _strict_json(exchange.parse_json)
    if base_url is not None:
        api = exchange.urls["api"]
        exchange.urls["api"] = dict.fromkeys(api, base_url) if isinstance(api, dict) else base_url
    return exchange


def _call(exchange: Any, method: str, symbol: str, *arguments: object) -> Any:  # noqa: ANN401 - ccxt has no types
    """One call, its errors turned into ours."""
    import ccxt

    what = f"{exchange.id} {method} {symbol}"
    try:
        exchange.load_markets()
        return getattr(exchange, method)(symbol, *arguments)
    except ccxt.BadSymbol as error:
        msg = f"{exchange.id} has no {symbol}; see which symbols it trades"
        raise InputError(msg) from error
    except ccxt.OperationFailed as error:  # time-outs, lost connections, busy, rate limits, maintenance
        msg = f"{what} failed ({type(error).__name__}: {error}); it may work later"
        raise TransientError(msg) from error
    except ccxt.BaseError as error:
        msg = f"{what} was refused ({type(error).__name__}: {error})"
        raise PermanentError(msg) from error
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        # JSON of another shape than ccxt's parsers expect makes them fall over in these ways.
        msg = f"{what} gave an answer that cannot be read ({type(error).__name__}: {error}); it may work later"
        raise TransientError(msg) from error


def _strict_json(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The JSON parser of ccxt, refusing what is not JSON, which ccxt itself would read as an answer without content."""

    def parse_or_fail(text: str) -> Any:  # noqa: ANN401 - it is what JSON holds
        from ccxt import BadResponse

        answer = parse(text)
        if answer is None:
            msg = f"the answer is not JSON: {text[:80]!r}"
            raise BadResponse(msg)
        return answer

    return parse_or_fail


def _retrying(read: Callable[[], _T]) -> _T:
    """`read` tried again after transient errors. Only ever for reading, never for an order."""
    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=8),
        before_sleep=_say_again,
        reraise=True,
    )
    return attempts(read)


def _say_again(state: RetryCallState) -> None:
    import structlog

    error = state.outcome.exception() if state.outcome else None
    structlog.get_logger(__name__).warning("reading again", attempt=state.attempt_number, error=str(error))
