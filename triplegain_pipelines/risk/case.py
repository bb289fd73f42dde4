"""What the rules of the risk engine look at: a proposal to open, with every number that more than one rule needs."""

from decimal import Decimal
from typing import NamedTuple

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.risk import (
    Breaker,
    BreakerState,
    BreakerStates,
    Holding,
    PortfolioState,
    Proposal,
    fall,
)
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.settings.risk import RegimeLimits, RiskLimits

MAXIMUM_LEVERAGE = Decimal(5)  # R2, whatever a regime says
LADDER_HALF = Decimal("0.5")
ZERO, ONE = Decimal(0), Decimal(1)


class Case(NamedTuple):
    """A proposal to open, with everything the rules look at. Money in quote, quantities in base currency.

    `stop_distance` is None where the stop is missing or misplaced. `shrink` is what ladder and trial
    breakers leave of a size, `share` that times the proposal's own size factor; every room is scaled by it,
    so that half size is half of what could have been traded. `budget` is the share of the risk per trade, in
    money. `wanted` is the quantity asked for, or the engine's own, budget over stop distance; None where
    neither is known. `held` is the position in the proposal's symbol, `exposure` the size of all positions.
    """

    proposal: Proposal
    portfolio: PortfolioState
    limits: RiskLimits
    regime: RegimeLimits
    breakers: BreakerStates
    instrument: Instrument
    fee_rate: Decimal
    equity: Decimal
    drawdown: Decimal
    step: LadderStep
    held: Holding | None
    exposure: Decimal
    free_cash: Decimal
    unclosed: list[Breaker]
    on_trial: bool
    leverage: Decimal
    stop_distance: Decimal | None
    shrink: Decimal
    share: Decimal
    budget: Decimal
    wanted: Decimal | None


def case_of(
    proposal: Proposal,
    portfolio: PortfolioState,
    limits: RiskLimits,
    breakers: BreakerStates,
    instrument: Instrument,
    fee_rate: Decimal,
    *,
    live: bool,
) -> Case:
    """The case of `proposal`, whose entry price must be positive; the arguments are those of `assess`."""
    regime = limits.regimes[proposal.regime]
    equity, exposure, free_cash = _books(portfolio)
    drawdown = fall(portfolio.peak_equity, equity)
    step = ladder_step(drawdown, portfolio.drawdown_locked, limits.drawdown_ladder)
    unclosed = [breaker for breaker in breakers.values() if breaker.state is not BreakerState.CLOSED]
    on_trial = any(breaker.state is BreakerState.HALF_OPEN for breaker in unclosed) if unclosed else False
    shrink = LADDER_HALF if step is LadderStep.HALF_SIZE else ONE
    if on_trial:
        shrink *= limits.breakers.half_open.size_factor
    share = shrink * min(ONE, proposal.size_factor)
    stop_distance = _stop_distance(proposal)
    wanted = proposal.quantity
    budget = share * limits.risk_per_trade * max(ZERO, equity)
    if wanted is None and stop_distance is not None:
        wanted = rounded_down(budget / stop_distance, instrument.quantity_step)
    return Case(
        proposal=proposal,
        portfolio=portfolio,
        limits=limits,
        regime=regime,
        breakers=breakers,
        instrument=instrument,
        fee_rate=fee_rate,
        equity=equity,
        drawdown=drawdown,
        step=step,
        held=portfolio.holding(proposal.symbol),
        exposure=exposure,
        free_cash=free_cash,
        unclosed=unclosed,
        on_trial=on_trial,
        leverage=min(proposal.leverage, _highest_leverage(regime, limits, live=live)),
        stop_distance=stop_distance,
        shrink=shrink,
        share=share,
        budget=budget,
        wanted=wanted,
    )


def _books(portfolio: PortfolioState) -> tuple[Decimal, Decimal, Decimal]:
    """Equity, total exposure and free cash, from one walk over the positions.

    What buying back a short costs is not free: it lies in the cash since the short was sold.
    """
    equity = free_cash = portfolio.cash
    exposure = ZERO
    for held in portfolio.holdings:
        worth = held.value
        equity += worth
        exposure += abs(worth)
        if worth < 0:
            free_cash += worth
    return equity, exposure, free_cash


def _stop_distance(proposal: Proposal) -> Decimal | None:
    stop = proposal.stop_loss
    if stop is None or not stop.is_finite() or stop <= 0:
        return None
    distance = (proposal.entry_price - stop) * proposal.direction.sign
    return distance if distance > 0 else None


def _highest_leverage(regime: RegimeLimits, limits: RiskLimits, *, live: bool) -> Decimal:
    highest = min(MAXIMUM_LEVERAGE, regime.maximum_leverage)
    return min(highest, limits.leverage_live) if live else highest
