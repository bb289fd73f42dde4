"""MACD: on the side of the convergence of two averages, measured against its own average.

**Rules**

- The line is the exponential average of the last `fast` closes less the one of the last `slow`; the signal is the
  exponential average of the last `signal` values of the line.
- Long while the line is over the signal, short while it is under it; turned where they cross, or ended by its stop.

**What it assumes**: the change of a trend's speed shows before the trend itself turns, and lasts.

**When it fails**: noise alone makes the line cross its signal every few bars, so on short timeframes the costs are
larger than what is won. In a steady trend the line runs beside its signal and crosses for no reason.

**Source**: Gerald Appel, "Technical Analysis: Power Tools for Active Investors" (2005), chapter 8: 12, 26 and 9, and
the crossing of the signal line. Values by TA-Lib.
"""

from typing import Self

from pydantic import Field, model_validator

from triplegain_pipelines.indicators import trend
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import EXPONENTIAL
from triplegain_pipelines.strategies.rules import following
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters, ordered


class MacdParameters(StrategyParameters):
    """Of MACD."""

    fast: int = Field(default=12, ge=2, le=500, description="Closes in the faster average.")
    slow: int = Field(default=26, ge=3, le=1000, description="Closes in the slower average; more than `fast`.")
    signal: int = Field(default=9, ge=2, le=200, description="Values in the average of the line.")

    @model_validator(mode="after")
    def _fast_under_slow(self) -> Self:
        return ordered(self, "fast", "slow")


def macd(values: IndicatorValues, parameters: MacdParameters) -> Signals:
    """The line against its signal."""
    line, signal, _ = values.of(trend.macd, fast=parameters.fast, slow=parameters.slow, signal=parameters.signal)
    target, reason = following(line, signal, warm_up=warm_up(parameters))
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: MacdParameters) -> int:
    """Until the start of both averages is forgotten."""
    return max(EXPONENTIAL * (parameters.slow + parameters.signal), ATR_WARM_UP)


STRATEGY = Strategy(
    name="macd",
    parameters=MacdParameters,
    function=macd,
    warm_up=warm_up,
    grid={"fast": (6, 12, 18, 24), "slow": (26, 39, 52, 78), "signal": (5, 9, 14)},
    reasons=(
        "",
        "the MACD line is over its signal",
        "the MACD line is under its signal",
        "the MACD line is at its signal",
    ),
)
