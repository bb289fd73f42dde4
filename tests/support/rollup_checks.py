"""Whether stored roll-ups are those of given candles."""

from datetime import timedelta

import polars as pl

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.store.candles import read_rollups
from triplegain_pipelines.store.database import Database

_DAY = timedelta(days=1)


def rolled_up(database: Database, venue: str, symbol: str, candles: pl.DataFrame) -> bool:
    """Whether the roll-ups of every timeframe, a day to both sides too, are those of `candles` and no others."""
    start, end = candles["opened_at"].min() - _DAY, candles["opened_at"].max() + _DAY
    with database.connection() as connection:
        return all(
            read_rollups(connection, venue, symbol, timeframe, start, end).equals(roll_up(candles, timeframe))
            for timeframe in ROLLUP_TIMEFRAMES
        )
