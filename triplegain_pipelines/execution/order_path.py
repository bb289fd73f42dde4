"""The order path: `claim -> check_risk -> submit -> settle`, each step safe to repeat, under the account's lock.

Ids pass between the steps and nothing else, so each can run in a process of its own and a rerun re-enters where the
first run died. What a step does stands in the modules beside this one.
"""

import os
import socket
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self
from uuid import UUID

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Claim, Leg, OrderState
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution import fence, risk_gate
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.protection import carry_out, prepare, protect
from triplegain_pipelines.execution.reconciliation import follow, reconcile
from triplegain_pipelines.execution.sending import send
from triplegain_pipelines.execution.steps import Step, decision_of, finish_by_order, main_order, refuse
from triplegain_pipelines.store import breakers, fences, orders, outbox, positions
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxStatus


class OrderPath:
    """The order path of one account. Open it with `with`: inside, no other process can trade for the account.

    Raises:
        AccountBusyError: on entering, where another process holds the account.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._session = ExitStack()
        self._reconciled = False

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            connection = opening.enter_context(self._desk.database.autocommit())
            fences.lock_session(connection, self._desk.account)
            self._session = opening.pop_all()
        self._reconciled = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def reconcile(self, resuming: Collection[UUID] = ()) -> int:
        """Compare the books with the venue, resolve what is unknown, mend the protection. Returns the new token.

        Of the decisions `resuming`, which are executed next, those that were claimed before are left to that.
        """
        with account_transaction(self._desk, None) as transaction:
            token = self._take(transaction)
            claimed = [
                decision_id
                for decision_id in resuming
                if (row := outbox.read(transaction.connection, transaction.schema, self._desk.account, decision_id))
                and row.status is OutboxStatus.CLAIMED
            ]
        reconcile(self._desk, token, claimed)
        self._reconciled = True
        return token

    def claim(self, decision_id: UUID) -> Claim | Reason:
        """Take the decision from the outbox, or say why it is not to be acted on. Older claims become stale.

        What earlier processes left behind is resolved with the venue first.

        Raises:
            InputError: the decision was never queued.
        """
        with account_transaction(self._desk, None) as transaction:
            row = self._row(transaction, decision_id)
            if row.status.is_final:
                return Reason(row.reason or ReasonCode.WITHIN_LIMITS)
            if transaction.at > row.valid_until and main_order(transaction, decision_id) is None:
                reason = Reason(ReasonCode.DECISION_EXPIRED, {"valid_until": row.valid_until.isoformat()})
                return refuse(transaction, decision_id, reason).reason
            token = self._take(transaction)
            outbox.claim(transaction.connection, transaction.schema, decision_id, token, transaction.at)
            transaction.note(EventKind.DECISION_CLAIMED, decision_id=decision_id, token=token)
            alive = orders.alive(transaction.connection, transaction.schema, self._desk.account)
        if not self._reconciled or any(order.is_unresolved for order in alive):
            reconcile(self._desk, token, [decision_id] if row.status is OutboxStatus.CLAIMED else ())
            self._reconciled = True
        return Claim(decision_id, token)

    def check_risk(self, decision_id: UUID, token: int) -> Step:
        """Judge the decision, and write its order where the fence and the risk engine allow it.

        Raises:
            StaleFenceError: a newer holder has the account.
            UnknownOutcomeError: the venue did not answer a cancellation.
        """
        return risk_gate.check_risk(self._desk, decision_id, token)

    def submit(self, decision_id: UUID, token: int) -> Step:
        """Send the decision's order once, unless it was sent before or the fence has closed since.

        Raises:
            StaleFenceError: a newer holder has the account.
        """
        with account_transaction(self._desk, token) as transaction:
            order = main_order(transaction, decision_id)
            if order is None:
                row = self._row(transaction, decision_id)
                return Step(goes_on=False, reason=Reason(row.reason or ReasonCode.WITHIN_LIMITS))
            if order.state is not OrderState.PENDING_SUBMIT or order.submitted_at is not None:
                return Step(goes_on=True, reason=Reason(ReasonCode.VENUE_ACCEPTED, {"state": order.state.value}))
            refused = self._refusal(transaction, order)
            if refused is not None:
                change_order(transaction, order, OrderState.CANCELED, refused.code)
                return refuse(transaction, decision_id, refused)
            orders.mark_submitted(transaction.connection, transaction.schema, order.client_order_id, transaction.at)
            transaction.note(
                EventKind.ORDER_SENT, decision_id=decision_id, client_order_id=order.client_order_id, token=token
            )
        send(self._desk, token, [order.intent])
        return Step(goes_on=True, reason=Reason(ReasonCode.VENUE_ACCEPTED))

    def settle(self, decision_id: UUID, token: int) -> OutboxStatus:
        """Follow the order at the venue, book its fills, protect the position, and write how the decision ended.

        Raises:
            StaleFenceError: a newer holder has the account.
        """
        with account_transaction(self._desk, token) as transaction:
            row = self._row(transaction, decision_id)
            order = main_order(transaction, decision_id)
            symbol = order.intent.symbol if order else decision_of(transaction, decision_id).symbol
            working = order is not None and order.submitted_at is not None and not order.state.is_final
            mending = None if working else prepare(transaction, symbol)
            if mending is not None and mending.is_empty:
                return finish_by_order(transaction, row, order)
        if order is not None and mending is None:
            follow(self._desk, token, [order])
            protect(self._desk, token, symbol)
        elif mending is not None:
            carry_out(self._desk, token, symbol, mending)
        with account_transaction(self._desk, token) as transaction:
            row = self._row(transaction, decision_id)
            return finish_by_order(transaction, row, main_order(transaction, decision_id))

    def settle_changes(self, token: int, client_order_ids: Sequence[UUID]) -> None:
        """Take over what happened at the venue to these orders, and mend the protection in their symbols."""
        if not client_order_ids:
            return
        with account_transaction(self._desk, token) as transaction:
            known = orders.read_many(transaction.connection, transaction.schema, client_order_ids)
        found = list(known.values())
        follow(self._desk, token, found)
        for symbol in sorted({order.intent.symbol for order in found}):
            protect(self._desk, token, symbol)

    def mend(self, token: int) -> None:
        """Follow every order that was sent, and see that every position has its stop and target."""
        with account_transaction(self._desk, token) as transaction:
            alive = orders.alive(transaction.connection, transaction.schema, self._desk.account)
            held = positions.read_all(transaction.connection, transaction.schema, self._desk.account)
        # The venue may have filled one while the process that would have booked it was dead.
        sent = [order for order in alive if order.submitted_at is not None]
        follow(self._desk, token, sent)
        for symbol in sorted({position.symbol for position in held} | {order.intent.symbol for order in sent}):
            protect(self._desk, token, symbol)

    def newest_token(self) -> int:
        """The token of the newest claim, for what works under the lock beside a claim without making it stale."""
        with self._desk.database.connection() as connection:
            return fences.newest(connection, self._desk.account)

    def execute(self, decision_id: UUID) -> OutboxStatus:
        """All four steps in one go."""
        claim = self.claim(decision_id)
        if isinstance(claim, Claim):
            if self.check_risk(decision_id, claim.token).goes_on:
                self.submit(decision_id, claim.token)
            return self.settle(decision_id, claim.token)
        with account_transaction(self._desk, None) as transaction:
            return self._row(transaction, decision_id).status

    def _take(self, transaction: AccountTransaction) -> int:
        holder = f"{socket.gethostname()}:{os.getpid()}"
        transaction.token = fences.take(transaction.connection, self._desk.account, holder, transaction.at)
        return transaction.token

    def _row(self, transaction: AccountTransaction, decision_id: UUID) -> outbox.OutboxRow:
        row = outbox.read(transaction.connection, transaction.schema, self._desk.account, decision_id)
        if row is None:
            msg = f"decision {decision_id} is not in the outbox of {self._desk.account!r}; queue it first"
            raise InputError(msg)
        return row

    def _refusal(self, transaction: AccountTransaction, order: Order) -> Reason | None:
        """The checks once more, just before sending: time may have passed since the order was written."""
        connection, symbol = transaction.connection, order.intent.symbol
        if order.intent.leg is not Leg.ENTRY:
            held = positions.read(connection, transaction.schema, self._desk.account, symbol)
            enough = held is not None and abs(held.quantity) >= order.intent.quantity
            return None if enough else Reason(ReasonCode.POSITION_CLOSED, {"symbol": symbol})
        alive = orders.alive(connection, transaction.schema, self._desk.account)
        states = breakers.read(connection, self._desk.account)
        return fence.open_breaker(states) or fence.refusal(
            transaction,
            symbol=symbol,
            valid_until=self._row(transaction, order.intent.decision_id).valid_until,
            states=states,
            alive=[other for other in alive if other.client_order_id != order.client_order_id],
        )
