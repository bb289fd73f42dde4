"""Oscillators: RSI, stochastic, CCI, Williams %R.

Every function takes bars and returns one array for each output, as long as the bars, NaN where it has no value.
Where the market stood still TA-Lib answers 0, which reads as 'deeply oversold'; here it is no value.
"""

import numpy as np

from triplegain_pipelines.indicators.bars import Array, Bars, stood_still
from triplegain_pipelines.indicators.ta import ta
from triplegain_pipelines.indicators.warmup import WILDER


def rsi(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Relative strength index, 0 to 100 (TA-Lib RSI); no value after a warm-up in which no close moved."""
    values = ta().RSI(bars.close, period)
    memory = WILDER * period
    values[ta().MAX(bars.close, memory) == ta().MIN(bars.close, memory)] = np.nan
    return (values,)


def stochastic(bars: Bars, *, period: int, slowing: int, smoothing: int) -> tuple[Array, ...]:
    """Slow %K and %D, 0 to 100 (TA-Lib STOCH with simple averages).

    No value where one of the averaged ranges of `period` bars is 0: a place within no range is undefined.
    """
    k, d = ta().STOCH(bars.high, bars.low, bars.close, period, slowing, 0, smoothing, 0)
    ranges = ta().MAX(bars.high, period) - ta().MIN(bars.low, period)
    k[_least(ranges, slowing) == 0] = np.nan
    d[_least(ranges, slowing + smoothing - 1) == 0] = np.nan
    return k, d


def cci(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Commodity channel index (TA-Lib CCI); 0 where the typical price stood still, being at its own average."""
    return (ta().CCI(bars.high, bars.low, bars.close, period),)


def williams_r(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Williams %R, -100 to 0 (TA-Lib WILLR); no value where the range of `period` bars is 0."""
    values = ta().WILLR(bars.high, bars.low, bars.close, period)
    values[stood_still(bars, period)] = np.nan
    return (values,)


def _least(values: Array, period: int) -> Array:
    least: Array = ta().MIN(values, period) if period > 1 else values  # TA-Lib refuses a window of one
    return least
