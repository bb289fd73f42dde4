"""Indicators that follow the price: averages, MACD, ADX, Donchian channel, Supertrend.

Every function takes bars and returns one array for each output, as long as the bars, NaN where it has no value.
"""

import numpy as np

from triplegain_pipelines.indicators.bars import Array, Bars, stood_still
from triplegain_pipelines.indicators.ta import ta
from triplegain_pipelines.indicators.warmup import WILDER
from triplegain_pipelines.indicators.windows import ratchet


def sma(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Simple moving average of the closes (TA-Lib SMA)."""
    return (ta().SMA(bars.close, period),)


def ema(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Exponential moving average of the closes, seeded with the simple average of the first `period` (TA-Lib EMA)."""
    return (ta().EMA(bars.close, period),)


def ema_slope(bars: Bars, *, period: int, span: int, atr_period: int) -> tuple[Array, ...]:
    """Change of the EMA over `span` bars, in average true ranges a bar; no value where nothing moved.

    Own measure: the unit makes slopes of different symbols and timeframes comparable.
    """
    average = ta().EMA(bars.close, period)
    atr = ta().ATR(bars.high, bars.low, bars.close, atr_period)
    slope = np.full(len(bars), np.nan)
    np.divide(average[span:] - average[:-span], span * atr[span:], out=slope[span:], where=atr[span:] > 0)
    return (slope,)


def macd(bars: Bars, *, fast: int, slow: int, signal: int) -> tuple[Array, ...]:
    """Line, signal and histogram (TA-Lib MACD)."""
    line, smoothed, histogram = ta().MACD(bars.close, fast, slow, signal)
    return line, smoothed, histogram


def adx(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Average directional index, 0 to 100 (TA-Lib ADX); no value after a warm-up in which nothing moved."""
    values = ta().ADX(bars.high, bars.low, bars.close, period)
    # TA-Lib answers 0, or holds its last value, where the true ranges are 0. The first bar of a frame has none.
    values[stood_still(bars, WILDER * 2 * period - 1)] = np.nan
    return (values,)


def donchian(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Highest high and lowest low of the last `period` bars, the present one included (Donchian channel)."""
    return ta().MAX(bars.high, period), ta().MIN(bars.low, period)


def supertrend(bars: Bars, *, period: int, multiple: float) -> tuple[Array, ...]:
    """The Supertrend line and its direction, +1 rising (line under the price) or -1 falling (line over it).

    Bands at (high + low) / 2 +- multiple x ATR; a band only moves towards the price until a close lies beyond it, and
    then the line changes sides; no value after a warm-up in which nothing moved. Rules and start (falling) as in
    TradingView's built-in `ta.supertrend`.
    """
    line = np.full(len(bars), np.nan)
    direction = np.full(len(bars), np.nan)
    if len(bars) <= period:
        return line, direction
    middle = (bars.high + bars.low) / 2
    width = multiple * ta().ATR(bars.high, bars.low, bars.close, period)
    line[period:], rising = ratchet((middle + width)[period:], (middle - width)[period:], bars.close[period:])
    direction[period:] = np.where(rising, 1.0, -1.0)
    still = stood_still(bars, WILDER * period - 1)
    line[still], direction[still] = np.nan, np.nan
    return line, direction
