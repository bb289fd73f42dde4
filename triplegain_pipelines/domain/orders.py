"""Orders: sides, types, legs, the state machine, intents and fills."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from triplegain_pipelines.domain.ids import deterministic_id


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 where the order adds base currency, -1 where it takes it away."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order is matched."""

    MARKET = "MARKET"
    STOP = "STOP"
    TAKE_PROFIT = "TAKE_PROFIT"


class Leg(StrEnum):
    """What an order is for. Each leg of a decision is at most one position's worth."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    STOP = "STOP"
    TAKE_PROFIT = "TAKE_PROFIT"

    @property
    def reduces_risk(self) -> bool:
        """Whether this leg can only make a position smaller."""
        return self is not Leg.ENTRY


class OrderState(StrEnum):
    """Where an order is in its life."""

    PENDING_SUBMIT = "PENDING_SUBMIT"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    LOST = "LOST"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return not TRANSITIONS[self]


_S = OrderState
_LIVE = frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED})
TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        # LOST: the venue says for certain that the order never reached it.
        _S.PENDING_SUBMIT: _LIVE | {_S.UNKNOWN, _S.REJECTED, _S.LOST},
        _S.UNKNOWN: _LIVE | {_S.REJECTED, _S.LOST},
        _S.OPEN: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.PENDING_CANCEL, _S.CANCELED}),
        _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.PENDING_CANCEL, _S.CANCELED}),
        # A cancel is a request: a fill may still arrive before it.
        _S.PENDING_CANCEL: frozenset({_S.CANCELED, _S.FILLED, _S.PARTIALLY_FILLED}),
        _S.FILLED: frozenset(),
        _S.CANCELED: frozenset(),
        _S.REJECTED: frozenset(),
        _S.LOST: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class Intent:
    """An order as it was meant, written and committed before anything is sent.

    Quantities are in base currency, prices in quote currency. `trigger_price` belongs to STOP and
    TAKE_PROFIT orders; `one_cancels_other` names the group in which one fill cancels the rest.
    """

    account: str
    decision_id: UUID
    symbol: str
    leg: Leg
    attempt: int
    side: Side
    order_type: OrderType
    quantity: Decimal
    decided_price: Decimal
    trigger_price: Decimal | None = None
    one_cancels_other: UUID | None = None

    @property
    def client_order_id(self) -> UUID:
        """UUIDv5 of account, decision, leg and attempt: known before sending, the same after a crash."""
        return deterministic_id("order", self.account, self.decision_id, self.leg, self.attempt)


@dataclass(frozen=True, slots=True)
class Fill:
    """A trade that a venue reports. Unique by venue and trade id; fees may be in any currency."""

    venue: str
    trade_id: str
    client_order_id: UUID
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    filled_at: datetime


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """What a venue knows of an order, with every fill it reports for it."""

    client_order_id: UUID
    venue_order_id: str
    state: OrderState
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to act on a decision, until somebody else claims one of the same account."""

    decision_id: UUID
    token: int
