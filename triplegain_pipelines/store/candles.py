"""Candles, their revisions and gaps, and roll-ups. Every function works in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import polars as pl
import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, GAP_COLUMNS, ROLLUP_COLUMNS, TIME
from triplegain_pipelines.store import candle_writes
from triplegain_pipelines.store.binary_copy import copy_out_binary
from triplegain_pipelines.store.bulk import copy_out, stage

UpsertCount = candle_writes.UpsertCount


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of a series: the number of candles and the first and last opening time."""

    venue: str
    symbol: str
    timeframe: str
    rows: int
    first: datetime
    last: datetime


_UPSERT_ROLLUPS: LiteralString = """
    INSERT INTO market.rollups AS r (venue, symbol, timeframe, opened_at, open, high, low, close, volume, minutes)
    SELECT %(venue)s, %(symbol)s, %(timeframe)s, opened_at, open, high, low, close, volume, minutes FROM staged_rollups
    ON CONFLICT (venue, symbol, timeframe, opened_at) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, minutes = excluded.minutes
    WHERE (r.open, r.high, r.low, r.close, r.volume, r.minutes) IS DISTINCT FROM
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.minutes)
"""
_READ_CANDLES: LiteralString = """
    SELECT opened_at, open, high, low, close, volume, coalesce(trades, -1) FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""
# A candle has one value at a time: each ends where the next begins, and the last is the one that is stored.
_AS_KNOWN: LiteralString = """
    SELECT opened_at, open, high, low, close, volume, coalesce(trades, -1) FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s AND recorded_at <= %(known_at)s
    UNION ALL
    SELECT opened_at, open, high, low, close, volume, coalesce(trades, -1) FROM market.candle_revisions
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
        AND recorded_at <= %(known_at)s AND superseded_at > %(known_at)s
    ORDER BY opened_at
"""
_READ_ROLLUPS: LiteralString = """
    SELECT opened_at, open, high, low, close, volume, minutes FROM market.rollups
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""
_COVERAGE: LiteralString = """
    SELECT venue, symbol, timeframe, count(*) AS rows, min(opened_at) AS first, max(opened_at) AS last
    FROM market.candles GROUP BY venue, symbol, timeframe ORDER BY venue, symbol, timeframe
"""
_OPENING_TIMES: LiteralString = """
    SELECT opened_at FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    ORDER BY opened_at
"""
# No two overlap, so of those that begin before the window only the last can reach into it.
_READ_GAPS: LiteralString = """
    SELECT starts_at, ends_at, missing, kind FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND ends_at >= %(start)s AND starts_at < %(end)s AND starts_at >= coalesce((
            SELECT max(starts_at) FROM market.candle_gaps
            WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s AND starts_at <= %(start)s
        ), '-infinity')
    ORDER BY starts_at
"""


def upsert_candles(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, frame: pl.DataFrame, source: str
) -> UpsertCount:
    """Store candles. One that is stored with other values goes to `candle_revisions` before it is overwritten.

    Args:
        connection: in a transaction; the series stays locked against other writers until it ends.
        venue: of the series.
        symbol: of the series.
        timeframe: of the series.
        frame: keeps the contract `candles`.
        source: what delivered them, stored with each.
    """
    columns = (pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items())
    delivered = frame.select(pl.lit(1, pl.Int64()).alias("place"), *columns)
    return candle_writes.write_candles(connection, venue, timeframe, [symbol], delivered, source)


def read_candles(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The candles opened in [start, end), as a candle frame."""
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end}
    return _candles(connection, _READ_CANDLES, key)


def read_candles_as_known(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    known_at: datetime,
) -> pl.DataFrame:
    """The candles opened in [start, end) as they stood in the database at `known_at`, as a candle frame.

    One that was recorded later is absent, and one that was corrected later has the values it had then. A delivery
    counts from the moment its writer began to write, a little before others could see it.
    """
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end, "known_at": known_at}
    return _candles(connection, _AS_KNOWN, key)


def opening_times(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, first: datetime, last: datetime
) -> pl.Series:
    """The opening times of the stored candles from `first` to `last`, both included, in order."""
    key = {**_key(venue, symbol, timeframe), "first": first, "last": last}
    return copy_out_binary(connection, _OPENING_TIMES, key, {"opened_at": TIME})["opened_at"]


def stored_range(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe
) -> tuple[datetime, datetime] | None:
    """First and last opening time of a series, or None where nothing of it is stored."""
    row = connection.execute(
        """SELECT min(opened_at), max(opened_at) FROM market.candles
           WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s""",
        _key(venue, symbol, timeframe),
    ).fetchone()
    return (row[0], row[1]) if row and row[0] is not None else None


def coverage(connection: psycopg.Connection) -> list[Coverage]:
    """What is stored of every series, by venue, symbol and timeframe."""
    with connection.cursor(row_factory=class_row(Coverage)) as cursor:
        return cursor.execute(_COVERAGE).fetchall()


def read_gaps(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The recorded gaps that reach into [start, end): starts_at, ends_at, missing, and kind, `repaired` included."""
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end}
    return copy_out(connection, _READ_GAPS, key, {**GAP_COLUMNS, "kind": pl.String()})


def upsert_rollups(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, frame: pl.DataFrame
) -> int:
    """Store roll-ups, a frame that keeps the contract `rollups`; returns how many were new or changed."""
    # Else a writer of the newest minute, who renews some of these rows, could wait for us while we wait for him.
    candle_writes.lock_series(connection, venue, [symbol], Timeframe.M1)
    stage(connection, frame, ("market", "rollups"))
    return connection.execute(_UPSERT_ROLLUPS, _key(venue, symbol, timeframe)).rowcount


def replace_rollups(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    frame: pl.DataFrame,
) -> int:
    """Make the roll-ups opened in [start, end) those of `frame`; returns how many were new, changed or removed."""
    written = upsert_rollups(connection, venue, symbol, timeframe, frame)
    return (
        written
        + connection.execute(
            """DELETE FROM market.rollups r
           WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
               AND opened_at >= %(start)s AND opened_at < %(end)s
               AND NOT EXISTS (SELECT FROM staged_rollups s WHERE s.opened_at = r.opened_at)""",
            {**_key(venue, symbol, timeframe), "start": start, "end": end},
        ).rowcount
    )


def read_rollups(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The roll-ups opened in [start, end), as a roll-up frame."""
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end}
    return copy_out_binary(connection, _READ_ROLLUPS, key, ROLLUP_COLUMNS)


def _candles(connection: psycopg.Connection, query: LiteralString, key: Mapping[str, object]) -> pl.DataFrame:
    frame = copy_out_binary(connection, query, key, CANDLE_COLUMNS)
    # The queries spell an absent number of trades as -1, because a null has no fixed width.
    return frame.with_columns(pl.when(pl.col("trades") >= 0).then("trades"))


def _key(venue: str, symbol: str, timeframe: Timeframe) -> Mapping[str, str]:
    return {"venue": venue, "symbol": symbol, "timeframe": timeframe.value}
