"""Writing down what is going to be asked of the venue: intents of protective orders and exits, with their events."""

from collections.abc import Sequence
from uuid import UUID

from triplegain_pipelines.domain.orders import Intent, Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order


def intend(
    transaction: AccountTransaction,
    intents: Sequence[Intent],
    proposal_id: UUID,
    reason: ReasonCode | None = None,
    *,
    sending: bool = True,
) -> list[Order]:
    """Write intents, and give the orders that `send` takes as soon as the transaction is committed.

    Where they are not `sending` then, they still have to be marked as submitted before.
    """
    made = orders.insert(
        transaction.connection,
        transaction.schema,
        intents,
        proposal_id=proposal_id,
        token=transaction.token,
        at=transaction.at,
        submitted_at=transaction.at if sending else None,
        expires_at=transaction.at + transaction.desk.broker.traits.expiry if sending else None,
    )
    for intent in intents:
        note_intent(transaction, intent, reason)
    return made


def note_intent(transaction: AccountTransaction, intent: Intent, reason: ReasonCode | None = None) -> None:
    """Tell the trail of an intent, and why there is one where that is not plain from its leg."""
    why = {} if reason is None else {"reason": reason, "decided_price": intent.decided_price}
    transaction.note(
        EventKind.ORDER_INTENDED,
        decision_id=intent.decision_id,
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        leg=intent.leg,
        attempt=intent.attempt,
        side=intent.side,
        order_type=intent.order_type,
        quantity=intent.quantity,
        trigger_price=intent.trigger_price,
        **why,
    )


def next_attempt(made: Sequence[Order], leg: Leg) -> int:
    """The number of the next attempt at `leg`, after every order that was `made` for the decision."""
    return max((order.intent.attempt for order in made if order.intent.leg is leg), default=0) + 1
