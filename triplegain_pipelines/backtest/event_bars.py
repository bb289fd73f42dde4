"""The bars of all symbols on one grid of moments: which opens or closes then, what is known, what it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Candle, exact_price
from triplegain_pipelines.domain.timeframes import EPOCH

if TYPE_CHECKING:
    from triplegain_pipelines.market.series import CandleSeries

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAY = 86_400_000_000
_MICROSECOND = timedelta(microseconds=1)
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Track:
    """The bars of one symbol that are traded, and where they lie on the grid.

    Attributes:
        series: all bars, also those before and after.
        start: the first bar that is traded, and `stop` the one behind the last.
        opening: for each moment the bar that opens then, -1 where none does.
        closing: for each moment the bar that closes then, -1 where none does.
        opened: for each moment the newest bar that has opened by then, -1 before the first.
        closed: for each moment the newest bar that has closed by then, -1 before the first.
        marks: for each moment the newest close that is known then, NaN before the first.
        opens: for each bar from `start` on the moment at which it opens, and `closes` that at which it closes.
    """

    series: CandleSeries
    start: int
    stop: int
    opening: Places
    closing: Places
    opened: Places
    closed: Places
    marks: Floats
    opens: Places
    closes: Places

    def candle(self, bar: int) -> Candle:
        """A bar with exact prices."""
        series = self.series
        return Candle(
            series.symbol,
            moment(int(series.opened_at[bar])),
            exact_price(float(series.open[bar])),
            exact_price(float(series.high[bar])),
            exact_price(float(series.low[bar])),
            exact_price(float(series.close[bar])),
        )

    def first_touch(self, lower: float, upper: float, bar: int, stop: int) -> int:
        """The first bar of `[bar, stop)` that falls to `lower` or rises to `upper`, or `stop`."""
        low, high, at, chunk = self.series.low, self.series.high, bar, _CHUNK
        while at < stop:
            end = min(at + chunk, stop)
            hits = (low[at:end] <= lower) | (high[at:end] >= upper)
            first = int(hits.argmax())
            if hits[first]:
                return at + first
            at, chunk = end, chunk * 2
        return stop


@dataclass(frozen=True, slots=True)
class Grid:
    """Every moment at which a traded bar opens or closes, in microseconds since the Unix epoch, and what is known then.

    Attributes:
        moments: rising.
        age: how old the newest close of any symbol is at each moment, in microseconds.
        midnights: the first moment of each UTC day.
        spacing: the shortest time between two moments, in microseconds.
        tracks: by symbol, sorted.
    """

    moments: Places
    age: Places
    midnights: Places
    spacing: int
    tracks: Mapping[str, Track]

    def at(self, place: int) -> datetime:
        """The moment as a time."""
        return moment(int(self.moments[place]))

    def first_from(self, microseconds: int) -> int:
        """The first moment at or after a time, or the number of moments."""
        return int(np.searchsorted(self.moments, microseconds))


def moment(microseconds: int) -> datetime:
    """A time that is counted in microseconds since the Unix epoch."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(at: datetime) -> int:
    """Microseconds since the Unix epoch."""
    return (at - EPOCH) // _MICROSECOND


def grid_of(series: Sequence[CandleSeries], start: datetime | None, stop: datetime | None) -> Grid:
    """The grid of the bars that open in `[start, stop)`.

    Raises:
        InputError: no bar of a symbol opens then, a symbol comes twice, or the timeframes differ.
    """
    ordered = sorted(series, key=lambda one: one.symbol)
    symbols = [one.symbol for one in ordered]
    if len({one.timeframe for one in ordered}) != 1 or len(set(symbols)) < len(symbols):
        msg = f"a backtest takes each symbol once, all of one timeframe; got {_told(ordered)}"
        raise InputError(msg)
    spans = [_span(one, start, stop) for one in ordered]
    step = ordered[0].timeframe.minutes * 60_000_000
    opened = [one.opened_at[first:last] for one, (first, last) in zip(ordered, spans, strict=True)]
    idle = [one for one, times in zip(ordered, opened, strict=True) if not times.size]
    if idle:
        msg = f"no bar of {_told(idle)} opens from {start} to {stop}; ask for a time that the candles cover"
        raise InputError(msg)
    moments = _merged(opened, step)
    tracks = {one.symbol: _track(one, span, moments, step) for one, span in zip(ordered, spans, strict=True)}
    closes = np.max([track.closing for track in tracks.values()], axis=0) >= 0
    newest = np.maximum.accumulate(np.where(closes, moments, moments[0]))
    days = moments // DAY
    midnights = np.flatnonzero(np.concatenate([[True], np.diff(days) > 0]))
    return Grid(moments, moments - newest, midnights, int(np.diff(moments).min()), tracks)


def _span(series: CandleSeries, start: datetime | None, stop: datetime | None) -> tuple[int, int]:
    first = 0 if start is None else int(np.searchsorted(series.opened_at, microseconds(start)))
    last = len(series) if stop is None else int(np.searchsorted(series.opened_at, microseconds(stop)))
    return first, max(first, last)


def _merged(opened: Sequence[Places], step: int) -> Places:
    alike = all(np.array_equal(one, opened[0]) for one in opened[1:])
    both = opened[0] if alike else np.unique(np.concatenate(opened))
    if (np.diff(both) == step).all():
        return np.append(both, both[-1] + step)
    return np.union1d(both, both + step)


def _track(series: CandleSeries, span: tuple[int, int], moments: Places, step: int) -> Track:
    start, stop = span
    opened = series.opened_at[start:stop]
    bars = np.arange(start, stop)
    opens, closes = np.searchsorted(moments, opened), np.searchsorted(moments, opened + step)
    opening, closing = np.full(moments.size, -1), np.full(moments.size, -1)
    opening[opens], closing[closes] = bars, bars
    opened_by, closed_by = np.maximum.accumulate(opening), np.maximum.accumulate(closing)
    marks = np.where(closed_by >= 0, series.close[closed_by], np.nan)
    return Track(series, start, stop, opening, closing, opened_by, closed_by, marks, opens, closes)


def _told(series: Sequence[CandleSeries]) -> str:
    return ", ".join(f"{one.symbol} {one.timeframe.value}" for one in series)
