"""The order path: `claim -> check_risk -> submit -> settle`, each step safe to repeat, under the account's lock.

Ids pass between the steps and nothing else, so each can run in a process of its own and a rerun re-enters where the
first run died. What a step does stands in the modules beside this one.
"""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Self
from uuid import UUID

from triplegain_pipelines.domain.errors import StaleFenceError
from triplegain_pipelines.domain.market import exact_price
from triplegain_pipelines.domain.orders import Claim, Leg, OrderState
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution import fence, one_go, risk_gate
from triplegain_pipelines.execution.asking import venue_balances, with_asked_prices
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.claiming import Claimed, claim_in, raise_token, row_of
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.one_go import Settling
from triplegain_pipelines.execution.protection import carry_out, protect, protect_all
from triplegain_pipelines.execution.reconciliation import reconcile
from triplegain_pipelines.execution.resolving import Dispute, follow, require_undisputed
from triplegain_pipelines.execution.sending import (
    cancel,
    cancel_all,
    request_cancel,
    send,
    submit_all,
)
from triplegain_pipelines.execution.steps import (
    Step,
    decision_of,
    finish_by_order,
    main_order,
    refuse,
    standing_of,
)
from triplegain_pipelines.execution.waiting import still_in_the_way
from triplegain_pipelines.risk.modes import no_new_risk, no_order
from triplegain_pipelines.risk.preflight import out_of_band
from triplegain_pipelines.store import breakers, fences, orders, outbox, positions
from triplegain_pipelines.store.fences import AccountLock
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxStatus


class OrderPath:
    """The order path of one account. Open it with `with`: inside, no other process can trade for the account.

    Args:
        desk: the account's desk.
        wait: how many seconds to wait for another process to let go of the account.

    Raises:
        AccountBusyError: on entering, where another process holds the account.
    """

    def __init__(self, desk: Desk, wait: float = 0.0) -> None:
        self._desk = desk
        self._wait = wait
        self._session = ExitStack()
        self._reconciled = False

    @property
    def desk(self) -> Desk:
        """The desk; inside `with`, with the lock that everything that sends orders needs."""
        return self._desk

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            connection = opening.enter_context(self._desk.database.autocommit())
            lock = AccountLock(connection, self._desk.account, self._wait)
            opening.callback(lock.release)
            self._session = opening.pop_all()
        self._desk = replace(self._desk, lock=lock)
        self._reconciled = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._desk = replace(self._desk, lock=None)
        self._session.close()

    def reconcile(self, resuming: Collection[UUID] = ()) -> int:
        """Compare the books with the venue, resolve what is unknown, mend the protection. Returns the new token.

        Of the decisions `resuming`, which are executed next, those that were claimed before are left to that.
        """
        with account_transaction(self._desk, None) as transaction:
            token = raise_token(transaction)
            claimed = [
                decision_id
                for decision_id in resuming
                if (row := outbox.read(transaction.connection, transaction.schema, self._desk.account, decision_id))
                and row.status is OutboxStatus.CLAIMED
            ]
        self._reconciled = reconcile(self._desk, token, claimed).complete
        return token

    def claim(self, decision_id: UUID) -> Claim | Reason:
        """Take the decision from the outbox, or say why it is not to be acted on. Older claims become stale.

        What earlier processes left behind is resolved with the venue first.

        Raises:
            InputError: the decision was never queued.
        """
        with account_transaction(self._desk, None) as transaction:
            claimed = claim_in(transaction, decision_id)
        if isinstance(claimed, Reason):
            return claimed
        self._put_in_order(decision_id, claimed)
        return Claim(decision_id, claimed.token)

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
        with account_transaction(with_asked_prices(self._desk, decision_id), token) as transaction:
            order = main_order(transaction, decision_id)
            if order is None:
                row = row_of(transaction, decision_id)
                return Step(goes_on=False, reason=Reason(row.reason or ReasonCode.WITHIN_LIMITS))
            if order.state is not OrderState.PENDING_SUBMIT or order.submitted_at is not None:
                return Step(goes_on=True, reason=Reason(ReasonCode.VENUE_ACCEPTED, {"state": order.state.value}))
            refused = self._refusal(transaction, order)
            if refused is not None:
                change_order(transaction, order, OrderState.CANCELED, refused.code)
                return refuse(transaction, decision_id, refused)
            order = self._mark(transaction, order)
        send(self._desk, token, [order])
        return Step(goes_on=True, reason=Reason(ReasonCode.VENUE_ACCEPTED))

    def settle(self, decision_id: UUID, token: int) -> OutboxStatus:
        """Follow the order at the venue, book its fills, protect the position, and write how the decision ended.

        Raises:
            StaleFenceError: a newer holder has the account.
        """
        with account_transaction(self._desk, token) as transaction:
            settling = one_go.settle(transaction, standing_of(transaction, decision_id))
        return self._settled(decision_id, token, settling)

    def settle_changes(self, token: int, client_order_ids: Sequence[UUID]) -> None:
        """Take over what happened at the venue to these orders, and mend the protection in their symbols."""
        if not client_order_ids:
            return
        with account_transaction(self._desk, token) as transaction:
            known = orders.read_many(transaction.connection, transaction.schema, client_order_ids)
        found = list(known.values())
        disputes = follow(self._desk, token, found)
        protect_all(self._desk, token, {order.intent.symbol for order in found})
        require_undisputed(disputes)

    def mend(self, token: int) -> None:
        """Follow every order that was sent, and see that every position has its stop and target."""
        with account_transaction(self._desk, token) as transaction:
            alive = orders.alive(transaction.connection, transaction.schema, self._desk.account)
            held = positions.read_all(transaction.connection, transaction.schema, self._desk.account)
        # The venue may have filled one while the process that would have booked it was dead.
        sent = [order for order in alive if order.submitted_at is not None]
        disputes = follow(self._desk, token, sent) if sent else []
        symbols = {position.symbol for position in held} | {order.intent.symbol for order in sent}
        protect_all(self._desk, token, symbols)
        require_undisputed(disputes)

    def withdraw_entries(self, token: int, reason: ReasonCode) -> None:
        """Cancel what is left of every unfinished entry, and protect what was filled of it.

        One that was not sent yet ends its decision, refused with `reason`. One of unknown outcome is looked up first,
        and cancelled where the venue has it; where it cannot say, the next call tries again.

        Raises:
            StaleFenceError: a newer holder has the account.
        """
        with account_transaction(self._desk, token) as transaction:
            entries = _entries(transaction)
            for order in entries:
                if order.submitted_at is None:
                    change_order(transaction, order, OrderState.CANCELED, reason)
                    refuse(transaction, order.intent.decision_id, Reason(reason))
        unanswered = [order for order in entries if order.submitted_at is not None and order.is_unresolved]
        disputes = follow(self._desk, token, unanswered) if unanswered else []
        with account_transaction(self._desk, token) as transaction:
            pending = request_cancel(transaction, _entries(transaction), reason)
        cancel(self._desk, token, pending, reason)
        protect_all(self._desk, token, {order.intent.symbol for order in entries})
        require_undisputed(disputes)

    def newest_token(self) -> int:
        """The token of the newest claim, for what works under the lock beside a claim without making it stale."""
        with self._desk.database.connection() as connection:
            return fences.newest(connection, self._desk.account)

    def execute(self, decision_id: UUID) -> OutboxStatus:
        """All four steps in one go, in fewer transactions: what is committed before anything is sent is the same."""
        balances, desk = venue_balances(self._desk), with_asked_prices(self._desk, decision_id)
        with account_transaction(desk, None) as transaction:
            claimed = claim_in(transaction, decision_id)
            if isinstance(claimed, Reason):
                return row_of(transaction, decision_id).status
            prompt = self._reconciled and not claimed.is_unresolved
            ready = one_go.judge(transaction, claimed.standing, balances, closing=False) if prompt else None
        token = claimed.token
        if ready is None:
            self._put_in_order(decision_id, claimed)
            if self.check_risk(decision_id, token).goes_on:
                self.submit(decision_id, token)
            return self.settle(decision_id, token)
        if ready.cancel:
            answers = cancel_all(self._desk, ready.cancel, ReasonCode.POSITION_CLOSED)
            with account_transaction(desk, token) as transaction:
                found = one_go.after_cancelling(transaction, ready.carried, answers)
                ready = one_go.judge(transaction, found, balances, closing=True)
            if ready.cancel:
                raise still_in_the_way(self._desk, token, decision_id)
        sent = submit_all(self._desk, [ready.order] if ready.order else [])
        with account_transaction(self._desk, token) as transaction:
            found = one_go.after_sending(transaction, ready.carried, sent)
            settling = None if sent.lost else one_go.settle(transaction, found)
        if settling is None:
            raise sent.lost or StaleFenceError
        return self._settled(decision_id, token, settling)

    def _mark(self, transaction: AccountTransaction, order: Order) -> Order:
        """Mark the order as handed to the venue, which happens as soon as this transaction is committed."""
        expires_at = transaction.at + self._desk.broker.traits.expiry
        marked = orders.mark_submitted(transaction.connection, transaction.schema, order, transaction.at, expires_at)
        one_go.note_sent(transaction, marked)
        return marked

    def _put_in_order(self, decision_id: UUID, claimed: Claimed) -> None:
        """Resolve with the venue what earlier processes left behind, where there is something."""
        if not self._reconciled or any(order.is_unresolved for order in claimed.alive):
            resuming = [decision_id] if claimed.resumed else ()
            self._reconciled = reconcile(self._desk, claimed.token, resuming).complete

    def _settled(self, decision_id: UUID, token: int, settling: Settling) -> OutboxStatus:
        """Do what is left to be done at the venue, and write how the decision ended."""
        if settling.status is not None:
            return settling.status
        disputes: list[Dispute] = []
        if settling.mending is not None:
            ended: list[OutboxStatus] = []

            def finish(transaction: AccountTransaction) -> None:
                ended.append(finish_by_order(transaction, settling.row, settling.order))

            carry_out(self._desk, token, settling.symbol, settling.mending, finish)
            if ended:
                return ended[0]
        elif settling.order is not None:
            disputes = follow(self._desk, token, [settling.order])
            protect(self._desk, token, settling.symbol)
        require_undisputed(disputes)
        with account_transaction(self._desk, token) as transaction:
            order = main_order(transaction, decision_id) if settling.mending is None else settling.order
            return finish_by_order(transaction, settling.row, order)

    def _refusal(self, transaction: AccountTransaction, order: Order) -> Reason | None:
        """The checks once more, just before sending: time may have passed since the order was written."""
        connection, symbol = transaction.connection, order.intent.symbol
        entering = order.intent.leg is Leg.ENTRY
        strict = (no_new_risk if entering else no_order)(transaction.mode, stopped=transaction.stopped)
        if strict is not None:
            return strict
        if not entering:
            held = positions.read(connection, transaction.schema, self._desk.account, symbol)
            enough = held is not None and abs(held.quantity) >= order.intent.quantity
            return None if enough else Reason(ReasonCode.POSITION_CLOSED, {"symbol": symbol})
        alive = orders.alive(connection, transaction.schema, self._desk.account)
        states = breakers.read(connection, self._desk.account)
        valid_until = row_of(transaction, order.intent.decision_id).valid_until
        refused = fence.open_breaker(states) or fence.refusal(
            transaction,
            symbol=symbol,
            valid_until=valid_until,
            states=states,
            alive=[other for other in alive if other.client_order_id != order.client_order_id],
            grounds=fence.grounds_of(transaction),
        )
        return refused or _moved_away(transaction, order, valid_until)


def _moved_away(transaction: AccountTransaction, order: Order, valid_until: datetime) -> Reason | None:
    """That the price has left the decision's band since the order was written, or is not known any more."""
    desk, symbol = transaction.desk, order.intent.symbol
    prices = fence.current_prices(desk, [symbol], transaction.at, valid_until)
    if isinstance(prices, Reason):
        return prices
    reference = decision_of(transaction, order.intent.decision_id).reference_price
    return out_of_band(prices[symbol], exact_price(reference) if reference is not None else Decimal(0), desk.limits)


def _entries(transaction: AccountTransaction) -> list[Order]:
    """The account's unfinished entries."""
    alive = orders.alive(transaction.connection, transaction.schema, transaction.account)
    return [order for order in alive if order.intent.leg is Leg.ENTRY]
