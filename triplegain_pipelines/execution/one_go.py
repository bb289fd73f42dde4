"""How a decision goes from step to step in one process: what one transaction has read or written the next one knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution import risk_gate
from triplegain_pipelines.execution.answers import Answer
from triplegain_pipelines.execution.asking import VenueBalances
from triplegain_pipelines.execution.booking import record_all
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.protection import Mending, prepare
from triplegain_pipelines.execution.sending import Sent, request_cancel, take_over
from triplegain_pipelines.execution.steps import Carried, finish_by_order, own_order, queued, standing_of, stored
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow, OutboxStatus
from triplegain_pipelines.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Settling:
    """How far a decision is settled: `status` where it is done; else what `mending` asks for, or a working order."""

    row: OutboxRow
    symbol: str
    order: Order | None
    mending: Mending | None
    status: OutboxStatus | None


@dataclass(frozen=True, slots=True)
class Ready:
    """A decision that was judged: its order, marked as sent, or what has to be cancelled before there can be one."""

    order: Order | None
    cancel: Sequence[Order]
    carried: Carried


def judge(transaction: AccountTransaction, found: Standing, balances: VenueBalances, *, closing: bool) -> Ready:
    """Judge the decision, of which everything stands as `found`, and mark its order as sent, if there is one.

    `closing` if what was in the way has been cancelled already.
    """
    step, in_the_way = risk_gate.decide(
        transaction, found.decision_id, balances, closing=closing, sending=True, standing=found
    )
    pending = request_cancel(transaction, in_the_way, ReasonCode.POSITION_CLOSED)
    order = step.order if step else None
    if order is not None:
        note_sent(transaction, order)
    changed = [order] if order else pending
    found = found.after(changed, {}) if changed else standing_of(transaction, found.decision_id)
    carried = replace(found, outcome=step.outcome if step else None)
    return Ready(order, pending, Carried(carried, transaction.newest_event))


def after_cancelling(transaction: AccountTransaction, carried: Carried, answers: Sequence[Answer]) -> Standing:
    """How everything stands once the answers to cancellations are written."""
    found = carried.standing_in(transaction)
    booked = record_all(transaction, answers, found)
    if booked.traded:
        return standing_of(transaction, found.decision_id)
    return found.after(booked.orders, booked.positions)


def after_sending(transaction: AccountTransaction, carried: Carried, sent: Sent) -> Standing:
    """How orders and positions stand once the answers to what was sent are written."""
    found = carried.standing_in(transaction)
    booked = take_over(transaction, sent.answers, ReasonCode.VENUE_ACCEPTED, found)
    if sent.is_complete:
        return found.after(booked.orders, booked.positions)
    return standing_of(transaction, found.decision_id)


def settle(transaction: AccountTransaction, standing: Standing) -> Settling:
    """What is left to be done for the decision; its end is written where that is nothing."""
    decision_id = standing.decision_id
    row = queued(transaction, decision_id, standing.row)
    order = own_order(standing.made)
    symbol = stored(decision_id, standing.decision).symbol
    working = order is not None and order.submitted_at is not None and not order.state.is_final
    mending = None if working else prepare(transaction, symbol, standing)
    nothing_left = mending is not None and mending.is_empty
    status = finish_by_order(transaction, row, order) if nothing_left else None
    return Settling(row, symbol, order, mending, status)


def note_sent(transaction: AccountTransaction, order: Order) -> None:
    """Tell the trail that the order is handed to the venue as soon as this transaction is committed."""
    transaction.note(
        EventKind.ORDER_SENT,
        decision_id=order.intent.decision_id,
        client_order_id=order.client_order_id,
        token=transaction.token,
    )
