"""An account as its books have it and as its venue has it, and every difference between the two. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from uuid import UUID

from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Execution, Leg, OrderState, RestingAtVenue
from triplegain_pipelines.execution.differences import GIVEN_UP, UNSETTLED, Difference, DifferenceKind
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

# An exit in flight covers a position as well as a stop does; a target alone does not.
_COVERING = frozenset({Leg.STOP, Leg.EXIT})


@dataclass(frozen=True, slots=True)
class BooksView:
    """The account's books, as far as the venue can be asked about them.

    `balances` are the ledger's, with the dust that was written off; `unplaced` is what of each currency is in no
    position: payments, dust, and fees of trades in other symbols. `orders` are the unfinished ones and those that the
    venue's answers name; `trades` the booked ones by venue and trade id, with their symbol, of the span that was asked
    for. Differences with a key in `told` were found by the comparison before. The protection of `busy` symbols is not
    judged.
    """

    currency: str
    balances: Mapping[str, Decimal]
    unplaced: Mapping[str, Decimal]
    positions: tuple[Position, ...]
    orders: tuple[Order, ...]
    trades: Mapping[tuple[str, str], str]
    told: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class VenueView:
    """What the venue says of the account. `balances` are None where it keeps none."""

    open_orders: tuple[RestingAtVenue, ...]
    executions: tuple[Execution, ...]
    balances: Mapping[str, Decimal] | None


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Differences that are none. `cash` is of the account's currency, `dust` the least that can be traded by currency.

    `stops_rest` says whether a position's stop has to rest at the venue, and `misses` how many look-ups in a row may
    not find an order that the venue had accepted.
    """

    cash: Decimal
    dust: Mapping[str, Decimal]
    stops_rest: bool
    misses: int


def compare(books: BooksView, venue: VenueView, tolerances: Tolerances) -> tuple[Difference, ...]:
    """Every difference between `books` and `venue`, orders first, then trades, protection and balances.

    Balances of currencies that an order or trade yet to be booked moves are not judged.
    """
    with localcontext(EXACT):
        found = (*_orders(books, venue, tolerances), *_trades(books, venue))
        open_questions = {difference.numbers["symbol"] for difference in found if difference.kind in UNSETTLED}
        found = (
            *found,
            *_protection(books, venue, tolerances),
            *_unaccounted(books, open_questions),
            *_balances(books, venue, tolerances, open_questions),
        )
    return tuple(
        replace(difference, seen_before=difference.kind.halts_once and difference.key in books.told)
        for difference in found
    )


def cash_tolerance(minimum_costs: Iterable[Decimal]) -> Decimal:
    """What the account's currency may differ by: a tenth of the smallest order, so that no missing trade hides in it.

    >>> cash_tolerance([Decimal(5), Decimal(10)])
    Decimal('0.5')
    """
    return min(minimum_costs, default=Decimal(0)) / 10


def _orders(books: BooksView, venue: VenueView, tolerances: Tolerances) -> Iterator[Difference]:
    resting = _by_order(books.orders, venue.open_orders)
    ours = {listed.venue_order_id for listed in resting.values()}
    for order in books.orders:
        listed = resting.get(order.client_order_id)
        kind = _order_kind(order, listed, tolerances.misses)
        if kind is not None:
            yield _of_order(kind, order, listed)
    for listed in venue.open_orders:
        if listed.venue_order_id not in ours:
            numbers = {"symbol": listed.symbol, "side": listed.side.value, "quantity": _text(listed.quantity)}
            called = {} if listed.client_order_id is None else {"client_order_id": listed.client_order_id}
            yield Difference(DifferenceKind.ORDER_FOREIGN, listed.venue_order_id, numbers | called)


def _order_kind(order: Order, listed: RestingAtVenue | None, misses: int) -> DifferenceKind | None:
    state = order.state
    accepted = state in {OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.PENDING_CANCEL}
    if accepted and listed is None and order.misses >= misses:
        return DifferenceKind.ORDER_MISSING
    if state.is_unresolved:
        return None if order.submitted_at is None else DifferenceKind.ORDER_UNRESOLVED
    if listed is None:
        return None if state.is_final else DifferenceKind.ORDER_FINISHED
    if not state.is_final:
        return DifferenceKind.ORDER_PROGRESSED if listed.filled_quantity != order.filled_quantity else None
    return GIVEN_UP.get(state, DifferenceKind.DONE_ORDER_OPEN)


def _of_order(kind: DifferenceKind, order: Order, listed: RestingAtVenue | None) -> Difference:
    numbers = {
        "symbol": order.intent.symbol,
        "leg": order.intent.leg.value,
        "state": order.state.value,
        "filled": _text(order.filled_quantity),
    }
    if listed is not None:
        numbers["filled_at_venue"] = _text(listed.filled_quantity)
    return Difference(kind, str(order.client_order_id), numbers, order.client_order_id)


def _by_order(orders: Iterable[Order], listed: Iterable[RestingAtVenue]) -> dict[UUID, RestingAtVenue]:
    """The venue's open orders by the order of ours that each is: the venue's id tells, or else the one we gave it."""
    by_venue_id = {order.venue_order_id: order for order in orders if order.venue_order_id is not None}
    by_own_id = {str(order.client_order_id): order for order in orders if order.submitted_at is not None}
    found: dict[UUID, RestingAtVenue] = {}
    for resting in listed:
        order = by_venue_id.get(resting.venue_order_id) or by_own_id.get(resting.client_order_id or "")
        if order is not None:
            found[order.client_order_id] = resting
    return found


def _trades(books: BooksView, venue: VenueView) -> Iterator[Difference]:
    by_venue_id = {order.venue_order_id: order for order in books.orders if order.venue_order_id is not None}
    nameless = {
        order.intent.symbol for order in books.orders if order.venue_order_id is None and order.state.is_unresolved
    }
    for trade in venue.executions:
        if (trade.venue, trade.trade_id) not in books.trades:
            yield _of_trade(trade, by_venue_id.get(trade.venue_order_id), nameless)
    listed = {(trade.venue, trade.trade_id) for trade in venue.executions}
    for (name, trade_id), symbol in books.trades.items():
        if (name, trade_id) not in listed:
            yield Difference(DifferenceKind.TRADE_GONE, f"{name}:{trade_id}", {"symbol": symbol})


def _of_trade(trade: Execution, order: Order | None, nameless: set[str]) -> Difference:
    numbers = {
        "symbol": trade.symbol,
        "side": trade.side.value,
        "quantity": _text(trade.quantity),
        "price": _text(trade.price),
        "fee": f"{_text(trade.fee)} {trade.fee_currency}",
        "filled_at": trade.filled_at.isoformat(),
        "venue_order_id": trade.venue_order_id,
    }
    subject = f"{trade.venue}:{trade.trade_id}"
    if order is None and trade.symbol in nameless:
        return Difference(DifferenceKind.TRADE_UNATTRIBUTED, subject, numbers)
    if order is None:
        return Difference(DifferenceKind.TRADE_FOREIGN, subject, numbers)
    kind = GIVEN_UP.get(order.state, DifferenceKind.TRADE_UNBOOKED)
    return Difference(kind, subject, numbers | {"leg": order.intent.leg.value}, order.client_order_id)


def _protection(books: BooksView, venue: VenueView, tolerances: Tolerances) -> Iterator[Difference]:
    if not tolerances.stops_rest:
        return
    resting = _by_order(books.orders, venue.open_orders)
    covered: dict[str, Decimal] = {}
    for order in books.orders:
        listed = resting.get(order.client_order_id)
        if listed is not None and order.intent.leg in _COVERING and not order.state.is_final:
            rest = listed.quantity - listed.filled_quantity
            covered[order.intent.symbol] = covered.get(order.intent.symbol, Decimal(0)) + rest
    for position in books.positions:
        least = tolerances.dust.get(split_symbol(position.symbol)[0], Decimal(0))
        stopped = covered.get(position.symbol, Decimal(0))
        bare = abs(position.quantity) - stopped
        judged = position.stop_loss is not None and position.symbol not in books.busy
        if judged and bare > 0 and bare >= least:
            numbers = {"quantity": _text(position.quantity), "covered": _text(stopped)}
            yield Difference(DifferenceKind.POSITION_UNPROTECTED, position.symbol, numbers)


def _unaccounted(books: BooksView, open_questions: set[str]) -> Iterator[Difference]:
    """Base currencies of which the ledger has something else than positions, dust and payments: books against books."""
    placed: dict[str, Decimal] = dict(books.unplaced)
    for position in books.positions:
        base = split_symbol(position.symbol)[0]
        placed[base] = placed.get(base, Decimal(0)) + position.quantity
    traded = {split_symbol(symbol)[0] for symbol in books.trades.values()} | set(placed)
    asked = {split_symbol(symbol)[0] for symbol in open_questions}
    for base in sorted(traded - asked - {books.currency}):
        owned, explained = books.balances.get(base, Decimal(0)), placed.get(base, Decimal(0))
        if owned != explained:
            numbers = {"unexplained": _text(owned - explained)}
            yield Difference(DifferenceKind.POSITION_UNACCOUNTED, base, numbers)


def _balances(
    books: BooksView, venue: VenueView, tolerances: Tolerances, open_questions: set[str]
) -> Iterator[Difference]:
    if venue.balances is None:
        return
    moving = {currency for symbol in open_questions for currency in split_symbol(symbol)}
    for currency in sorted((set(books.balances) | set(venue.balances)) - moving):
        ours = books.balances.get(currency, Decimal(0))
        theirs = venue.balances.get(currency, Decimal(0))
        if ours != theirs:
            kind = _balance_kind(currency, theirs - ours, books, tolerances)
            yield Difference(kind, currency, {"books": _text(ours), "venue": _text(theirs)})


def _balance_kind(currency: str, excess: Decimal, books: BooksView, tolerances: Tolerances) -> DifferenceKind:
    if currency == books.currency:
        return DifferenceKind.CASH_DIFFERS if abs(excess) > tolerances.cash else DifferenceKind.BALANCE_DUST
    if abs(excess) < tolerances.dust.get(currency, Decimal(0)):
        return DifferenceKind.BALANCE_DUST
    return DifferenceKind.BALANCE_SURPLUS if excess > 0 else DifferenceKind.BALANCE_SHORT


def _text(number: Decimal) -> str:
    return format(number, "f")
