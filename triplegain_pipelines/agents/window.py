"""Which bars a decision may see, and what is read off them. Everything that looks at the market comes through here.

So look-ahead is impossible by construction, and live, replay and any partitioning see the same bars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from triplegain_pipelines.domain.evidence import Readings
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.indicators.registry import WINDOW, read_indicators

if TYPE_CHECKING:
    import polars as pl

_HASHED = ("opened_at", "open", "high", "low", "close", "volume", "minutes")


@dataclass(frozen=True, slots=True)
class Window:
    """The bars of one timeframe that may be seen, the hash of their content, and the indicators at the last of them.

    `newest` is the opening time of the newest bar there could be; the last bar is older where candles are missing.
    """

    timeframe: Timeframe
    newest: datetime
    bars: pl.DataFrame
    data_hash: str
    readings: Readings

    @property
    def missing(self) -> int:
        """Bars that the grid has from the first bar of the window to `newest`, and the window has not."""
        if self.bars.is_empty():
            return 0
        first: datetime = self.bars.item(0, "opened_at")
        return (self.newest - first) // self.timeframe.duration + 1 - self.bars.height


def history(timeframe: Timeframe) -> timedelta:
    """How far before a decision candles must be loaded so that its window is whole."""
    return (WINDOW + 1) * timeframe.duration


def window(
    candles: Mapping[Timeframe, pl.DataFrame], as_of: datetime, grace: timedelta
) -> dict[Timeframe, pl.DataFrame]:
    """The bars of each timeframe that may be used at `as_of`.

    These are the bars on the last `WINDOW` places of the grid, counted back from the newest that has closed. Counted in
    time and not in rows, so that they do not depend on how much history was loaded where candles are missing.

    Args:
        candles: candle and roll-up frames, sorted by `opened_at`, each in one chunk to be quick.
        as_of: UTC.
        grace: how long after its close a candle may still be revised.
    """
    return {
        timeframe: _between(frame, newest - (WINDOW - 1) * timeframe.duration, newest)
        for timeframe, frame in candles.items()
        for newest in (last_closed_open(as_of, timeframe, grace),)
    }


def read_window(timeframe: Timeframe, newest: datetime, bars: pl.DataFrame) -> Window:
    """Hash the bars of a window and read the indicators at the last of them.

    Raises:
        DataError: a bar holds a null, a NaN or an infinite value.
    """
    return Window(timeframe, newest, bars, _hash(bars), read_indicators(bars))


def _between(frame: pl.DataFrame, oldest: datetime, newest: datetime) -> pl.DataFrame:
    opened_at = frame.get_column("opened_at").to_numpy()
    start = int(opened_at.searchsorted(np.datetime64(oldest.replace(tzinfo=None), "us"), "left"))
    stop = int(opened_at.searchsorted(np.datetime64(newest.replace(tzinfo=None), "us"), "right"))
    return frame.slice(start, stop - start)


def _hash(bars: pl.DataFrame) -> str:
    # Like frame_digest, without its nulls and text, which would cost more here than all indicators of the window; and
    # without the number of trades, which no agent sees.
    digest = hashlib.sha256()
    present = set(bars.columns)
    for column in _HASHED:
        if column in present:
            values = bars.get_column(column).to_numpy()
            kind = "<f8" if values.dtype.kind == "f" else "<i8"
            digest.update(column.encode())
            digest.update(np.ascontiguousarray(values.astype(kind, copy=False)).data)
    return digest.hexdigest()
