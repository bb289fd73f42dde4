"""The rules that say whether a proposal may be traded at all. Those that say how much of it are in `risk.quantities`.

A rule is a function of the case that finds nothing, notes, lowers (with a cap on the quantity) or refuses.
No rule knows of another.
"""

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, ProposalKind, TradingMode
from triplegain_pipelines.risk.case import Case
from triplegain_pipelines.risk.findings import Finding, Rule, note, refusal, share_text, text
from triplegain_pipelines.risk.ladder import LadderStep
from triplegain_pipelines.risk.situation import LADDER_HALF

_BREAKERS = len(BreakerName)
_MODES = {TradingMode.REDUCING: ReasonCode.MODE_REDUCING, TradingMode.HALTED: ReasonCode.MODE_HALTED}
# A member is looked up in its class more slowly than a limit is compared.
_ACTIVE, _NORMAL = TradingMode.ACTIVE, LadderStep.NORMAL
_LONG, _INCREASE = Direction.LONG, ProposalKind.INCREASE


def _mode(case: Case) -> Finding | None:
    mode = case.situation.mode
    return None if mode is _ACTIVE else refusal(_MODES[mode], mode=mode.value)


def _equity_positive(case: Case) -> Finding | None:
    equity = case.situation.equity
    return refusal(ReasonCode.EQUITY_NOT_POSITIVE, equity=text(equity)) if equity <= 0 else None


def _resolved(case: Case) -> Finding | None:
    unresolved, symbol = case.situation.portfolio.unresolved_symbols, case.proposal.symbol
    return refusal(ReasonCode.UNRESOLVED_ORDER, symbol=symbol) if unresolved and symbol in unresolved else None


def _short_selling(case: Case) -> Finding | None:
    if case.proposal.direction is _LONG or case.situation.bounds.short_selling:
        return None
    return refusal(ReasonCode.SHORT_SELLING_DISABLED, symbol=case.proposal.symbol)


def _fits_position(case: Case) -> Finding | None:
    """What opens needs a flat symbol, what increases a position in its direction; a losing one is never added to."""
    held, increases = case.situation.held, case.proposal.kind is _INCREASE
    if held is None:
        return refusal(ReasonCode.NOTHING_TO_INCREASE, symbol=case.proposal.symbol) if increases else None
    along = held.quantity * case.situation.sign > 0
    if along and (held.mark_price - held.average_entry) * held.quantity < 0:
        code = ReasonCode.AVERAGING_DOWN
    elif increases and along:
        return None
    else:
        code = ReasonCode.NOTHING_TO_INCREASE if increases else ReasonCode.ALREADY_POSITIONED
    return refusal(code, quantity=text(held.quantity), average_entry=text(held.average_entry))


def _open_positions(case: Case) -> Finding | None:
    count, limit = len(case.situation.portfolio.holdings), case.situation.bounds.open_positions
    if count < limit or case.situation.held is not None:
        return None
    return refusal(ReasonCode.TOO_MANY_POSITIONS, positions=str(count), limit=str(limit))


def _confidence(case: Case) -> Finding | None:
    """How sure a forecast has to be. Where nothing was forecast, there is nothing to be sure of."""
    asked, minimum = case.proposal.confidence, case.situation.bounds.confidence[case.proposal.regime]
    if asked is None or asked >= minimum:  # false for NaN, too
        return None
    return refusal(ReasonCode.CONFIDENCE_BELOW_MINIMUM, confidence=f"{asked:.6g}", limit=f"{minimum:.6g}")


def _stop(case: Case) -> Finding | None:
    if case.situation.stop_distance is not None:
        return None
    proposal = case.proposal
    return refusal(ReasonCode.STOP_LOSS_MISSING, stop_loss=str(proposal.stop_loss), entry=text(proposal.entry_price))


def _target(case: Case) -> Finding | None:
    """R2: the target lies on the winning side, far enough away for the stop's distance."""
    reward, distance, limit = case.situation.reward, case.situation.stop_distance, case.situation.bounds.reward_to_risk
    if reward is None:
        target, entry = str(case.proposal.take_profit), text(case.proposal.entry_price)
        return refusal(ReasonCode.TAKE_PROFIT_MISPLACED, take_profit=target, entry=entry)
    if distance is None or reward >= limit * distance:
        return None
    ratio = share_text(reward / distance)
    return refusal(ReasonCode.REWARD_TO_RISK_TOO_LOW, reward_to_risk=ratio, limit=text(limit))


def _daily_loss(case: Case) -> Finding | None:
    loss, rule = case.situation.daily_loss, case.situation.bounds.daily_loss
    if loss < rule.warn and loss < rule.halt:
        return None
    if loss >= rule.halt:
        return refusal(ReasonCode.DAILY_LOSS_HALTED, daily_loss=share_text(loss), limit=text(rule.halt))
    return note(ReasonCode.DAILY_LOSS_WARNING, daily_loss=share_text(loss), limit=text(rule.warn))


def _daily_loss_money(case: Case) -> Finding | None:
    """R4: what was paid in or out since the day began is no loss and no profit."""
    lost, limit = case.situation.lost, case.situation.bounds.daily_loss_money
    return refusal(ReasonCode.DAILY_LOSS_MONEY, lost=text(lost), limit=text(limit)) if lost >= limit else None


def _drawdown(case: Case) -> Finding | None:
    step = case.situation.step
    if step is _NORMAL:
        return None
    ladder, drawdown = case.situation.bounds.ladder, share_text(case.situation.drawdown)
    if step is LadderStep.HALF_SIZE:
        limit = text(ladder.half_size)
        return note(ReasonCode.DRAWDOWN_HALF_SIZE, drawdown=drawdown, limit=limit, factor=text(LADDER_HALF))
    if step is LadderStep.PAUSED:
        return refusal(ReasonCode.DRAWDOWN_PAUSED, drawdown=drawdown, limit=text(ladder.pause))
    return refusal(ReasonCode.DRAWDOWN_LOCKED, drawdown=drawdown, limit=text(ladder.lock))


def _breakers_known(case: Case) -> Finding | None:
    breakers = case.situation.breakers
    if len(breakers) == _BREAKERS:
        return None
    return refusal(ReasonCode.BREAKER_MISSING, breakers=", ".join(sorted(set(BreakerName) - set(breakers))))


def _breakers_closed(case: Case) -> Finding | None:
    opened = _in_state(case, BreakerState.OPEN) if case.situation.unclosed else None
    return refusal(ReasonCode.BREAKER_OPEN, breakers=opened) if opened else None


def _losing_row(case: Case) -> Finding | None:
    """A row of losses that no mark has shown to its breaker yet: two decisions of one minute lie between two marks."""
    losses, allowed = case.situation.portfolio.losses_in_a_row, case.situation.bounds.losses_in_a_row
    if losses <= allowed:
        return None
    breaker = case.situation.breakers.get(BreakerName.CONSECUTIVE_LOSSES)
    if breaker is None or breaker.state is not BreakerState.CLOSED:
        return None
    return refusal(ReasonCode.BREAKER_OPEN, breakers=f"{breaker.name}, due now", losses=str(losses), limit=str(allowed))


def _breakers_on_trial(case: Case) -> Finding | None:
    if not case.situation.on_trial:
        return None
    factor = text(case.situation.bounds.trial_factor)
    return note(ReasonCode.BREAKER_HALF_OPEN, breakers=_in_state(case, BreakerState.HALF_OPEN), factor=factor)


def _in_state(case: Case, state: BreakerState) -> str:
    return ", ".join(sorted(breaker.name for breaker in case.situation.unclosed if breaker.state is state))


def _volatility_known(case: Case) -> Finding | None:
    unknown = case.situation.around.unknown
    return refusal(ReasonCode.VOLATILITY_UNKNOWN, missing=unknown) if unknown else None


def _volatile(case: Case) -> Finding | None:
    """R6: a volatile market lowers the size before its breaker opens."""
    if not case.situation.volatile:
        return None
    bounds, percentile = case.situation.bounds, f"{case.situation.around.percentile:.6g}"
    factor = text(bounds.volatile_factor)
    return note(
        ReasonCode.VOLATILITY_REDUCED, percentile=percentile, limit=f"{bounds.volatile_from:.6g}", factor=factor
    )


def _leverage(case: Case) -> Finding | None:
    asked, leverage = case.proposal.leverage, case.leverage
    if asked is leverage or asked == leverage:
        return None
    limit = text(leverage)
    return note(ReasonCode.LEVERAGE_REDUCED, **{"from": text(asked), "to": limit, "limit": limit})


def _disagreement(case: Case) -> Finding | None:
    factor = case.proposal.size_factor
    return note(ReasonCode.DISAGREEMENT_REDUCED, factor=text(factor)) if factor < 1 else None


PERMISSIONS: tuple[Rule, ...] = (
    _mode,
    _equity_positive,
    _resolved,
    _short_selling,
    _fits_position,
    _open_positions,
    _confidence,
    _stop,
    _target,
    _daily_loss,
    _daily_loss_money,
    _drawdown,
    _breakers_known,
    _breakers_closed,
    _losing_row,
    _breakers_on_trial,
    _volatility_known,
    _volatile,
    _leverage,
    _disagreement,
)
