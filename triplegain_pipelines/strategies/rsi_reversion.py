"""RSI reversion: against a move that went far, until it is undone.

**Rules**

- Long when the relative strength index of `period` closes is under `oversold`, until it is over `leave`.
- Short when it is over 100 - `oversold`, until it is under 100 - `leave`.
- An entry on the other side turns the position. Where nothing moved for the whole warm-up there is no index: flat.

**What it assumes**: what fell fast was sold by those who had to, and comes back within a few `period`s.

**When it fails**: in a trend the index stays beyond its threshold for weeks, and the strategy stands against it until
its stop; after a stop it waits for the next time the index goes through the threshold.

**Source**: J. Welles Wilder, "New Concepts in Technical Trading Systems" (1978): 14 bars, 30 and 70. Leaving at the
middle is the usual form for mean reversion. Values by TA-Lib.
"""

from typing import Self

from pydantic import Field, model_validator

from triplegain_pipelines.indicators.momentum import rsi
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import WILDER
from triplegain_pipelines.strategies.rules import reverting
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters, ordered


class RsiParameters(StrategyParameters):
    """Of RSI reversion."""

    period: int = Field(default=14, ge=2, le=200, description="Closes behind the index.")
    oversold: float = Field(default=30, ge=1, le=49, description="Index under which it buys; mirrored for selling.")
    leave: float = Field(default=50, ge=2, le=80, description="Index over which a long is left; more than `oversold`.")

    @model_validator(mode="after")
    def _enter_under_leave(self) -> Self:
        return ordered(self, "oversold", "leave")


def rsi_reversion(values: IndicatorValues, parameters: RsiParameters) -> Signals:
    """The index against its thresholds."""
    (index,) = values.of(rsi, period=parameters.period)
    target, reason = reverting(
        index,
        low=parameters.oversold,
        leave_long=parameters.leave,
        high=100 - parameters.oversold,
        leave_short=100 - parameters.leave,
        warm_up=warm_up(parameters),
    )
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: RsiParameters) -> int:
    """Until the start of Wilder's average is forgotten."""
    return max(WILDER * parameters.period, ATR_WARM_UP)


STRATEGY = Strategy(
    name="rsi_reversion",
    parameters=RsiParameters,
    function=rsi_reversion,
    warm_up=warm_up,
    grid={"period": (7, 14, 21, 28), "oversold": (15, 20, 25, 30, 35), "leave": (40, 50, 60)},
    reasons=(
        "",
        "RSI is oversold",
        "RSI is overbought",
        "RSI came back from oversold",
        "RSI came back from overbought",
        "RSI has no value: no close moved",
    ),
)
