"""Taking a decision from the outbox: from then on every earlier claim of the account is stale."""

import os
import socket
from dataclasses import dataclass, replace
from uuid import UUID

from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.steps import own_order, queued, refuse, standing_of
from triplegain_pipelines.store import fences, outbox
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow, OutboxStatus
from triplegain_pipelines.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim: its token, whether the decision was claimed before, and how the account stands with it."""

    token: int
    resumed: bool
    standing: Standing

    @property
    def alive(self) -> list[Order]:
        """The account's unfinished orders."""
        return self.standing.alive

    @property
    def is_unresolved(self) -> bool:
        """Whether something has to be asked of the venue first."""
        return self.resumed or any(order.is_unresolved for order in self.alive)


def claim_in(transaction: AccountTransaction, decision_id: UUID) -> Claimed | Reason:
    """Take the decision, or say why it is not to be acted on.

    Raises:
        InputError: the decision was never queued.
    """
    found = standing_of(transaction, decision_id)
    row = queued(transaction, decision_id, found.row)
    if row.status.is_final:
        return Reason(row.reason or ReasonCode.WITHIN_LIMITS)
    if transaction.at > row.valid_until and own_order(found.made) is None and not row.is_held_up:
        reason = Reason(ReasonCode.DECISION_EXPIRED, {"valid_until": row.valid_until.isoformat()})
        return refuse(transaction, decision_id, reason).reason
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    token = transaction.newest_token + 1  # whoever has the books has the fence's row too
    outbox.claim(connection, schema, account, decision_id, _holder(), transaction.at, token=token)
    transaction.token = token
    transaction.note(EventKind.DECISION_CLAIMED, decision_id=decision_id, token=token)
    now = replace(found, row=replace(row, status=OutboxStatus.CLAIMED, token=token))
    return Claimed(token, row.status is OutboxStatus.CLAIMED, now)


def raise_token(transaction: AccountTransaction) -> int:
    """Make every earlier token stale; the transaction goes on with the new one, which is returned."""
    transaction.token = fences.take(transaction.connection, transaction.account, _holder(), transaction.at)
    return transaction.token


def _holder() -> str:
    """Who this process is, for the fence."""
    return f"{socket.gethostname()}:{os.getpid()}"


def row_of(transaction: AccountTransaction, decision_id: UUID) -> OutboxRow:
    """The decision's row in the outbox.

    Raises:
        InputError: it was never queued.
    """
    row = outbox.read(transaction.connection, transaction.schema, transaction.account, decision_id)
    return queued(transaction, decision_id, row)
