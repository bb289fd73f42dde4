"""`config/risk.yaml`: the limits. Each bound of a field is a hard ceiling that no configuration passes."""

from decimal import Decimal
from typing import Self

from pydantic import Field, field_validator, model_validator

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.settings.section import Section


class SizingSettings(Section):
    """Where the risk engine puts stop and target: multiples of the 1h ATR, and of the stop distance."""

    stop_atr_multiple: Decimal = Field(gt=0)
    reward_to_risk: Decimal = Field(ge=Decimal("1.5"))


class RegimeLimits(Section):
    """R3: what a regime asks of a proposal."""

    minimum_confidence: float = Field(ge=0.5, le=1)
    maximum_leverage: Decimal = Field(ge=1, le=5)


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


class RapidLossBreaker(Section):
    """R6: a fall of `threshold` of equity within `window_minutes`."""

    threshold: Decimal = Field(gt=0, le=Decimal("0.02"))
    window_minutes: int = Field(ge=1, le=60)
    cool_down_minutes: int = Field(ge=1)


class ConsecutiveLossesBreaker(Section):
    """R6: more than `threshold` losing trades in a row."""

    threshold: int = Field(ge=1, le=5)
    cool_down_minutes: int = Field(ge=1)


class HalfOpen(Section):
    """What HALF_OPEN allows: a number of trial trades at a fraction of the size."""

    trial_trades: int = Field(ge=1)
    size_factor: Decimal = Field(gt=0, lt=1)


class BreakerSettings(Section):
    """R6: the thresholds of the circuit breakers."""

    rapid_loss: RapidLossBreaker
    consecutive_losses: ConsecutiveLossesBreaker
    half_open: HalfOpen


class RiskLimits(Section):
    """`config/risk.yaml`. Each bound of a field is a hard ceiling of R2: no configuration passes it."""

    risk_per_trade: Decimal = Field(gt=0, le=Decimal("0.02"))
    exposure_per_asset: Decimal = Field(gt=0, le=Decimal("0.30"))
    total_exposure: Decimal = Field(gt=0, le=Decimal("0.60"))
    leverage_live: Decimal = Field(ge=1, le=2)
    minimum_reward_to_risk: Decimal = Field(ge=Decimal("1.5"))
    short_selling: bool
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
