"""Stops and targets that rest at the venue: as much of them as there is position, and none without one.

`protect` compares what rests with what is held and mends the difference, so it can be called at any time. Where a stop
cannot be placed the position is closed at the market at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.orders import Intent, Leg, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.sending import cancel, request_cancel, send
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order

_TYPES = {Leg.STOP: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.TAKE_PROFIT}


@dataclass(frozen=True, slots=True)
class ProtectionPlan:
    """What has to be cancelled and what has to be placed; both empty where all is well."""

    cancel: tuple[Order, ...] = ()
    place: tuple[Intent, ...] = ()


@dataclass(frozen=True, slots=True)
class Mending:
    """What was written down to be asked of the venue. `holds` says whether there is a position."""

    cancel: tuple[Order, ...]
    place: tuple[Intent, ...]
    holds: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be asked."""
        return not (self.cancel or self.place)


def plan_protection(position: Position | None, working: Sequence[Order], made: Sequence[Order]) -> ProtectionPlan:
    """Compare the position with the orders that work in its symbol.

    A leg that is missing in a pair is placed again; what no stop or exit covers gets a pair of its own. Orders that
    could turn the position round are cancelled.

    Args:
        position: the open position of the symbol, or None.
        working: unfinished orders in the symbol.
        made: every order of the position's decision, for the numbers of attempts.
    """
    reducing = [order for order in working if order.intent.leg.reduces_risk]
    if position is None:
        # The rest of an entry whose first part was closed already would open the position again.
        rests = [order for order in working if order.intent.leg is Leg.ENTRY and order.filled_quantity]
        return ProtectionPlan(cancel=(*reducing, *rests))
    mended = [*_mended_pairs(position, reducing, made)]
    covered = sum((order.open_quantity for order in reducing if order.intent.leg is not Leg.TAKE_PROFIT), Decimal(0))
    covered += sum((intent.quantity for intent in mended if intent.leg is Leg.STOP), Decimal(0))
    uncovered = abs(position.quantity) - covered
    if uncovered < 0:
        return ProtectionPlan(cancel=tuple(order for order in reducing if order.intent.leg is not Leg.EXIT))
    if uncovered > 0:
        mended += _new_pair(position, uncovered, made, len(mended))
    return ProtectionPlan(place=tuple(mended))


def protect(desk: Desk, token: int, symbol: str) -> None:
    """Bring the resting orders in `symbol` in line with the position."""
    with account_transaction(desk, token) as transaction:
        mending = prepare(transaction, symbol)
    carry_out(desk, token, symbol, mending)


def prepare(transaction: AccountTransaction, symbol: str) -> Mending:
    """Plan the protection of `symbol` and write down what is going to be asked of the venue."""
    plan, entry = _plan(transaction, symbol)
    pending = request_cancel(transaction, plan.cancel, ReasonCode.POSITION_CLOSED)
    place = plan.place if entry is not None else ()
    if place and entry is not None:
        intend(transaction, place, entry.proposal_id)
    return Mending(tuple(pending), place, holds=entry is not None)


def carry_out(desk: Desk, token: int, symbol: str, mending: Mending) -> None:
    """Ask the venue for what `prepare` wrote down, after its transaction is committed."""
    if mending.cancel:
        cancel(desk, token, mending.cancel, ReasonCode.POSITION_CLOSED)
        if not mending.holds:
            return
        # What was too much is cancelled now; what is left may be too little.
        with account_transaction(desk, token) as transaction:
            mending = prepare(transaction, symbol)
    if mending.place:
        refused = send(desk, token, mending.place)
        if any(intent.leg is Leg.STOP for intent in refused):
            _leave(desk, token, symbol)


def intend(transaction: AccountTransaction, intents: Sequence[Intent], proposal_id: UUID) -> None:
    """Write intents that are sent as soon as the transaction is committed."""
    orders.insert(
        transaction.connection,
        transaction.schema,
        intents,
        proposal_id=proposal_id,
        token=transaction.token,
        at=transaction.at,
        submitted_at=transaction.at,
    )
    for intent in intents:
        note_intent(transaction, intent)


def note_intent(transaction: AccountTransaction, intent: Intent) -> None:
    """Tell the trail of an intent."""
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
    )


def _plan(transaction: AccountTransaction, symbol: str) -> tuple[ProtectionPlan, Order | None]:
    """The plan, and the order that entered the open position."""
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    position = positions.read(connection, schema, account, symbol)
    working = [order for order in orders.alive(connection, schema, account) if order.intent.symbol == symbol]
    if position is None and not working:
        return ProtectionPlan(), None
    made = [] if position is None else orders.of_decision(connection, schema, account, position.decision_id)
    entry = next((order for order in made if order.intent.leg is Leg.ENTRY), None)
    return plan_protection(position, working, made), entry


def _mended_pairs(position: Position, reducing: Sequence[Order], made: Sequence[Order]) -> list[Intent]:
    pairs: dict[UUID, dict[Leg, Order]] = defaultdict(dict)
    for order in reducing:
        if order.intent.one_cancels_other is not None:
            pairs[order.intent.one_cancels_other][order.intent.leg] = order
    mended: list[Intent] = []
    for group, legs in pairs.items():
        for leg, level in _levels(position).items():
            if leg not in legs:
                quantity = next(iter(legs.values())).open_quantity
                already = len([intent for intent in mended if intent.leg is leg])
                mended.append(_leg(position, leg, level, quantity, group, _next_attempt(made, leg) + already))
    return mended


def _new_pair(position: Position, quantity: Decimal, made: Sequence[Order], offset: int) -> list[Intent]:
    attempts = {leg: _next_attempt(made, leg) + offset for leg in _TYPES}
    group = deterministic_id("pair", position.account, position.decision_id, attempts[Leg.STOP])
    return [_leg(position, leg, level, quantity, group, attempts[leg]) for leg, level in _levels(position).items()]


def _levels(position: Position) -> dict[Leg, Decimal]:
    levels = {Leg.STOP: position.stop_loss, Leg.TAKE_PROFIT: position.take_profit}
    return {leg: level for leg, level in levels.items() if level is not None}


def _leg(position: Position, leg: Leg, level: Decimal, quantity: Decimal, group: UUID, attempt: int) -> Intent:
    return Intent(
        account=position.account,
        decision_id=position.decision_id,
        symbol=position.symbol,
        leg=leg,
        attempt=attempt,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        order_type=_TYPES[leg],
        quantity=quantity,
        decided_price=level,
        trigger_price=level,
        one_cancels_other=group,
    )


def _next_attempt(made: Sequence[Order], leg: Leg) -> int:
    return max((order.intent.attempt for order in made if order.intent.leg is leg), default=0) + 1


def _leave(desk: Desk, token: int, symbol: str) -> None:
    """Close the position at the market: the venue refused a stop for it."""
    with account_transaction(desk, token) as transaction:
        connection, account = transaction.connection, transaction.account
        position = positions.read(connection, desk.schema, account, symbol)
        if position is None:
            return
        transaction.note(
            EventKind.PROTECTION_FAILED,
            decision_id=position.decision_id,
            symbol=symbol,
            quantity=position.quantity,
            stop_loss=position.stop_loss,
        )
        working = [order for order in orders.alive(connection, desk.schema, account) if order.intent.symbol == symbol]
        pending = request_cancel(transaction, working, ReasonCode.POSITION_CLOSED)
    cancel(desk, token, pending, ReasonCode.POSITION_CLOSED)
    _exit_now(desk, token, symbol)


def _exit_now(desk: Desk, token: int, symbol: str) -> None:
    with account_transaction(desk, token) as transaction:
        connection, account = transaction.connection, transaction.account
        position = positions.read(connection, desk.schema, account, symbol)
        if position is None:
            return
        made = orders.of_decision(connection, desk.schema, account, position.decision_id)
        intent = Intent(
            account=account,
            decision_id=position.decision_id,
            symbol=symbol,
            leg=Leg.EXIT,
            attempt=_next_attempt(made, Leg.EXIT),
            side=Side.SELL if position.quantity > 0 else Side.BUY,
            order_type=OrderType.MARKET,
            quantity=abs(position.quantity),
            decided_price=_price(desk, position),
        )
        intend(transaction, [intent], made[0].proposal_id)
    send(desk, token, [intent])


def _price(desk: Desk, position: Position) -> Decimal:
    try:
        return desk.prices.quote(position.symbol, desk.clock.now()).price
    except UnavailableError:
        return position.average_entry  # a market order needs no price of ours
