"""The books against the venue: what a dead process left behind is looked up there, and taken over or given up.

An order is given up as LOST only where the venue says for certain that it never arrived. Where the venue cannot be
asked it stays UNKNOWN, and blocks new exposure in its symbol.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from triplegain_pipelines.domain.errors import DataError, TransientError
from triplegain_pipelines.domain.orders import OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.protection import protect
from triplegain_pipelines.execution.sending import NoOrder, cancel, take_over
from triplegain_pipelines.execution.steps import decision_of, finish_by_order, main_order
from triplegain_pipelines.store import orders, outbox, positions
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxStatus

_UNSENT = NoOrder(OrderState.LOST, ReasonCode.NEVER_ARRIVED, "it was never handed to the venue")
_ABSENT = NoOrder(OrderState.LOST, ReasonCode.NEVER_ARRIVED, "the venue knows no such order and will take none")


def reconcile(desk: Desk, token: int, resuming: Collection[UUID] = ()) -> None:
    """Bring every unfinished order, every position's protection and every claimed decision in line with the venue.

    `resuming` are decisions that are gone on with right after this: their symbols are protected at their end, so that
    a position being closed does not get its stops back in between.
    """
    with account_transaction(desk, token) as transaction:
        alive = orders.alive(transaction.connection, desk.schema, desk.account)
        held = positions.read_all(transaction.connection, desk.schema, desk.account)
        busy = {decision_of(transaction, decision_id).symbol for decision_id in resuming}
        for order in alive:
            # Only a holder of an older token could still send it, and the fence stops that one first.
            if order.state is OrderState.PENDING_SUBMIT and order.submitted_at is None:
                change_order(transaction, order, _UNSENT.state, _UNSENT.reason, detail=_UNSENT.detail)
    follow(desk, token, [order for order in alive if order.submitted_at is not None])
    symbols = {order.intent.symbol for order in alive} | {position.symbol for position in held}
    for symbol in sorted(symbols - busy):
        protect(desk, token, symbol)
    with account_transaction(desk, token) as transaction:
        for row in outbox.waiting(transaction.connection, desk.schema, desk.account):
            if row.status is OutboxStatus.CLAIMED and row.decision_id not in resuming:
                finish_by_order(transaction, row, main_order(transaction, row.decision_id))
        if alive or held:
            transaction.note(EventKind.RECONCILED, orders=len(alive), positions=len(held))


def follow(desk: Desk, token: int, found: Sequence[Order]) -> None:
    """Look `found` up at the venue and take over what became of them."""
    answers = sorted(((order, _look_up(desk, order)) for order in found), key=_when)
    with account_transaction(desk, token) as transaction:
        for order, answer in answers:
            reason = ReasonCode.ADOPTED if order.is_unresolved else ReasonCode.VENUE_ACCEPTED
            if answer is not None:
                take_over(transaction, order, answer, reason)
        stuck = _still_pending(transaction, found)
    if stuck:
        cancel(desk, token, stuck, ReasonCode.POSITION_CLOSED)


def _look_up(desk: Desk, order: Order) -> VenueOrder | NoOrder | None:
    """The venue's answer; None where it gives none and the order stays as it is."""
    try:
        answer = desk.broker.lookup(order.client_order_id)
    except TransientError as error:
        unanswered = order.state is OrderState.PENDING_SUBMIT
        return NoOrder(OrderState.UNKNOWN, ReasonCode.OUTCOME_UNKNOWN, str(error)) if unanswered else None
    if answer is not None:
        return answer
    if order.state in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN}:
        return _ABSENT
    msg = f"the venue denies order {order.client_order_id}, which it had accepted; compare the account by hand"
    raise DataError(msg)


def _when(answered: tuple[Order, VenueOrder | NoOrder | None]) -> tuple[bool, str, str, str, int]:
    """Fills are booked in the order in which they happened, however they were found."""
    order, answer = answered
    fills = answer.fills if isinstance(answer, VenueOrder) else ()
    newest = max((fill.filled_at.isoformat() for fill in fills), default="")
    return not fills, newest, order.intent.symbol, order.intent.leg, order.intent.attempt


def _still_pending(transaction: AccountTransaction, found: Sequence[Order]) -> list[Order]:
    """Orders whose cancellation never reached the venue. To ask again for it is safe: it is no submission."""
    asked = {order.client_order_id for order in found if order.state is OrderState.PENDING_CANCEL}
    if not asked:
        return []
    alive = orders.alive(transaction.connection, transaction.schema, transaction.account)
    return [order for order in alive if order.client_order_id in asked]
