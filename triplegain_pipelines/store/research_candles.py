"""The candles that research runs on: usable ones of one venue at one timeframe, however they came into the database."""

from datetime import datetime
from typing import LiteralString

import polars as pl
import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import TIME
from triplegain_pipelines.store.binary_copy import copy_out_binary

_COLUMNS: dict[str, pl.DataType] = {
    "opened_at": TIME,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64()),
}
_STORED: LiteralString = """
    SELECT opened_at, open, high, low, close, volume FROM market.usable_candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""
_ROLLED_UP: LiteralString = """
    SELECT opened_at, open, high, low, close, volume FROM market.rollups
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""


def research_candles(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The closed candles opened in [start, end): those stored at the timeframe, or else what minutes were rolled up to.

    The two are never mixed: a series has one origin from its first bar to its last. A gap stays a gap.
    """
    key = {"venue": venue, "symbol": symbol, "timeframe": timeframe.value, "start": start, "end": end}
    stored = copy_out_binary(connection, _STORED, key, _COLUMNS)
    return stored if stored.height else copy_out_binary(connection, _ROLLED_UP, key, _COLUMNS)
