"""A venue's private REST client: ccxt's exchange with a key, one request a call, no retries, no secret in any text.

A call gives an `Answer` or a `Failure`; what a failure means for an order is in `outcomes`.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, SettingsError
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.execution.venues.reading import milliseconds
from triplegain_pipelines.execution.venues.signing import signing_with_openssl
from triplegain_pipelines.market.venues.budget import call_budget
from triplegain_pipelines.market.venues.exchange import redirect
from triplegain_pipelines.settings.venues import TradingAccess, VenueSettings

_HIDDEN = "[hidden]"
_SHORTEST_SECRET = 8  # shorter ones could be parts of ordinary words
_LONGEST_TEXT = 20_000
_MICROSECOND = timedelta(microseconds=1)
_MAKING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue answered: parsed, with exact numbers, and the text as it came."""

    data: Any
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a good answer.

    `sent`: whether the request may have left this machine. `status` is the HTTP status, `data` the parsed answer and
    `text` the text as it came, as far as there are any. `kind` is the class of ccxt's error.
    """

    kind: str
    sent: bool
    status: int | None = None
    data: Any = None
    text: str = ""

    def __str__(self) -> str:
        """For a message: one line, cut short."""
        words = " ".join("".join(sign if sign.isprintable() else " " for sign in self.text[:1000]).split())
        status = "" if self.status is None else f", HTTP {self.status}"
        return f"{self.kind}{status}{': ' if words else ''}{words[:300]}"


class _TooLateError(Exception):
    """The request must not be sent any more."""


@dataclass(slots=True)
class _Call:
    """The call that runs: the time it is given, until when it may be sent, and what came of it."""

    at: datetime | None
    not_after: datetime | None
    sent: bool = False
    status: int | None = None
    data: Any = None
    text: str = ""


class _Gate:
    """What all clients of one key share in this process: one call at a time, rising nonces, the key's allowance."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._taking = threading.Lock()
        self._full_at = monotonic_seconds()
        self._nonce = 0

    def wait(self, access: TradingAccess) -> None:
        """Return when the allowance has a call left: `burst` at once, then `calls_per_second`."""
        rate = access.calls_per_second
        with self._taking:
            now = monotonic_seconds()
            start = max(now, self._full_at)
            self._full_at = start + 1 / rate
        time.sleep(max(0.0, start - (access.burst - 1) / rate - now))

    def nonce(self, now: datetime) -> int:
        """Microseconds since 1970, but always more than the last."""
        self._nonce = max(self._nonce + 1, (now - EPOCH) // _MICROSECOND)
        return self._nonce


class PrivateClient:
    """The calls of one key to one venue.

    Calls run one at a time, so that nonces arrive in order. Reading waits for the key's allowance; an order does not,
    for venues count those apart.

    Args:
        venue: which exchange, and how often its private calls may be used.
        keys: of the account.
        clock: gives the times in the requests.
        timeout: how long an answer is waited for.
        base_url: address to use in place of the venue's own.

    Raises:
        InputError: ccxt has no such exchange.
        SettingsError: the venue is not described as one to trade at, or has no sandbox.
    """

    def __init__(
        self, venue: VenueSettings, keys: Keys, clock: Clock, timeout: timedelta, base_url: str | None = None
    ) -> None:
        if venue.trading is None:
            msg = f"venues.yaml has no section 'trading' for {venue.ccxt}; add it, or trade at a venue that has one"
            raise SettingsError(msg)
        self._access = venue.trading
        self._venue, self._keys, self._clock = venue, keys, clock
        # The key itself must not stay in a table that outlives the client.
        fingerprint = hashlib.sha256(keys.api_key.encode()).hexdigest()
        with _MAKING:
            self._gate = _gate(venue.ccxt, base_url, fingerprint)
        self._call = _Call(None, None)
        self._exchange = self._opened(timeout, base_url)
        self._plain_fetch = self._exchange.fetch
        self._exchange.fetch = self._fetch

    def __repr__(self) -> str:
        """The venue and nothing of the key."""
        return f"PrivateClient({self._venue.ccxt})"

    @property
    def identity(self) -> str:
        """The venue's id in ccxt."""
        return self._venue.ccxt

    def send(
        self,
        endpoint: str,
        parameters: Mapping[str, Any],
        *,
        at: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Answer | Failure:
        """One request that changes something at the venue. It is sent once or not at all.

        Args:
            endpoint: ccxt's name of it.
            parameters: as the venue spells them.
            at: the time the request is given; None: the present.
            not_after: later than this nothing is sent any more.
        """
        with call_budget(self._venue).trading():
            return self._request(endpoint, parameters, _Call(at, not_after))

    def ask(self, endpoint: str, parameters: Mapping[str, Any]) -> Answer | Failure:
        """One request that changes nothing at the venue."""
        with call_budget(self._venue).trading():
            self._gate.wait(self._access)
            return self._request(endpoint, parameters, _Call(None, None))

    def currency(self, identity: str) -> str:
        """The common name of a currency that the venue calls `identity`."""
        return str(self._exchange.safe_currency_code(identity))

    def _request(self, endpoint: str, parameters: Mapping[str, Any], call: _Call) -> Answer | Failure:
        kind = "BadResponse"
        with self._gate.lock, self._current(call):
            try:
                getattr(self._exchange, endpoint)(dict(parameters))
            except _TooLateError:
                return Failure("TooLate", sent=False)
            # Whatever falls over in ccxt, the request may have left. The error itself is not kept: it holds the
            # address with the signature, and below it the headers with the key.
            except Exception as error:  # noqa: BLE001
                kind = type(error).__name__
            else:
                if call.data is not None:
                    return Answer(call.data, call.text)
        return Failure(kind, call.sent, call.status, call.data, call.text)

    @contextmanager
    def _current(self, call: _Call) -> Iterator[None]:
        self._call = call
        try:
            yield
        finally:
            self._call = _Call(None, None)

    def _opened(self, timeout: timedelta, base_url: str | None) -> Any:  # noqa: ANN401 - ccxt has no types
        import ccxt

        if self._venue.ccxt not in ccxt.exchanges:
            msg = f"ccxt knows no venue {self._venue.ccxt!r}; use an id such as kraken, binance or coinbase"
            raise InputError(msg)
        exchange = getattr(ccxt, self._venue.ccxt)(
            {
                "apiKey": self._keys.api_key,
                "secret": self._keys.secret,
                "enableRateLimit": False,  # the allowance of the gate is kept instead
                "timeout": timeout // timedelta(milliseconds=1),
                "options": {"maxRetriesOnFailure": 0},
            }
        )
        if self._access.sandbox:
            if "test" not in exchange.urls:
                msg = f"{self._venue.ccxt} has no sandbox; take 'sandbox' out of its section in venues.yaml"
                raise SettingsError(msg)
            exchange.set_sandbox_mode(True)
        if base_url is not None:
            exchange.urls["api"] = redirect(exchange.urls["api"], base_url)
        exchange.session.max_redirects = 0  # a redirected request would be a second one, to who knows where
        exchange.logger = _silent_logger()
        exchange.seconds = lambda: milliseconds(self._now()) // 1000
        exchange.milliseconds = lambda: milliseconds(self._now())
        if exchange.id == "coinbase":
            exchange.jwt = signing_with_openssl(exchange.jwt)
        if exchange.id == "kraken":
            exchange.nonce = lambda: self._gate.nonce(self._clock.now())
        exchange.on_rest_response = self._note
        exchange.parse_json = self._parse
        return exchange

    def _now(self) -> datetime:
        return self._call.at or self._clock.now()

    def _fetch(self, *arguments: object, **named: object) -> Any:  # noqa: ANN401 - it is what JSON holds
        """The HTTP request of ccxt, the last thing before the network."""
        if self._call.not_after is not None and self._clock.now() > self._call.not_after:
            raise _TooLateError
        self._call.sent = True
        return self._plain_fetch(*arguments, **named)

    def _note(self, code: int, reason: str, url: str, method: str, headers: object, body: str, *_: object) -> str:  # noqa: ARG002
        self._call.status = code
        self._call.text = self._hide(body)[:_LONGEST_TEXT]
        return str(self._hide(body.strip()))

    def _parse(self, body: str) -> Any:  # noqa: ANN401 - it is what JSON holds
        from ccxt import BadResponse

        try:
            data = json.loads(body, parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict | list):
            msg = "the answer is not JSON"
            raise BadResponse(msg)
        self._call.data = data
        return data

    def _hide(self, words: str) -> str:
        for secret in (self._keys.secret, json.dumps(self._keys.secret)[1:-1], self._keys.api_key):
            if len(secret) >= _SHORTEST_SECRET:
                words = words.replace(secret, _HIDDEN)
        return words


@cache
def _gate(identity: str, base_url: str | None, fingerprint: str) -> _Gate:  # noqa: ARG001 - what tells keys apart
    return _Gate()


@cache
def _silent_logger() -> logging.Logger:
    """A log that goes nowhere: ccxt writes the headers of its requests, with the key, to its own."""
    logger = logging.Logger("ccxt, silent", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger


def _refuse(constant: str) -> Any:  # noqa: ANN401 - json's own signature
    msg = f"{constant} is no number"
    raise ValueError(msg)
