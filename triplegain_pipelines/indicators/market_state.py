"""What risk knows of a market beside its prices: how much each symbol moves, how unusual that is, what moves together.

All of it is read off hourly closes, so that a state of any time is the same however much history was loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import combinations

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open

# Rises with every change that can change a state.
MARKET_STATE_VERSION = "1"
HISTORY = timedelta(days=30)

Closes = npt.NDArray[np.float64]

_HOUR = Timeframe.H1
_HOURS = HISTORY // _HOUR.duration
_DAY = 24
_ENOUGH = 7 * _DAY  # returns without which nothing is known: a week of them
_ENOUGH_OF_DAY = _DAY - 2
_ANNUAL = math.sqrt(365 * _DAY)
_AT_ONCE = 1024  # hours: windows of a year at a time would not fit into a cache
_PLACES = 9  # fewer than a float has, so that another processor gives the same figure


def hours_before(as_of: datetime, grace: timedelta) -> tuple[datetime, datetime]:
    """First and last opening time of the hours that a state at `as_of` rests on; a close may be revised for `grace`."""
    last = last_closed_open(as_of, _HOUR, grace)
    return last - _HOURS * _HOUR.duration, last


def market_state(as_of: datetime, closes: Mapping[str, Closes]) -> MarketState:
    """The state at `as_of`.

    Args:
        as_of: when it is known, UTC.
        closes: by symbol the closes of the hours of `hours_before`, one for each, NaN where one is missing.
    """
    returns = {symbol: np.diff(np.log(series)) for symbol, series in sorted(closes.items())}
    volatilities = {symbol: found for symbol, series in returns.items() if (found := volatility(series)) is not None}
    percentiles = {symbol: found for symbol, series in returns.items() if (found := _percentile(series)) is not None}
    correlations = {
        (one, other): found
        for one, other in combinations(returns, 2)
        if (found := correlation(returns[one], returns[other])) is not None
    }
    return MarketState(as_of, volatilities, percentiles, correlations)


def volatility(returns: Closes) -> float | None:
    """The annualised standard deviation; None for too few returns, and for a market that stands still."""
    known = returns[np.isfinite(returns)]
    if known.size < _ENOUGH:
        return None
    deviation = float(known.std(ddof=1)) * _ANNUAL
    return round(deviation, _PLACES) if deviation > 0 else None


def _percentile(returns: Closes) -> float | None:
    """Where the volatility of the last day lies among those of the days before it, of which one ends every hour."""
    if np.isfinite(returns).sum() < _ENOUGH or returns.size < 2 * _DAY:
        return None
    days = np.lib.stride_tricks.sliding_window_view(returns, _DAY)
    counts = np.isfinite(days).sum(axis=1)
    known = counts >= _ENOUGH_OF_DAY
    if not known[-1]:
        return None
    # A day of which hours are missing is measured by those that are there.
    filled = np.where(np.isfinite(days), days, 0.0)
    means = filled.sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(np.isfinite(days), (days - means[:, None]) ** 2, 0.0).sum(axis=1)
    deviations = np.sqrt(squares / np.maximum(counts - 1, 1))
    before = deviations[:-_DAY][known[:-_DAY]]
    if not before.size:
        return None
    below, equal = (before < deviations[-1]).sum(), (before == deviations[-1]).sum()
    return round(float((below + equal / 2) / before.size), _PLACES)


def percentiles(returns: Closes) -> Closes:
    """The percentile of every hour: what `market_state` at its end says of a symbol, NaN where that says nothing.

    Args:
        returns: log-returns, one from each hour to the next, NaN where one of the two is missing.

    Returns:
        One value for each hour, one more than there are returns.
    """
    hours = returns.size + 1
    padded = np.concatenate([np.full(_HOURS, np.nan), returns])
    days = np.lib.stride_tricks.sliding_window_view(padded, _DAY)
    counts = np.isfinite(days).sum(axis=1)
    filled = np.where(np.isfinite(days), days, 0.0)
    means = filled.sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(np.isfinite(days), (days - means[:, None]) ** 2, 0.0).sum(axis=1)
    deviations = np.where(counts >= _ENOUGH_OF_DAY, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)
    before = np.lib.stride_tricks.sliding_window_view(deviations, _HOURS - 2 * _DAY + 1)
    newest = deviations[_HOURS - _DAY :]
    found = np.full(hours, np.nan)
    for first in range(0, hours, _AT_ONCE):
        rows = slice(first, min(first + _AT_ONCE, hours))
        earlier, last = before[rows], newest[rows, None]
        below, equal = (earlier < last).sum(axis=1), (earlier == last).sum(axis=1)
        size = np.isfinite(earlier).sum(axis=1)
        share = (below + equal / 2) / np.maximum(size, 1)
        found[rows] = np.where((size > 0) & np.isfinite(last[:, 0]), share, np.nan)
    known = np.lib.stride_tricks.sliding_window_view(np.isfinite(padded), _HOURS).sum(axis=1)
    return np.where(known >= _ENOUGH, np.round(found, _PLACES), np.nan)


def correlation(one: Closes, other: Closes) -> float | None:
    """The correlation of the hours in which both are known; None for too few, and where one stands still."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < _ENOUGH:
        return None
    first, second = one[both] - one[both].mean(), other[both] - other[both].mean()
    scale = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return round(min(1.0, max(-1.0, float((first * second).sum()) / scale)), _PLACES) if scale > 0 else None
