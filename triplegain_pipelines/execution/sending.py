"""The border to the venue: each committed intent is sent once, each answer is recorded, nothing is ever sent again.

No retry stands here. An answer that did not come leaves the order UNKNOWN, for `reconciliation` to resolve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from triplegain_pipelines.domain.errors import DataError, TransientError
from triplegain_pipelines.domain.orders import Intent, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.booking import change_order, record
from triplegain_pipelines.execution.broker import VenueRejectionError
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.orders import Order


@dataclass(frozen=True, slots=True)
class NoOrder:
    """What is left to record where a venue did not answer with an order."""

    state: OrderState
    reason: ReasonCode
    detail: str


def send(desk: Desk, token: int, intents: Sequence[Intent]) -> list[Intent]:
    """Send `intents`, which are committed and marked as submitted, each once, and record what came back.

    Returns those that the venue refused for certain.
    """
    answers = [(intent, _submit(desk, intent)) for intent in intents]
    with account_transaction(desk, token) as transaction:
        found = orders.read_many(transaction.connection, desk.schema, [intent.client_order_id for intent in intents])
        for intent, answer in answers:
            take_over(transaction, found[intent.client_order_id], answer, ReasonCode.VENUE_ACCEPTED)
    return [intent for intent, answer in answers if answer.state is OrderState.REJECTED]


def cancel(desk: Desk, token: int, pending: Sequence[Order], reason: ReasonCode) -> None:
    """Ask for the cancellation of `pending`, which are in PENDING_CANCEL, and record what became of them.

    Where no answer comes the order stays in PENDING_CANCEL: a fill may still arrive.
    """
    answers = [(order, answer) for order in pending if (answer := _cancel(desk, order)) is not None]
    with account_transaction(desk, token) as transaction:
        for order, answer in answers:
            record(transaction, order, answer, reason)


def request_cancel(transaction: AccountTransaction, found: Sequence[Order], reason: ReasonCode) -> list[Order]:
    """Move live orders to PENDING_CANCEL before the venue is asked; returns all that `cancel` must then ask for."""
    pending = []
    for order in found:
        if order.state in {OrderState.OPEN, OrderState.PARTIALLY_FILLED}:
            change_order(transaction, order, OrderState.PENDING_CANCEL, reason)
            changed = orders.read(transaction.connection, transaction.schema, order.client_order_id)
            pending += [changed] if changed else []
        elif order.state is OrderState.PENDING_CANCEL:
            pending.append(order)
    return pending


def take_over(transaction: AccountTransaction, order: Order, answer: VenueOrder | NoOrder, reason: ReasonCode) -> None:
    """Record one answer of the venue."""
    if isinstance(answer, VenueOrder):
        record(transaction, order, answer, reason)
    else:
        change_order(transaction, order, answer.state, answer.reason, detail=answer.detail)


def _submit(desk: Desk, intent: Intent) -> VenueOrder | NoOrder:
    try:
        return desk.broker.submit(intent)
    except VenueRejectionError as error:
        return NoOrder(OrderState.REJECTED, ReasonCode.VENUE_REJECTED, str(error))
    except TransientError as error:
        return NoOrder(OrderState.UNKNOWN, ReasonCode.OUTCOME_UNKNOWN, str(error))


def _cancel(desk: Desk, order: Order) -> VenueOrder | None:
    try:
        return desk.broker.cancel(order.client_order_id)
    except VenueRejectionError as error:
        msg = f"the venue denies order {order.client_order_id}, which it had accepted ({error}); compare by hand"
        raise DataError(msg) from error
    except TransientError:
        return None
