"""What intake and repair look up around candles: the ones just before, and which were revised a moment ago."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import LiteralString

import polars as pl
import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, TIME
from triplegain_pipelines.store.bulk import copy_out

TAIL_COLUMNS: Mapping[str, pl.DataType] = {"symbol": pl.String(), **CANDLE_COLUMNS}
_BEFORE_AND_NOW = ("open", "high", "low", "close", "volume")
_REVISED_COLUMNS: Mapping[str, pl.DataType] = {
    "symbol": pl.String(),
    "opened_at": TIME,
    **{f"old_{name}": pl.Float64() for name in _BEFORE_AND_NOW},
    **{name: pl.Float64() for name in _BEFORE_AND_NOW},
    "old_source": pl.String(),
}
# One index scan backwards for each symbol; the span keeps it out of the partitions of long ago.
_TAILS: LiteralString = """
    SELECT asked.symbol, c.opened_at, c.open, c.high, c.low, c.close, c.volume, c.trades
    FROM unnest(%(symbols)s::text[], %(before)s::timestamptz[]) AS asked (symbol, before)
    CROSS JOIN LATERAL (
        SELECT opened_at, open, high, low, close, volume, trades FROM market.candles
        WHERE venue = %(venue)s AND symbol = asked.symbol AND timeframe = %(timeframe)s
            AND opened_at < asked.before AND opened_at >= asked.before - %(span)s::interval
        ORDER BY opened_at DESC LIMIT %(rows)s
    ) c
    ORDER BY asked.symbol, c.opened_at
"""
# What was superseded since this transaction began, and by this source: nobody else can write the series meanwhile.
_REVISED: LiteralString = """
    SELECT DISTINCT ON (r.symbol, r.opened_at)
        r.symbol, r.opened_at, r.open, r.high, r.low, r.close, r.volume, c.open, c.high, c.low, c.close, c.volume,
        r.source
    FROM market.candle_revisions r JOIN market.candles c USING (venue, symbol, timeframe, opened_at)
    WHERE r.superseded_at >= now() AND r.superseded_by = %(source)s
        AND r.venue = %(venue)s AND r.symbol = ANY(%(symbols)s) AND r.timeframe = %(timeframe)s
        AND r.opened_at BETWEEN %(first)s AND %(last)s
    ORDER BY r.symbol, r.opened_at, r.revision_id DESC
"""


def read_tails(
    connection: psycopg.Connection, venue: str, before: Mapping[str, datetime], rows: int, span: timedelta
) -> pl.DataFrame:
    """The last 1-minute candles of many symbols, in one query.

    Args:
        connection: to read by.
        venue: of all symbols.
        before: opening time by symbol; only candles opened before it.
        rows: how many of each symbol at most.
        span: no candle is older than this before the time asked for.

    Returns:
        `symbol` and the columns of a candle frame, by symbol and time.
    """
    values = {
        "venue": venue,
        "timeframe": Timeframe.M1.value,
        "symbols": list(before),
        "before": list(before.values()),
        "span": span,
        "rows": rows,
    }
    return copy_out(connection, _TAILS, values, TAIL_COLUMNS)


def read_revised(
    connection: psycopg.Connection, venue: str, symbols: list[str], first: datetime, last: datetime, source: str
) -> pl.DataFrame:
    """The 1-minute candles opened in [first, last] that this transaction has changed through `source`.

    Returns:
        symbol, opened_at, the five values before as `old_…` and those of now, and `old_source`. Of a candle
        that was changed twice it is the last change.
    """
    values = {
        "venue": venue,
        "timeframe": Timeframe.M1.value,
        "symbols": symbols,
        "first": first,
        "last": last,
        "source": source,
    }
    return copy_out(connection, _REVISED, values, _REVISED_COLUMNS)
