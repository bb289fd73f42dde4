"""What must hold between an account's books and its exchange when everything was resolved: laws that money depends on.

The test that kills the order path and `triplegain rehearse` judge by these. Each law gives a sentence for each way in
which it is broken. They compare to the last digit: an exchange on loopback knows every order and trade there was.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from uuid import UUID

from triplegain_pipelines.domain.market import Instrument, split_symbol
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Fill, Leg, OrderState, Side
from triplegain_pipelines.execution.levels import is_tradable, protected_quantity, safe_trigger
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, ExchangeTrade
from triplegain_pipelines.store import dust, events, fills, orders, outbox, positions, reconciliations
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import ChainReport
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow

_NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """An account's books as a whole. `owned` is by currency, dust included; `waiting` are unfinished decisions."""

    orders: Sequence[Order]
    fills: Sequence[Fill]
    positions: Sequence[Position]
    dust: Sequence[Dust]
    owned: Mapping[str, Decimal]
    waiting: Sequence[OutboxRow]
    chain: ChainReport
    instruments: Mapping[str, Instrument]
    stops_rest: bool


@dataclass(frozen=True, slots=True)
class ExchangeBooks:
    """An exchange's books as a whole."""

    orders: Sequence[ExchangeOrder]
    trades: Sequence[ExchangeTrade]
    balances: Mapping[str, Decimal]
    prices: Mapping[str, tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Breach:
    """A way in which a law is broken."""

    law: str
    detail: str

    def __str__(self) -> str:
        """For a message."""
        return f"{self.law}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Both:
    """Both books. `named` are the orders of the exchange by our id, `strange` those that have none of ours."""

    ours: AccountBooks
    theirs: ExchangeBooks
    known: Mapping[UUID, Order]
    named: Mapping[UUID, Sequence[ExchangeOrder]]
    strange: Sequence[ExchangeOrder]

    @property
    def id_by_number(self) -> dict[int, UUID]:
        """Our ids by the exchange's number of the order."""
        return {order.number: our_id for our_id, found in self.named.items() for order in found}


def read_books(
    database: Database, schema: str, account: str, instruments: Mapping[str, Instrument], *, stops_rest: bool
) -> AccountBooks:
    """The books of an account.

    Args:
        database: of the books.
        schema: of the trading tables.
        account: whose books.
        instruments: what it trades, by symbol.
        stops_rest: whether a stop can rest at the venue.
    """
    with database.connection() as connection:
        place = connection, schema, account
        return AccountBooks(
            orders=orders.every(*place),
            fills=fills.every(*place),
            positions=positions.read_all(*place),
            dust=dust.read_all(*place),
            owned=reconciliations.owned(*place),
            waiting=outbox.waiting(*place),
            chain=events.verify_chain(*place),
            instruments=instruments,
            stops_rest=stops_rest,
        )


def exchange_books(exchange: LoopbackExchange) -> ExchangeBooks:
    """The books of an exchange, in the process that holds it."""
    return ExchangeBooks(exchange.orders, exchange.trades, exchange.balances, exchange.prices)


def broken_laws(ours: AccountBooks, theirs: ExchangeBooks) -> tuple[Breach, ...]:
    """Every breach of every law; none where all hold."""
    named: dict[UUID, list[ExchangeOrder]] = {}
    strange = []
    known = {order.client_order_id: order for order in ours.orders}
    for order in theirs.orders:
        our_id = _our_id(order)
        if our_id is None or our_id not in known:
            strange.append(order)
        else:
            named.setdefault(our_id, []).append(order)
    both = _Both(ours, theirs, known, named, strange)
    with localcontext(EXACT):
        return tuple(Breach(law, detail) for law, find in LAWS.items() for detail in find(both))


def _our_id(order: ExchangeOrder) -> UUID | None:
    try:
        return UUID(order.request.client_id or "")
    except ValueError:
        return None


def _sent_once(both: _Both) -> Iterator[str]:
    for our_id, found in both.named.items():
        if len(found) > 1:
            yield f"order {our_id} is at the exchange {len(found)} times"


def _no_orphan(both: _Both) -> Iterator[str]:
    for order in both.strange:
        yield f"order {order.number} of {order.request.symbol}, called {order.request.client_id}"
    for our_id in both.named:
        if both.known[our_id].submitted_at is None:
            yield f"order {our_id} is at the exchange, and was never sent by the books"


def _within_quantity(both: _Both) -> Iterator[str]:
    filled: Counter[UUID] = Counter()
    for trade in both.theirs.trades:
        our_id = both.id_by_number.get(trade.order)
        if our_id is not None:
            filled[our_id] += trade.quantity  # type: ignore[assignment]  # a Counter counts Decimals too
    for our_id, quantity in filled.items():
        if quantity > both.known[our_id].intent.quantity:
            yield f"order {our_id}: {quantity} filled of {both.known[our_id].intent.quantity}"


def _one_entry_a_decision(both: _Both) -> Iterator[str]:
    filled = {both.id_by_number.get(trade.order) for trade in both.theirs.trades}
    entries = Counter(
        order.intent.decision_id
        for order in both.ours.orders
        if order.intent.leg is Leg.ENTRY and order.client_order_id in filled
    )
    for decision_id, number in entries.items():
        if number > 1:
            yield f"decision {decision_id} was entered {number} times"


def _every_trade_booked_once(both: _Both) -> Iterator[str]:
    traded: Counter[tuple[object, ...]] = Counter(
        (both.id_by_number.get(trade.order), trade.side, trade.quantity, trade.price, trade.fee, trade.fee_currency)
        for trade in both.theirs.trades
    )
    booked: Counter[tuple[object, ...]] = Counter(
        (fill.client_order_id, fill.side, fill.quantity, fill.price, fill.fee, fill.fee_currency)
        for fill in both.ours.fills
    )
    for missing, number in (traded - booked).items():
        yield f"{number} not in the books: {_spelt(missing)}"
    for surplus, number in (booked - traded).items():
        yield f"{number} in the books that there never was: {_spelt(surplus)}"


def _nothing_unresolved(both: _Both) -> Iterator[str]:
    for order in both.ours.orders:
        if order.is_unresolved:
            yield f"{order.intent.leg} order {order.client_order_id} is {order.state}"


def _orders_agree(both: _Both) -> Iterator[str]:
    for our_id, order in both.known.items():
        found = both.named.get(our_id, ())
        filled = sum((one.filled for one in found), _NONE)
        is_open = any(one.open for one in found)
        if order.filled_quantity != filled or is_open == order.state.is_final:
            theirs = ", ".join(f"{one.status} with {one.filled}" for one in found) or "unknown"
            yield (
                f"{order.intent.leg} order {our_id} is {order.state} with {order.filled_quantity} of "
                f"{order.intent.quantity} in the books, and {theirs} at the exchange"
            )


def _positions_are_holdings(both: _Both) -> Iterator[str]:
    placed: dict[str, Decimal] = {}
    for position in both.ours.positions:
        base = split_symbol(position.symbol)[0]
        placed[base] = placed.get(base, _NONE) + position.quantity
    for left in both.ours.dust:
        base = split_symbol(left.symbol)[0]
        placed[base] = placed.get(base, _NONE) + left.quantity
    bases = {instrument.base for instrument in both.ours.instruments.values()}
    for base in sorted(bases | set(placed)):
        held = both.theirs.balances.get(base, _NONE)
        if placed.get(base, _NONE) != held:
            yield f"{placed.get(base, _NONE)} {base} in positions and dust, {held} at the exchange"


def _balances_agree(both: _Both) -> Iterator[str]:
    for currency in sorted(set(both.ours.owned) | set(both.theirs.balances)):
        ours, theirs = both.ours.owned.get(currency, _NONE), both.theirs.balances.get(currency, _NONE)
        if ours != theirs:
            yield f"{ours} {currency} in the books, {theirs} at the exchange"


def _each_position_has_its_stop(both: _Both) -> Iterator[str]:
    for position in both.ours.positions if both.ours.stops_rest else ():
        instrument = both.ours.instruments[position.symbol]
        wanted = protected_quantity(position, instrument)
        if position.stop_loss is None or not is_tradable(wanted, position.stop_loss, instrument):
            continue
        trigger = safe_trigger(position, position.stop_loss, instrument)
        selling = [
            order
            for order in both.theirs.orders
            if order.open and order.request.symbol == position.symbol and order.request.side is Side.SELL
        ]
        # What it grew by has a stop of its own.
        if {order.trigger for order in selling} != {trigger} or sum(order.rest for order in selling) != wanted:
            resting = ", ".join(f"{order.rest} at {order.trigger}" for order in selling) or "nothing"
            yield f"{wanted} {position.symbol} has its stop at {trigger}, and at the exchange rests {resting}"


def _nothing_else_rests(both: _Both) -> Iterator[str]:
    held = {position.symbol for position in both.ours.positions}
    for order in both.theirs.orders:
        if order.open and order.request.symbol not in held:
            yield f"{order.request.side} order {order.number} of {order.request.symbol}, of which nothing is held"


def _dust_is_dust(both: _Both) -> Iterator[str]:
    for left in both.ours.dust:
        instrument = both.ours.instruments[left.symbol]
        quantity = left.quantity - left.quantity % instrument.quantity_step
        if is_tradable(quantity, left.price, instrument):
            yield f"{left.quantity} {left.symbol} were written off, and could have been sold"


def _no_decision_half_done(both: _Both) -> Iterator[str]:
    for row in both.ours.waiting:
        yield f"decision {row.decision_id} is {row.status}"


def _chain_holds(both: _Both) -> Iterator[str]:
    if both.ours.chain.broken_at is not None:
        yield both.ours.chain.detail


def _lost_never_traded(both: _Both) -> Iterator[str]:
    for our_id in both.named:
        state = both.known[our_id].state
        if state in {OrderState.LOST, OrderState.REJECTED}:
            yield f"order {our_id} is {state} in the books, and the exchange has it"


def _spelt(trade: tuple[object, ...]) -> str:
    our_id, side, quantity, price, fee, fee_currency = trade
    return f"{side} {quantity} at {price}, fee {fee} {fee_currency}, of order {our_id}"


LAWS: Mapping[str, Callable[[_Both], Iterator[str]]] = {
    "an order is at the exchange once": _sent_once,
    "the exchange has no order that the books do not know": _no_orphan,
    "no intent is filled beyond its quantity": _within_quantity,
    "a decision is entered once": _one_entry_a_decision,
    "every trade is booked exactly once": _every_trade_booked_once,
    "no outcome is unknown": _nothing_unresolved,
    "orders are alike on both sides": _orders_agree,
    "what was given up never lived": _lost_never_traded,
    "positions and dust are what is held": _positions_are_holdings,
    "every position has exactly its stop": _each_position_has_its_stop,
    "nothing rests without a position": _nothing_else_rests,
    "dust is dust": _dust_is_dust,
    "balances are equal to the last digit": _balances_agree,
    "no decision is half done": _no_decision_half_done,
    "the chain of events holds": _chain_holds,
}
"""Each law with what finds its breaches."""
