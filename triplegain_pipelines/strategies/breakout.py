"""Breakout: with a close beyond everything of the last bars.

**Rules**

- Long when the close is over the highest high of the `entry` bars before it, until it is under the lowest low of the
  `leave` bars before it.
- Short when the close is under the lowest low of the `entry` bars before it, until it is over the highest high of the
  `leave` bars before it.
- An entry on the other side turns the position.

**What it assumes**: a new extreme draws in more of the same side. Few trades earn, and they earn much.

**When it fails**: most break-outs come back. In a range it buys the top and sells the bottom, again and again.

**Source**: Richard Donchian's four-week rule; entry and exit channels of different length as in Curtis Faith, "The
Original Turtle Trading Rules" (2003): 20 and 10, or 55 and 20. Closes instead of touches, because a decision is made at
a close.
"""

from typing import Self

from pydantic import Field, model_validator

from triplegain_pipelines.indicators.trend import donchian
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.warmup import WINDOWED
from triplegain_pipelines.strategies.rules import breaking
from triplegain_pipelines.strategies.strategy import ATR_WARM_UP, Signals, Strategy, StrategyParameters, ordered


class BreakoutParameters(StrategyParameters):
    """Of breakout."""

    leave: int = Field(default=20, ge=2, le=1000, description="Bars of the channel that it leaves by; under `entry`.")
    entry: int = Field(default=55, ge=3, le=2000, description="Bars of the channel that it enters by.")

    @model_validator(mode="after")
    def _leave_under_entry(self) -> Self:
        return ordered(self, "leave", "entry")


def breakout(values: IndicatorValues, parameters: BreakoutParameters) -> Signals:
    """The close against the channels of the bar before."""
    upper, lower = values.of(donchian, period=parameters.entry)
    leave_upper, leave_lower = values.of(donchian, period=parameters.leave)
    target, reason = breaking(
        values.bars.close, (upper, lower), (leave_upper, leave_lower), warm_up=warm_up(parameters)
    )
    return Signals.of(values, parameters, target, reason)


def warm_up(parameters: BreakoutParameters) -> int:
    """The bars of the channel, and the one that leaves it."""
    return max(WINDOWED * parameters.entry + 1, ATR_WARM_UP)


STRATEGY = Strategy(
    name="breakout",
    parameters=BreakoutParameters,
    function=breakout,
    warm_up=warm_up,
    grid={"leave": (5, 10, 15, 20, 30), "entry": (40, 55, 80, 120, 200, 300)},
    reasons=(
        "",
        "the close is over the highest high",
        "the close is under the lowest low",
        "the close fell under the low it is left at",
        "the close rose over the high it is left at",
        "the channel is not known",
    ),
)
