"""From a decision to a proposal: direction, stop and target. Whether and how much of it is traded is risk's."""

import math
from decimal import Decimal

from triplegain_pipelines.domain.decisions import Action, Decision, Direction
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import exact_price
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Holding, Proposal, ProposalKind
from triplegain_pipelines.risk.sizing import protective_levels
from triplegain_pipelines.settings.risk import RiskLimits

_DIRECTIONS = {Action.BUY: Direction.LONG, Action.SELL: Direction.SHORT}


def propose(
    decision: Decision, holding: Holding | None, entry_price: Decimal, limits: RiskLimits, price_step: Decimal
) -> Proposal | Reason:
    """What `decision` asks for, given what is held of its symbol; a reason where it asks for nothing.

    A flat account opens in the decision's direction; a position against it is closed and not turned
    round; one along it stays as it is. Without an ATR the proposal has no stop, and risk refuses it.
    A rebalancing makes the position larger or smaller, whichever it decided, up to its target quantity.
    """
    if decision.target_quantity is not None:
        return _towards(decision, decision.target_quantity, holding, entry_price, limits, price_step)
    if decision.action is Action.HOLD:
        return Reason(decision.reason_code)
    wanted = _DIRECTIONS.get(decision.action)
    if holding is None:
        if wanted is None:
            return Reason(ReasonCode.NOTHING_TO_CLOSE, {"symbol": decision.symbol})
        levels = _levels(decision, wanted, entry_price, limits, price_step)
        return _proposal(decision, ProposalKind.OPEN, wanted, entry_price, levels)
    held = Direction.LONG if holding.quantity > 0 else Direction.SHORT
    if wanted is held:
        return Reason(ReasonCode.ALREADY_POSITIONED, {"quantity": format(holding.quantity, "f")})
    return _proposal(decision, ProposalKind.CLOSE, held, entry_price, (None, None))


def _towards(
    decision: Decision,
    target: Decimal,
    holding: Holding | None,
    entry_price: Decimal,
    limits: RiskLimits,
    price_step: Decimal,
) -> Proposal | Reason:
    """What brings the position to `target`, in the direction that was decided and in no other.

    So what happened since it was planned, such as a stop that was reached, never turns a sale into a purchase. What is
    added is stopped and ends where the position does.
    """
    buys = decision.action is Action.BUY
    if holding is None:
        if not buys:
            return Reason(ReasonCode.NOTHING_TO_CLOSE, {"symbol": decision.symbol})
        levels = _levels(decision, Direction.LONG, entry_price, limits, price_step)
        return _proposal(decision, ProposalKind.OPEN, Direction.LONG, entry_price, levels, target)
    held = holding.quantity
    if held < 0:
        return Reason(ReasonCode.SHORT_KEPT, {"quantity": format(held, "f")})
    if (buys and held >= target) or (not buys and held <= target):
        return Reason(ReasonCode.WEIGHT_REACHED, {"quantity": format(held, "f"), "target": format(target, "f")})
    if buys:
        levels = holding.stop_loss, holding.take_profit
        return _proposal(decision, ProposalKind.INCREASE, Direction.LONG, entry_price, levels, target - held)
    kind, quantity = (ProposalKind.REDUCE, held - target) if target else (ProposalKind.CLOSE, None)
    return _proposal(decision, kind, Direction.LONG, entry_price, (None, None), quantity)


def _levels(
    decision: Decision, direction: Direction, entry_price: Decimal, limits: RiskLimits, price_step: Decimal
) -> tuple[Decimal | None, Decimal | None]:
    atr = decision.atr
    if atr is None or not math.isfinite(atr) or atr <= 0:
        return None, None
    return protective_levels(direction, entry_price, exact_price(atr), limits.sizing, price_step)


def _proposal(
    decision: Decision,
    kind: ProposalKind,
    direction: Direction,
    entry_price: Decimal,
    levels: tuple[Decimal | None, Decimal | None],
    quantity: Decimal | None = None,
) -> Proposal:
    stop_loss, take_profit = levels
    return Proposal(
        proposal_id=deterministic_id("proposal", decision.decision_id, kind),
        decision_id=decision.decision_id,
        account=decision.account,
        symbol=decision.symbol,
        kind=kind,
        direction=direction,
        quantity=quantity,
        entry_price=entry_price,
        stop_loss=stop_loss,
        take_profit=take_profit,
        leverage=decision.leverage,
        # A rebalancing forecasts nothing, so there is no confidence that could be large enough.
        confidence=decision.confidence if decision.target_quantity is None else None,
        regime=decision.regime,
        size_factor=decision.size_factor,
    )
