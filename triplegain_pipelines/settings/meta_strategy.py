"""`config/meta_strategy.yaml`: what the meta-strategy believes before it has seen anything, and how far it may go."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from triplegain_pipelines.settings.section import Section


class MetaStrategySettings(Section):
    """How allocation moves between strategies (I4).

    The belief before any data: the Sharpe ratios of the strategies, a year, lie around a common one with a standard
    deviation of `spread`; the common one lies around 0 with `common_spread`; and in one regime a strategy lies around
    its own with `regime_spread`. The smaller these are, the nearer the weights stay to equal ones.

    Attributes:
        window_days: days that are looked at, up to now.
        least_days: days with a return without which a strategy, or a regime of it, says nothing.
        tilt: a strategy that is believed better by a Sharpe ratio of 1 gets e to the power of `tilt` times the weight.
        off_under: a strategy is switched off when the probability that it earns in this regime falls under this.
        on_from: it is switched on again when that probability reaches this.
        correlated_over: two strategies whose daily returns correlate by more count as one.
        correlation_days: common days without which a correlation is not known.
        most_each: the largest weight of one strategy.
        turnover: how much of the account may change hands in one change; switching off is not held back by it.
    """

    window_days: int = Field(ge=30, le=1095)
    least_days: int = Field(ge=5, le=365)
    common_spread: float = Field(gt=0, le=5)
    spread: float = Field(gt=0, le=5)
    regime_spread: float = Field(gt=0, le=5)
    tilt: float = Field(ge=0, le=3)
    off_under: float = Field(gt=0, lt=1)
    on_from: float = Field(gt=0, lt=1)
    correlated_over: float = Field(ge=0.5, le=0.8)
    correlation_days: int = Field(ge=20, le=365)
    most_each: float = Field(gt=0, le=1)
    turnover: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.off_under >= self.on_from:
            msg = f"off_under ({self.off_under}) must be under on_from ({self.on_from}), or switches flicker"
            raise ValueError(msg)
        longest = max(self.least_days, self.correlation_days)
        if longest > self.window_days:
            msg = f"window_days ({self.window_days}) holds fewer days than are needed ({longest})"
            raise ValueError(msg)
        return self

    @property
    def window(self) -> timedelta:
        """How far back is looked."""
        return timedelta(days=self.window_days)

    @property
    def first_from(self) -> float:
        """The probability from which a strategy is on that was neither on nor off before: the middle of the two."""
        return (self.off_under + self.on_from) / 2
