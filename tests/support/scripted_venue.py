"""A venue in memory that obeys the `Broker` protocol as real venues do, and that a test can turn.

Unlike the paper venue it keeps balances, says nothing for certain about an order that it does not know, and holds a
stop but no pair. It outlives the process that trades at it, as a venue does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from builders import INSTRUMENTS, TradingFloor

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.market import Instrument, split_symbol
from triplegain_pipelines.domain.orders import (
    Execution,
    Intent,
    OrderReference,
    OrderState,
    OrderType,
    RestingAtVenue,
    Side,
    VenueOrder,
)
from triplegain_pipelines.execution.broker import VenueRejectionError, VenueTraits

FEE = Decimal("0.001")
EXPIRY = timedelta(seconds=5)


@dataclass
class Held:
    """An order as the venue keeps it."""

    venue_order_id: str
    client_order_id: UUID | None
    symbol: str
    side: Side
    quantity: Decimal
    trigger_price: Decimal | None
    state: OrderState = OrderState.OPEN
    filled: Decimal = Decimal(0)


@dataclass
class ScriptedVenue:
    """The venue. `silent` names the questions it does not answer, `lose_answer` the legs whose answer gets lost once.

    `history` is how far back it lists trades; None is for ever. A fee in another currency than the quote is a
    thousandth of the quantity; one in the base currency is taken from what is bought, and sales pay in the quote.
    `interrupt` is done once, right after the next answer about open orders: what happens between two questions.
    """

    clock: Clock
    prices: Mapping[str, Decimal | None]
    owned: dict[str, Decimal]
    venue: str = "scripted"
    traits: VenueTraits = field(
        default_factory=lambda: VenueTraits(
            absence_is_final=False,
            expiry=EXPIRY,
            holds_pairs=False,
            holds_stops=True,
            dead_man_timer=False,
        )
    )
    orders: list[Held] = field(default_factory=list)
    trades: list[Execution] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    lose_answer: set[str] = field(default_factory=set)
    lose_request: set[str] = field(default_factory=set)
    history: timedelta | None = None
    fee_currency: str = "USDT"
    interrupt: list = field(default_factory=list)
    submissions: list[Intent] = field(default_factory=list)
    asked_since: list[datetime] = field(default_factory=list)

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:  # noqa: ARG002
        """Take the order; a market order is filled at the price."""
        self.submissions.append(intent)
        if intent.leg in self.lose_request:
            self.lose_request.discard(intent.leg)
            raise UnknownOutcomeError("the request was lost")  # noqa: EM101, TRY003
        made = Held(
            f"S-{len(self.orders) + 1}",
            intent.client_order_id,
            intent.symbol,
            intent.side,
            intent.quantity,
            intent.trigger_price,
        )
        self.orders.append(made)
        if intent.order_type is OrderType.MARKET:
            self.fill(made)
        if intent.leg in self.lose_answer:
            self.lose_answer.discard(intent.leg)
            raise UnknownOutcomeError("the answer was lost")  # noqa: EM101, TRY003
        return self._answer(made)

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Cancel what is open."""
        self._speak("cancel")
        found = self._find(order)
        if found is None:
            raise VenueRejectionError("unknown order")  # noqa: EM101, TRY003
        if not found.state.is_final:
            found.state = OrderState.CANCELED
        return self._answer(found)

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """The order with its trades."""
        self._speak("lookup")
        found = self._find(order)
        return None if found is None else self._answer(found)

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """Everything that is open."""
        self._speak("open_orders")
        answer = tuple(
            RestingAtVenue(
                held.venue_order_id,
                None if held.client_order_id is None else str(held.client_order_id),
                held.symbol,
                held.side,
                held.quantity,
                held.filled,
            )
            for held in self.orders
            if not held.state.is_final
        )
        if self.interrupt:
            self.interrupt.pop(0)()
        return answer

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Every trade since then, as far back as it lists any."""
        self._speak("executions")
        self.asked_since.append(since)
        oldest = since if self.history is None else max(since, self.clock.now() - self.history)
        return tuple(trade for trade in self.trades if trade.filled_at >= oldest)

    def balances(self) -> Mapping[str, Decimal] | None:
        """What is owned."""
        self._speak("balances")
        return {currency: amount for currency, amount in self.owned.items() if amount}

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """Those of the tests."""
        return {symbol: INSTRUMENTS[symbol] for symbol in symbols}

    def keep_alive(self, timeout: timedelta | None) -> None:
        """There is no dead-man timer."""

    def fill(self, held: Held, quantity: Decimal | None = None, price: Decimal | None = None) -> Execution:
        """Fill an order, or `quantity` of it, at `price` or that of now."""
        amount = held.quantity - held.filled if quantity is None else quantity
        now = self.prices[held.symbol] if price is None else price
        assert now is not None
        trade = self._trade(held.venue_order_id, held.symbol, held.side, amount, now)
        held.filled += amount
        held.state = OrderState.FILLED if held.filled == held.quantity else OrderState.PARTIALLY_FILLED
        return trade

    def stop(self) -> Held:
        """The one order with a trigger that is open."""
        (found,) = [held for held in self.orders if held.trigger_price is not None and not held.state.is_final]
        return found

    def stranger(self, symbol: str, side: Side, quantity: Decimal, *, fills: bool) -> Held:
        """An order that somebody else places with the account's money."""
        made = Held(f"S-{len(self.orders) + 1}", None, symbol, side, quantity, None)
        self.orders.append(made)
        if fills:
            self.fill(made)
        return made

    def _trade(self, order_id: str, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> Execution:
        base, quote = split_symbol(symbol)
        paid_in = quote if self.fee_currency == base and side is Side.SELL else self.fee_currency
        worth = quantity * price if paid_in == quote else quantity
        fee = (worth * FEE).quantize(Decimal("0.00000001"))
        trade = Execution(
            self.venue,
            f"T-{len(self.trades) + 1}",
            order_id,
            symbol,
            side,
            quantity,
            price,
            fee,
            paid_in,
            self.clock.now(),
        )
        self.trades.append(trade)
        self.owned[base] = self.owned.get(base, Decimal(0)) + side.sign * quantity
        self.owned[quote] = self.owned.get(quote, Decimal(0)) - side.sign * quantity * price
        self.owned[paid_in] = self.owned.get(paid_in, Decimal(0)) - fee
        return trade

    def _find(self, order: OrderReference) -> Held | None:
        return next((held for held in self.orders if held.client_order_id == order.client_order_id), None)

    def _answer(self, held: Held) -> VenueOrder:
        assert held.client_order_id is not None
        mine = [trade for trade in self.trades if trade.venue_order_id == held.venue_order_id]
        fills = tuple(trade.of(held.client_order_id) for trade in mine)
        return VenueOrder(held.client_order_id, held.venue_order_id, held.state, fills)

    def _speak(self, question: str) -> None:
        if question in self.silent:
            msg = f"the venue does not answer {question}"
            raise UnavailableError(msg)


def at_scripted_venue(floor: TradingFloor) -> ScriptedVenue:
    """Let the floor's desk trade at a scripted venue with the account's money in it."""
    cash = floor.rows("SELECT amount FROM balances WHERE currency = 'USDT'")[0][0]
    venue = ScriptedVenue(floor.clock, floor.prices.prices, {"USDT": cash})
    floor.desk = replace(floor.desk, broker=venue)
    return venue
