"""The columns of a candle frame as the indicators take them, and the check that nothing broken gets in.

One null or NaN would turn every later value of a recursive indicator into NaN, so a frame that holds one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.indicators.ta import ta

if TYPE_CHECKING:
    import polars as pl

Array = npt.NDArray[np.float64]

_COLUMNS = ("high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Bars:
    """Highs, lows and closes in quote currency and volumes in base currency, oldest first, all finite."""

    high: Array
    low: Array
    close: Array
    volume: Array

    def __len__(self) -> int:
        return len(self.close)


def bars_of(frame: pl.DataFrame) -> Bars:
    """The bars of a candle or roll-up frame.

    Raises:
        DataError: a column is missing, or holds a null, a NaN or an infinite value.
    """
    return Bars(*(_finite(frame, column) for column in _COLUMNS))


def stood_still(bars: Bars, count: int) -> npt.NDArray[np.bool_]:
    """Whether the last `count` bars had one and the same price, at each bar; False where fewer are there."""
    still: npt.NDArray[np.bool_] = ta().MAX(bars.high, count) == ta().MIN(bars.low, count)
    return still


def _finite(frame: pl.DataFrame, column: str) -> Array:
    if column not in frame.columns:
        msg = f"the frame has no column {column!r}; indicators need {', '.join(_COLUMNS)}"
        raise DataError(msg)
    values = frame.get_column(column).to_numpy().astype(np.float64, copy=False)
    if not np.isfinite(values).all():  # a null arrives here as NaN
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        msg = f"{column} of bar {row} is null, NaN or infinite; repair or drop the candle before computing indicators"
        raise DataError(msg)
    return np.ascontiguousarray(values)
