"""An exchange on loopback without a protocol: one account, its orders and trades, and prices that are set from outside.

It knows no network and no faults beyond those that need its books: a fill in two parts, a fill after a cancel, an
answer that is behind. Every method may be called from any thread; a process that was forked has a copy that nobody
trades against, and has to ask the server.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import count
from threading import RLock

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.account import Account
from triplegain_pipelines.rehearsal.fees import Fee, fee_in_base, fee_in_other, fee_in_quote, taken_in
from triplegain_pipelines.rehearsal.matching import (
    check_steps,
    check_trigger,
    given_up,
    market_price,
    next_part,
    trigger_passed,
)
from triplegain_pipelines.rehearsal.orders import (
    ExchangeOrder,
    ExchangeTrade,
    OrderEvent,
    OrderNews,
    OrderRequest,
    OrderStatus,
    PriceNews,
    RefusedError,
    Seen,
    VenueRefusal,
    VenueRules,
    as_it_was,
)

_CALLS_UNTIL_LATE_FILL = 2  # a client that asks once after a cancel is told that there was no fill
_NUMBERS_A_SECOND = 1000

Listener = Callable[[OrderNews | PriceNews], None]


class LoopbackExchange:
    """Account and matching of a venue.

    Args:
        instruments: what is traded: a mapping by symbol, or the instruments themselves.
        balances: what the account owns at first, by currency.
        fee_rate: fee of every fill as a fraction of its worth.
        clock: the venue's time.
        fee_currency: a third currency in which fees are paid as long as the account owns it and it has a price in the
            pair's quote currency.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument] | Iterable[Instrument],
        balances: Mapping[str, Decimal],
        fee_rate: Decimal,
        clock: Clock,
        fee_currency: str | None = None,
    ) -> None:
        listed = instruments.values() if isinstance(instruments, Mapping) else instruments
        self.instruments = {instrument.symbol: instrument for instrument in listed}
        self.fee_rate = fee_rate
        self.clock = clock
        self.rules = VenueRules()
        self.listeners: list[Listener] = []
        self._fee_currency = fee_currency
        self._account = Account(balances)
        self._orders: dict[int, ExchangeOrder] = {}
        self._trades: list[ExchangeTrade] = []
        self._prices: dict[str, tuple[Decimal, Decimal]] = {}
        self._timer: datetime | None = None
        # From the time, so that two exchanges one after the other have no id in common.
        self._numbers = count(int(clock.now().timestamp()) * _NUMBERS_A_SECOND)
        self._lock = RLock()

    @property
    def orders(self) -> tuple[ExchangeOrder, ...]:
        """Every order there ever was, oldest first."""
        with self._alone():
            return tuple(self._orders.values())

    @property
    def trades(self) -> tuple[ExchangeTrade, ...]:
        """Every fill, oldest first."""
        with self._alone():
            return tuple(self._trades)

    @property
    def balances(self) -> dict[str, Decimal]:
        """What the account owns by currency, what its orders hold included."""
        with self._alone():
            return self._account.totals

    @property
    def held(self) -> dict[str, Decimal]:
        """What open orders keep from being spent, by currency."""
        with self._alone():
            return self._account.held

    @property
    def prices(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Best bid and ask by symbol."""
        with self._alone():
            return dict(self._prices)

    def set_price(self, symbol: str, bid: Decimal, ask: Decimal) -> None:
        """Set the best prices, and fill what they reach.

        Raises:
            ValueError: the symbol is not traded here, or the prices are crossed or not over zero.
        """
        if symbol not in self.instruments or not 0 < bid <= ask:
            msg = f"cannot set {symbol} to {bid} / {ask}: it must be traded here, with 0 < bid <= ask"
            raise ValueError(msg)
        with self._alone():
            self._prices[symbol] = (bid, ask)
            self._tell(PriceNews(symbol, bid, ask, self.clock.now()))
            for order in tuple(self._orders.values()):
                if order.open and order.request.symbol == symbol:
                    self._match(order)

    def submit(self, request: OrderRequest) -> ExchangeOrder:
        """Take an order and fill what can be filled; or the order that has its client id, where ids are for ever.

        Raises:
            RefusedError: the order is refused, and does not exist.
        """
        with self._alone():
            namesake = self._namesake(request.client_id)
            if namesake is not None and self.rules.client_ids_for_ever:
                return namesake
            if namesake is not None and namesake.open:
                raise RefusedError(VenueRefusal.DUPLICATE_CLIENT_ID)
            held = self._held_by(request)
            order = ExchangeOrder(next(self._numbers), request, self.clock.now(), trigger=request.trigger, held=held[1])
            self._account.hold(*held)
            self._keep(order, OrderEvent.OPENED)
            return self._match(order)

    def preview(self, request: OrderRequest) -> None:
        """Check an order without taking it.

        Raises:
            RefusedError: it would be refused.
        """
        with self._alone():
            self._held_by(request)

    def cancel(self, number: int, *, fill_after: bool = False, reason: str = "User requested") -> ExchangeOrder:
        """Cancel an open order.

        Args:
            number: of the order.
            fill_after: the cancel comes too late, though it is accepted: the order is filled two private calls later.
            reason: why, as the venue will say.

        Raises:
            RefusedError: there is no such open order.
        """
        with self._alone():
            order = self._open(number)
            if fill_after and order.request.symbol in self._prices:
                canceled = replace(order, status=OrderStatus.CANCELED, reason=reason, closed_at=self.clock.now())
                return self._keep(replace(canceled, late=_CALLS_UNTIL_LATE_FILL), OrderEvent.CANCELED)
            return self._end(order, reason)

    def cancel_all(self) -> int:
        """Cancel every open order; how many those were."""
        with self._alone():
            canceled = [self._end(order, "User requested") for order in tuple(self._orders.values()) if order.open]
            return len(canceled)

    def cancel_all_after(self, timeout: timedelta | None) -> datetime | None:
        """Set the dead-man timer, or switch it off with None; when it will cancel every open order."""
        with self._alone():
            self._timer = None if timeout is None else self.clock.now() + timeout
            return self._timer

    def arrived(self) -> None:
        """A private call has arrived: late fills come a call nearer."""
        with self._alone():
            for order in [order for order in self._orders.values() if order.late is not None]:
                calls = (order.late or 0) - 1
                self._orders[order.number] = replace(order, late=calls)
                if calls <= 0:
                    self._fill_late(self._orders[order.number])

    def settle(self) -> None:
        """Let every late fill arrive now."""
        with self._alone():
            for order in [order for order in self._orders.values() if order.late is not None]:
                self._fill_late(order)

    def fall_behind(self, number: int) -> None:
        """Let the next answer about this order be behind: open, and without a fill."""
        with self._alone():
            self._orders[number] = replace(self._orders[number], stale_answers=1)

    def seen(self, *, behind: bool = False) -> Seen:
        """What an answer knows of. `behind`: it does not know of the newest fill yet."""
        with self._alone():
            stale = {order.number for order in self._orders.values() if order.stale_answers}
            for number in stale:
                self._orders[number] = replace(self._orders[number], stale_answers=0)
            if behind and self._trades:
                stale.add(self._trades[-1].order)
            return Seen(
                tuple(as_it_was(order) if order.number in stale else order for order in self._orders.values()),
                tuple(trade for trade in self._trades if trade.order not in stale),
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time, in exact arithmetic, with the dead-man timer seen to."""
        with self._lock, localcontext(EXACT):
            if self._timer is not None and self.clock.now() >= self._timer:
                self._timer = None
                for order in tuple(self._orders.values()):
                    if order.open:
                        self._end(order, "Timeout")
            yield

    def _namesake(self, client_id: str | None) -> ExchangeOrder | None:
        """The newest order with this client id."""
        if client_id is None:
            return None
        named = (order for order in reversed(self._orders.values()) if order.request.client_id == client_id)
        return next(named, None)

    def _open(self, number: int) -> ExchangeOrder:
        order = self._orders.get(number)
        if order is None or not order.open:
            raise RefusedError(VenueRefusal.UNKNOWN_ORDER)
        return order

    def _held_by(self, request: OrderRequest) -> tuple[str, Decimal]:
        """Currency and amount that the order has to hold, after every check of it."""
        instrument, prices = self.instruments.get(request.symbol), self._prices.get(request.symbol)
        if instrument is None:
            raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)
        if prices is None:
            raise RefusedError(VenueRefusal.NO_PRICE)
        basis = request.limit or request.trigger or market_price(request.side, prices)
        check_steps(request, instrument, basis)
        check_trigger(request, instrument, prices, self.rules)
        currency, amount = given_up(request, request.quantity, basis, instrument, self.rules, self.fee_rate)
        if self._account.free(currency) < amount:
            raise RefusedError(VenueRefusal.INSUFFICIENT_FUNDS)
        return currency, amount

    def _match(self, order: ExchangeOrder) -> ExchangeOrder:
        """Trigger and fill an open order as far as the price reaches it."""
        request, prices = order.request, self._prices[order.request.symbol]
        if order.waiting:
            if order.trigger is None or not trigger_passed(request, order.trigger, prices):
                return order
            order = self._keep(replace(order, triggered=True), OrderEvent.AMENDED)
        price = market_price(request.side, prices)
        if request.limit is not None and (price - request.limit) * request.side.sign > 0:
            return self._end(order, "Immediate or cancel") if request.immediate else order
        order = self._fill(order, next_part(order, self.instruments[request.symbol]), price)
        return self._end(order, "Immediate or cancel") if order.open and request.immediate else order

    def _fill(self, order: ExchangeOrder, quantity: Decimal, price: Decimal) -> ExchangeOrder:
        """Book a fill; where what is owned does not reach, the rest of the order is canceled."""
        request, instrument = order.request, self.instruments[order.request.symbol]
        self._release(order)
        fee, cost = self._fee(order, quantity, price), quantity * price
        changes = {instrument.base: request.side.sign * quantity, instrument.quote: -request.side.sign * cost}
        changes[fee.currency] = changes.get(fee.currency, Decimal(0)) - fee.amount
        if not self._account.change(changes):
            return self._end(replace(order, held=Decimal(0)), "Insufficient funds")
        now = self.clock.now()
        deal = (request.symbol, request.side, quantity, price, fee.amount, fee.currency)
        trade = ExchangeTrade(next(self._numbers), order.number, *deal, traded_at=now)
        self._trades.append(trade)
        order = replace(order, filled=order.filled + quantity, cost=order.cost + cost, fee=order.fee + fee.amount)
        order = self._keep(self._hold_rest(order, price), OrderEvent.TRADED, trade)
        if order.rest:
            return order
        return self._keep(replace(order, status=OrderStatus.FILLED, closed_at=now), OrderEvent.FILLED)

    def _hold_rest(self, order: ExchangeOrder, price: Decimal) -> ExchangeOrder:
        request, instrument = order.request, self.instruments[order.request.symbol]
        basis = request.limit or price
        currency, wanted = given_up(request, order.rest, basis, instrument, self.rules, self.fee_rate)
        held = min(wanted, self._account.free(currency))
        self._account.hold(currency, held)
        return replace(order, held=held)

    def _fee(self, order: ExchangeOrder, quantity: Decimal, price: Decimal) -> Fee:
        request, instrument = order.request, self.instruments[order.request.symbol]
        in_quote = fee_in_quote(quantity * price, self.fee_rate, instrument)
        other = self._prices.get(f"{self._fee_currency}/{instrument.quote}")
        if self._fee_currency is not None and other is not None:
            fee = fee_in_other(in_quote, self._fee_currency, other[0])
            if self._account.free(fee.currency) >= fee.amount:
                return fee
        if taken_in(request.fee_in or self.rules.fee_in, request.side, instrument) == instrument.quote:
            return in_quote
        in_base = fee_in_base(quantity, self.fee_rate, instrument)
        # Of a sale the base currency has to be there besides what is sold; else the venue takes quote currency.
        spare = quantity if request.side is Side.BUY else self._account.free(instrument.base) - order.rest
        return in_base if spare >= in_base.amount else in_quote

    def _fill_late(self, order: ExchangeOrder) -> None:
        reopened = replace(order, status=OrderStatus.OPEN, late=None, closed_at=None, reason="")
        self._fill(reopened, reopened.rest, market_price(order.request.side, self._prices[order.request.symbol]))

    def _end(self, order: ExchangeOrder, reason: str) -> ExchangeOrder:
        self._release(order)
        ended = replace(order, status=OrderStatus.CANCELED, held=Decimal(0), reason=reason, closed_at=self.clock.now())
        return self._keep(ended, OrderEvent.CANCELED)

    def _release(self, order: ExchangeOrder) -> None:
        instrument = self.instruments[order.request.symbol]
        self._account.release(instrument.base if order.request.side is Side.SELL else instrument.quote, order.held)

    def _keep(self, order: ExchangeOrder, event: OrderEvent, trade: ExchangeTrade | None = None) -> ExchangeOrder:
        self._orders[order.number] = order
        self._tell(OrderNews(event, order, trade))
        return order

    def _tell(self, news: OrderNews | PriceNews) -> None:
        for listener in self.listeners:
            listener(news)
