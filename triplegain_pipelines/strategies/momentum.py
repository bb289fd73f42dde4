"""Momentum: on the side of the faster of two moving averages.

**Rules**

- Long while the simple average of the last `fast` closes is over the one of the last `slow`, short while it is under.
- With `trend_minutes`, only on the side of a longer timeframe: long while its last complete bar closed over the average
  of its last `trend_period` closes, short while it closed under it, and flat while the two disagree.
- The position is turned where the averages cross, left where the longer timeframe turns, or ended by its stop.

**What it assumes**: a move that has lasted goes on for longer than the averages lag behind, by about half of `slow`.

**When it fails**: in a market that goes sideways each crossing comes after the move, and every trade pays the lag and
the costs of both ends. Sharp reversals cost the lag as well.

**Source**: Brock, Lakonishok, LeBaron, "Simple Technical Trading Rules and the Stochastic Properties of Stock Returns",
Journal of Finance 47 (1992): variable-length moving averages. The filter is Elder's second screen ("Trading for a
Living", 1993): trade on the side of the next longer timeframe.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.trend import sma
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import WINDOWED
from triplegain_pipelines.strategies.rules import following
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters, ordered


class MomentumParameters(StrategyParameters):
    """Of momentum."""

    fast: int = Field(default=20, ge=2, le=500, description="Closes in the faster average.")
    slow: int = Field(default=100, ge=3, le=2000, description="Closes in the slower average; more than `fast`.")
    trend_minutes: Literal[0, 60, 240, 1440] = Field(
        default=0, description="Timeframe that must agree, in minutes, not under the strategy's own; 0 asks none."
    )
    trend_period: int = Field(default=20, ge=2, le=200, description="Closes in the average of that timeframe.")

    @model_validator(mode="after")
    def _fast_under_slow(self) -> Self:
        return ordered(self, "fast", "slow")


def side(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """1 where the close is over the average of the last `period` closes, -1 under it, 0 at it; NaN without one."""
    (average,) = sma(bars, period=period)
    return (np.sign(bars.close - average),)


def momentum(values: IndicatorValues, parameters: MomentumParameters) -> Signals:
    """The averages, and the timeframe that must agree with them."""
    (fast,) = values.of(sma, period=parameters.fast)
    (slow,) = values.of(sma, period=parameters.slow)
    trend = None
    if parameters.trend_minutes:
        (trend,) = values.higher(_TIMEFRAMES[parameters.trend_minutes]).of(side, period=parameters.trend_period)
    target, reason = following(fast, slow, warm_up=warm_up(parameters), agreeing=trend)
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: MomentumParameters) -> int:
    """Bars of the strategy's own timeframe; a longer one is not known before `trend_period` bars of it are complete."""
    return max(WINDOWED * parameters.slow, ATR_WARM_UP)


_TIMEFRAMES = {timeframe.minutes: timeframe for timeframe in Timeframe}

STRATEGY = Strategy(
    name="momentum",
    parameters=MomentumParameters,
    function=momentum,
    warm_up=warm_up,
    grid={
        "fast": (5, 10, 15, 20, 30, 40),
        "slow": (50, 75, 100, 150, 200, 300),
        "trend_minutes": (0, 1440),
    },
    reasons=(
        "",
        "the fast average is over the slow one",
        "the fast average is under the slow one",
        "the averages are on no side, or a longer timeframe is not on theirs",
    ),
)
