"""R6: the circuit breakers as a state machine. What a state means for a proposal is the engine's; storing is not here.

A breaker goes CLOSED -> OPEN when its condition holds, OPEN -> HALF_OPEN when it has rested and the
condition is known not to hold any more, HALF_OPEN -> CLOSED after trial trades that all won, and back to OPEN
when one lost. What a person opened only a person clears, and what a person cleared trips on new evidence only.
`Breaker.reason` is the code of the last change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, BreakerStates, PortfolioState, fall
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.settings.risk import RiskLimits

_Numbers = Mapping[str, Decimal | float | str]
_DAY = timedelta(days=1)
_SAFE_MODE = frozenset({BreakerName.DRAWDOWN, BreakerName.CONSECUTIVE_LOSSES})


@dataclass(frozen=True, slots=True)
class BreakerEvidence:
    """All that the breakers look at, at one moment.

    Attributes:
        portfolio: the account, marked to market.
        window: equity marks of the last `rapid_loss.window_minutes`, oldest first, the present one last.
        strategies: by strategy, how many of its forecasts settled within `all_strategies_losing.window_hours`, and what
            they returned on average, as a fraction.
        percentile: of the volatility of the symbols held or traded, the highest, 0 to 1; None where it is not known.
        data_age: since the newest candle or price of any symbol; None where the market is made when it is asked for.
        crossed: symbols whose book was crossed a moment ago.
        errors: orders that failed within `anomaly.window_minutes`.
    """

    portfolio: PortfolioState
    window: Sequence[Decimal]
    strategies: Mapping[str, tuple[int, float]]
    percentile: float | None
    data_age: timedelta | None
    crossed: tuple[str, ...]
    errors: int


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
    breakers: BreakerStates, evidence: BreakerEvidence, limits: RiskLimits, at: datetime
) -> tuple[BreakerChange, ...]:
    """The changes that `evidence` and the clock call for at `at`, at most one for each breaker.

    Evaluating again with the changes taken over changes nothing.
    """
    changes = []
    for name, breaker in breakers.items():
        numbers = _CONDITIONS[name](evidence, limits)
        if breaker.state is BreakerState.OPEN:
            if _is_clean(name, numbers, evidence) and _rested(breaker, limits, at):
                changes.append(_to_trials(breaker, limits, at))
        elif numbers is not None and not _known(breaker, limits, at):
            tripped = Reason(ReasonCode.BREAKER_TRIPPED, {key: _plain(value) for key, value in numbers.items()})
            changes.append(_changed(breaker, BreakerState.OPEN, at, tripped))
    return tuple(changes)


def counted_from(breaker: Breaker | None, window: timedelta, at: datetime) -> datetime:
    """From when on failed orders and settled forecasts count at `at`: for `window`, but not from before a clearing."""
    start = at - window
    if breaker is None or breaker.state is BreakerState.OPEN or not _by_hand(breaker):
        return start
    return max(start, breaker.changed_at)


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


def cleared_by_hand(breaker: Breaker, operator: str, why: str, limits: RiskLimits, at: datetime) -> BreakerChange:
    """`breaker` cleared by a person: closed, or on trial where it had locked the account (R8, safe mode).

    For the drawdown and consecutive-losses breakers the risk state has to be let go too
    (`risk.state.unlocked`), because a lock or a row of losses that still stands trips them again.
    """
    if breaker.name in _SAFE_MODE:
        trials = limits.breakers.half_open.trial_trades
        return _changed(breaker, BreakerState.HALF_OPEN, at, _operator(operator, why), trials)
    return _changed(breaker, BreakerState.CLOSED, at, _operator(operator, why))


def _rapid_loss(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    rule, window = limits.breakers.rapid_loss, evidence.window
    loss = fall(max(window), window[-1]) if window else Decimal(0)
    return {"value": loss, "limit": rule.threshold} if loss > rule.threshold else None


def _consecutive_losses(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    losses, allowed = evidence.portfolio.losses_in_a_row, limits.breakers.consecutive_losses.threshold
    return {"value": losses, "limit": allowed} if losses > allowed else None


def _daily_loss(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    loss, halt = evidence.portfolio.daily_loss, limits.daily_loss.halt
    return {"value": loss, "limit": halt} if loss >= halt else None


def _drawdown(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    ladder, drawdown = limits.drawdown_ladder, evidence.portfolio.drawdown
    step = ladder_step(drawdown, evidence.portfolio.drawdown_locked, ladder)
    return {"value": drawdown, "limit": ladder.lock} if step is LadderStep.LOCKED else None


def _all_strategies_losing(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    rule = limits.breakers.all_strategies_losing
    judged = {name: mean for name, (count, mean) in evidence.strategies.items() if count >= rule.minimum_trades}
    if len(judged) < rule.strategies or any(mean >= 0 for mean in judged.values()):
        return None
    return judged


def _volatility(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    percentile, limit = evidence.percentile, limits.breakers.volatility.halt_over
    return {"percentile": percentile, "limit": limit} if percentile is not None and percentile > limit else None


def _anomaly(evidence: BreakerEvidence, limits: RiskLimits) -> _Numbers | None:
    rule = limits.breakers.anomaly
    numbers: dict[str, Decimal | float | str] = {}
    age = None if evidence.data_age is None else evidence.data_age.total_seconds()
    if age is not None and age > rule.data_age_seconds:
        numbers |= {"data_age_seconds": age, "data_age_limit": rule.data_age_seconds}
    if evidence.crossed:
        numbers["crossed"] = " ".join(evidence.crossed)
    if evidence.errors > rule.errors:
        numbers |= {"failed_orders": evidence.errors, "failed_orders_limit": rule.errors}
    return numbers or None


_CONDITIONS: Mapping[BreakerName, Callable[[BreakerEvidence, RiskLimits], _Numbers | None]] = {
    BreakerName.RAPID_LOSS: _rapid_loss,
    BreakerName.ALL_STRATEGIES_LOSING: _all_strategies_losing,
    BreakerName.VOLATILITY: _volatility,
    BreakerName.CONSECUTIVE_LOSSES: _consecutive_losses,
    BreakerName.DAILY_LOSS: _daily_loss,
    BreakerName.DRAWDOWN: _drawdown,
    BreakerName.ANOMALY: _anomaly,
}
"""What each breaker looks at: the numbers that trip it, or None where its condition does not hold."""


def _plain(number: Decimal | float | str) -> str:
    """A number as the history keeps it."""
    if isinstance(number, Decimal):
        return format(number, ".6f").rstrip("0").rstrip(".")
    return number if isinstance(number, str) else f"{number:.6g}"


def _is_clean(name: BreakerName, numbers: _Numbers | None, evidence: BreakerEvidence) -> bool:
    """Whether the condition is known not to hold; the losses in a row stand until a trial trade wins."""
    if name is BreakerName.CONSECUTIVE_LOSSES:
        return True
    return numbers is None and (name is not BreakerName.VOLATILITY or evidence.percentile is not None)


def rests_until(breaker: Breaker, limits: RiskLimits) -> datetime | None:
    """From when on an open breaker may go on trial as far as the clock is concerned; None where a person decides."""
    if _by_hand(breaker) or breaker.name is BreakerName.DRAWDOWN:
        return None
    if breaker.name is BreakerName.DAILY_LOSS:
        return floor_to(breaker.changed_at, _DAY) + _DAY
    return breaker.changed_at + _cool_down(breaker.name, limits)


def _rested(breaker: Breaker, limits: RiskLimits, at: datetime) -> bool:
    until = rests_until(breaker, limits)
    return until is not None and require_utc(at) >= until


def _known(breaker: Breaker, limits: RiskLimits, at: datetime) -> bool:
    """Whether the condition rests on what this breaker has already answered, so that it must not trip on it again."""
    if breaker.name is BreakerName.CONSECUTIVE_LOSSES:
        return breaker.state is BreakerState.HALF_OPEN  # judged by its trial trades only
    if not _by_hand(breaker):
        return False
    match breaker.name:
        case BreakerName.DRAWDOWN:
            return False
        case BreakerName.DAILY_LOSS:
            # The engine's own rule still refuses new risk on such a day.
            return require_utc(at).date() == breaker.changed_at.date()
        case BreakerName.RAPID_LOSS:
            return at - breaker.changed_at < timedelta(minutes=limits.breakers.rapid_loss.window_minutes)
        case name:
            return at - breaker.changed_at < _cool_down(name, limits)


def _cool_down(name: BreakerName, limits: RiskLimits) -> timedelta:
    rules = limits.breakers
    match name:
        case BreakerName.RAPID_LOSS:
            minutes = rules.rapid_loss.cool_down_minutes
        case BreakerName.ALL_STRATEGIES_LOSING:
            minutes = rules.all_strategies_losing.cool_down_minutes
        case BreakerName.VOLATILITY:
            minutes = rules.volatility.cool_down_minutes
        case BreakerName.ANOMALY:
            minutes = rules.anomaly.cool_down_minutes
        case _:
            minutes = rules.consecutive_losses.cool_down_minutes
    return timedelta(minutes=minutes)


def _by_hand(breaker: Breaker) -> bool:
    return breaker.reason == ReasonCode.BREAKER_OPERATOR.value


def _to_trials(breaker: Breaker, limits: RiskLimits, at: datetime) -> BreakerChange:
    trials = limits.breakers.half_open.trial_trades
    reason = Reason(ReasonCode.BREAKER_COOLED_DOWN, {"trials": str(trials)})
    return _changed(breaker, BreakerState.HALF_OPEN, at, reason, trials)


def _trial_won(breaker: Breaker, numbers: Mapping[str, str], at: datetime) -> BreakerChange:
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
    after = Breaker(breaker.name, state, require_utc(at), reason.code.value, trials_left)
    return BreakerChange(breaker, after, reason)
