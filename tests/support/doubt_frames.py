"""Candles of a quiet day and rules of what is doubtful, for tests of intake and repair."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
from builders import wandering
from candle_frames import START

from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.settings.market import QualitySettings

MINUTE = timedelta(minutes=1)
RULES = QualitySettings(
    outlier_move=0.05,
    outlier_scale=25,
    stuck_candles=2,
    clock_skew_seconds=0.5,
    clock_refuse_seconds=1,
)


def quiet(minutes: int, seed: int = 5) -> pl.DataFrame:
    """A random walk from 2024-08-05 00:00 UTC on whose usual minute is 0.03 %; no two candles are equal."""
    walk = wandering(START, minutes, 100.0, seed, sigma=0.0005)
    volumes = pl.Series("volume", [1 + number / 1024 for number in range(minutes)])
    return walk.with_columns(volumes, trades=pl.lit(None, pl.Int32)).select(
        pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items()
    )


def with_values(frame: pl.DataFrame, row: int, **values: Any) -> pl.DataFrame:
    """The frame with other values in one row."""
    chosen = pl.int_range(pl.len()) == row
    return frame.with_columns(
        pl.when(chosen).then(pl.lit(value)).otherwise(pl.col(name)).cast(frame.schema[name]).alias(name)
        for name, value in values.items()
    )


def scaled(frame: pl.DataFrame, row: int, factor: float, *, to_the_end: bool = False) -> pl.DataFrame:
    """The frame with the prices of one row, or of all from it on, times `factor`."""
    place = pl.int_range(pl.len())
    chosen = place >= row if to_the_end else place == row
    return frame.with_columns(
        pl.when(chosen).then((pl.col(name) * factor).round(2)).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )


def same_as(frame: pl.DataFrame, row: int, copies: int) -> pl.DataFrame:
    """The frame with the five values of `row` in the `copies` rows after it, as a feed that stands still."""
    values: Mapping[str, Any] = frame.row(row, named=True)
    chosen = pl.int_range(pl.len()).is_between(row + 1, row + copies)
    return frame.with_columns(
        pl.when(chosen).then(pl.lit(values[name])).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
