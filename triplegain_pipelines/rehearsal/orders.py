"""What a venue on loopback knows of orders, whichever venue's protocol it speaks."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from triplegain_pipelines.domain.money import divided
from triplegain_pipelines.domain.orders import Side

_AVERAGE_PLACES = 10


class VenueRefusal(StrEnum):
    """Why an order, a cancel or a change is refused; each venue has its own spelling for it."""

    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    NO_PRICE = "NO_PRICE"
    QUANTITY_STEP = "QUANTITY_STEP"
    PRICE_STEP = "PRICE_STEP"
    MINIMUM_QUANTITY = "MINIMUM_QUANTITY"
    MINIMUM_COST = "MINIMUM_COST"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    DUPLICATE_CLIENT_ID = "DUPLICATE_CLIENT_ID"
    TRIGGER_PASSED = "TRIGGER_PASSED"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"


class RefusedError(Exception):
    """The exchange refused a request; nothing of it exists."""

    def __init__(self, refusal: VenueRefusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class OrderStatus(StrEnum):
    """Open, or done in one of two ways; a canceled order may have fills."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"


class FeeIn(StrEnum):
    """The currency in which a venue takes its fee."""

    QUOTE = "QUOTE"
    BASE = "BASE"
    RECEIVED = "RECEIVED"  # base of a buy, quote of a sell


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a venue does differently from another.

    `client_ids_for_ever`: an id that was used gives back the order that has it, done or not; elsewhere it is refused
    as long as that order is open, and free afterwards. `refuses_passed_triggers`: a stop whose trigger the market has
    passed is refused; elsewhere it triggers at once.
    """

    client_ids_for_ever: bool = False
    refuses_passed_triggers: bool = False
    fee_in: FeeIn = FeeIn.QUOTE


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as a client asks for it; quantities in base currency, prices in quote currency.

    Without `limit` it is a market order. With `trigger` it rests until the price has passed that: upwards if `rising`.
    `immediate`: what cannot be filled at once is canceled. `in_parts`: half of it is filled first, the rest at the
    next price. `details` are what the venue's protocol wants to say of it later.
    """

    symbol: str
    side: Side
    quantity: Decimal
    client_id: str | None = None
    limit: Decimal | None = None
    trigger: Decimal | None = None
    rising: bool = False
    immediate: bool = False
    fee_in: FeeIn | None = None
    in_parts: bool = False
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExchangeOrder:
    """An order at one moment. `held` is what it keeps from being spent, in the currency that it gives away.

    `late` counts the private calls until a fill arrives that a cancel came too late for; None: there is none.
    """

    number: int
    request: OrderRequest
    opened_at: datetime
    status: OrderStatus = OrderStatus.OPEN
    filled: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    trigger: Decimal | None = None
    triggered: bool = False
    held: Decimal = Decimal(0)
    reason: str = ""
    closed_at: datetime | None = None
    late: int | None = None
    stale_answers: int = 0

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status is OrderStatus.OPEN

    @property
    def rest(self) -> Decimal:
        """What is not filled."""
        return self.request.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """Average price of what was filled, 0 where nothing was."""
        return divided(self.cost, self.filled, _AVERAGE_PLACES) if self.filled else Decimal(0)

    @property
    def waiting(self) -> bool:
        """Whether its trigger has not been passed."""
        return self.trigger is not None and not self.triggered


@dataclass(frozen=True, slots=True)
class ExchangeTrade:
    """A fill."""

    number: int
    order: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    traded_at: datetime

    @property
    def cost(self) -> Decimal:
        """What it is worth in quote currency."""
        return self.quantity * self.price


class OrderEvent(StrEnum):
    """What happened to an order, for whoever watches."""

    OPENED = "OPENED"
    AMENDED = "AMENDED"
    TRADED = "TRADED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True)
class OrderNews:
    """Something that happened to an order. `trade` where it was a fill."""

    event: OrderEvent
    order: ExchangeOrder
    trade: ExchangeTrade | None = None


@dataclass(frozen=True, slots=True)
class PriceNews:
    """Best prices that were set."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """The orders and trades that one answer knows of, oldest first."""

    orders: tuple[ExchangeOrder, ...]
    trades: tuple[ExchangeTrade, ...]

    def trades_of(self, order: ExchangeOrder) -> tuple[ExchangeTrade, ...]:
        """The fills of one order."""
        return tuple(trade for trade in self.trades if trade.order == order.number)


def as_it_was(order: ExchangeOrder) -> ExchangeOrder:
    """The order before its newest change, as an answer that is behind the books has it: open and without a fill."""
    return replace(order, status=OrderStatus.OPEN, filled=Decimal(0), cost=Decimal(0), fee=Decimal(0), closed_at=None)
