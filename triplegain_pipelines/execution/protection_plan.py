"""What has to rest at the venue for a position, compared with what does: pure functions of both.

Where the venue holds pairs (paper) stop and target rest together, and what no stop covers gets a pair of its own.
Elsewhere stops rest, together for all of the position, and nothing beside them, because on spot a resting order holds
what it would sell; the target, and the stop where it cannot rest, are held by the guardian. What a position grows by
gets a stop of its own, so that no resting one has to go for it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.intents import next_attempt
from triplegain_pipelines.execution.levels import is_short, is_tradable, protected_quantity, safe_trigger
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

_TYPES = {Leg.STOP: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.TAKE_PROFIT}
_CANCELLABLE = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.PENDING_CANCEL})
_ASK_AGAIN_AFTER = timedelta(minutes=5)  # a refused stop is asked for again in case the venue has changed its mind


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan depends on besides the orders: what the venue can do, its grid, and the present moment."""

    traits: VenueTraits
    instrument: Instrument
    at: datetime


@dataclass(frozen=True, slots=True)
class ProtectionPlan:
    """What has to be cancelled and what has to be placed; both empty where all is well.

    `held` says why no stop rests at the venue for all of the position, so that the guardian holds it; None where one
    does, or will once this plan is carried out.
    """

    cancel: tuple[Order, ...] = ()
    place: tuple[Intent, ...] = ()
    held: ReasonCode | None = None


def plan_protection(
    position: Position | None, working: Sequence[Order], made: Sequence[Order], rules: Rules
) -> ProtectionPlan:
    """Compare the position with the orders that work in its symbol.

    Args:
        position: the open position of the symbol, or None.
        working: unfinished orders in the symbol.
        made: every order of the position's decision, for the numbers of attempts and what was refused.
        rules: the venue's, and the present moment.
    """
    reducing = [order for order in working if order.intent.leg.reduces_risk]
    if position is None:
        # The rest of an entry whose first part was closed already would open the position again.
        rests = [order for order in working if order.intent.leg is Leg.ENTRY and order.filled_quantity]
        return ProtectionPlan(cancel=(*reducing, *rests))
    if rules.traits.holds_pairs:
        return _plan_pairs(position, reducing, made, rules)
    return _plan_stops(position, reducing, made, rules)


def _plan_stops(position: Position, reducing: Sequence[Order], made: Sequence[Order], rules: Rules) -> ProtectionPlan:
    stops = [order for order in reducing if order.intent.leg is Leg.STOP]
    others = [order for order in reducing if order.intent.leg is Leg.TAKE_PROFIT]
    if position.stop_loss is None or any(order.intent.leg is Leg.EXIT for order in reducing):
        # An exit that works reduces the position, and nothing may do so beside it.
        return ProtectionPlan(cancel=tuple(order for order in (*stops, *others) if order.state in _CANCELLABLE))
    if any(order.is_unresolved for order in (*stops, *others)):
        again = tuple(order for order in (*stops, *others) if order.state is OrderState.PENDING_CANCEL)
        return ProtectionPlan(cancel=again, held=ReasonCode.UNRESOLVED_ORDER)
    wanted = protected_quantity(position, rules.instrument)
    trigger = safe_trigger(position, position.stop_loss, rules.instrument)
    kept, covered = _kept(stops, wanted, trigger)
    lacks = is_short(covered, wanted, rules.instrument)
    wrong = tuple(order for order in (*stops, *others) if order not in kept)
    if wrong or (kept and not lacks):
        return ProtectionPlan(cancel=wrong, held=ReasonCode.STOP_REPLACED if lacks else None)
    missing = rounded_down(wanted - covered, rules.instrument.quantity_step)
    if kept and not is_tradable(missing, trigger, rules.instrument):
        return ProtectionPlan(cancel=tuple(kept), held=ReasonCode.STOP_REPLACED)  # too little for a stop of its own
    return _new_stop(position, missing, trigger, made, rules)


def _new_stop(
    position: Position, wanted: Decimal, trigger: Decimal, made: Sequence[Order], rules: Rules
) -> ProtectionPlan:
    if not is_tradable(wanted, trigger, rules.instrument):
        return ProtectionPlan()  # dust: no order of it is possible, neither ours nor the guardian's
    if not rules.traits.holds_stops:
        return ProtectionPlan(held=ReasonCode.STOP_HELD)
    if _refused_lately(made, wanted, trigger, rules.at):
        return ProtectionPlan(held=ReasonCode.VENUE_REJECTED)
    return ProtectionPlan(place=(_leg(position, Leg.STOP, trigger, wanted, next_attempt(made, Leg.STOP)),))


def _kept(stops: Sequence[Order], wanted: Decimal, trigger: Decimal) -> tuple[list[Order], Decimal]:
    """The stops at the level that together sell no more than there is, the first ones first; and how much they sell."""
    kept: list[Order] = []
    covered = Decimal(0)
    for order in stops:
        if order.intent.trigger_price == trigger and covered + order.open_quantity <= wanted:
            kept.append(order)
            covered += order.open_quantity
    return kept, covered


def _refused_lately(made: Sequence[Order], quantity: Decimal, trigger: Decimal, at: datetime) -> bool:
    """Whether the venue has refused this very stop a moment ago: asked again at once, it would refuse it again."""
    stops = [order for order in made if order.intent.leg is Leg.STOP]
    newest = max(stops, key=lambda order: order.intent.attempt, default=None)
    if newest is None or newest.state is not OrderState.REJECTED or newest.submitted_at is None:
        return False
    same = (newest.intent.quantity, newest.intent.trigger_price) == (quantity, trigger)
    return same and at - newest.submitted_at < _ASK_AGAIN_AFTER


def _plan_pairs(position: Position, reducing: Sequence[Order], made: Sequence[Order], rules: Rules) -> ProtectionPlan:
    """Stop and target together, and a pair of its own for what no stop or exit covers."""
    mended = [*_mended_pairs(position, reducing, made)]
    covered = sum((order.open_quantity for order in reducing if order.intent.leg is not Leg.TAKE_PROFIT), Decimal(0))
    covered += sum((intent.quantity for intent in mended if intent.leg is Leg.STOP), Decimal(0))
    if abs(position.quantity) < covered:
        return ProtectionPlan(cancel=tuple(order for order in reducing if order.intent.leg is not Leg.EXIT))
    uncovered = rounded_down(abs(position.quantity) - covered, rules.instrument.quantity_step)
    if uncovered > 0:
        mended += _new_pair(position, uncovered, made, len(mended))
    return ProtectionPlan(place=tuple(mended))


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
                mended.append(_leg(position, leg, level, quantity, next_attempt(made, leg) + already, group))
    return mended


def _new_pair(position: Position, quantity: Decimal, made: Sequence[Order], offset: int) -> list[Intent]:
    attempts = {leg: next_attempt(made, leg) + offset for leg in _TYPES}
    group = deterministic_id("pair", position.account, position.decision_id, attempts[Leg.STOP])
    return [_leg(position, leg, level, quantity, attempts[leg], group) for leg, level in _levels(position).items()]


def _levels(position: Position) -> dict[Leg, Decimal]:
    levels = {Leg.STOP: position.stop_loss, Leg.TAKE_PROFIT: position.take_profit}
    return {leg: level for leg, level in levels.items() if level is not None}


def _leg(
    position: Position, leg: Leg, level: Decimal, quantity: Decimal, attempt: int, group: UUID | None = None
) -> Intent:
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
