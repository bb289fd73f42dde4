"""States with a memory: on from one threshold, off only under a lower one, so that they do not flicker at an edge.

A state remembers what the bars of the frame say from the end of its measure's warm-up on, and nothing before. So a
replay that holds the same window of bars finds the same state as a process that has run since last week.

Each function gives a measure of `trend` or `volatility` and the state that is read off it, which has no value where the
measure has none.
"""

import numpy as np

from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.trend import adx, ema_slope
from triplegain_pipelines.indicators.volatility import atr_rank, choppiness
from triplegain_pipelines.indicators.warmup import EXPONENTIAL, WILDER, WINDOWED


def volatile(bars: Bars, *, period: int, span: int, enter: float, leave: float) -> tuple[Array, ...]:
    """Rank of ATR / close; 1 from the bar on where it is `enter` or over, 0 from the one on that is under `leave`."""
    (rank,) = atr_rank(bars, period=period, span=span)
    return rank, _remembered(rank, WILDER * period + span - 1, enter, leave)


def trending(bars: Bars, *, period: int, enter: float, leave: float) -> tuple[Array, ...]:
    """ADX; 1 from the bar on where it is `enter` or over, 0 from the one on where it is under `leave`."""
    (index,) = adx(bars, period=period)
    return index, _remembered(index, WILDER * 2 * period, enter, leave)


def choppy(bars: Bars, *, period: int, enter: float, leave: float) -> tuple[Array, ...]:
    """Choppiness index; 1 from the bar on where it is `enter` or over, 0 from the one on where it is under `leave`."""
    (index,) = choppiness(bars, period=period)
    return index, _remembered(index, WINDOWED * period + 1, enter, leave)


def sloping(bars: Bars, *, period: int, span: int, atr_period: int, beyond: float) -> tuple[Array, ...]:
    """Slope of the EMA; 1 from the bar on where it rises by `beyond` or more, -1 where it falls by more than that."""
    (slope,) = ema_slope(bars, period=period, span=span, atr_period=atr_period)
    settled = max(EXPONENTIAL * period + span, WILDER * atr_period)
    return slope, 2 * _remembered(slope, settled, beyond, -beyond) - 1


def _remembered(values: Array, settled: int, enter: float, leave: float) -> Array:
    """1 or 0 by the last value, from bar `settled` on, that was `enter` or over, or under `leave`.

    Before the first such value by the middle between the two.
    """
    known = np.where(np.arange(len(values)) < settled - 1, np.nan, values)
    entered = known >= enter
    decisive = np.where(entered | (known < leave), np.arange(len(known)), -1)
    last = np.maximum.accumulate(decisive)
    state = np.where(last >= 0, entered[last], known >= (enter + leave) / 2).astype(np.float64)
    state[np.isnan(known)] = np.nan
    return state
