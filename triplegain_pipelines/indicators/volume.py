"""Indicators that weigh the price with the volume: OBV and VWAP.

Every function takes bars and returns one array for each output, as long as the bars, NaN where it has no value.
"""

import numpy as np

from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.ta import ta
from triplegain_pipelines.indicators.windows import window_sums


def obv(bars: Bars) -> tuple[Array, ...]:
    """On-balance volume in base currency (TA-Lib OBV).

    It is counted from the first bar of the frame: only its changes within one frame mean anything.
    """
    return (ta().OBV(bars.close, bars.volume),)


def vwap(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Volume-weighted average of the typical price (high + low + close) / 3 over the last `period` bars.

    The rolling form, because a market without sessions has no open to anchor to. No value where nothing was traded.
    """
    values = np.full(len(bars), np.nan)
    if len(bars) < period:
        return (values,)
    typical = (bars.high + bars.low + bars.close) / 3
    # Each window is added up by itself: a running sum leaves a remainder where the volume is 0.
    turnover, volume = window_sums(typical * bars.volume, period), window_sums(bars.volume, period)
    np.divide(turnover, volume, out=values[period - 1 :], where=volume > 0)
    return (values,)
