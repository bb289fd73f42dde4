"""The indicators of one series, each computed once however many strategies and parameters ask for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.market.series import CandleSeries

Formula = Callable[..., tuple[Array, ...]]
_Key = tuple[Formula, tuple[tuple[str, float], ...]]

MOST_BYTES = 192 << 20
"""What a series keeps of computed values. 40 averages of a year of minutes fit; what was asked for longest ago goes."""

FEWEST_KEPT = 8
"""Formulas as large as the newest that are kept of however long a series: what a few neighbours of a sweep share."""


class IndicatorValues:
    """Values at every bar of `series`, by formula and parameters. Several threads may ask at once; nobody may write."""

    def __init__(self, series: CandleSeries) -> None:
        self.series = series
        self.bars = Bars(series.high, series.low, series.close, series.volume)
        self._known = _Known()
        self._higher: dict[Timeframe, HigherValues] = {}
        self._lock = Lock()

    def of(self, formula: Formula, **parameters: float) -> tuple[Array, ...]:
        """One array for each output of `formula`, as long as the series, NaN where it has no value."""
        key = (formula, tuple(sorted(parameters.items())))
        return self._known.get(key, lambda: formula(self.bars, **parameters))

    def higher(self, timeframe: Timeframe) -> HigherValues:
        """Values of the same market on a longer timeframe, as they were known at the close of each bar of `series`.

        Raises:
            DataError: `timeframe` is shorter than the one of the series, or not made of whole bars of it.
        """
        with self._lock:
            if timeframe not in self._higher:
                self._higher[timeframe] = HigherValues(self, timeframe)
            return self._higher[timeframe]


class HigherValues:
    """Values of a longer timeframe at every bar of a lower series, NaN where none was known yet.

    A higher bar is rolled up from the lower ones by the arithmetic of `market.rollups`, and is visible from the first
    lower bar on that closes when it does or later. So a bar that still runs is never seen, one that the series begins
    in the middle of does not count, and one with missing candles is what the others make, as everywhere in the system.
    The series' own timeframe is allowed and gives its own values.

    Attributes:
        series: the higher bars, all that were complete when the last lower bar closed.
        place: for each lower bar the newest higher bar that it may see, -1 before the first.
    """

    def __init__(self, lower: IndicatorValues, timeframe: Timeframe) -> None:
        self._lower = lower.series
        same = timeframe is self._lower.timeframe
        self._own = lower if same else IndicatorValues(_rolled_up(self._lower, timeframe))
        self.series = self._own.series
        self.place: npt.NDArray[np.int64] = (
            np.searchsorted(self.series.closed_at, self._lower.closed_at, side="right").astype(np.int64) - 1
        )
        self._known = _Known()

    def of(self, formula: Formula, **parameters: float) -> tuple[Array, ...]:
        """One array for each output of `formula` over the higher bars, as long as the lower series."""
        if self.series is self._lower:
            return self._own.of(formula, **parameters)
        key = (formula, tuple(sorted(parameters.items())))
        return self._known.get(key, lambda: self._aligned(self._own.of(formula, **parameters)))

    def _aligned(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        if not len(self.series):
            return tuple(np.full(len(self._lower), np.nan) for _ in arrays)
        return tuple(np.where(self.place >= 0, one[self.place], np.nan) for one in arrays)


class _Known:
    """Arrays by what they were computed from. Each is computed once, by whoever asks first, while others wait for it.

    Those that were asked for longest ago go when there are more than `MOST_BYTES` and `FEWEST_KEPT`; whoever holds them
    keeps them.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._lock = Lock()

    def get(self, key: _Key, compute: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...]:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.arrays is None:
                entry.arrays = compute()
                for one in entry.arrays:
                    one.flags.writeable = False
                self._forget(key, entry.size)
            return entry.arrays

    def _forget(self, newest: _Key, size: int) -> None:
        with self._lock:
            total = sum(entry.size for entry in self._entries.values())
            most = max(MOST_BYTES, FEWEST_KEPT * size)
            for key in [key for key, entry in self._entries.items() if key != newest and entry.size]:
                if total <= most:
                    return
                total -= self._entries.pop(key).size


class _Entry:
    """The arrays of one formula and its parameters, None until they are computed, and who may compute them."""

    __slots__ = ("arrays", "lock")

    def __init__(self) -> None:
        self.arrays: tuple[Array, ...] | None = None
        self.lock = Lock()

    @property
    def size(self) -> int:
        return sum(one.nbytes for one in self.arrays or ())


def _rolled_up(lower: CandleSeries, timeframe: Timeframe) -> CandleSeries:
    """The bars of `timeframe` that were complete when the last lower bar closed, of which no beginning is missing."""
    import polars as pl

    from triplegain_pipelines.market.rollups import roll_up

    if timeframe.minutes < lower.timeframe.minutes or timeframe.minutes % lower.timeframe.minutes:
        msg = (
            f"{timeframe.value} bars cannot be made of the {lower.timeframe.value} candles of {lower.symbol}; "
            "ask for a timeframe that holds a whole number of them"
        )
        raise DataError(msg)
    step = timeframe.minutes * 60_000_000
    if not len(lower):
        return CandleSeries(lower.symbol, timeframe, *(getattr(lower, name) for name in _COLUMNS))
    started = int(np.searchsorted(lower.opened_at, -(-int(lower.opened_at[0]) // step) * step))
    ended = int(np.searchsorted(lower.opened_at, int(lower.closed_at[-1]) // step * step))
    whole = lower.part(started, max(started, ended))
    frame = pl.DataFrame({name: getattr(whole, name) for name in _COLUMNS})
    frame = frame.with_columns(pl.col("opened_at").cast(pl.Datetime("us", "UTC")))
    return CandleSeries.of(lower.symbol, timeframe, roll_up(frame, timeframe))


_COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
