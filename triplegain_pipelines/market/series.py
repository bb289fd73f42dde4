"""Candles of one symbol and timeframe as arrays, which is how everything that computes over history takes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe

if TYPE_CHECKING:
    import polars as pl

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

_PRICES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """Closed candles, oldest first: finite values, opening times that rise. Missing candles stay missing.

    `opened_at` counts microseconds since the Unix epoch, UTC; prices are in quote currency, `volume` in base currency.
    The arrays may be read by several threads and are never written to.
    """

    symbol: str
    timeframe: Timeframe
    opened_at: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.opened_at)

    @property
    def closed_at(self) -> Times:
        """When each candle was complete, in microseconds since the Unix epoch."""
        step = self.timeframe.minutes * 60_000_000
        return self.opened_at + step

    def opened(self, bar: int) -> datetime:
        """When a bar opened, UTC."""
        return EPOCH + timedelta(microseconds=int(self.opened_at[bar]))

    def part(self, start: int, stop: int) -> CandleSeries:
        """The candles of `[start, stop)`, which share their memory with these."""
        arrays: list[Any] = [getattr(self, name)[start:stop] for name in ("opened_at", *_PRICES)]
        return CandleSeries(self.symbol, self.timeframe, *arrays)

    @classmethod
    def of(cls, symbol: str, timeframe: Timeframe, frame: pl.DataFrame) -> CandleSeries:
        """The arrays of a candle or roll-up frame.

        Raises:
            DataError: a column is missing, a value is null, NaN or infinite, or the opening times do not rise.
        """
        missing = [name for name in ("opened_at", *_PRICES) if name not in frame.columns]
        if missing:
            msg = f"candles of {symbol} {timeframe} have no column {', '.join(missing)}"
            raise DataError(msg)
        opened_at = frame.get_column("opened_at").dt.epoch("us").to_numpy().astype(np.int64)
        if (np.diff(opened_at) <= 0).any():
            row = int(np.flatnonzero(np.diff(opened_at) <= 0)[0]) + 1
            msg = f"candle {row} of {symbol} {timeframe} opens no later than the one before it; sort them, drop doubles"
            raise DataError(msg)
        arrays = [np.ascontiguousarray(frame.get_column(name).to_numpy(), np.float64) for name in _PRICES]
        for name, values in zip(_PRICES, arrays, strict=True):
            broken = np.flatnonzero(~np.isfinite(values))
            if len(broken):
                msg = (
                    f"{name} of candle {broken[0]} of {symbol} {timeframe} is null, NaN or infinite; repair or drop it"
                )
                raise DataError(msg)
        return cls(symbol, timeframe, opened_at, *arrays)
