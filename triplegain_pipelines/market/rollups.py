"""Roll-ups: candles of a longer timeframe made of shorter ones. Every longer timeframe we decide on is derived.

A venue publishes volumes as decimals, and its own hour is the decimal sum of its minutes. So that is what a roll-up's
volume is: every volume is taken as the shortest decimal that names its double, these are added without any error, and
the total is the double nearest to the sum. It does not depend on how the candles were cut, chunked or cascaded,
because nothing is rounded before the end.
"""

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation

import numpy as np
import polars as pl
from numpy.typing import NDArray

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import ROLLUP_COLUMNS, TIME

# Below it a count of decimal units has at most 15 digits. Two decimals of 15 digits never share a double, so a count
# that gives the double back is the shortest decimal; and the 1440 of a day fit into 64 bits.
_LARGEST_COUNT = 1e15
# Up to it every integer is a double.
_EXACT_DOUBLE = 2**53
_USUAL_PLACES = 8
# Room for the sum of the largest and the smallest double there are; running out of it is an error, never a rounding.
_EXACT = Context(prec=800, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class _Volumes:
    """Volumes without error: `units` counts 10**-places; what does not fit is 0 there, and stands in `odd` by row."""

    units: NDArray[np.int64]
    places: int
    odd: dict[int, Decimal]


@dataclass(frozen=True, slots=True)
class _Bars:
    """Candles as arrays, sorted by series and time. `opened_at` is in us since 1970."""

    series: NDArray[np.int64]
    opened_at: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volumes: _Volumes
    minutes: NDArray[np.int64]


def roll_up(candles: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """The roll-ups of `timeframe` for every bucket in which there is at least one candle.

    Buckets start at multiples of the timeframe from the Unix epoch, UTC, and carry their opening time. The volume is
    the double nearest to the sum of the candles' decimals, so the same candles give the same bits however they were
    cut into pieces.

    Args:
        candles: sorted by `opened_at`, each once, of any shorter timeframe; a bucket must not be cut at the ends.
        timeframe: of the result.

    Returns:
        Columns opened_at, open, high, low, close, volume, minutes, where `minutes` counts the candles in the bucket:
        fewer than the bucket has room for means a gap.
    """
    return _frame(_roll(_bars(candles), timeframe)).select(*ROLLUP_COLUMNS)


def roll_up_all(candles: pl.DataFrame) -> dict[Timeframe, pl.DataFrame]:
    """What `roll_up` gives for 5m, 15m, 1h, 4h and 1d, each made of the one before, which changes no bit.

    Args:
        candles: as for `roll_up`, of 1m.
    """
    result: dict[Timeframe, pl.DataFrame] = {}
    bars = _bars(candles)
    for timeframe in ROLLUP_TIMEFRAMES:
        bars = _roll(bars, timeframe)
        result[timeframe] = _frame(bars).select(*ROLLUP_COLUMNS)
    return result


def roll_up_series(candles: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """What `roll_up` gives for each of many series.

    Args:
        candles: sorted by `series` (Int64, which series a candle is of) and `opened_at`, each once.
        timeframe: of the result.

    Returns:
        The column `series`, then those of `roll_up`.
    """
    return _frame(_roll(_bars(candles, candles["series"].to_numpy()), timeframe))


def _bars(candles: pl.DataFrame, series: NDArray[np.int64] | None = None) -> _Bars:
    one_each = np.ones(candles.height, dtype=np.int64)
    return _Bars(
        series=one_each if series is None else series,
        opened_at=candles["opened_at"].cast(TIME).to_physical().to_numpy(),
        open=candles["open"].to_numpy(),
        high=candles["high"].to_numpy(),
        low=candles["low"].to_numpy(),
        close=candles["close"].to_numpy(),
        volumes=_volumes(candles["volume"].to_numpy()),
        minutes=one_each,
    )


def _roll(bars: _Bars, timeframe: Timeframe) -> _Bars:
    if not bars.opened_at.size:
        return bars
    step = timeframe.minutes * 60_000_000
    bucket = bars.opened_at // step
    new = (bucket[1:] != bucket[:-1]) | (bars.series[1:] != bars.series[:-1])
    first = np.concatenate([[0], np.flatnonzero(new) + 1])
    last = np.concatenate([first[1:], [bucket.size]]) - 1
    return _Bars(
        series=bars.series[first],
        opened_at=bucket[first] * step,
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volumes=_sums(bars.volumes, first),
        minutes=np.add.reduceat(bars.minutes, first),
    )


def _frame(bars: _Bars) -> pl.DataFrame:
    columns = {
        "series": bars.series,
        "opened_at": bars.opened_at,
        "open": bars.open,
        "high": bars.high,
        "low": bars.low,
        "close": bars.close,
        "volume": _doubles(bars.volumes),
        "minutes": bars.minutes,
    }
    return pl.DataFrame(columns).with_columns(pl.col(name).cast(kind) for name, kind in ROLLUP_COLUMNS.items())


def _volumes(values: NDArray[np.float64]) -> _Volumes:
    """The shortest decimals of `values`. How many places the counts have changes the speed only, never a sum."""
    largest = values.max(initial=0.0)
    digits = int(np.floor(np.log10(largest))) + 1 if 0 < largest < _LARGEST_COUNT else 0
    places = min(_USUAL_PLACES, max(15 - digits, 0))
    scale = float(10**places)
    small = np.abs(values) < _LARGEST_COUNT / scale
    counts = np.rint(np.where(small, values, 0.0) * scale)
    fits = small & (counts / scale == values)
    odd = {int(row): Decimal(repr(float(values[row]))) for row in np.flatnonzero(~fits)}
    return _Volumes(np.where(fits, counts, 0.0).astype(np.int64), places, odd)


def _sums(volumes: _Volumes, first: NDArray[np.intp]) -> _Volumes:
    """The sums of the runs that start at the rows `first`."""
    odd: dict[int, Decimal] = {}
    rows = np.fromiter(volumes.odd, dtype=np.intp, count=len(volumes.odd))
    buckets = np.searchsorted(first, rows, side="right") - 1
    for bucket, value in zip(buckets.tolist(), volumes.odd.values(), strict=True):
        odd[bucket] = _EXACT.add(odd[bucket], value) if bucket in odd else value
    return _Volumes(np.add.reduceat(volumes.units, first), volumes.places, odd)


def _doubles(volumes: _Volumes) -> NDArray[np.float64]:
    """Each volume as the double nearest to it."""
    scale = 10**volumes.places
    # Both exact, so the one division rounds once.
    result = volumes.units / float(scale)
    for row in np.flatnonzero(np.abs(volumes.units) > _EXACT_DOUBLE).tolist():
        # Python divides integers of any size with one rounding.
        result[row] = int(volumes.units[row]) / scale
    for row, value in volumes.odd.items():
        units = Decimal(int(volumes.units[row])).scaleb(-volumes.places)
        result[row] = float(_EXACT.add(units, value))
    return result
