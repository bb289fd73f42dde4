"""Small candle frames for tests."""

from datetime import UTC, datetime, timedelta

import polars as pl

from triplegain_pipelines.market.contracts import CANDLE_COLUMNS

START = datetime(2024, 8, 5, tzinfo=UTC)


def candle_frame(minutes: list[int], *, price: float = 100.0) -> pl.DataFrame:
    """Flat 1-minute candles opened so many minutes after 2024-08-05 00:00 UTC, one unit of volume each."""
    count = len(minutes)
    return pl.DataFrame(
        {
            "opened_at": [START + timedelta(minutes=minute) for minute in minutes],
            "open": [price] * count,
            "high": [price + 1] * count,
            "low": [price - 1] * count,
            "close": [price] * count,
            "volume": [1.0] * count,
            "trades": [None] * count,
        },
        schema=dict(CANDLE_COLUMNS),
    )
