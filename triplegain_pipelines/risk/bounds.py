"""The limits as the engine holds them: within the hard ceilings of R2, whoever built them, and ready for arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.settings import ceilings
from triplegain_pipelines.settings.risk import DailyLoss, DrawdownLadder, RiskLimits


@dataclass(frozen=True, slots=True)
class Bounds:
    """`RiskLimits` under its ceilings. Fractions of equity, money in quote currency, volatilities annualised.

    `leverage` is the highest by regime on paper and `leverage_live` where real money is traded; `volatility` is that of
    all positions together, and `variance` its square.
    """

    risk_per_trade: Decimal
    exposure_per_asset: Decimal
    total_exposure: Decimal
    heat: Decimal
    position_size: Decimal
    volatility: float
    variance: float
    correlated_from: float
    reward_to_risk: Decimal
    short_selling: bool
    order_size: Decimal
    daily_volume: Decimal
    open_positions: int
    daily_loss_money: Decimal
    confidence: Mapping[Regime, float]
    leverage: Mapping[Regime, Decimal]
    leverage_live: Mapping[Regime, Decimal]
    ladder: DrawdownLadder
    daily_loss: DailyLoss
    losses_in_a_row: int
    trial_factor: Decimal
    volatile_from: float
    volatile_factor: Decimal


def bounds_of(limits: RiskLimits) -> Bounds:
    """The bounds of `limits`, worked out once: the same limits are asked for again and again."""
    global _newest  # noqa: PLW0603 - one pair of limits and bounds, replaced as a whole
    newest = _newest
    if newest is None or newest[0] is not limits:
        newest = _newest = (limits, _worked_out(limits))
    return newest[1]


_newest: tuple[RiskLimits, Bounds] | None = None


def _worked_out(limits: RiskLimits) -> Bounds:
    money, breakers = limits.money, limits.breakers
    leverage = {name: min(regime.maximum_leverage, ceilings.LEVERAGE) for name, regime in limits.regimes.items()}
    live = min(limits.leverage_live, ceilings.LEVERAGE_LIVE)
    volatility = min(money.max_portfolio_volatility, ceilings.PORTFOLIO_VOLATILITY)
    return Bounds(
        risk_per_trade=min(limits.risk_per_trade, ceilings.RISK_PER_TRADE),
        exposure_per_asset=min(limits.exposure_per_asset, ceilings.EXPOSURE_PER_ASSET),
        total_exposure=min(limits.total_exposure, ceilings.TOTAL_EXPOSURE),
        heat=min(limits.portfolio.maximum_heat, ceilings.HEAT),
        position_size=min(money.max_position_size, ceilings.POSITION_SIZE),
        volatility=volatility,
        variance=volatility * volatility,
        correlated_from=limits.portfolio.correlated_from,
        reward_to_risk=max(limits.minimum_reward_to_risk, ceilings.REWARD_TO_RISK),
        short_selling=limits.short_selling,
        order_size=money.max_order_size,
        daily_volume=money.max_daily_volume,
        open_positions=money.max_open_positions,
        daily_loss_money=money.max_daily_loss,
        confidence={name: regime.minimum_confidence for name, regime in limits.regimes.items()},
        leverage=leverage,
        leverage_live={name: min(highest, live) for name, highest in leverage.items()},
        ladder=limits.drawdown_ladder,
        daily_loss=limits.daily_loss,
        losses_in_a_row=breakers.consecutive_losses.threshold,
        trial_factor=breakers.half_open.size_factor,
        volatile_from=breakers.volatility.reduce_from,
        volatile_factor=breakers.volatility.size_factor,
    )
