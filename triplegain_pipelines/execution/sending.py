"""The border to the venue: each committed intent is sent once, each answer is recorded, nothing is ever sent again.

No retry stands here. An answer that did not come leaves the order UNKNOWN, for `resolving` to clear up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triplegain_pipelines.domain.errors import DataError, StaleFenceError, TransientError
from triplegain_pipelines.domain.orders import OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.answers import Answer, Change
from triplegain_pipelines.execution.booking import (
    Booked,
    change_order,
    change_orders,
    record_all,
    write_off_dust,
)
from triplegain_pipelines.execution.broker import NotExecutedError, VenueRejectionError
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.store.orders import Move, Order
from triplegain_pipelines.store.standing import Standing


@dataclass(frozen=True, slots=True)
class NoOrder:
    """What is left to record where a venue did not answer with an order. `raw` is what it said."""

    state: OrderState
    reason: ReasonCode
    detail: str
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back for orders that were sent, and the error of a lock that was lost in between."""

    answers: list[tuple[Order, VenueOrder | NoOrder]]
    lost: StaleFenceError | None

    @property
    def is_complete(self) -> bool:
        """Whether the venue answered with an order for each."""
        return all(isinstance(answer, VenueOrder) for _, answer in self.answers)

    @property
    def refused(self) -> list[Order]:
        """Those that the venue refused for certain."""
        return [order for order, answer in self.answers if answer.state is OrderState.REJECTED]


_NEVER_SENT = NoOrder(OrderState.LOST, ReasonCode.LOCK_LOST, "the account's lock was gone, so it was not sent")


def send(
    desk: Desk, token: int, placed: Sequence[Order], then: Callable[[AccountTransaction], None] | None = None
) -> list[Order]:
    """Send `placed`, which are committed and marked as submitted, each once, and record what came back.

    Where none of them was refused, `then` writes what follows in the transaction that records it.

    Returns those that the venue refused for certain.

    Raises:
        StaleFenceError: the account's lock or the token is gone. What was not sent by then is not sent any more.
    """
    sent = submit_all(desk, placed)
    with account_transaction(desk, token) as transaction:
        take_over(transaction, sent.answers, ReasonCode.VENUE_ACCEPTED)
        if then is not None and sent.lost is None and not sent.refused:
            then(transaction)
    if sent.lost is not None:
        raise sent.lost
    return sent.refused


def submit_all(desk: Desk, placed: Sequence[Order]) -> Sent:
    """Send `placed`, which are committed and marked as submitted, each once. What came back is for `take_over`.

    Once the account's lock is found to be lost nothing more is sent: `lost` has to be raised after the taking over.
    """
    answers: list[tuple[Order, VenueOrder | NoOrder]] = []
    lost: StaleFenceError | None = None
    for order in placed:
        try:
            answers.append((order, _NEVER_SENT if lost else _submit(desk, order)))
        except StaleFenceError as error:
            lost = error
            answers.append((order, _NEVER_SENT))
    return Sent(answers, lost)


def cancel(desk: Desk, token: int, pending: Sequence[Order], reason: ReasonCode) -> None:
    """Ask for the cancellation of `pending`, which are in PENDING_CANCEL, and record what became of them.

    Where no answer comes the order stays in PENDING_CANCEL: a fill may still arrive.
    """
    answers = cancel_all(desk, pending, reason)
    if answers:
        with account_transaction(desk, token) as transaction:
            record_all(transaction, answers)


def cancel_all(desk: Desk, pending: Sequence[Order], reason: ReasonCode) -> list[Answer]:
    """Ask for the cancellation of `pending`; the answers that came are for `record_all`."""
    return [Answer(order, answer, reason) for order in pending if (answer := _cancel(desk, order)) is not None]


def request_cancel(transaction: AccountTransaction, found: Sequence[Order], reason: ReasonCode) -> list[Order]:
    """Move live orders to PENDING_CANCEL before the venue is asked; returns all that `cancel` must then ask for."""
    live = {OrderState.OPEN, OrderState.PARTIALLY_FILLED}
    changes = [
        Change(Move(order, OrderState.PENDING_CANCEL, reason, order.filled_quantity, None))
        for order in found
        if order.state in live
    ]
    changed = {order.client_order_id: order for order in change_orders(transaction, changes)}
    return [
        order
        for order in (changed.get(one.client_order_id, one) for one in found)
        if order.state is OrderState.PENDING_CANCEL
    ]


def take_over(
    transaction: AccountTransaction,
    answers: Sequence[tuple[Order, VenueOrder | NoOrder]],
    reason: ReasonCode,
    standing: Standing | None = None,
) -> Booked:
    """Record answers of the venue, the fills of all of them in the order of their time; what those with an order did.

    `standing` as in `record_all`.
    """
    answered = [Answer(order, answer, reason) for order, answer in answers if isinstance(answer, VenueOrder)]
    booked = record_all(transaction, answered, standing)
    for order, answer in answers:
        if isinstance(answer, NoOrder):
            record_none(transaction, order, answer)
    return booked


def record_none(transaction: AccountTransaction, order: Order, answer: NoOrder) -> Order:
    """Record that the venue did not answer with an order; returns it as it is then.

    A rest of a position that the venue takes no order for is dust.
    """
    changed = change_order(transaction, order, answer.state, answer.reason, detail=answer.detail, raw=answer.raw)
    write_off_dust(transaction, changed, order.intent.decided_price)
    return changed


def _submit(desk: Desk, order: Order) -> VenueOrder | NoOrder:
    """The venue's answer to the one submission of `order`, with the times that are stored as those of its sending."""
    if order.submitted_at is None or order.expires_at is None:
        msg = f"order {order.client_order_id} is not marked as submitted; that has to be committed before it is sent"
        raise DataError(msg)
    desk.require_lock()
    if desk.clock.now() > order.expires_at:
        detail = f"it was to be sent by {order.expires_at.isoformat()} and is late, so it was not sent"
        return NoOrder(OrderState.LOST, ReasonCode.NOT_EXECUTED, detail)
    try:
        return desk.broker.submit(order.intent, order.submitted_at, order.expires_at)
    except VenueRejectionError as error:
        return NoOrder(OrderState.REJECTED, ReasonCode.VENUE_REJECTED, str(error), error.raw)
    except NotExecutedError as error:
        return NoOrder(OrderState.LOST, ReasonCode.NOT_EXECUTED, str(error), error.raw)
    except TransientError as error:
        return NoOrder(OrderState.UNKNOWN, ReasonCode.OUTCOME_UNKNOWN, str(error))


def _cancel(desk: Desk, order: Order) -> VenueOrder | None:
    try:
        return desk.broker.cancel(order.reference)
    except VenueRejectionError as error:
        if not desk.broker.traits.absence_is_final:
            return None  # a venue that is behind denies what it has; asking for the order tells more
        msg = f"the venue denies order {order.client_order_id}, which it had accepted ({error}); compare by hand"
        raise DataError(msg) from error
    except TransientError:
        return None
