"""What the steps of the order path have in common: how a step ended, and how a decision does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Proposal
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.store import orders, outbox, standing
from triplegain_pipelines.store.decisions import read_decision
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow, OutboxStatus
from triplegain_pipelines.store.standing import Standing

_RUN_LASTS = timedelta(minutes=2)
"""So long after its decision has run out no run is at work on it: one of Dagster's is ended after a minute."""
_ENDS = {
    OrderState.OPEN: (OutboxStatus.DONE, ReasonCode.VENUE_ACCEPTED),
    OrderState.PARTIALLY_FILLED: (OutboxStatus.DONE, ReasonCode.VENUE_FILLED),
    OrderState.FILLED: (OutboxStatus.DONE, ReasonCode.VENUE_FILLED),
    OrderState.CANCELED: (OutboxStatus.DONE, ReasonCode.POSITION_CLOSED),
    OrderState.REJECTED: (OutboxStatus.REFUSED, ReasonCode.VENUE_REJECTED),
}


@dataclass(frozen=True, slots=True)
class Step:
    """How a step ended: whether the next one has something to do, and why.

    Where an order was just written it is `order`, and `outcome` what risk let through for it.
    """

    goes_on: bool
    reason: Reason
    order: Order | None = None
    outcome: Proposal | None = None


def main_order(transaction: AccountTransaction, decision_id: UUID) -> Order | None:
    """The newest attempt at the decision's own order: its entry, or its exit where it closes a position.

    An exit of an entry's decision is a leg of its protection and not its own order.
    """
    return own_order(orders.of_decision(transaction.connection, transaction.schema, transaction.account, decision_id))


def own_order(made: Sequence[Order]) -> Order | None:
    """`main_order` among the orders that were made for a decision, by leg and attempt."""
    for leg in (Leg.ENTRY, Leg.EXIT):
        attempts = [order for order in made if order.intent.leg is leg]
        if attempts:
            return attempts[-1]
    return None


def standing_of(transaction: AccountTransaction, decision_id: UUID) -> Standing:
    """How the account stands, for acting on the decision."""
    return standing.read(
        transaction.connection, transaction.schema, transaction.account, decision_id, transaction.currency
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """How an account stood at the end of a transaction, for its holder's next one."""

    standing: Standing
    newest_event: int

    def standing_in(self, transaction: AccountTransaction) -> Standing:
        """How it stands in `transaction`: as it did, unless there is a newer event; then it is read.

        Nothing is written to an account's books without an event. What the guard marks to market may be a moment old.
        """
        if transaction.sequence == self.newest_event:
            return self.standing
        return standing_of(transaction, self.standing.decision_id)


def queued(transaction: AccountTransaction, decision_id: UUID, row: OutboxRow | None) -> OutboxRow:
    """The decision's `row` in the outbox.

    Raises:
        InputError: there is none.
    """
    if row is None:
        msg = f"decision {decision_id} is not in the outbox of {transaction.account!r}; queue it before acting on it"
        raise InputError(msg)
    return row


def decision_of(transaction: AccountTransaction, decision_id: UUID) -> Decision:
    """The decision.

    Raises:
        InputError: it is not stored.
    """
    return stored(decision_id, read_decision(transaction.connection, decision_id))


def stored(decision_id: UUID, decision: Decision | None) -> Decision:
    """The `decision` that was looked for by its id.

    Raises:
        InputError: there is none.
    """
    if decision is None:
        msg = f"there is no decision {decision_id}; store it before queueing it"
        raise InputError(msg)
    return decision


def finish(transaction: AccountTransaction, decision_id: UUID, status: OutboxStatus, reason: Reason) -> None:
    """Write how the decision ended."""
    outbox.finish(transaction.connection, transaction.schema, decision_id, status, reason.code, transaction.at)
    transaction.note(EventKind.DECISION_FINISHED, decision_id=decision_id, status=status, **reason.document())


def refuse(transaction: AccountTransaction, decision_id: UUID, reason: Reason) -> Step:
    """End the decision without an order."""
    expired = reason.code is ReasonCode.DECISION_EXPIRED
    finish(transaction, decision_id, OutboxStatus.EXPIRED if expired else OutboxStatus.REFUSED, reason)
    return Step(goes_on=False, reason=reason)


def end_overdue(transaction: AccountTransaction) -> None:
    """End the decisions that nobody acted on while they were valid, or whose run died: none waits for ever unseen.

    An order that was written and never sent is given up: it holds its symbol, and an exit keeps the stop away that was
    taken back for it. What was sent is followed until it is clear, and an exit that waits for that is tried again.
    """
    for row in outbox.waiting(transaction.connection, transaction.schema, transaction.account):
        late = transaction.at - row.valid_until
        if row.status is OutboxStatus.PENDING and late > timedelta(0):
            reason = Reason(
                ReasonCode.DECISION_EXPIRED,
                {"valid_until": row.valid_until.isoformat(), "now": transaction.at.isoformat()},
            )
            refuse(transaction, row.decision_id, reason)
        elif row.status is OutboxStatus.CLAIMED and late > _RUN_LASTS and not row.is_held_up:
            order = main_order(transaction, row.decision_id)
            if order is not None and order.state is OrderState.PENDING_SUBMIT and order.submitted_at is None:
                detail = "its run ended before it was handed to the venue"
                order = change_order(transaction, order, OrderState.LOST, ReasonCode.NEVER_ARRIVED, detail=detail)
            finish_by_order(transaction, row, order)


def finish_by_order(transaction: AccountTransaction, row: OutboxRow, order: Order | None) -> OutboxStatus:
    """End the decision as its order did. One that is lost or was never made may be tried again until it expires."""
    if row.status.is_final:
        return row.status
    if order is not None and order.state in _ENDS:
        status, code = _ENDS[order.state]
        finish(transaction, row.decision_id, status, Reason(code, {"order": str(order.client_order_id)}))
        return status
    if (order is None or order.state is OrderState.LOST) and transaction.at > row.valid_until and not row.is_held_up:
        reason = Reason(ReasonCode.DECISION_EXPIRED, {"valid_until": row.valid_until.isoformat()})
        finish(transaction, row.decision_id, OutboxStatus.EXPIRED, reason)
        return OutboxStatus.EXPIRED
    return row.status
