"""What a proposal to add risk finds: every number about account, market and levels that its size does not change."""

from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import (
    Breaker,
    BreakerState,
    BreakerStates,
    Holding,
    MarketState,
    PortfolioState,
    Proposal,
    ProposalKind,
    TradingMode,
    fall,
)
from triplegain_pipelines.risk.bounds import Bounds
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.risk.market import ZERO, Surroundings, surroundings

LADDER_HALF = Decimal("0.5")
ONE = Decimal(1)
# A member is looked up in its class more slowly than a limit is compared.
_CLOSED, _HALF_OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN
_HALF_SIZE, _INCREASE, _LONG = LadderStep.HALF_SIZE, ProposalKind.INCREASE, Direction.LONG


@dataclass(slots=True)  # not frozen: that takes five times as long to make, for every verdict
class Situation:
    """What the rules look at beside the quantity. Money in quote, quantities in base currency.

    `held` is the position in the symbol, `taken` its size in money, `alike` that with all positions that count with it
    as one asset, and `exposure` the size of all. `stop_distance` is what a piece loses at the stop that will rest, and
    `reward` what it gains at the target, None where that is missing or misplaced. `share` is what ladder, trial
    breakers, a volatile market and the proposal's size factor leave of a size, and `shrink` that without the size
    factor. `budget` is the share of the risk per trade, and each room the share of what a limit leaves for the new
    position. `lost` is the day's loss in money; `whole` the share of the equity, for volatilities.
    """

    portfolio: PortfolioState
    bounds: Bounds
    breakers: BreakerStates
    mode: TradingMode
    instrument: Instrument
    fee_rate: Decimal
    around: Surroundings
    sign: int
    held: Holding | None
    equity: Decimal
    exposure: Decimal
    taken: Decimal
    alike: Decimal
    lost: Decimal
    daily_loss: Decimal
    drawdown: Decimal
    step: LadderStep
    unclosed: list[Breaker]
    on_trial: bool
    volatile: bool
    stop_distance: Decimal | None
    reward: Decimal | None
    highest_leverage: Decimal
    shrink: Decimal
    share: Decimal
    budget: Decimal
    order_room: Decimal
    volume_room: Decimal
    position_room: Decimal
    asset_room: Decimal
    alike_room: Decimal
    total_room: Decimal
    heat_room: Decimal
    cash_room: Decimal
    whole: float


def situation_of(
    proposal: Proposal,
    portfolio: PortfolioState,
    bounds: Bounds,
    breakers: BreakerStates,
    market: MarketState | None,
    instrument: Instrument,
    fee_rate: Decimal,
    *,
    live: bool,
    mode: TradingMode,
) -> Situation:
    """The situation of `proposal`, whose entry price must be positive; the arguments are those of `assess`."""
    sign = 1 if proposal.direction is _LONG else -1
    equity, exposure, free_cash, heat, held, taken, worths = _books(portfolio, proposal.symbol)
    whole = float(equity)
    around = surroundings(market, proposal.symbol, sign, worths, whole, bounds.correlated_from)
    alike = taken + around.alike if around.alike else taken
    drawdown = fall(portfolio.peak_equity, equity)
    step = ladder_step(drawdown, portfolio.drawdown_locked, bounds.ladder)
    unclosed = [breaker for breaker in breakers.values() if breaker.state is not _CLOSED]
    on_trial = bool(unclosed) and any(breaker.state is _HALF_OPEN for breaker in unclosed)
    volatile = around.percentile >= bounds.volatile_from
    shrink = LADDER_HALF if step is _HALF_SIZE else ONE
    if on_trial:
        shrink *= bounds.trial_factor
    if volatile:
        shrink *= bounds.volatile_factor
    share = shrink if proposal.size_factor >= 1 else shrink * proposal.size_factor
    asset = bounds.exposure_per_asset * equity
    situation = Situation(
        portfolio,
        bounds,
        breakers,
        mode,
        instrument,
        fee_rate,
        around,
        sign,
        held,
        equity,
        exposure,
        taken,
        alike,
        portfolio.day_opened_equity + portfolio.day_flow - equity,
        fall(portfolio.day_start_equity, equity),
        drawdown,
        step,
        unclosed,
        on_trial,
        volatile,
        _stop_distance(proposal, held, sign),
        _reward(proposal, sign),
        (bounds.leverage_live if live else bounds.leverage)[proposal.regime],
        shrink,
        share,
        bounds.risk_per_trade * equity if equity > 0 else ZERO,
        bounds.order_size,
        bounds.daily_volume - portfolio.day_volume,
        bounds.position_size * equity - taken,
        asset - taken,
        asset - alike,
        bounds.total_exposure * equity - exposure,
        bounds.heat * equity - heat,
        free_cash,
        whole,
    )
    return situation if share is ONE else _shared(situation, share)


def _shared(situation: Situation, share: Decimal) -> Situation:
    """Every room scaled by what is left of a size, so that half size is half of what could have been traded."""
    situation.budget *= share
    situation.order_room *= share
    situation.volume_room *= share
    situation.position_room *= share
    situation.asset_room *= share
    situation.alike_room *= share
    situation.total_room *= share
    situation.heat_room *= share
    situation.cash_room *= share
    situation.whole *= float(share)
    return situation


_Books = tuple[Decimal, Decimal, Decimal, Decimal, Holding | None, Decimal, list[tuple[str, Decimal]]]


def _books(portfolio: PortfolioState, symbol: str) -> _Books:
    """Equity, exposure, free cash, heat, the position in `symbol`, its size, and each one's value: from one walk.

    What buying back a short costs is not free: it lies in the cash since the short was sold. Heat is what the account
    loses if every position is stopped; one without a stop counts whole.
    """
    equity = free_cash = portfolio.cash
    exposure = heat = taken = ZERO
    mine, worths = None, []
    for held in portfolio.holdings:
        worth, stop = held.quantity * held.mark_price, held.stop_loss
        size = abs(worth)
        equity += worth
        exposure += size
        if worth < 0:
            free_cash += worth
        lost = size if stop is None else worth - held.quantity * stop
        if lost > 0:
            heat += lost
        if held.symbol == symbol:
            mine, taken = held, size
        worths.append((held.symbol, worth))
    return equity, exposure, free_cash, heat, mine, taken, worths


def _stop_distance(proposal: Proposal, held: Holding | None, sign: int) -> Decimal | None:
    """What a piece loses at the stop. What is added to a position is stopped where the position is."""
    stop, entry = proposal.stop_loss, proposal.entry_price
    if stop is None or not stop.is_finite() or stop <= 0:
        return None
    distance = entry - stop if sign > 0 else stop - entry
    if distance <= 0:
        return None
    if held is not None and proposal.kind is _INCREASE:
        if held.stop_loss is None:
            return None
        distance = max(distance, (entry - held.stop_loss) * sign)
    return distance


def _reward(proposal: Proposal, sign: int) -> Decimal | None:
    """What a piece gains at the target. Fees are not counted."""
    target, entry = proposal.take_profit, proposal.entry_price
    if target is None or not target.is_finite() or target <= 0:
        return None
    reward = target - entry if sign > 0 else entry - target
    return reward if reward > 0 else None
