"""`config/risk.yaml`: the limits. Each bound of a field is a hard ceiling that no configuration passes."""

from decimal import Decimal
from typing import Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.settings import ceilings
from triplegain_pipelines.settings.section import Section


class SizingSettings(Section):
    """Where the risk engine puts stop and target: multiples of the 1h ATR, and of the stop distance."""

    stop_atr_multiple: Decimal = Field(gt=0)
    reward_to_risk: Decimal = Field(ge=ceilings.REWARD_TO_RISK)


class RegimeLimits(Section):
    """R3: what a regime asks of a proposal."""

    minimum_confidence: float = Field(ge=0.5, le=1)
    maximum_leverage: Decimal = Field(ge=1, le=ceilings.LEVERAGE)


class DrawdownLadder(Section):
    """R5: fractions of the peak at which size is halved, new risk is paused, and the account is locked."""

    half_size: Decimal = Field(gt=0, le=Decimal("0.10"))
    pause: Decimal = Field(gt=0, le=Decimal("0.15"))
    lock: Decimal = Field(gt=0, le=Decimal("0.20"))

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if not self.half_size < self.pause < self.lock:
            msg = "the ladder's steps must rise: half_size < pause < lock"
            raise ValueError(msg)
        return self


class DailyLoss(Section):
    """R5: fractions of the day's first equity at which is warned and halted."""

    warn: Decimal = Field(gt=0, le=Decimal("0.03"))
    halt: Decimal = Field(gt=0, le=Decimal("0.05"))


class MoneyLimits(Section):
    """R4: limits in money, under the names that people look for. Amounts are in the account's currency, a dollar."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    max_order_size: Decimal = Field(gt=0, alias="MAX_ORDER_SIZE_USD")
    max_daily_volume: Decimal = Field(gt=0, alias="MAX_DAILY_VOLUME_USD")
    max_open_positions: int = Field(ge=1, alias="MAX_OPEN_POSITIONS")
    max_daily_loss: Decimal = Field(gt=0, alias="MAX_DAILY_LOSS_USD")
    max_position_size: Decimal = Field(gt=0, le=ceilings.POSITION_SIZE, alias="MAX_POSITION_SIZE")
    max_portfolio_volatility: float = Field(gt=0, le=ceilings.PORTFOLIO_VOLATILITY, alias="MAX_PORTFOLIO_VOLATILITY")


class PortfolioLimits(Section):
    """Limits over all positions together.

    `maximum_heat` is what all stops together may cost as a fraction of equity; positions whose returns correlate by
    `correlated_from` or more count as one asset.
    """

    maximum_heat: Decimal = Field(gt=0, le=ceilings.HEAT)
    correlated_from: float = Field(gt=0, le=1)


class PriceBand(Section):
    """R7: how far the price of an order may lie from the price of its decision, as a fraction."""

    maximum_move: Decimal = Field(gt=0, le=Decimal("0.05"))


class RapidLossBreaker(Section):
    """R6: a fall of `threshold` of equity within `window_minutes`."""

    threshold: Decimal = Field(gt=0, le=Decimal("0.02"))
    window_minutes: int = Field(ge=1, le=60)
    cool_down_minutes: int = Field(ge=1)


class ConsecutiveLossesBreaker(Section):
    """R6: more than `threshold` losing trades in a row."""

    threshold: int = Field(ge=1, le=5)
    cool_down_minutes: int = Field(ge=1)


class AllStrategiesLosingBreaker(Section):
    """R6: every strategy with at least `minimum_trades` results within `window_hours` loses, at least `strategies`."""

    window_hours: int = Field(ge=1, le=168)
    minimum_trades: int = Field(ge=1)
    strategies: int = Field(ge=2)
    cool_down_minutes: int = Field(ge=1)


class VolatilityBreaker(Section):
    """R6: from the percentile `reduce_from` on sizes are multiplied by `size_factor`; over `halt_over` it opens."""

    reduce_from: float = Field(gt=0, lt=1)
    size_factor: Decimal = Field(gt=0, lt=1)
    halt_over: float = Field(gt=0, lt=1)
    cool_down_minutes: int = Field(ge=1)

    @model_validator(mode="after")
    def _reduces_before_it_halts(self) -> Self:
        if not self.reduce_from < self.halt_over:
            msg = "volatility reduces before it halts: reduce_from < halt_over"
            raise ValueError(msg)
        return self


class AnomalyBreaker(Section):
    """R6: data older than `data_age_seconds`, a crossed book, over `errors` failed orders in `window_minutes`."""

    data_age_seconds: int = Field(ge=60, le=600)
    errors: int = Field(ge=0)
    window_minutes: int = Field(ge=1, le=1440)
    cool_down_minutes: int = Field(ge=1)


class HalfOpen(Section):
    """What HALF_OPEN allows: a number of trial trades at a fraction of the size."""

    trial_trades: int = Field(ge=1)
    size_factor: Decimal = Field(gt=0, lt=1)


class BreakerSettings(Section):
    """R6: the thresholds of the circuit breakers."""

    rapid_loss: RapidLossBreaker
    all_strategies_losing: AllStrategiesLosingBreaker
    volatility: VolatilityBreaker
    anomaly: AnomalyBreaker
    consecutive_losses: ConsecutiveLossesBreaker
    half_open: HalfOpen


class RiskLimits(Section):
    """`config/risk.yaml`. Each bound of a field is a hard ceiling of R2: no configuration passes it."""

    risk_per_trade: Decimal = Field(gt=0, le=ceilings.RISK_PER_TRADE)
    exposure_per_asset: Decimal = Field(gt=0, le=ceilings.EXPOSURE_PER_ASSET)
    total_exposure: Decimal = Field(gt=0, le=ceilings.TOTAL_EXPOSURE)
    leverage_live: Decimal = Field(ge=1, le=ceilings.LEVERAGE_LIVE)
    minimum_reward_to_risk: Decimal = Field(ge=ceilings.REWARD_TO_RISK)
    short_selling: bool
    money: MoneyLimits
    portfolio: PortfolioLimits
    price_band: PriceBand
    sizing: SizingSettings
    regimes: dict[Regime, RegimeLimits]
    drawdown_ladder: DrawdownLadder
    daily_loss: DailyLoss
    breakers: BreakerSettings
    heartbeat_seconds: int = Field(ge=5, le=30)

    @field_validator("regimes")
    @classmethod
    def _every_regime(cls, regimes: dict[Regime, RegimeLimits]) -> dict[Regime, RegimeLimits]:
        missing = sorted(set(Regime) - set(regimes))
        if missing:
            msg = f"limits are missing for {', '.join(missing)}"
            raise ValueError(msg)
        return regimes
