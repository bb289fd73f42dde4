"""Real hourly candles in the form of minutes, for what only works on minutes.

Nothing is made up about prices: an hour stands still at its open until its last minute, which holds its high, low,
close and volume. Rolled up again, the hours, 4 hours and days are exactly the real ones; what is shorter is not real.
"""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

_LAST = 59


def write_minutes(hourly: Path, place: Path, first: datetime, end: datetime) -> int:
    """Write the hours of `hourly` that open in [first, end) as 1-minute candles to `place`; returns how many hours."""
    hours = pl.read_parquet(hourly).filter(pl.col("time").is_between(first, end, closed="left"))
    minutes = [_minute(hours, minute) for minute in range(_LAST + 1)]
    pl.concat(minutes).sort("time").write_parquet(place)
    return hours.height


def _minute(hours: pl.DataFrame, minute: int) -> pl.DataFrame:
    last = minute == _LAST
    prices = (
        {"open": "open", "high": "high", "low": "low", "close": "close"}
        if last
        else dict.fromkeys(("open", "high", "low", "close"), "open")
    )
    return hours.select(
        pl.col("time") + timedelta(minutes=minute),
        *(pl.col(column).alias(name) for name, column in prices.items()),
        (pl.col("volume") if last else pl.lit(0.0)).alias("volume"),
    )
