"""Asks the venue about a whole account, compares, and adopts what the venue knows better until nothing stays open.

What a person has to look at, and what is told of it, is `reconciliation`'s; what differs is `views`'.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from uuid import UUID

from triplegain_pipelines.domain.errors import DataError, TransientError, UnavailableError
from triplegain_pipelines.domain.money import CAUTIOUS
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.broker import Broker, VenueRejectionError
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.differences import (
    DOUBTED,
    LOOKED_UP,
    Difference,
    DifferenceKind,
    Outcome,
    difference_key,
)
from triplegain_pipelines.execution.resolving import MISSES, Dispute, follow
from triplegain_pipelines.execution.sending import cancel, request_cancel
from triplegain_pipelines.execution.views import BooksView, Tolerances, VenueView, cash_tolerance, compare
from triplegain_pipelines.store import orders, positions, reconciliations
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.reconciliations import Recent

OVERLAP = timedelta(hours=1)
"""Trades are asked for from so long before the watermark on: venues list late, and clocks differ."""
_LOOKS = 4
_REFUTED = "its cancellation"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found, and did by adopting.

    `complete` says that nothing stayed open which has to be asked again; `silence` is why the venue could not be asked,
    if that is so. Up to `watermark` all trades of the venue are known. `told` are the keys of what was found before.
    """

    differences: tuple[Difference, ...]
    complete: bool
    silence: str
    watermark: datetime
    told: frozenset[str]

    @property
    def halts(self) -> tuple[Difference, ...]:
        """What a person has to look at."""
        return tuple(difference for difference in self.differences if difference.outcome is Outcome.HALT)


def compare_with_venue(desk: Desk, token: int, busy: frozenset[str] = frozenset()) -> Comparison:
    """Compare the books of the desk's account with its venue, and take over what the venue knows better.

    Where a look-up or a cancellation changed something, and where a balance differs, the venue is asked again: a fill
    may have come between two answers. A venue that cannot be asked leaves everything as it is.

    Args:
        desk: the account's desk, with its lock.
        token: of the holder.
        busy: symbols in which a decision is being carried out, so that less protection is no difference.

    Raises:
        StaleFenceError: a newer holder has the account.
    """
    with account_transaction(desk, token) as transaction:
        known = reconciliations.recent(transaction.connection, desk.schema, desk.account, OVERLAP)
    # A clock that ran ahead has left a watermark of which nothing can be known yet.
    known = replace(known, watermark=min(known.watermark, desk.clock.now()))
    adopted: dict[str, Difference] = {}
    disputed: dict[UUID, Difference] = {}
    found: tuple[Difference, ...] = ()
    doubted: frozenset[str] = frozenset()
    at, silence, settled = known.watermark, "", False
    for _ in range(_LOOKS):
        at = desk.clock.now()
        try:
            view = _ask(desk.broker, known.since(OVERLAP))
        except TransientError as error:
            silence = str(error) or type(error).__name__
            break
        with account_transaction(desk, token) as transaction:
            books = _books(transaction, view, known, busy)
        found = compare(books, view, _tolerances(desk, books, view))
        questions = [one for one in found if one.kind in LOOKED_UP and one.key not in adopted]
        doubts = frozenset(one.key for one in found if one.kind in DOUBTED)
        settled = not questions and doubts <= doubted
        if settled:
            break
        doubted = doubts
        adopted |= {question.key: question for question in questions}
        disputed |= {
            dispute.order.client_order_id: _misfit(dispute) for dispute in _adopt(desk, token, books, questions)
        }
    kept = [one for one in found if one.order not in disputed and (settled or one.kind not in DOUBTED)]
    left = {one.key for one in kept}
    gone = [one for key, one in adopted.items() if key not in left and one.order not in disputed]
    complete = settled and not any(_is_open(one) for one in kept)
    return Comparison(
        differences=(*gone, *kept, *disputed.values()),
        complete=complete,
        silence=silence,
        watermark=_watermark(kept, at) if complete else known.watermark,
        told=_told(known),
    )


def _ask(broker: Broker, since: datetime) -> VenueView:
    return VenueView(broker.open_orders(), broker.executions(since), broker.balances())


def _books(transaction: AccountTransaction, view: VenueView, known: Recent, busy: frozenset[str]) -> BooksView:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    listed = {resting.venue_order_id for resting in view.open_orders}
    return BooksView(
        currency=transaction.currency,
        balances=reconciliations.owned(connection, schema, account),
        unplaced=reconciliations.unplaced(connection, schema, account),
        positions=tuple(positions.read_all(connection, schema, account)),
        orders=tuple(
            orders.concerned(
                connection,
                schema,
                account,
                client_order_ids=_uuids(resting.client_order_id for resting in view.open_orders),
                venue_order_ids=sorted(listed | {trade.venue_order_id for trade in view.executions}),
            )
        ),
        trades=reconciliations.booked_trades(
            connection,
            schema,
            account,
            known.since(OVERLAP),
            [(trade.venue, trade.trade_id) for trade in view.executions],
        ),
        told=_told(known),
        busy=busy,
    )


def _told(known: Recent) -> frozenset[str]:
    return frozenset(difference_key(one["kind"], one["subject"], one["numbers"]) for one in known.differences)


def _tolerances(desk: Desk, books: BooksView, view: VenueView) -> Tolerances:
    """What is too small to be traded at the prices of now; where none is known, by its quantity alone."""
    entries = {held.symbol: held.average_entry for held in books.positions}
    dust: dict[str, Decimal] = {}
    for symbol, instrument in desk.instruments.items():
        price = entries.get(symbol) if view.balances is None else _price(desk, symbol)
        least = instrument.minimum_quantity
        if price is not None:
            with localcontext(CAUTIOUS):
                least = max(least, instrument.minimum_cost / price)
        dust[instrument.base] = min(dust.get(instrument.base, least), least)
    costs = [instrument.minimum_cost for instrument in desk.instruments.values()]
    return Tolerances(cash_tolerance(costs), dust, desk.broker.traits.holds_stops, MISSES)


def _price(desk: Desk, symbol: str) -> Decimal | None:
    try:
        return desk.prices.quote(symbol, desk.clock.now()).price
    except UnavailableError:
        return None


def _adopt(desk: Desk, token: int, books: BooksView, questions: Sequence[Difference]) -> list[Dispute]:
    """Look up the orders that are in question, and take those back that should not be open."""
    asked = {question.order for question in questions}
    disputes = follow(desk, token, [order for order in books.orders if order.client_order_id in asked])
    unwanted = {DifferenceKind.DONE_ORDER_OPEN, DifferenceKind.LOST_ORDER_FOUND, DifferenceKind.REJECTED_ORDER_FOUND}
    back = {question.order for question in questions if question.kind in unwanted}
    if back:
        disputes += _take_back(desk, token, [order for order in books.orders if order.client_order_id in back])
    return disputes


def _take_back(desk: Desk, token: int, found: Sequence[Order]) -> list[Dispute]:
    """Cancel orders that were done by the books and are open at the venue, and book what they filled.

    An order that was given up as lost lives again by now; the others stay done whatever they fill.
    """
    ids = [order.client_order_id for order in found]
    with account_transaction(desk, token) as transaction:
        now = orders.read_many(transaction.connection, desk.schema, ids)
        pending = request_cancel(transaction, list(now.values()), ReasonCode.MODE_RECONCILIATION)
    try:
        cancel(desk, token, pending, ReasonCode.MODE_RECONCILIATION)
    except DataError as error:
        return [Dispute(order, f"{_REFUTED}: {error}") for order in pending]
    done = [order for order in now.values() if order.state.is_final and order.submitted_at is not None]
    for order in done:
        try:
            desk.broker.cancel(order.reference)
        except (VenueRejectionError, TransientError):
            continue  # the next look tells whether it is still open
    return follow(desk, token, done) if done else []


def _misfit(dispute: Dispute) -> Difference:
    intent = dispute.order.intent
    numbers = {"symbol": intent.symbol, "leg": intent.leg.value, "error": dispute.error}
    client_order_id = dispute.order.client_order_id
    return Difference(DifferenceKind.ORDER_MISFIT, str(client_order_id), numbers, client_order_id)


def _is_open(difference: Difference) -> bool:
    """Whether a difference that is still there has to be asked about again. An unresolved order has its own rules."""
    return difference.outcome is Outcome.ADOPT and difference.kind is not DifferenceKind.ORDER_UNRESOLVED


def _watermark(found: Iterable[Difference], at: datetime) -> datetime:
    """The time of asking, or that of the oldest trade which is still to be attributed to an order."""
    waiting = [one for one in found if one.kind is DifferenceKind.TRADE_UNATTRIBUTED]
    return min([at, *(datetime.fromisoformat(one.numbers["filled_at"]) for one in waiting)])


def _uuids(texts: Iterable[str | None]) -> list[UUID]:
    """Those of `texts` that are UUIDs: no other can be the id of an order of ours."""
    found = []
    for text in texts:
        try:
            found.append(UUID(text or ""))
        except ValueError:
            continue
    return found
