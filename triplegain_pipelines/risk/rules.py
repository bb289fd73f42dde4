"""The rules of the risk engine. How their findings become a verdict is `risk.engine`, what they look at is `risk.case`.

A rule is a function of the case that finds nothing, notes, lowers (with a cap on the quantity) or refuses.
No rule knows of another.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.money import rounded, rounded_down
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, fall
from triplegain_pipelines.risk.case import LADDER_HALF, ONE, ZERO, Case
from triplegain_pipelines.risk.ladder import LadderStep

_BREAKERS = len(BreakerName)


class Finding(NamedTuple):
    """What a rule has to say: a reason, whether it refuses, and the largest quantity it allows if it lowers."""

    reason: Reason
    refuses: bool = False
    cap: Decimal | None = None


Rule = Callable[[Case], Finding | None]


def refusal(code: ReasonCode, **numbers: str) -> Finding:
    """A finding that refuses, with the numbers that led to it."""
    return Finding(Reason(code, numbers), refuses=True)


def _note(code: ReasonCode, **numbers: str) -> Finding:
    return Finding(Reason(code, numbers))


def _fitted(case: Case, code: ReasonCode, room: Decimal, unit: Decimal, limit: Decimal) -> Finding | None:
    """A finding that lowers the quantity, on the venue's grid, to what `room` pays for at `unit` a piece."""
    if case.wanted is None or case.wanted * unit <= room:
        return None
    return _lowered(case, code, rounded_down(max(ZERO, room) / unit, case.instrument.quantity_step), limit)


def _lowered(case: Case, code: ReasonCode, cap: Decimal, limit: Decimal) -> Finding:
    return Finding(Reason(code, {"from": _text(case.wanted or ZERO), "to": _text(cap), "limit": _text(limit)}), cap=cap)


def _text(value: Decimal) -> str:
    return format(value, "f")


def _share_text(value: Decimal) -> str:
    return format(rounded(value, 6), "f")


# The rules. Whether a proposal may be traded at all: ------------------------------------------


def _equity_positive(case: Case) -> Finding | None:
    return refusal(ReasonCode.EQUITY_NOT_POSITIVE, equity=_text(case.equity)) if case.equity <= 0 else None


def _resolved(case: Case) -> Finding | None:
    symbol = case.proposal.symbol
    return refusal(ReasonCode.UNRESOLVED_ORDER, symbol=symbol) if symbol in case.portfolio.unresolved_symbols else None


def _short_selling(case: Case) -> Finding | None:
    if case.proposal.direction is Direction.SHORT and not case.limits.short_selling:
        return refusal(ReasonCode.SHORT_SELLING_DISABLED, symbol=case.proposal.symbol)
    return None


def _flat(case: Case) -> Finding | None:
    """A position in the symbol is never added to: averaging down where it is losing."""
    held = case.held
    if held is None:
        return None
    along = held.quantity * case.proposal.direction.sign > 0
    losing = (held.mark_price - held.average_entry) * held.quantity < 0
    code = ReasonCode.AVERAGING_DOWN if along and losing else ReasonCode.ALREADY_POSITIONED
    return refusal(code, quantity=_text(held.quantity), average_entry=_text(held.average_entry))


def _confidence(case: Case) -> Finding | None:
    asked, minimum = case.proposal.confidence, case.regime.minimum_confidence
    if asked >= minimum:  # false for NaN, too
        return None
    return refusal(ReasonCode.CONFIDENCE_BELOW_MINIMUM, confidence=f"{asked:.6g}", limit=f"{minimum:.6g}")


def _stop(case: Case) -> Finding | None:
    if case.stop_distance is not None:
        return None
    return refusal(
        ReasonCode.STOP_LOSS_MISSING, stop_loss=str(case.proposal.stop_loss), entry=_text(case.proposal.entry_price)
    )


def _target(case: Case) -> Finding | None:
    """R2: the target lies on the winning side, far enough away for the stop's distance. Fees are not counted."""
    proposal, target = case.proposal, case.proposal.take_profit
    reward = None
    if target is not None and target.is_finite() and target > 0:
        reward = (target - proposal.entry_price) * proposal.direction.sign
    if reward is None or reward <= 0:
        return refusal(ReasonCode.TAKE_PROFIT_MISPLACED, take_profit=str(target), entry=_text(proposal.entry_price))
    limit = case.limits.minimum_reward_to_risk
    if case.stop_distance is None or reward >= limit * case.stop_distance:
        return None
    ratio = _share_text(reward / case.stop_distance)
    return refusal(ReasonCode.REWARD_TO_RISK_TOO_LOW, reward_to_risk=ratio, limit=_text(limit))


def _daily_loss(case: Case) -> Finding | None:
    loss, rule = fall(case.portfolio.day_start_equity, case.equity), case.limits.daily_loss
    if loss >= rule.halt:
        return refusal(ReasonCode.DAILY_LOSS_HALTED, daily_loss=_share_text(loss), limit=_text(rule.halt))
    if loss >= rule.warn:
        return _note(ReasonCode.DAILY_LOSS_WARNING, daily_loss=_share_text(loss), limit=_text(rule.warn))
    return None


def _drawdown(case: Case) -> Finding | None:
    if case.step is LadderStep.NORMAL:
        return None
    ladder, drawdown = case.limits.drawdown_ladder, _share_text(case.drawdown)
    if case.step is LadderStep.HALF_SIZE:
        limit = _text(ladder.half_size)
        return _note(ReasonCode.DRAWDOWN_HALF_SIZE, drawdown=drawdown, limit=limit, factor=_text(LADDER_HALF))
    if case.step is LadderStep.PAUSED:
        return refusal(ReasonCode.DRAWDOWN_PAUSED, drawdown=drawdown, limit=_text(ladder.pause))
    return refusal(ReasonCode.DRAWDOWN_LOCKED, drawdown=drawdown, limit=_text(ladder.lock))


def _breakers_known(case: Case) -> Finding | None:
    if len(case.breakers) == _BREAKERS:
        return None
    missing = sorted(set(BreakerName) - set(case.breakers))
    return refusal(ReasonCode.BREAKER_MISSING, breakers=", ".join(missing))


def _breakers_closed(case: Case) -> Finding | None:
    opened = _in_state(case, BreakerState.OPEN) if case.unclosed else None
    return refusal(ReasonCode.BREAKER_OPEN, breakers=opened) if opened else None


def _losing_row(case: Case) -> Finding | None:
    """A row of losses that no mark has shown to its breaker yet: two decisions of one minute lie between two marks."""
    breaker = case.breakers.get(BreakerName.CONSECUTIVE_LOSSES)
    losses, allowed = case.portfolio.losses_in_a_row, case.limits.breakers.consecutive_losses.threshold
    if breaker is None or breaker.state is not BreakerState.CLOSED or losses <= allowed:
        return None
    return refusal(ReasonCode.BREAKER_OPEN, breakers=f"{breaker.name}, due now", losses=str(losses), limit=str(allowed))


def _breakers_on_trial(case: Case) -> Finding | None:
    if not case.on_trial:
        return None
    factor = _text(case.limits.breakers.half_open.size_factor)
    return _note(ReasonCode.BREAKER_HALF_OPEN, breakers=_in_state(case, BreakerState.HALF_OPEN), factor=factor)


def _in_state(case: Case, state: BreakerState) -> str:
    return ", ".join(sorted(breaker.name for breaker in case.unclosed if breaker.state is state))


# How much of it may be traded: ----------------------------------------------------------------


def _leverage(case: Case) -> Finding | None:
    asked = case.proposal.leverage
    if asked == case.leverage:
        return None
    leverage = _text(case.leverage)
    return _note(ReasonCode.LEVERAGE_REDUCED, **{"from": _text(asked), "to": leverage, "limit": leverage})


def _disagreement(case: Case) -> Finding | None:
    factor = case.proposal.size_factor
    return _note(ReasonCode.DISAGREEMENT_REDUCED, factor=_text(factor)) if factor < 1 else None


def _risk_per_trade(case: Case) -> Finding | None:
    if case.stop_distance is None:
        return None
    limit = case.limits.risk_per_trade
    return _fitted(case, ReasonCode.RISK_PER_TRADE_REDUCED, case.budget, case.stop_distance, limit)


def _martingale(case: Case) -> Finding | None:
    """A quantity that somebody asks for after a loss may not risk more than the lost trade did."""
    risk, proposal = case.portfolio.last_loss_risk, case.proposal
    if risk is None or case.stop_distance is None or proposal.quantity is None or proposal.engine_sized:
        return None
    return _fitted(case, ReasonCode.MARTINGALE, risk, case.stop_distance, risk)


def _symbol_exposure(case: Case) -> Finding | None:
    taken = ZERO if case.held is None else abs(case.held.value)
    return _exposure(case, ReasonCode.SYMBOL_EXPOSURE_REDUCED, taken, case.limits.exposure_per_asset)


def _total_exposure(case: Case) -> Finding | None:
    return _exposure(case, ReasonCode.TOTAL_EXPOSURE_REDUCED, case.exposure, case.limits.total_exposure)


def _exposure(case: Case, code: ReasonCode, taken: Decimal, limit: Decimal) -> Finding | None:
    room = limit * case.equity - taken
    if room <= 0:
        return refusal(ReasonCode.NO_EXPOSURE_LEFT, taken=_text(taken), limit=_text(limit * case.equity))
    return _fitted(case, code, case.share * room, case.proposal.entry_price, limit)


def _free_cash(case: Case) -> Finding | None:
    """Cash pays the margin, which is the whole notional without leverage, and the fee."""
    leverage = max(ONE, case.leverage)
    unit = case.proposal.entry_price * (ONE + case.fee_rate * leverage)
    return _fitted(case, ReasonCode.FREE_CASH_REDUCED, case.share * case.free_cash * leverage, unit, case.free_cash)


def _on_grid(case: Case) -> Finding | None:
    asked, step = case.proposal.quantity, case.instrument.quantity_step
    if asked is None or not asked % step:
        return None
    return _lowered(case, ReasonCode.QUANTITY_ROUNDED, rounded_down(asked, step), step)


def _minimum(case: Case) -> Finding | None:
    """The venue's minimums: for what was asked in the first pass, for what is left of it in the second."""
    if case.wanted is None:
        return None
    instrument, cost = case.instrument, case.wanted * case.proposal.entry_price
    if case.wanted >= instrument.minimum_quantity and cost >= instrument.minimum_cost and case.wanted > 0:
        return None
    return refusal(
        ReasonCode.BELOW_MINIMUM_ORDER,
        quantity=_text(case.wanted),
        minimum_quantity=_text(instrument.minimum_quantity),
        cost=_share_text(cost),
        minimum_cost=_text(instrument.minimum_cost),
    )


QUANTITY_RULES: tuple[Rule, ...] = (
    _risk_per_trade,
    _martingale,
    _symbol_exposure,
    _total_exposure,
    _free_cash,
    _on_grid,
    _minimum,
)
RULES: tuple[Rule, ...] = (
    _equity_positive,
    _resolved,
    _short_selling,
    _flat,
    _confidence,
    _stop,
    _target,
    _daily_loss,
    _drawdown,
    _breakers_known,
    _breakers_closed,
    _losing_row,
    _breakers_on_trial,
    _leverage,
    _disagreement,
    *QUANTITY_RULES,
)
