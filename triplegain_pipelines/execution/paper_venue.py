"""The paper venue: an exchange of our own, simulated. Its fills are paper fills and nothing else.

It keeps its own tables and commits its own transactions, so that it outlives a killed process as a real venue does,
and the books of an account have to be reconciled with it. Client order ids are unique here for ever. Prices come from
a `PriceSource`; what is filled where is in `matching`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Candle, Instrument, PriceSource
from triplegain_pipelines.domain.orders import (
    Execution,
    Fill,
    Intent,
    OrderReference,
    OrderState,
    OrderType,
    RestingAtVenue,
    VenueOrder,
)
from triplegain_pipelines.execution.broker import VenueRejectionError, VenueTraits
from triplegain_pipelines.execution.matching import Costs, draw_seed, fee_of, first_part, slipped, touch
from triplegain_pipelines.settings.profile import PaperSettings
from triplegain_pipelines.store import paper_venue as tables
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.paper_venue import RestingOrder

_PER_BASIS_POINT = Decimal("0.0001")


def costs_of(settings: PaperSettings) -> Costs:
    """The venue's costs as fractions, from settings in basis points."""
    return Costs(
        slippage=settings.slippage_bps * _PER_BASIS_POINT,
        fee=settings.fee_bps * _PER_BASIS_POINT,
        fill_rate=settings.fill_rate,
        seed=settings.seed,
    )


class PaperVenue:
    """A `Broker` that fills at the prices of a `PriceSource`, with slippage, fees and partial fills.

    A market order is filled at the first price from now on; a part left over waits for the open of a later candle.
    STOP and TAKE_PROFIT orders rest until `match` shows them a candle that opened after they were accepted. The fill
    of one order of a one-cancels-other group cancels the rest of the group.
    """

    venue = "paper"
    traits = VenueTraits(
        absence_is_final=True,
        expiry=timedelta(minutes=1),
        holds_pairs=True,
        holds_stops=True,
        dead_man_timer=False,
    )

    def __init__(
        self,
        database: Database,
        account: str,
        prices: PriceSource,
        clock: Clock,
        instruments: Mapping[str, Instrument],
        costs: Costs,
    ) -> None:
        self._database = database
        self._account = account
        self._prices = prices
        self._clock = clock
        self._instruments = instruments
        self._costs = costs

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:  # noqa: ARG002
        """Accept an order; a market order is filled at once. The same id again gives the order that exists.

        Raises:
            VenueRejectionError: the market has no price, or the id was reported as absent before.
        """
        seed = draw_seed(self._costs.seed, intent.decision_id, intent.leg)
        order = RestingOrder(
            client_order_id=intent.client_order_id,
            venue_order_id=f"paper-{intent.client_order_id}",
            account=intent.account,
            symbol=intent.symbol,
            side=intent.side,
            order_type=intent.order_type,
            quantity=intent.quantity,
            filled_quantity=Decimal(0),
            trigger_price=intent.trigger_price,
            one_cancels_other=intent.one_cancels_other,
            state=OrderState.OPEN,
            accepted_at=self._clock.now(),
        )
        fill = self._first_fill(order, seed) if intent.order_type is OrderType.MARKET else None
        order = order if fill is None else _filled(order, fill.quantity)
        with self._database.statements() as connection:
            if tables.accept(connection, order, seed, fill):
                fills = () if fill is None else (fill,)
                return VenueOrder(order.client_order_id, order.venue_order_id, order.state, fills)
        return self._sent_before(order.client_order_id)

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Cancel what is left of an order. A finished order stays as it is and is returned.

        Raises:
            VenueRejectionError: there is no such order.
        """
        with self._database.statements() as connection:
            # What is done stays as it is, so the second question finds what the first one met.
            found = tables.withdraw(connection, order.client_order_id) or tables.read(connection, order.client_order_id)
            if found is None:
                msg = f"the paper venue knows no order {order.client_order_id} that could be cancelled"
                raise VenueRejectionError(msg)
            return self._as_known(connection, found)

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """The order, or None. After None the venue refuses the id for ever, which makes the answer certain."""
        with self._transaction() as connection:
            if tables.register(connection, order.client_order_id, refused=True) is not False:
                return None
            return self._known(connection, order.client_order_id)

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """Every open order of the account."""
        with self._transaction() as connection:
            return tuple(
                RestingAtVenue(
                    order.venue_order_id,
                    str(order.client_order_id),
                    order.symbol,
                    order.side,
                    order.quantity,
                    order.filled_quantity,
                )
                for order in tables.live(connection, self._account)
            )

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Every fill of the account from `since` on, oldest first."""
        with self._transaction() as connection:
            return tables.executions(connection, self._account, self.venue, since)

    def balances(self) -> None:
        """None: the paper venue fills orders and keeps no money."""

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """The instruments it was given."""
        return {symbol: self._instruments[symbol] for symbol in symbols}

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Nothing: it has no dead-man timer."""

    def match(self, account: str, candle: Candle) -> tuple[UUID, ...]:
        """Walk the account's live orders through a closed 1-minute candle; the ids of all orders that changed.

        Matching a candle again changes nothing.
        """
        with self._transaction() as connection:
            orders = tables.live(connection, account, candle.symbol)
            matching = _CandleMatch(connection, self, orders, candle)
            return tuple(matching.run())

    def fill(self, order: RestingOrder, quantity: Decimal, price: Decimal, at: datetime) -> Fill:
        """A fill of `quantity` at `price`, slippage included, with its fee. The n-th fill of an order has the id n."""
        part = 1 if not order.filled_quantity else 2
        return Fill(
            venue=self.venue,
            trade_id=f"{order.client_order_id}:{part}",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            fee=fee_of(quantity, price, self._costs.fee),
            fee_currency=self._instruments[order.symbol].quote,
            filled_at=at,
        )

    def slipped(self, order: RestingOrder, price: Decimal) -> Decimal:
        """`price` with slippage against the order."""
        return slipped(price, order.side, self._costs.slippage, self._instruments[order.symbol])

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        with self._database.connection() as connection:
            tables.relax(connection)
            yield connection

    def _first_fill(self, order: RestingOrder, seed: str) -> Fill:
        try:
            quote = self._prices.quote(order.symbol, order.accepted_at)
        except UnavailableError as error:
            msg = f"the paper venue has no price for {order.symbol}: {error}"
            raise VenueRejectionError(msg) from error
        quantity = first_part(order.quantity, self._instruments[order.symbol], self._costs.fill_rate, seed)
        return self.fill(order, quantity, self.slipped(order, quote.price), quote.at)

    def _sent_before(self, client_order_id: UUID) -> VenueOrder:
        """The order whose id was taken before it was submitted.

        Raises:
            VenueRejectionError: the id was reported as absent.
        """
        with self._transaction() as connection:
            if tables.register(connection, client_order_id, refused=False):
                msg = f"order {client_order_id} came after the venue had said that it does not exist"
                raise VenueRejectionError(msg)
            return self._known(connection, client_order_id)

    def _known(self, connection: psycopg.Connection, client_order_id: UUID) -> VenueOrder:
        order = tables.read(connection, client_order_id)
        if order is None:
            msg = f"the paper venue has the id {client_order_id} but no order; its tables were tampered with"
            raise UnavailableError(msg)
        return self._as_known(connection, order)

    def _as_known(self, connection: psycopg.Connection, order: RestingOrder) -> VenueOrder:
        fills = tables.fills(connection, order, self.venue) if order.filled_quantity else ()
        return VenueOrder(order.client_order_id, order.venue_order_id, order.state, fills)


class _CandleMatch:
    """One candle against the live orders of one account and symbol, in the pessimistic order."""

    def __init__(
        self, connection: psycopg.Connection, venue: PaperVenue, orders: Sequence[RestingOrder], candle: Candle
    ) -> None:
        self._connection = connection
        self._venue = venue
        self._orders = orders
        self._candle = candle
        self._done: set[UUID] = set()

    def run(self) -> Iterator[UUID]:
        """Fill what the candle reaches; the ids of the orders that changed, in that order."""
        for order in self._of_type(OrderType.MARKET):
            yield from self._fill_rest(order)
        for kind in (OrderType.STOP, OrderType.TAKE_PROFIT):
            for order in self._of_type(kind):
                yield from self._trigger(order)

    def _of_type(self, kind: OrderType) -> list[RestingOrder]:
        return [order for order in self._orders if order.order_type is kind]

    def _fill_rest(self, order: RestingOrder) -> Iterator[UUID]:
        newest = max(fill.filled_at for fill in tables.fills(self._connection, order, self._venue.venue))
        if self._candle.opened_at > newest:
            yield self._fill(order, self._venue.slipped(order, self._candle.open), self._candle.opened_at)

    def _trigger(self, order: RestingOrder) -> Iterator[UUID]:
        if order.client_order_id in self._done or self._candle.opened_at < order.accepted_at:
            return
        reached = touch(order, self._candle)
        if reached is None:
            return
        slips = order.order_type is OrderType.STOP
        price = self._venue.slipped(order, reached.price) if slips else reached.price
        yield self._fill(order, price, reached.at)
        for sibling in self._orders:
            grouped = sibling.one_cancels_other is not None and sibling.one_cancels_other == order.one_cancels_other
            if grouped and sibling.client_order_id not in self._done:
                tables.update(self._connection, sibling.client_order_id, OrderState.CANCELED, sibling.filled_quantity)
                self._done.add(sibling.client_order_id)
                yield sibling.client_order_id

    def _fill(self, order: RestingOrder, price: Decimal, at: datetime) -> UUID:
        fill = self._venue.fill(order, order.quantity - order.filled_quantity, price, at)
        after = _filled(order, fill.quantity)
        tables.update(self._connection, order.client_order_id, after.state, after.filled_quantity)
        tables.insert_fills(self._connection, (fill,))
        self._done.add(order.client_order_id)
        return order.client_order_id


def _filled(order: RestingOrder, quantity: Decimal) -> RestingOrder:
    filled = order.filled_quantity + quantity
    state = OrderState.FILLED if filled == order.quantity else OrderState.PARTIALLY_FILLED
    return replace(order, filled_quantity=filled, state=state)
