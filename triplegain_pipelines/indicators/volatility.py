"""Indicators of movement: ATR and its rank, Bollinger and Keltner bands, choppiness.

Every function takes bars and returns one array for each output, as long as the bars, NaN where it has no value. On a
market that stood still none of these has a value, so that ATR is positive and upper > middle > lower hold always.
"""

import math

import numpy as np

from triplegain_pipelines.indicators.bars import Array, Bars, stood_still
from triplegain_pipelines.indicators.ta import ta
from triplegain_pipelines.indicators.warmup import WILDER
from triplegain_pipelines.indicators.windows import logarithms, shares_not_over, window_sums


def atr(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Average true range in quote currency (TA-Lib ATR, Wilder's smoothing)."""
    return (_moving_atr(bars, period),)


def atr_rank(bars: Bars, *, period: int, span: int) -> tuple[Array, ...]:
    """Share of the last `span` bars whose ATR / close is not over the present one, above 0 to 1: its percentile.

    Own measure: 'volatile' means volatile for this symbol and timeframe, not over a fixed number.
    """
    relative = _moving_atr(bars, period) / bars.close
    rank = np.full(len(bars), np.nan)
    first = WILDER * period - 1
    if len(bars) < first + span:
        return (rank,)
    # A bar without a value stood still: it is under all.
    rank[first + span - 1 :] = shares_not_over(np.where(np.isnan(relative), 0.0, relative)[first:], span)
    rank[np.isnan(relative)] = np.nan
    return (rank,)


def bollinger(bars: Bars, *, period: int, deviations: float) -> tuple[Array, ...]:
    """Upper, middle and lower band: simple average +- population standard deviations (TA-Lib BBANDS)."""
    return _bands(*ta().BBANDS(bars.close, period, deviations, deviations))


def keltner(bars: Bars, *, period: int, atr_period: int, multiple: float) -> tuple[Array, ...]:
    """Upper, middle and lower band: EMA of the closes +- a multiple of the ATR.

    Linda Raschke's form of Keltner channels, as in StockCharts' ChartSchool (20, 2, 10).
    """
    middle = ta().EMA(bars.close, period)
    width = multiple * _moving_atr(bars, atr_period)
    return _bands(middle + width, middle, middle - width)


def choppiness(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """Choppiness index: 100 x log(sum of true ranges / (highest high - lowest low)) / log(period), to any base.

    E. W. Dreiss, as in TradingView's 'Choppiness Index'. Near 0 the market went one way, near 100 it went nowhere; over
    100 only where it gapped between bars.
    """
    ranges = ta().MAX(bars.high, period) - ta().MIN(bars.low, period)
    values = np.full(len(bars), np.nan)
    if len(bars) <= period:
        return (values,)
    travelled = window_sums(ta().TRANGE(bars.high, bars.low, bars.close)[1:], period)
    np.divide(travelled, ranges[period:], out=values[period:], where=ranges[period:] > 0)
    return (100.0 * logarithms(values) / math.log(period),)


def _moving_atr(bars: Bars, period: int) -> Array:
    # After a warm-up in which nothing moved, Wilder's average is 0 or the last trace of an old move. The first bar of a
    # frame does not count: it has no true range.
    values: Array = ta().ATR(bars.high, bars.low, bars.close, period)
    values[stood_still(bars, WILDER * period - 1)] = np.nan
    return values


def _bands(upper: Array, middle: Array, lower: Array) -> tuple[Array, ...]:
    apart = (upper > middle) & (middle > lower)
    return tuple(np.where(apart, band, np.nan) for band in (upper, middle, lower))
