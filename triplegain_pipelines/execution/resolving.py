"""Orders of unknown outcome: they are looked up at the venue, and nothing is sent again before the answer is certain.

An order is given up as LOST only where it can never come alive any more: the venue says so for certain (the paper
venue), or it does not know it in several look-ups in a row, all of them after the request had expired there. Where the
venue cannot be asked the order stays as it is, and blocks new exposure in its symbol.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.domain.errors import DataError, TransientError
from triplegain_pipelines.domain.orders import OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.answers import Answer
from triplegain_pipelines.execution.booking import record_all
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.sending import NoOrder, cancel, record_none
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.orders import IllegalTransitionError, Order

MARGIN = timedelta(seconds=2)
"""How long after a request has expired its absence proves nothing yet: clocks differ, and venues write late."""
MISSES = 3
"""How many look-ups in a row have to find nothing."""
BETWEEN_MISSES = timedelta(seconds=1)
"""Look-ups that follow each other faster count as one: they ask the same copy of the venue's books."""

_ABSENT = NoOrder(OrderState.LOST, ReasonCode.NEVER_ARRIVED, "the venue knows no such order and will take none")
_MISSED = NoOrder(OrderState.LOST, ReasonCode.NEVER_ARRIVED, "the venue did not know it long after it had expired")
_UNANSWERED = {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Dispute:
    """An order of which the venue says what cannot be true by the books. Nothing of that answer was taken over."""

    order: Order
    error: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """An order that was looked up: what the venue said, or why it said nothing, and when it was asked."""

    order: Order
    at: datetime
    answer: VenueOrder | None
    silence: str = ""


def follow(desk: Desk, token: int, found: Sequence[Order]) -> list[Dispute]:
    """Look `found`, which were handed to the venue, up there and take over what became of them.

    Orders that were given up are adopted where the venue has them after all. Where a cancellation has not reached the
    venue it is asked for again. What one order's answer breaks does not keep the others from being taken over.

    Raises:
        StaleFenceError: a newer holder has the account.
    """
    asked = [_look_up(desk, order) for order in found]
    with account_transaction(desk, token) as transaction:
        disputes = _take_over(transaction, [one for one in asked if one.answer is not None])
        for one in asked:
            if one.answer is None:
                disputes += _absent(transaction, one)
        stuck = _still_pending(transaction, found)
    if stuck:
        cancel(desk, token, stuck, ReasonCode.POSITION_CLOSED)
    return disputes


def require_undisputed(disputes: Sequence[Dispute]) -> None:
    """Stop where answers could not be taken over.

    Raises:
        DataError: there are some.
    """
    if disputes:
        raise DataError("; ".join(dispute.error for dispute in disputes))


def _look_up(desk: Desk, order: Order) -> _Asked:
    at = desk.clock.now()  # before the question: what it misses was not there then
    try:
        return _Asked(order, at, desk.broker.lookup(order.reference))
    except TransientError as error:
        return _Asked(order, at, None, silence=str(error) or type(error).__name__)


def _take_over(transaction: AccountTransaction, asked: Sequence[_Asked]) -> list[Dispute]:
    """Record the answers together, so that fills are booked in the order of their time; one by one if one breaks."""
    answers = [
        Answer(one.order, one.answer, ReasonCode.ADOPTED if one.order.is_unresolved else ReasonCode.VENUE_ACCEPTED)
        for one in asked
        if one.answer is not None
    ]
    if not answers:
        return []
    error = _recorded(transaction, answers)
    if error is None:
        return []
    disputed = []
    for answer in sorted(answers, key=_when):
        error = _recorded(transaction, [answer])
        if error is not None:
            disputed.append(Dispute(answer.order, str(error)))
    return disputed


def _recorded(transaction: AccountTransaction, answers: Sequence[Answer]) -> DataError | IllegalTransitionError | None:
    """None where the answers are written; else why nothing of them is."""
    noted = len(transaction.noted)
    savepoint: AbstractContextManager[object] = transaction.connection.transaction()
    try:
        with savepoint:
            record_all(transaction, answers)
    except (DataError, IllegalTransitionError) as error:
        del transaction.noted[noted:]
        return error
    return None


def _absent(transaction: AccountTransaction, asked: _Asked) -> list[Dispute]:
    """Take over that the venue does not know the order, or could not be asked."""
    order = asked.order
    if asked.silence:
        if order.state is OrderState.PENDING_SUBMIT:
            record_none(transaction, order, NoOrder(OrderState.UNKNOWN, ReasonCode.OUTCOME_UNKNOWN, asked.silence))
        return []
    if transaction.desk.broker.traits.absence_is_final:
        if order.state in _UNANSWERED:
            record_none(transaction, order, _ABSENT)
            return []
        denied = f"the venue denies order {order.client_order_id}, which it had accepted; compare the account by hand"
        return [] if order.state.is_final else [Dispute(order, denied)]
    if order.state.is_final:
        return []
    if order.state is OrderState.PENDING_SUBMIT:
        detail = "the venue does not know it, and may still take it"
        order = record_none(transaction, order, NoOrder(OrderState.UNKNOWN, ReasonCode.OUTCOME_UNKNOWN, detail))
    _miss(transaction, order, asked.at)
    return []


def _miss(transaction: AccountTransaction, order: Order, at: datetime) -> None:
    """Count a look-up that found nothing, and give the order up where its absence is certain by now.

    One that the venue had accepted is never given up: who reconciles finds it missing, by its count.
    """
    expired = order.reference.expires_at
    if at <= expired or (order.asked_at is not None and abs(at - order.asked_at) < BETWEEN_MISSES):
        return
    order = orders.record_miss(transaction.connection, transaction.schema, order, at)
    if order.state in _UNANSWERED and order.misses >= MISSES and at > expired + MARGIN:
        record_none(transaction, order, _MISSED)


def _when(answer: Answer) -> tuple[bool, str, str, str, int]:
    """Fills are booked in the order in which they happened, however they were found."""
    order, fills = answer.order, answer.reported.fills
    newest = max((fill.filled_at.isoformat() for fill in fills), default="")
    return not fills, newest, order.intent.symbol, order.intent.leg, order.intent.attempt


def _still_pending(transaction: AccountTransaction, found: Sequence[Order]) -> list[Order]:
    """Orders whose cancellation never reached the venue. To ask again for it is safe: it is no submission."""
    asked = {order.client_order_id for order in found if order.state is OrderState.PENDING_CANCEL}
    if not asked:
        return []
    alive = orders.alive(transaction.connection, transaction.schema, transaction.account)
    return [order for order in alive if order.client_order_id in asked]
