"""What a venue reports of an order goes into the books here, exactly once: fills, ledger, position, trade, risk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from triplegain_pipelines.domain.orders import Fill, Leg, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.answers import Answer, Change, followed
from triplegain_pipelines.execution.books import change_breakers
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.documents import proposal_from
from triplegain_pipelines.execution.levels import is_tradable, protected_quantity
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.ledger import dust_postings
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
from triplegain_pipelines.store.standing import Standing

_NOTHING_KNOWN: Mapping[str, Position | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Booked:
    """What answers made of the books: their orders, and by symbol the positions that were looked at.

    `traded` says that cash and what risk remembers may have changed too.
    """

    orders: list[Order]
    positions: Mapping[str, Position | None]
    traded: bool


def record(transaction: AccountTransaction, order: Order, reported: VenueOrder, reason: ReasonCode) -> None:
    """`record_all` of one answer."""
    record_all(transaction, [Answer(order, reported, reason)])


def record_all(transaction: AccountTransaction, answers: Sequence[Answer], standing: Standing | None = None) -> Booked:
    """Take over what the venue says: new fills of all orders in the order of their time, then the orders' states.

    Fills may come twice, late and out of order: each is booked once, also where its order was done already. One that no
    position can take is a row of the fills and of the ledger all the same, and an event tells of it: what was traded is
    not forgotten, and position and balance are seen to differ. `standing` is how the account stands in this
    transaction, where that is known; else what is needed of it is read.

    Raises:
        IllegalTransitionError: the venue's state cannot follow ours.
        DataError: an order's fills do not add up to what it says is filled, sum to more than was asked for, or are of
            another order. Nothing may be kept of this transaction then.
    """
    reported = [fill for answer in answers for fill in answer.reported.fills]
    new = fills.insert(transaction.connection, transaction.schema, transaction.account, reported)
    by_id = {answer.order.client_order_id: answer.order for answer in answers}
    held = {} if standing is None else dict(standing.held)
    for fill in sorted(new, key=lambda fill: (fill.filled_at, fill.trade_id)):
        before = _held(transaction, fill.symbol, held)
        held[fill.symbol] = _book(transaction, by_id[fill.client_order_id], fill, before, standing)
        if held[fill.symbol] is None:
            standing = None  # a trade that closed has changed what risk remembers
    new_of = {name: [fill for fill in new if fill.client_order_id == name] for name in by_id}
    changes = [followed(answer, new_of[answer.order.client_order_id]) for answer in answers]
    reduced: dict[str, tuple[Order, Decimal]] = {}
    traded = bool(new)
    after = change_orders(transaction, changes)
    for answer, changed in zip(answers, after, strict=True):
        own = new_of[answer.order.client_order_id]
        if changed is answer.order and changed.misses:
            orders.forget_misses(transaction.connection, transaction.schema, changed.client_order_id)
        if changed is not answer.order and changed.intent.leg.reduces_risk and changed.state.is_final:
            price = max(own, key=lambda fill: fill.filled_at).price if own else changed.intent.decided_price
            reduced[changed.intent.symbol] = (changed, price)
    for symbol, (order, price) in reduced.items():
        held[symbol] = _held(transaction, symbol, held)
        if write_off_dust(transaction, order, price, held):
            held[symbol], traded = None, True
    return Booked(after, held, traded)


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


def write_off_dust(
    transaction: AccountTransaction,
    order: Order,
    price: Decimal,
    known: Mapping[str, Position | None] = _NOTHING_KNOWN,
) -> bool:
    """End the long position that `order` reduced where its rest is too small for any order, at a last price of `price`.

    Not while `order` or another one that sells of it is at work, and not under a fill: what is left is known then only.
    Returns whether it was ended. `known` as in `record_all`.
    """
    if not (order.intent.leg.reduces_risk and order.state.is_final):
        return False
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    symbol = order.intent.symbol
    held, instrument = _held(transaction, symbol, known), transaction.desk.instrument(symbol)
    if held is None or held.quantity < 0:
        return False
    if is_tradable(protected_quantity(held, instrument), price, instrument):
        return False
    if any(other.intent.symbol == symbol for other in orders.alive(connection, schema, account)):
        return False
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
    _close(transaction, written_off(held, order.intent.leg, transaction.at), None)
    return True


def _held(transaction: AccountTransaction, symbol: str, known: Mapping[str, Position | None]) -> Position | None:
    if symbol in known:
        return known[symbol]
    return positions.read(transaction.connection, transaction.schema, transaction.account, symbol)


def _book(
    transaction: AccountTransaction, order: Order, fill: Fill, before: Position | None, standing: Standing | None
) -> Position | None:
    """Book a new fill on the position that is open `before` it; the one that is open after it."""
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
    stop_loss, take_profit = _levels(transaction, order, standing) if before is None else (None, None)
    after, trade = apply_fill(before, part, order.intent, stop_loss=stop_loss, take_profit=take_profit)
    if after is not None:
        positions.write(transaction.connection, transaction.schema, after)
        _note_position(transaction, before, after)
    if trade is not None:
        _close(transaction, trade, standing)
    return after


def _levels(
    transaction: AccountTransaction, order: Order, standing: Standing | None
) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target that risk let through with the order's proposal."""
    if order.intent.leg is not Leg.ENTRY:
        return None, None
    known = standing.outcome if standing else None
    if known is not None and known.proposal_id == order.proposal_id:
        return known.stop_loss, known.take_profit
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


def _close(transaction: AccountTransaction, trade: ClosedTrade, standing: Standing | None) -> None:
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
    state = standing.risk if standing else risk_state.read(connection, schema, account)
    risk_state.write_losses(connection, schema, account, risk_after_trade(state, trade.profit, trade.initial_risk))
    states = standing.breakers if standing else breakers.read(connection, account)
    changes = breakers_after_trade(states, trade.profit, transaction.desk.limits, trade.closed_at, trade.opened_at)
    change_breakers(transaction, changes, "order path")
