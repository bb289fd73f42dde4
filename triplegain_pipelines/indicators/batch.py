"""The whole set over years of bars, and over many symbols at once: for research, where `registry` serves decisions.

Both give the same numbers to the last bit for the same first bar. A decision's reading begins `registry.WINDOW` bars
before it, research begins with its first candle: what an average still remembers of its start then differs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.indicators.bars import Array, Bars, bars_of
from triplegain_pipelines.indicators.registry import INDICATORS, OUTPUTS

if TYPE_CHECKING:
    import polars as pl

_LINE = 64  # bytes that a processor takes from memory at once


def columns_of(bars: Bars, *, state: Array | None = None, out: Array | None = None) -> Array:
    """Every output at every bar: one row for each of `registry.OUTPUTS`, NaN in the warm-up and where it has no value.

    Args:
        bars: oldest first, contiguous.
        state: of `new_state`, to go on with the bars after those it has seen; it is brought to the last of these bars.
        out: memory for the answer, of outputs x bars, contiguous.

    Raises:
        DataError: a value is NaN or infinite; the state has not seen any of the bars then.
    """
    from triplegain_pipelines.indicators.kernels import advance

    _check(bars)
    if out is None:
        out = np.empty((len(OUTPUTS), len(bars)))
    held = new_state() if state is None else state
    advance(held, bars.high, bars.low, bars.close, bars.volume, warm_ups(), workspace(), out)
    return out


def calculate_symbols(candles: pl.DataFrame, *, threads: int = 2) -> pl.DataFrame:
    """Every output at every bar of several symbols, null in the warm-up and where it has no value.

    Args:
        candles: `symbol`, `opened_at`, `high`, `low`, `close`, `volume`, of one timeframe; each symbol's rows from the
            oldest to the newest.
        threads: symbols that are computed at once.

    Returns:
        `symbol`, `opened_at` and the outputs; the symbols one after the other, in the order of their first rows.

    Raises:
        DataError: a column is missing, a symbol's opening times do not rise, or a value is null, NaN or infinite.
    """
    import polars as pl

    missing = [name for name in ("symbol", "opened_at") if name not in candles.columns]
    if missing:
        msg = f"the candles have no column {', '.join(missing)}; indicators of several symbols need both"
        raise DataError(msg)
    parts = candles.partition_by("symbol", maintain_order=True)
    if not parts:
        return candles.select("symbol", "opened_at", *(pl.lit(None, pl.Float64).alias(name) for name in OUTPUTS))
    with ThreadPoolExecutor(threads) as pool:
        return pl.concat(pool.map(_symbol, parts), rechunk=False)


def new_state() -> Array:
    """The state of a series that has not begun."""
    from triplegain_pipelines.indicators.kernels import STATE_SHAPE

    return np.zeros(STATE_SHAPE)


def workspace() -> Array:
    """Memory for a kernel to work in, which begins where a line of the processor's cache does."""
    from triplegain_pipelines.indicators.kernels import WORK_SIZE

    memory = np.empty(WORK_SIZE + _LINE // 8)
    first = -memory.ctypes.data % _LINE // 8
    return memory[first : first + WORK_SIZE]


@cache
def warm_ups() -> npt.NDArray[np.int64]:
    """For each output the bars it needs for a first value."""
    return np.array([one.warm_up for one in INDICATORS for _ in one.outputs], np.int64)


def _symbol(candles: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    symbol = candles.item(0, "symbol")
    if not candles["opened_at"].is_sorted() or candles["opened_at"].n_unique() != candles.height:
        msg = f"the candles of {symbol} do not rise by their opening times; sort them and drop doubles"
        raise DataError(msg)
    try:
        columns = columns_of(bars_of(candles))
    except DataError as error:
        msg = f"candles of {symbol}: {error}"
        raise DataError(msg) from error
    values = pl.DataFrame(dict(zip(OUTPUTS, columns, strict=True))).with_columns(pl.all().fill_nan(None))
    return candles.select("symbol", "opened_at").hstack(values)


def _check(bars: Bars) -> None:
    for name in ("high", "low", "close", "volume"):
        values: Array = getattr(bars, name)
        if not np.isfinite(values.sum()):  # quicker than to look at each
            broken = np.flatnonzero(~np.isfinite(values))
            if len(broken):
                msg = f"{name} of bar {broken[0]} is NaN or infinite; repair or drop the candle before computing"
                raise DataError(msg)
