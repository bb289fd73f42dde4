"""Orders: sides, types, legs, the state machine, intents and fills."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
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
        """Whether the order is done. What a venue tells of it afterwards is taken over all the same."""
        return self in _FINAL

    @property
    def is_unresolved(self) -> bool:
        """Whether it is not known what the venue makes of the order."""
        return self in _UNRESOLVED


_S = OrderState
_FINAL = frozenset({_S.FILLED, _S.CANCELED, _S.REJECTED, _S.LOST})
_UNRESOLVED = frozenset({_S.PENDING_SUBMIT, _S.UNKNOWN, _S.PENDING_CANCEL})
_LIVE = frozenset({_S.OPEN, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED})
TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        # LOST: it is certain that the order never reached the venue and never will.
        _S.PENDING_SUBMIT: _LIVE | {_S.UNKNOWN, _S.REJECTED, _S.LOST},
        _S.UNKNOWN: _LIVE | {_S.REJECTED, _S.LOST},
        _S.OPEN: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.PENDING_CANCEL, _S.CANCELED}),
        _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.PENDING_CANCEL, _S.CANCELED}),
        # A cancel is a request: a fill may still arrive before it.
        _S.PENDING_CANCEL: frozenset({_S.CANCELED, _S.FILLED, _S.PARTIALLY_FILLED}),
        _S.FILLED: frozenset(),
        # A fill that was on its way when the cancel was accepted. One that leaves a rest stays CANCELED.
        _S.CANCELED: frozenset({_S.FILLED}),
        _S.REJECTED: frozenset(),
        # The certainty was wrong: the venue has it after all. Its fills are booked, and new risk is halted.
        _S.LOST: _LIVE,
    }
)


@lru_cache(maxsize=4096)
def _order_id(account: str, decision_id: UUID, leg: Leg, attempt: int) -> UUID:
    return deterministic_id("order", account, decision_id, leg, attempt)


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
        return _order_id(self.account, self.decision_id, self.leg, self.attempt)


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
    """What a venue knows of an order of ours, with every fill it reports for it. `raw` is its answer as it came.

    `venue_order_id` is empty where a person speaks for a venue that has named none.
    """

    client_order_id: UUID
    venue_order_id: str
    state: OrderState
    fills: tuple[Fill, ...]
    raw: str = ""


@dataclass(frozen=True, slots=True)
class OrderReference:
    """An order of ours as a venue is asked for it.

    `venue_order_id` is None as long as the venue has not answered. `sent_at` is when it was handed over: no venue knows
    it from before that. `expires_at` is when a venue that has not got it by then will not take it any more.
    """

    client_order_id: UUID
    venue_order_id: str | None
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    trigger_price: Decimal | None
    sent_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RestingAtVenue:
    """An open order as a venue lists it, whoever sent it. `client_order_id` is whatever the sender called it."""

    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal


@dataclass(frozen=True, slots=True)
class Execution:
    """A trade of the account as a venue lists it, whichever order it was for."""

    venue: str
    trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    filled_at: datetime

    def of(self, client_order_id: UUID) -> Fill:
        """It as a fill of an order of ours."""
        return Fill(
            venue=self.venue,
            trade_id=self.trade_id,
            client_order_id=client_order_id,
            symbol=self.symbol,
            side=self.side,
            quantity=self.quantity,
            price=self.price,
            fee=self.fee,
            fee_currency=self.fee_currency,
            filled_at=self.filled_at,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to act on a decision, until somebody else claims one of the same account."""

    decision_id: UUID
    token: int
