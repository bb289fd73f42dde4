"""Roll-ups: candles of a longer timeframe made of shorter ones. Every longer timeframe we decide on is derived."""

from itertools import pairwise
from math import fsum

import polars as pl

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import ROLLUP_COLUMNS


def roll_up(candles: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """The roll-ups of `timeframe` for every bucket in which there is at least one candle.

    Buckets start at multiples of the timeframe from the Unix epoch, UTC, and carry their opening time. The volume is
    the exactly rounded sum, so the same candles give the same bits however they were cut into pieces.

    Args:
        candles: sorted by `opened_at`, each once, of any shorter timeframe; a bucket must not be cut at the ends.
        timeframe: of the result.

    Returns:
        Columns opened_at, open, high, low, close, volume, minutes, where `minutes` counts the candles in the bucket:
        fewer than the bucket has room for means a gap.
    """
    bars = (
        candles.lazy()
        .group_by_dynamic("opened_at", every=f"{timeframe.minutes}m", closed="left", label="left")
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            minutes=pl.len(),
        )
        .collect()
    )
    volumes = candles["volume"].to_list()
    edges = [0, *bars["minutes"].cum_sum().to_list()]
    total = [fsum(volumes[first:last]) for first, last in pairwise(edges)]
    return bars.with_columns(volume=pl.Series(total, dtype=pl.Float64())).select(
        pl.col(name).cast(kind) for name, kind in ROLLUP_COLUMNS.items()
    )
