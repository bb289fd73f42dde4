"""What risk knows of the market in a backtest: how volatile each symbol is, hour by hour, read off the bars' closes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.event_bars import Grid, Places, microseconds, moment
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.market_state import HISTORY, correlation, percentiles, volatility

if TYPE_CHECKING:
    from datetime import datetime

    from triplegain_pipelines.market.series import CandleSeries

_HOUR = 3_600_000_000
_HOURS = HISTORY // Timeframe.H1.duration


class HourlyMarket:
    """The market's state at any time: that of `indicators.market_state` over the hours which had closed by then.

    Raises:
        InputError: the bars are longer than an hour, so that the market's volatility is not known from them.
    """

    def __init__(self, series: Sequence[CandleSeries]) -> None:
        longer = [one for one in series if one.timeframe.minutes > Timeframe.H1.minutes]
        if longer:
            msg = (
                f"risk measures volatility by the hour, and {longer[0].symbol} has bars of {longer[0].timeframe.value};"
                " run the event engine on bars of 1h or shorter, or the kernel"
            )
            raise InputError(msg)
        self._first = min(int(one.opened_at[0]) for one in series) // _HOUR
        hours = max(int(one.opened_at[-1]) for one in series) // _HOUR - self._first + 1
        self._returns: dict[str, npt.NDArray[np.float64]] = {}
        self._percentiles: dict[str, npt.NDArray[np.float64]] = {}
        for one in series:
            closes = np.full(hours, np.nan)
            closes[one.opened_at // _HOUR - self._first] = one.close  # the last bar of an hour is the one that stays
            returns = np.diff(np.log(closes))
            self._percentiles[one.symbol] = percentiles(returns)
            self._returns[one.symbol] = np.concatenate([np.full(_HOURS, np.nan), returns])
        self._highest: npt.NDArray[np.float64] = np.fmax.reduce(list(self._percentiles.values()))
        self._volatilities: dict[tuple[str, int], float | None] = {}
        self._correlations: dict[tuple[str, str, int], float | None] = {}

    def percentile(self, at: datetime) -> float | None:
        """The highest percentile of any symbol as it is known at `at`, None where none is known."""
        hour = self._closed_hour(microseconds(at))
        found = float(self._highest[hour]) if hour >= 0 else np.nan
        return None if np.isnan(found) else found

    def state(self, at: datetime, symbols: Iterable[str]) -> MarketState:
        """What is known at `at` of some symbols."""
        hour, names = self._closed_hour(microseconds(at)), sorted(symbols)
        if hour < 0:
            return MarketState(at, {}, {}, {})
        standing = {name: float(self._percentiles[name][hour]) for name in names}
        swings = {name: self._volatility(name, hour) for name in names}
        pairs = {
            (one, other): self._correlation(one, other, hour)
            for place, one in enumerate(names)
            for other in names[place + 1 :]
        }
        return MarketState(
            at,
            {name: known for name, known in swings.items() if known is not None},
            {name: known for name, known in standing.items() if not np.isnan(known)},
            {pair: known for pair, known in pairs.items() if known is not None},
        )

    def volatile_moments(self, grid: Grid, over: float) -> Places:
        """The first moments of the hours in which the highest percentile is over a limit."""
        hours = self._first + 1 + np.flatnonzero(np.nan_to_num(self._highest, nan=-1.0) > over)
        first = np.searchsorted(grid.moments, hours * _HOUR)
        known = first < grid.moments.size
        reached = np.unique(first[known])
        # Hours without a bar have no moment of their own.
        return np.array([place for place in reached if (self.percentile(grid.at(int(place))) or 0) > over], np.int64)

    def next_hour(self, at: datetime) -> datetime:
        """When the hour after the one of `at` begins."""
        return moment((microseconds(at) // _HOUR + 1) * _HOUR)

    def _closed_hour(self, at: int) -> int:
        """The place of the newest hour that has closed at `at`; those after the last bar are as the last one."""
        return min(at // _HOUR - 1 - self._first, len(self._highest) - 1)

    def _window(self, symbol: str, hour: int) -> npt.NDArray[np.float64]:
        return self._returns[symbol][hour : hour + _HOURS]

    def _volatility(self, symbol: str, hour: int) -> float | None:
        key = (symbol, hour)
        if key not in self._volatilities:
            self._volatilities[key] = volatility(self._window(symbol, hour))
        return self._volatilities[key]

    def _correlation(self, one: str, other: str, hour: int) -> float | None:
        key = (one, other, hour)
        if key not in self._correlations:
            self._correlations[key] = correlation(self._window(one, hour), self._window(other, hour))
        return self._correlations[key]
