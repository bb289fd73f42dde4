"""What a venue reports of an order goes into the books here, exactly once: fills, ledger, position, trade, risk."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Fill, Leg, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.books import change_breakers
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.documents import proposal_from
from triplegain_pipelines.execution.levels import is_tradable, protected_quantity
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.ledger import dust_postings, fill_postings
from triplegain_pipelines.portfolio.positions import ClosedTrade, Position, apply_fill, fitting, written_off
from triplegain_pipelines.risk.breakers import after_trade as breakers_after_trade
from triplegain_pipelines.risk.state import after_trade as risk_after_trade
from triplegain_pipelines.store import (
    breakers,
    dust,
    fills,
    ledger,
    orders,
    positions,
    risk_state,
    venue_answers,
    verdicts,
)
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Move, Order


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue says of an order. `reason` stands for a change that comes of no fill."""

    order: Order
    reported: VenueOrder
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Change:
    """A move of an order, with why in words and with the venue's words."""

    move: Move
    detail: str = ""
    raw: str = ""

    @property
    def is_one(self) -> bool:
        """Whether anything changes."""
        move = self.move
        return move.state is not move.order.state or move.filled_quantity != move.order.filled_quantity


def record(transaction: AccountTransaction, order: Order, reported: VenueOrder, reason: ReasonCode) -> None:
    """`record_all` of one answer."""
    record_all(transaction, [Answer(order, reported, reason)])


def record_all(transaction: AccountTransaction, answers: Sequence[Answer]) -> None:
    """Take over what the venue says: new fills of all orders in the order of their time, then the orders' states.

    Fills may come twice, late and out of order: each is booked once, also where its order was done already. One that no
    position can take is a row of the fills and of the ledger all the same, and an event tells of it: what was traded is
    not forgotten, and position and balance are seen to differ.

    Raises:
        IllegalTransitionError: the venue's state cannot follow ours.
        DataError: an order's fills do not add up to what it says is filled, sum to more than was asked for, or are of
            another order. Nothing may be kept of this transaction then.
    """
    reported = [fill for answer in answers for fill in answer.reported.fills]
    new = fills.insert(transaction.connection, transaction.schema, transaction.account, reported)
    by_id = {answer.order.client_order_id: answer.order for answer in answers}
    closed: set[str] = set()
    for fill in sorted(new, key=lambda fill: (fill.filled_at, fill.trade_id)):
        if _book(transaction, by_id[fill.client_order_id], fill) is None:
            closed.add(fill.symbol)
        else:
            closed.discard(fill.symbol)
    new_of = {name: [fill for fill in new if fill.client_order_id == name] for name in by_id}
    followed = [_followed(answer, new_of[answer.order.client_order_id]) for answer in answers]
    reduced: dict[str, tuple[Order, Decimal]] = {}
    for answer, changed in zip(answers, change_orders(transaction, followed), strict=True):
        own = new_of[answer.order.client_order_id]
        if changed is answer.order and changed.misses:
            orders.forget_misses(transaction.connection, transaction.schema, changed.client_order_id)
        if changed is not answer.order and changed.intent.leg.reduces_risk and changed.state.is_final:
            price = max(own, key=lambda fill: fill.filled_at).price if own else changed.intent.decided_price
            reduced[changed.intent.symbol] = (changed, price)
    for symbol, (order, price) in reduced.items():
        if symbol not in closed:
            write_off_dust(transaction, order, price)


def change_order(
    transaction: AccountTransaction,
    order: Order,
    state: OrderState,
    reason: ReasonCode,
    *,
    filled: Decimal | None = None,
    venue_order_id: str | None = None,
    detail: str = "",
    raw: str = "",
) -> Order:
    """Move `order` to `state`, with an event and the venue's words `raw`; nothing happens where nothing changes.

    Returns the order as it is then.
    """
    filled = order.filled_quantity if filled is None else filled
    (changed,) = change_orders(transaction, [Change(Move(order, state, reason, filled, venue_order_id), detail, raw)])
    return changed


def change_orders(transaction: AccountTransaction, changes: Sequence[Change]) -> list[Order]:
    """`change_order` of several orders together; they are returned in the same order."""
    real = [change for change in changes if change.is_one]
    moved = orders.move(transaction.connection, transaction.schema, [change.move for change in real], transaction.at)
    for change in real:
        _tell_change(transaction, change)
    changed = {order.client_order_id: order for order in moved}
    return [changed.get(change.move.order.client_order_id, change.move.order) for change in changes]


def _tell_change(transaction: AccountTransaction, change: Change) -> None:
    move, order = change.move, change.move.order
    venue_answers.insert(
        transaction.connection,
        transaction.schema,
        transaction.account,
        order.client_order_id,
        change.raw,
        transaction.at,
    )
    given_up = order.state in {OrderState.LOST, OrderState.REJECTED}
    transaction.note(
        EventKind.ORDER_ADOPTED if given_up else EventKind.ORDER_CHANGED,
        decision_id=order.intent.decision_id,
        client_order_id=order.client_order_id,
        leg=order.intent.leg,
        before=order.state,
        after=move.state,
        filled=move.filled_quantity,
        reason=move.reason,
        detail=change.detail,
    )


def write_off_dust(transaction: AccountTransaction, order: Order, price: Decimal) -> None:
    """End the long position that `order` reduced where its rest is too small for any order, at a last price of `price`.

    Not while `order` or another one that sells of it is at work, and not under a fill: what is left is known then only.
    """
    if not (order.intent.leg.reduces_risk and order.state.is_final):
        return
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    symbol = order.intent.symbol
    held, instrument = positions.read(connection, schema, account, symbol), transaction.desk.instrument(symbol)
    if held is None or held.quantity < 0:
        return
    if is_tradable(protected_quantity(held, instrument), price, instrument):
        return
    if any(other.intent.symbol == symbol for other in orders.alive(connection, schema, account)):
        return
    left = Dust(account, symbol, held.decision_id, held.quantity, price, transaction.at)
    dust.insert(connection, schema, left)
    ledger.post(connection, schema, dust_postings(left))
    transaction.note(
        EventKind.DUST_WRITTEN_OFF,
        decision_id=held.decision_id,
        symbol=symbol,
        quantity=held.quantity,
        price=price,
        reason=ReasonCode.DUST_WRITTEN_OFF,
    )
    _close(transaction, written_off(held, order.intent.leg, transaction.at))


def _followed(answer: Answer, new: Sequence[Fill]) -> Change:
    """The change of the answer's order to where the venue says it is, once its `new` fills are booked."""
    order, reported = answer.order, answer.reported
    filled = order.filled_quantity + sum((fill.quantity for fill in new), Decimal(0))
    move = Move(order, _state(order, reported, filled), _reason(answer, new), filled, reported.venue_order_id)
    return Change(move, raw=reported.raw)


def _state(order: Order, reported: VenueOrder, filled: Decimal) -> OrderState:
    """Where the order is now: what the venue says, as far as it can follow what is known already.

    An order that is done stays done: venues give older answers after newer ones, and a late fill that leaves a rest
    does not bring a cancelled order back. What the venue cancels after it had accepted it some call rejected.
    """
    said = reported.state
    if filled > order.intent.quantity or (said is OrderState.FILLED and filled != order.intent.quantity):
        msg = (
            f"the venue says order {order.client_order_id} is {said}, but its fills sum to {filled} "
            f"of {order.intent.quantity}; compare the account with the venue"
        )
        raise DataError(msg)
    if filled == order.intent.quantity and order.state is not OrderState.REJECTED:
        return OrderState.FILLED
    if order.state in {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED}:
        return order.state
    if order.state is OrderState.PENDING_CANCEL and not said.is_final:
        return OrderState.PENDING_CANCEL  # the request to cancel still stands
    if said is OrderState.REJECTED and order.state is OrderState.LOST:
        return OrderState.LOST
    if said is OrderState.REJECTED and (filled or order.state not in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN}):
        return OrderState.CANCELED
    return OrderState.PARTIALLY_FILLED if said is OrderState.OPEN and filled else said


def _reason(answer: Answer, new: Sequence[Fill]) -> ReasonCode:
    order, state = answer.order, answer.reported.state
    if order.state in {OrderState.LOST, OrderState.REJECTED}:
        return ReasonCode.ADOPTED
    if new:
        return ReasonCode.LATE_FILL if order.state.is_final else ReasonCode.VENUE_FILLED
    if state is OrderState.CANCELED and order.state is OrderState.OPEN and order.intent.one_cancels_other:
        return ReasonCode.SIBLING_FILLED
    return answer.reason


def _book(transaction: AccountTransaction, order: Order, fill: Fill) -> Position | None:
    """Book a new fill; the position that is open after it."""
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
    part, unaccounted = fitting(before, fill, order.intent)
    if unaccounted:
        transaction.note(
            EventKind.FILL_UNACCOUNTED,
            decision_id=order.intent.decision_id,
            client_order_id=order.client_order_id,
            trade_id=fill.trade_id,
            symbol=fill.symbol,
            held=before.quantity if before else Decimal(0),
            unaccounted=unaccounted,
        )
    if part is None:
        return before
    stop_loss, take_profit = _levels(transaction, order) if before is None else (None, None)
    after, trade = apply_fill(before, part, order.intent, stop_loss=stop_loss, take_profit=take_profit)
    if after is not None:
        positions.write(connection, schema, after)
        _note_position(transaction, before, after)
    if trade is not None:
        _close(transaction, trade)
    return after


def _levels(transaction: AccountTransaction, order: Order) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target that risk let through with the order's proposal."""
    if order.intent.leg is not Leg.ENTRY:
        return None, None
    text = verdicts.read_outcome(transaction.connection, transaction.schema, order.proposal_id)
    if text is None:
        return None, None
    outcome = proposal_from(text)
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
