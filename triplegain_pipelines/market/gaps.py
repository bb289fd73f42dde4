"""Gaps: which candles of the grid are missing. A gap is a row; nothing here fills one."""

from datetime import datetime

import polars as pl

from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe
from triplegain_pipelines.market.contracts import GAP_COLUMNS


def find_gaps(
    opened_at: pl.Series, timeframe: Timeframe, starts: datetime | None = None, ends: datetime | None = None
) -> pl.DataFrame:
    """The runs of missing candles between the first and the last opening time, or within a window.

    Args:
        opened_at: opening times, sorted, each once, on the grid.
        timeframe: of the candles.
        starts: from where candles are expected, included; else from the first one on.
        ends: up to where, excluded; else up to the last one.

    Returns:
        A row for each gap: `starts_at` and `ends_at` are the opening times of the first and the last missing
        candle, `missing` is their number.
    """
    step = timeframe.duration
    times = opened_at.cast(pl.Datetime("us", "UTC")).to_frame("opened_at")
    if starts is not None:
        times = pl.concat([_one(_ceiling(starts, timeframe) - step), times.filter(pl.col("opened_at") >= starts)])
    if ends is not None:
        times = pl.concat([times.filter(pl.col("opened_at") < ends), _one(_ceiling(ends, timeframe))])
    before = pl.col("opened_at").shift(1)
    return (
        times.lazy()
        .with_columns(starts_at=before + step, ends_at=pl.col("opened_at") - step)
        .filter(pl.col("starts_at") <= pl.col("ends_at"))
        .with_columns(missing=(pl.col("ends_at") - pl.col("starts_at")).dt.total_minutes() // timeframe.minutes + 1)
        .select(pl.col(name).cast(kind) for name, kind in GAP_COLUMNS.items())
        .collect()
    )


def _one(moment: datetime) -> pl.DataFrame:
    return pl.DataFrame({"opened_at": [moment]}, schema={"opened_at": pl.Datetime("us", "UTC")})


def _ceiling(moment: datetime, timeframe: Timeframe) -> datetime:
    return moment + (EPOCH - moment) % timeframe.duration
