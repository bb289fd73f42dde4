"""What a venue reports of an order goes into the books here, exactly once: fills, ledger, position, trade, risk."""

from decimal import Decimal

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Fill, Leg, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.books import change_breakers
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.documents import proposal_from
from triplegain_pipelines.portfolio.ledger import fill_postings
from triplegain_pipelines.portfolio.positions import ClosedTrade, Position, apply_fill
from triplegain_pipelines.risk.breakers import after_trade as breakers_after_trade
from triplegain_pipelines.risk.state import after_trade as risk_after_trade
from triplegain_pipelines.store import breakers, ledger, orders, positions, risk_state, verdicts
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order


def record(transaction: AccountTransaction, order: Order, reported: VenueOrder, reason: ReasonCode) -> None:
    """Take over what the venue says of `order`: its new fills, and the state it is in.

    Raises:
        IllegalTransitionError: the venue's state cannot follow ours.
        DataError: its fills do not add up to what it says is filled, or do not fit the position.
    """
    fills = orders.insert_fills(transaction.connection, transaction.schema, transaction.account, reported.fills)
    for fill in fills:
        _book(transaction, order, fill)
    filled = order.filled_quantity + sum((fill.quantity for fill in fills), Decimal(0))
    if (reported.state is OrderState.FILLED) != (filled == order.intent.quantity):
        msg = (
            f"the venue says order {order.client_order_id} is {reported.state}, but its fills sum to {filled} "
            f"of {order.intent.quantity}; compare the account with the venue"
        )
        raise DataError(msg)
    state = reported.state
    if order.state is OrderState.PENDING_CANCEL and not state.is_final:
        state = OrderState.PENDING_CANCEL  # the request to cancel still stands
    if fills:
        reason = ReasonCode.VENUE_FILLED
    elif state is OrderState.CANCELED and order.state is OrderState.OPEN and order.intent.one_cancels_other:
        reason = ReasonCode.SIBLING_FILLED
    change_order(transaction, order, state, reason, filled=filled, venue_order_id=reported.venue_order_id)


def change_order(
    transaction: AccountTransaction,
    order: Order,
    state: OrderState,
    reason: ReasonCode,
    *,
    filled: Decimal | None = None,
    venue_order_id: str | None = None,
    detail: str = "",
) -> None:
    """Move `order` to `state`, with an event; nothing happens where nothing changes."""
    filled = order.filled_quantity if filled is None else filled
    if state is order.state and filled == order.filled_quantity:
        return
    orders.move(
        transaction.connection,
        transaction.schema,
        order,
        state,
        reason=reason,
        filled_quantity=filled,
        venue_order_id=venue_order_id,
        at=transaction.at,
    )
    transaction.note(
        EventKind.ORDER_CHANGED,
        decision_id=order.intent.decision_id,
        client_order_id=order.client_order_id,
        leg=order.intent.leg,
        before=order.state,
        after=state,
        filled=filled,
        reason=reason,
        detail=detail,
    )


def _book(transaction: AccountTransaction, order: Order, fill: Fill) -> None:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    ledger.post(connection, schema, fill_postings(account, fill))
    transaction.note(
        EventKind.FILL_BOOKED,
        decision_id=order.intent.decision_id,
        client_order_id=order.client_order_id,
        trade_id=fill.trade_id,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        filled_at=fill.filled_at,
    )
    before = positions.read(connection, schema, account, fill.symbol)
    stop_loss, take_profit = _levels(transaction, order) if before is None else (None, None)
    after, trade = apply_fill(before, fill, order.intent, stop_loss=stop_loss, take_profit=take_profit)
    if after is not None:
        positions.write(connection, schema, after)
        _note_position(transaction, before, after)
    if trade is not None:
        _close(transaction, trade)


def _levels(transaction: AccountTransaction, order: Order) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target that risk let through with the order's proposal."""
    verdict = verdicts.read(transaction.connection, transaction.schema, order.proposal_id)
    if verdict is None or order.intent.leg is not Leg.ENTRY:
        return None, None
    outcome = proposal_from(verdict.outcome)
    return outcome.stop_loss, outcome.take_profit


def _note_position(transaction: AccountTransaction, before: Position | None, after: Position) -> None:
    transaction.note(
        EventKind.POSITION_OPENED if before is None else EventKind.POSITION_CHANGED,
        decision_id=after.decision_id,
        symbol=after.symbol,
        quantity=after.quantity,
        average_entry=after.average_entry,
        stop_loss=after.stop_loss,
        take_profit=after.take_profit,
    )


def _close(transaction: AccountTransaction, trade: ClosedTrade) -> None:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    positions.close(connection, schema, trade)
    transaction.note(
        EventKind.POSITION_CLOSED,
        decision_id=trade.decision_id,
        symbol=trade.symbol,
        quantity=trade.quantity,
        profit=trade.profit,
        exit_leg=trade.exit_leg,
        closed_at=trade.closed_at,
    )
    state = risk_state.read(connection, schema, account)
    risk_state.write(connection, schema, account, risk_after_trade(state, trade.profit, trade.initial_risk))
    changes = breakers_after_trade(
        breakers.read(connection, account), trade.profit, transaction.desk.limits, trade.closed_at, trade.opened_at
    )
    change_breakers(transaction, changes, "order path")
