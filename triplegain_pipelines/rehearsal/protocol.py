"""What a venue's protocol has to offer to the server that speaks it: calls, keys, and its spelling of errors."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, FaultKind
from triplegain_pipelines.rehearsal.orders import RefusedError, VenueRules

_TRADING = frozenset({CallKind.SUBMIT, CallKind.CANCEL})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What the key of a venue may do."""

    view: bool = True
    trade: bool = True
    withdraw: bool = False

    def allow(self, kind: CallKind) -> bool:
        """Whether a private call of this kind may be made with it."""
        return self.trade if kind in _TRADING else self.view


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: str
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call as it arrived. `parameters` are those of the query and of the body; `place` those of the path."""

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str
    parameters: Mapping[str, Any]
    place: Mapping[str, str]
    fault: FaultKind | None = None

    @property
    def in_parts(self) -> bool:
        """Whether an order is to be filled in two parts."""
        return self.fault is FaultKind.PARTIAL_FILL

    @property
    def behind(self) -> bool:
        """Whether the answer is to be behind the books."""
        return self.fault is FaultKind.REVISE

    @property
    def fill_after(self) -> bool:
        """Whether a fill is to arrive after a cancel."""
        return self.fault is FaultKind.FILL_AFTER_CANCEL

    def text(self, name: str, default: str = "") -> str:
        """A parameter as text."""
        return str(self.parameters.get(name, default))

    def number(self, name: str, default: int) -> int:
        """A parameter as a whole number."""
        return int(Decimal(self.text(name) or default))


@dataclass(frozen=True, slots=True)
class Route:
    """One call that a venue offers. `kind` of a private call; None: everybody may call it.

    `path` in the way of aiohttp, `{name}` for what varies. `name` is how the calls of a server tell of it.
    """

    method: str
    path: str
    name: str
    handler: Callable[[Incoming], Answer]
    kind: CallKind | None = None


class Stream(Protocol):
    """A venue's WebSocket."""

    path: str

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, until it ends."""
        ...

    async def close(self) -> None:
        """End every connection."""
        ...


class VenueProtocol(ABC):
    """One venue's way to speak of an exchange. A subclass makes the key by which the account is known.

    Args:
        exchange: what it speaks of.
        permissions: what the key may do.
        rate_limits: whether calls that come too soon are refused.
    """

    rules: ClassVar[VenueRules]
    api_key: str
    api_secret: str

    def __init__(self, exchange: LoopbackExchange, permissions: KeyPermissions, *, rate_limits: bool) -> None:
        self.exchange = exchange
        self.permissions = permissions
        self.rate_limits = rate_limits

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """Every call that the venue offers."""

    @abstractmethod
    def authenticate(self, call: Incoming, kind: CallKind) -> Answer | None:
        """The refusal of a private call whose signature, nonce or time is not good, or whose key may not; else None."""

    @abstractmethod
    def refused(self, error: RefusedError, kind: CallKind) -> Answer:
        """A refusal of the exchange in the venue's words."""

    @abstractmethod
    def malformed(self) -> Answer:
        """The refusal of a call whose parameters cannot be read."""

    @abstractmethod
    def rate_limited(self, kind: CallKind) -> Answer:
        """The refusal of a call that comes too soon."""

    @abstractmethod
    def invalid_nonce(self) -> Answer:
        """The refusal of a call for its nonce or its time."""

    @abstractmethod
    def server_error(self) -> Answer:
        """What the venue says when it does not know itself what became of the call."""

    def stream(self) -> Stream | None:
        """The venue's WebSocket, where it has one here."""
        return None

    def answer(self, route: Route, call: Incoming) -> Answer:
        """Do what the call asks for."""
        if route.kind is not None:
            self.exchange.arrived()
            refusal = self.authenticate(call, route.kind)
            if refusal is not None:
                return refusal
        try:
            return route.handler(call)
        except RefusedError as error:
            return self.refused(error, route.kind or CallKind.QUESTION)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return self.malformed()

    def answer_late(self, route: Route, call: Incoming) -> Answer:
        """Do what a call asks for that has been on its way for long: its time is judged as of now."""
        return self.answer(route, call)

    def milliseconds(self) -> int:
        """The venue's time in milliseconds since 1970."""
        return milliseconds_of(self.exchange.clock.now())

    def now(self) -> datetime:
        """The venue's time."""
        return self.exchange.clock.now()


def spelt(number: Decimal) -> str:
    """A number as venues spell it: never with an exponent.

    >>> spelt(Decimal("1E-8"))
    '0.00000001'
    """
    return format(number, "f")


def json_answer(content: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(content), status)


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int((moment - _EPOCH).total_seconds() * 1000)


def iso(moment: datetime) -> str:
    """A moment as 2025-11-11T00:17:04.123456Z."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parameters_of(query: str, body: str, content_type: str) -> dict[str, Any]:
    """The parameters of a call, of its query and its body, which is JSON or a form.

    Raises:
        ValueError: the body is no JSON object though it says so.
    """
    together: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if "json" in content_type and body:
        read = json.loads(body)
        if not isinstance(read, dict):
            msg = "a body in JSON has to be an object"
            raise ValueError(msg)
        return {**together, **read}
    return {**together, **dict(parse_qsl(body, keep_blank_values=True))}


def protocol_of(
    venue: str, exchange: LoopbackExchange, permissions: KeyPermissions, *, rate_limits: bool
) -> VenueProtocol:
    """The protocol of a venue.

    Raises:
        InputError: there is none of that name.
    """
    from triplegain_pipelines.rehearsal.binance import Binance
    from triplegain_pipelines.rehearsal.coinbase import Coinbase
    from triplegain_pipelines.rehearsal.kraken import Kraken

    kinds: dict[str, type[VenueProtocol]] = {"kraken": Kraken, "binance": Binance, "coinbase": Coinbase}
    if venue not in kinds:
        msg = f"there is no {venue!r} on loopback; use one of {', '.join(sorted(kinds))}"
        raise InputError(msg)
    exchange.rules = kinds[venue].rules
    return kinds[venue](exchange, permissions, rate_limits=rate_limits)
