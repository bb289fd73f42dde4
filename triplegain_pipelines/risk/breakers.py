"""R6: the circuit breakers as a state machine. What a state means for a proposal is the engine's; storing is not here.

A breaker goes CLOSED -> OPEN when its condition holds, OPEN -> HALF_OPEN when it has rested and the
condition no longer holds, HALF_OPEN -> CLOSED after trial trades that all won, and back to OPEN when one
lost. What a person opened only a person clears, and what a person cleared trips on new evidence only.
`Breaker.reason` is the code of the last change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.money import rounded
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, BreakerStates, PortfolioState, fall
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.settings.risk import RiskLimits

_Numbers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A breaker before and after, and why. A trial won in between changes only `trials_left`."""

    before: Breaker
    after: Breaker
    reason: Reason


def initial_breakers(at: datetime) -> dict[BreakerName, Breaker]:
    """Every breaker closed since `at`, when the account was opened."""
    return {
        name: Breaker(name, BreakerState.CLOSED, require_utc(at), ReasonCode.WITHIN_LIMITS.value)
        for name in BreakerName
    }


def evaluate_breakers(
    breakers: BreakerStates, portfolio: PortfolioState, window: Sequence[Decimal], limits: RiskLimits, at: datetime
) -> tuple[BreakerChange, ...]:
    """The changes that `portfolio` and the clock call for at `at`, at most one for each breaker.

    `window` holds the equity marks of the last `rapid_loss.window_minutes`, oldest first, the present one last.
    Evaluating again with the changes taken over changes nothing.
    """
    changes = []
    for breaker in breakers.values():
        numbers = _condition(breaker.name, portfolio, window, limits)
        if breaker.state is BreakerState.OPEN:
            if _rested(breaker, limits, at) and (numbers is None or breaker.name is BreakerName.CONSECUTIVE_LOSSES):
                changes.append(_to_trials(breaker, limits, at))
        elif numbers is not None and not _known(breaker, limits, at):
            changes.append(_changed(breaker, BreakerState.OPEN, at, Reason(ReasonCode.BREAKER_TRIPPED, numbers)))
    return tuple(changes)


def after_trade(
    breakers: BreakerStates, profit: Decimal, limits: RiskLimits, at: datetime, opened_at: datetime
) -> tuple[BreakerChange, ...]:
    """The changes to the breakers on trial when a trade opened at `opened_at` closes with `profit`, net of fees.

    A loss opens the breaker again, the last of the wins closes it; a trade that broke even proves nothing, and one
    opened before the trial began is no trial.
    """
    numbers = {"profit": format(profit, "f"), "trials": str(limits.breakers.half_open.trial_trades)}
    on_trial = [
        breaker
        for breaker in breakers.values()
        if breaker.state is BreakerState.HALF_OPEN and breaker.changed_at <= opened_at
    ]
    if profit < 0:
        lost = Reason(ReasonCode.BREAKER_TRIAL_LOST, numbers)
        return tuple(_changed(breaker, BreakerState.OPEN, at, lost) for breaker in on_trial)
    if profit > 0:
        return tuple(_trial_won(breaker, numbers, at) for breaker in on_trial)
    return ()


def opened_by_hand(breaker: Breaker, operator: str, why: str, at: datetime) -> BreakerChange:
    """`breaker` opened by a person: it stays open until a person clears it."""
    return _changed(breaker, BreakerState.OPEN, at, _operator(operator, why))


def cleared_by_hand(breaker: Breaker, operator: str, why: str, at: datetime) -> BreakerChange:
    """`breaker` closed by a person.

    For the drawdown and consecutive-losses breakers the risk state has to be let go too
    (`risk.state.unlocked`), because a lock or a row of losses that still stands trips them again.
    """
    return _changed(breaker, BreakerState.CLOSED, at, _operator(operator, why))


def _condition(
    name: BreakerName, portfolio: PortfolioState, window: Sequence[Decimal], limits: RiskLimits
) -> _Numbers | None:
    """The numbers that would trip the breaker, or None where its condition does not hold."""
    match name:
        case BreakerName.RAPID_LOSS:
            rule = limits.breakers.rapid_loss
            loss = fall(max(window), window[-1]) if window else Decimal(0)
            holds, value, limit = loss > rule.threshold, loss, rule.threshold
        case BreakerName.CONSECUTIVE_LOSSES:
            losses, allowed = portfolio.losses_in_a_row, limits.breakers.consecutive_losses.threshold
            holds, value, limit = losses > allowed, Decimal(losses), Decimal(allowed)
        case BreakerName.DAILY_LOSS:
            value, limit = portfolio.daily_loss, limits.daily_loss.halt
            holds = value >= limit
        case BreakerName.DRAWDOWN:
            value, limit = portfolio.drawdown, limits.drawdown_ladder.lock
            holds = ladder_step(value, portfolio.drawdown_locked, limits.drawdown_ladder) is LadderStep.LOCKED
    return {"value": format(rounded(value, 6), "f"), "limit": format(limit, "f")} if holds else None


def _rested(breaker: Breaker, limits: RiskLimits, at: datetime) -> bool:
    """Whether an open breaker may go on trial, as far as the clock is concerned."""
    if _by_hand(breaker):
        return False
    match breaker.name:
        case BreakerName.RAPID_LOSS:
            return at - breaker.changed_at >= timedelta(minutes=limits.breakers.rapid_loss.cool_down_minutes)
        case BreakerName.CONSECUTIVE_LOSSES:
            return at - breaker.changed_at >= timedelta(minutes=limits.breakers.consecutive_losses.cool_down_minutes)
        case BreakerName.DAILY_LOSS:
            return require_utc(at).date() > breaker.changed_at.date()
        case BreakerName.DRAWDOWN:
            return False


def _known(breaker: Breaker, limits: RiskLimits, at: datetime) -> bool:
    """Whether the condition rests on what this breaker has already answered, so that it must not trip on it again."""
    if breaker.name is BreakerName.CONSECUTIVE_LOSSES:
        return breaker.state is BreakerState.HALF_OPEN  # judged by its trial trades only
    if not _by_hand(breaker):
        return False
    if breaker.name is BreakerName.RAPID_LOSS:
        return at - breaker.changed_at < timedelta(minutes=limits.breakers.rapid_loss.window_minutes)
    # The engine's own rule still refuses new risk on such a day.
    return breaker.name is BreakerName.DAILY_LOSS and require_utc(at).date() == breaker.changed_at.date()


def _by_hand(breaker: Breaker) -> bool:
    return breaker.reason == ReasonCode.BREAKER_OPERATOR.value


def _to_trials(breaker: Breaker, limits: RiskLimits, at: datetime) -> BreakerChange:
    trials = limits.breakers.half_open.trial_trades
    reason = Reason(ReasonCode.BREAKER_COOLED_DOWN, {"trials": str(trials)})
    return _changed(breaker, BreakerState.HALF_OPEN, at, reason, trials)


def _trial_won(breaker: Breaker, numbers: _Numbers, at: datetime) -> BreakerChange:
    left = breaker.trials_left - 1
    state = BreakerState.HALF_OPEN if left > 0 else BreakerState.CLOSED
    reason = Reason(ReasonCode.BREAKER_TRIALS_PASSED, {**numbers, "trials_left": str(max(left, 0))})
    change = _changed(breaker, state, at, reason, max(left, 0))
    if state is BreakerState.CLOSED:
        return change
    # The trial goes on from when it began: by that moment later trades are known as trials.
    return replace(change, after=replace(change.after, changed_at=breaker.changed_at))


def _operator(operator: str, why: str) -> Reason:
    return Reason(ReasonCode.BREAKER_OPERATOR, {"operator": operator, "why": why})


def _changed(
    breaker: Breaker, state: BreakerState, at: datetime, reason: Reason, trials_left: int = 0
) -> BreakerChange:
    after = replace(breaker, state=state, changed_at=require_utc(at), reason=reason.code.value, trials_left=trials_left)
    return BreakerChange(breaker, after, reason)
