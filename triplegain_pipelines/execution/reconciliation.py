"""The books against the venue: on every start, and every few minutes while something runs.

What a dead process left behind is looked up and taken over or given up, differences are adopted, corrected, flagged or
halted on (`differences` has the table), and every comparison is written down. It fails closed: one that succeeds beats
the heartbeat `RECONCILED`, one that does not takes it back, and without it the fence lets no new risk with real money
through.
"""

from collections.abc import Collection
from uuid import UUID

from triplegain_pipelines.domain.orders import OrderState
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.comparison import Comparison, compare_with_venue
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.operator import change_mode
from triplegain_pipelines.execution.protection import protect_all
from triplegain_pipelines.execution.resolving import follow
from triplegain_pipelines.execution.sending import NoOrder
from triplegain_pipelines.execution.steps import decision_of, end_overdue, finish_by_order, main_order
from triplegain_pipelines.store import heartbeats, orders, outbox, positions, reconciliations, trading_modes
from triplegain_pipelines.store.alerts import AlertLevel, end_alerts, raise_alert
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.outbox import OutboxStatus

HALT_ALERT = "reconciliation"
SILENCE_ALERT = "reconciliation_failed"

_UNSENT = NoOrder(OrderState.LOST, ReasonCode.NEVER_ARRIVED, "it was never handed to the venue")
_BY = "reconciliation"


def reconcile(desk: Desk, token: int, resuming: Collection[UUID] = ()) -> Comparison:
    """Bring every unfinished order, every position's protection and every claimed decision in line with the venue.

    This is for a new holder of the account, whose token makes earlier claims stale. `resuming` are decisions that are
    gone on with right after this: their symbols are protected at their end, so that a position being closed does not
    get its stops back in between.

    Raises:
        StaleFenceError: a newer holder has the account.
    """
    with account_transaction(desk, token) as transaction:
        for order in orders.alive(transaction.connection, desk.schema, desk.account):
            # Only a holder of an older token could still send it, and the fence stops that one first.
            if order.state is OrderState.PENDING_SUBMIT and order.submitted_at is None:
                change_order(transaction, order, _UNSENT.state, _UNSENT.reason, detail=_UNSENT.detail)
        busy = frozenset(decision_of(transaction, decision_id).symbol for decision_id in resuming)
    comparison = _compare_and_protect(desk, token, busy)
    with account_transaction(desk, token) as transaction:
        for row in outbox.waiting(transaction.connection, desk.schema, desk.account):
            if row.status is OutboxStatus.CLAIMED and row.decision_id not in resuming:
                finish_by_order(transaction, row, main_order(transaction, row.decision_id))
        _write_down(transaction, comparison)
    return comparison


def reconcile_account(desk: Desk) -> Comparison:
    """Compare books and venue beside whatever is claimed: that stays valid, and its symbol is left to it.

    Raises:
        AccountBusyError: an order path is open for the account; come back later.
    """
    from triplegain_pipelines.execution.order_path import OrderPath

    with OrderPath(desk) as path:
        token = path.newest_token()
        with account_transaction(path.desk, token) as transaction:
            end_overdue(transaction)
            waiting = outbox.waiting(transaction.connection, desk.schema, desk.account)
            claimed = [row.decision_id for row in waiting if row.status is OutboxStatus.CLAIMED]
            busy = frozenset(decision_of(transaction, decision_id).symbol for decision_id in claimed)
        comparison = _compare_and_protect(path.desk, token, busy)
        with account_transaction(path.desk, token) as transaction:
            _write_down(transaction, comparison)
    return comparison


def _compare_and_protect(desk: Desk, token: int, busy: frozenset[str]) -> Comparison:
    comparison = compare_with_venue(desk, token, busy)
    with account_transaction(desk, token) as transaction:
        alive = orders.alive(transaction.connection, desk.schema, desk.account)
        held = positions.read_all(transaction.connection, desk.schema, desk.account)
    sent = [order for order in alive if order.submitted_at is not None]
    if comparison.silence and sent:
        # One order may be told of where the account is not; and what was sent is UNKNOWN from now on.
        follow(desk, token, sent)
    symbols = {order.intent.symbol for order in alive} | {position.symbol for position in held}
    protect_all(desk, token, symbols - busy)
    return comparison


def _write_down(transaction: AccountTransaction, comparison: Comparison) -> None:
    """The comparison's row, heartbeat, alerts and event; and the mode, where a person has to look."""
    connection, account, at = transaction.connection, transaction.account, transaction.at
    documents = [difference.document() for difference in comparison.differences]
    if comparison.complete or documents:
        reconciliations.insert(
            connection, transaction.schema, account, at=at, watermark=comparison.watermark, differences=documents
        )
    new = [one for one in comparison.differences if one.key not in comparison.told]
    if new:
        transaction.note(
            EventKind.RECONCILED,
            complete=comparison.complete,
            differences=[difference.document() for difference in new],
        )
    if comparison.complete:
        heartbeats.beat(connection, heartbeats.RECONCILED, account, at)
    else:
        heartbeats.forget(connection, heartbeats.RECONCILED, account)
        why = comparison.silence or "; ".join(difference.sentence() for difference in comparison.differences)
        raise_alert(
            connection, SILENCE_ALERT, account, AlertLevel.WARNING, f"books and venue were not compared: {why}", at
        )
    _halt(transaction, comparison)


def _halt(transaction: AccountTransaction, comparison: Comparison) -> None:
    connection, account, at = transaction.connection, transaction.account, transaction.at
    active = trading_modes.read(connection, account) is TradingMode.ACTIVE
    if comparison.halts:
        why = " ".join(difference.sentence() for difference in comparison.halts)
        raise_alert(connection, HALT_ALERT, account, AlertLevel.CRITICAL, why, at)
        if active:  # never looser than it was
            change_mode(
                transaction, TradingMode.REDUCING, changed_by=_BY, reason=ReasonCode.MODE_RECONCILIATION, why=why
            )
    over = [
        *([SILENCE_ALERT] if comparison.complete else []),
        *([HALT_ALERT] if active and comparison.complete and not comparison.halts else []),
    ]
    if over:
        end_alerts(connection, over, account, at)
