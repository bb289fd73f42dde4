"""Stochastic: with the turn of an oscillator in its outer zone.

**Rules**

- %K is where the close lies between the lowest low (0) and the highest high (100) of `period` bars, averaged over
  `slowing` bars; %D is the average of `smoothing` values of %K.
- Long when %K crosses over %D while %D is under `oversold`, until %K is over 100 - `oversold`.
- Short when %K crosses under %D while %D is over 100 - `oversold`, until %K is under `oversold`.
- An entry on the other side turns the position. Where the bars have no range there is no %K: flat.

**What it assumes**: closes gather at the edge of their range before a turn, and leave it when the turn comes.

**When it fails**: in a trend closes stay at the edge of their range, and every small pause is taken for the turn.

**Source**: George Lane, "Lane's Stochastics", Technical Analysis of Stocks & Commodities 2 (1984): slow stochastic, 14,
3, 3, zones at 20 and 80. Values by TA-Lib.
"""

from pydantic import Field

from triplegain_pipelines.indicators import momentum
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import WINDOWED
from triplegain_pipelines.strategies.rules import crossing
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters


class StochasticParameters(StrategyParameters):
    """Of the stochastic."""

    period: int = Field(default=14, ge=3, le=500, description="Bars of the range.")
    slowing: int = Field(default=3, ge=2, le=50, description="Bars that %K is averaged over.")
    smoothing: int = Field(default=3, ge=2, le=50, description="Values of %K in %D.")
    oversold: float = Field(default=20, ge=1, le=49, description="%D under which it buys; mirrored for selling.")


def stochastic(values: IndicatorValues, parameters: StochasticParameters) -> Signals:
    """Crossings of %K and %D in the outer zones."""
    k, d = values.of(
        momentum.stochastic,
        period=parameters.period,
        slowing=parameters.slowing,
        smoothing=parameters.smoothing,
    )
    low = parameters.oversold
    target, reason = crossing(k, d, low=low, high=100 - low, warm_up=warm_up(parameters))
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: StochasticParameters) -> int:
    """The bars of %D, and the one before, because a crossing is of two bars."""
    window = WINDOWED * parameters.period + parameters.slowing - 1 + parameters.smoothing - 1
    return max(window + 1, ATR_WARM_UP)


STRATEGY = Strategy(
    name="stochastic",
    parameters=StochasticParameters,
    function=stochastic,
    warm_up=warm_up,
    grid={"period": (7, 14, 21, 35, 50), "slowing": (2, 3, 5), "oversold": (10, 15, 20, 25, 30)},
    reasons=(
        "",
        "%K crossed over %D where it is oversold",
        "%K crossed under %D where it is overbought",
        "%K reached the other end of its range",
        "%K reached the other end of its range",
        "%K has no value: the bars have no range",
    ),
)
