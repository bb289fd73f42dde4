"""Bollinger: from outside the band back to its middle.

**Rules**

- The distance is how many standard deviations of the last `period` closes the close lies from their average.
- Long when it is under -`deviations`, so under the lower band, until the close is over the average.
- Short when it is over `deviations`, so over the upper band, until the close is under the average.
- An entry on the other side turns the position. Where the band has no width there is no distance: flat.

**What it assumes**: the average is where the price belongs, and its distance is noise more often than news.

**When it fails**: a break-out begins with a close outside the band and goes on from there. A band gets wider as the
price leaves it, so a slow fall is never far enough outside, and a fast one is entered near its start.

**Source**: John Bollinger, "Bollinger on Bollinger Bands" (2001): 20 closes and 2 population standard deviations; he
himself warns that a touch alone is no signal. Bands by TA-Lib.
"""

import numpy as np
from pydantic import Field

from triplegain_pipelines.indicators import volatility
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import WINDOWED
from triplegain_pipelines.strategies.rules import reverting
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters


class BollingerParameters(StrategyParameters):
    """Of Bollinger."""

    period: int = Field(default=20, ge=5, le=500, description="Closes behind the average and the deviation.")
    deviations: float = Field(default=2.0, ge=0.5, le=5, description="Distance of the bands, in standard deviations.")


def distance(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Standard deviations between the close and the average of the last `period`; NaN where they are all the same.

    One array serves every width of the bands.
    """
    upper, middle, _ = volatility.bollinger(bars, period=period, deviations=1.0)
    width = upper - middle
    found = np.full(len(bars), np.nan)
    np.divide(bars.close - middle, width, out=found, where=width > 0)
    return (found,)


def bollinger(values: IndicatorValues, parameters: BollingerParameters) -> Signals:
    """The distance against the width of the band."""
    (away,) = values.of(distance, period=parameters.period)
    target, reason = reverting(
        away,
        low=-parameters.deviations,
        leave_long=0.0,
        high=parameters.deviations,
        leave_short=0.0,
        warm_up=warm_up(parameters),
    )
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: BollingerParameters) -> int:
    """A window forgets exactly."""
    return max(WINDOWED * parameters.period, ATR_WARM_UP)


STRATEGY = Strategy(
    name="bollinger",
    parameters=BollingerParameters,
    function=bollinger,
    warm_up=warm_up,
    grid={"period": (10, 20, 30, 50, 75, 100), "deviations": (1.5, 2.0, 2.5, 3.0, 3.5)},
    reasons=(
        "",
        "the close is under the lower band",
        "the close is over the upper band",
        "the close came back over the average",
        "the close came back under the average",
        "the band has no width: the closes are all the same",
    ),
)
