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
from triplegain_pipelines.market.gaps import gaps_of_missing
from triplegain_pipelines.store.bulk import copy_out, stage


@dataclass(frozen=True, slots=True)
class UpsertCount:
    """What became of delivered candles: not known before, known and equal, known with other values."""

    new: int
    identical: int
    revised: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of a series: the number of candles and the first and last opening time."""

    venue: str
    symbol: str
    timeframe: str
    rows: int
    first: datetime
    last: datetime


# Three steps, each on what the one before left. An upsert alone would lock and so rewrite every row it meets, which
# makes a second import as slow as the first.
# The range is said to the planner, which else reads the whole series where it has no statistics yet.
# A delivery that does not know the number of trades, such as REST history, leaves the known number as it is.
_FORGET_KNOWN: LiteralString = """
    DELETE FROM staged_candles s USING market.candles c
    WHERE c.venue = %(venue)s AND c.symbol = %(symbol)s AND c.timeframe = %(timeframe)s AND c.opened_at = s.opened_at
        AND c.opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        AND (c.open, c.high, c.low, c.close, c.volume, c.trades)
            IS NOT DISTINCT FROM (s.open, s.high, s.low, s.close, s.volume, coalesce(s.trades, c.trades))
"""
_REVISE: LiteralString = """
    INSERT INTO market.candle_revisions
        (venue, symbol, timeframe, opened_at, open, high, low, close, volume, trades, source,
         recorded_at, superseded_by)
    SELECT venue, symbol, timeframe, opened_at, c.open, c.high, c.low, c.close, c.volume, c.trades, c.source,
        c.recorded_at, %(source)s
    FROM market.candles c JOIN staged_candles s USING (opened_at)
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    ORDER BY opened_at
"""
_UPSERT: LiteralString = """
    INSERT INTO market.candles AS c
        (venue, symbol, timeframe, opened_at, open, high, low, close, volume, trades, source)
    SELECT %(venue)s, %(symbol)s, %(timeframe)s, opened_at, open, high, low, close, volume, trades, %(source)s
    FROM staged_candles
    ON CONFLICT (venue, symbol, timeframe, opened_at) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, trades = coalesce(excluded.trades, c.trades), source = excluded.source,
        recorded_at = now()
"""
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
    SELECT opened_at, open, high, low, close, volume, trades FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at >= %(start)s AND opened_at < %(end)s
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
# Gaps that lie in the window or touch it, so that a gap over midnight stays one row.
_TOUCHING_GAPS: LiteralString = """
    SELECT starts_at, ends_at, missing FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s AND kind <> 'repaired'
        AND ends_at >= %(start)s - %(step)s AND starts_at <= %(end)s
    ORDER BY starts_at
"""
_OPENING_TIMES: LiteralString = """
    SELECT opened_at FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
"""
_MARK_REPAIRED: LiteralString = """
    UPDATE market.candle_gaps g SET kind = 'repaired'
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s AND kind <> 'repaired'
        AND ends_at >= %(start)s - %(step)s AND starts_at <= %(end)s
        AND NOT EXISTS (SELECT FROM staged_candle_gaps s WHERE s.starts_at = g.starts_at)
"""
_UPSERT_GAPS: LiteralString = """
    INSERT INTO market.candle_gaps AS g (venue, symbol, timeframe, starts_at, ends_at, missing, kind)
    SELECT %(venue)s, %(symbol)s, %(timeframe)s, starts_at, ends_at, missing, 'missing' FROM staged_candle_gaps
    ON CONFLICT (venue, symbol, timeframe, starts_at) DO UPDATE SET
        ends_at = excluded.ends_at, missing = excluded.missing,
        kind = CASE g.kind WHEN 'repaired' THEN 'missing' ELSE g.kind END
    WHERE (g.ends_at, g.missing) IS DISTINCT FROM (excluded.ends_at, excluded.missing) OR g.kind = 'repaired'
"""
_READ_GAPS: LiteralString = """
    SELECT starts_at, ends_at, missing, kind FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND ends_at >= %(start)s AND starts_at < %(end)s
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
    times = frame["opened_at"]
    key = {**_key(venue, symbol, timeframe), "source": source, "first": times.min(), "last": times.max()}
    # Two writers of one series would count each other's rows, or wait for each other's rows for ever.
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 0))"
    connection.execute(lock, (f"candles/{venue}/{symbol}/{timeframe.value}",))
    stage(connection, frame, ("market", "candles"))
    identical = connection.execute(_FORGET_KNOWN, key).rowcount
    revised = connection.execute(_REVISE, key).rowcount
    written = connection.execute(_UPSERT, key).rowcount
    return UpsertCount(new=written - revised, identical=identical, revised=revised)


def read_candles(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The candles opened in [start, end), as a candle frame."""
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end}
    return copy_out(connection, _READ_CANDLES, key, CANDLE_COLUMNS)


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


def replace_gaps(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    gaps: pl.DataFrame,
) -> None:
    """Record the gaps found in [start, end), and bring the recorded ones there up to date with the stored candles.

    A recorded gap stays as long as its candles are not stored, also where it reaches out of the window; touching gaps
    become one. The row of a gap that is filled, or is now part of another, stays with kind `repaired`.
    """
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end, "step": timeframe.duration}
    recorded = copy_out(connection, _TOUCHING_GAPS, key, GAP_COLUMNS)
    stored = _opening_times(connection, key, recorded)
    stage(connection, gaps_of_missing(pl.concat([recorded, gaps]), stored, timeframe), ("market", "candle_gaps"))
    connection.execute(_MARK_REPAIRED, key)
    connection.execute(_UPSERT_GAPS, key)


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
    stage(connection, frame, ("market", "rollups"))
    return connection.execute(_UPSERT_ROLLUPS, _key(venue, symbol, timeframe)).rowcount


def read_rollups(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The roll-ups opened in [start, end), as a roll-up frame."""
    key = {**_key(venue, symbol, timeframe), "start": start, "end": end}
    return copy_out(connection, _READ_ROLLUPS, key, ROLLUP_COLUMNS)


def _opening_times(connection: psycopg.Connection, key: Mapping[str, object], gaps: pl.DataFrame) -> pl.Series:
    """Opening times of the stored candles from the first to the last of `gaps`.

    Joining gaps with candles in SQL takes the square of their number wherever the planner knows too little.
    """
    reach = {**key, "first": gaps["starts_at"].min(), "last": gaps["ends_at"].max()}
    return copy_out(connection, _OPENING_TIMES, reach, {"opened_at": TIME})["opened_at"]


def _key(venue: str, symbol: str, timeframe: Timeframe) -> Mapping[str, str]:
    return {"venue": venue, "symbol": symbol, "timeframe": timeframe.value}
