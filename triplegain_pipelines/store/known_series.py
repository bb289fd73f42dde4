"""The series that decisions see, as it was known at an earlier moment, in the caller's transaction.

What was known at a moment is told from what was written: a candle has a value from `recorded_at` until it is
superseded, a doubt holds it from `detected_at` until it is settled, and a switch of the source counts from when it was
recorded. Candles and switches carry the time of the database's server, findings that of the machine which found them.

A candle's time is that at which its writer began to write, which is before others could see it. So what is known at a
moment here may be a little more than a reader could see then, and never less: whoever wants to know what a reader saw
has to look at the moments before, too; `changes` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.failover import SourceSpan, Switch, opened_within, source_spans

if TYPE_CHECKING:
    import polars as pl

_SWITCHES: LiteralString = """
    SELECT from_venue, to_venue, switched_at, reason FROM market.source_switches
    WHERE market = %(market)s AND recorded_at <= %(known_at)s ORDER BY sequence
"""
# A doubt that ended because other values came is opened again when the doubted ones come back, and its row tells
# nothing of the time between. The candle does: it had other values then, and took the doubted ones afterwards.
_HELD: LiteralString = """
    WITH doubts AS (
        SELECT finding_id, at, published FROM market.data_findings
        WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m' AND at >= %(start)s AND at < %(end)s
            AND held AND detected_at <= %(known_at)s AND (settled_at IS NULL OR settled_at > %(known_at)s)
    ), versions AS (
        SELECT opened_at, open, high, low, close, volume, recorded_at, 'infinity'::timestamptz AS superseded_at
        FROM market.candles
        WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
            AND opened_at = ANY(ARRAY(SELECT at FROM doubts))
        UNION ALL
        SELECT opened_at, open, high, low, close, volume, recorded_at, superseded_at FROM market.candle_revisions
        WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
            AND opened_at = ANY(ARRAY(SELECT at FROM doubts))
    ), judged AS (
        SELECT finding_id, at, recorded_at <= %(known_at)s AND superseded_at > %(known_at)s AS was_known,
            recorded_at > %(known_at)s AS came_later,
            (open, high, low, close, volume) = (
                (published ->> 'open')::float8, (published ->> 'high')::float8, (published ->> 'low')::float8,
                (published ->> 'close')::float8, (published ->> 'volume')::float8
            ) AS doubted
        FROM doubts LEFT JOIN versions ON opened_at = at
    )
    SELECT DISTINCT at FROM (
        SELECT at, bool_or(was_known AND NOT doubted) AND bool_or(came_later AND doubted) AS was_corrected
        FROM judged GROUP BY finding_id, at
    ) AS each
    WHERE was_corrected IS NOT TRUE ORDER BY at
"""
_CHANGES: LiteralString = """
    SELECT moment FROM (
        SELECT recorded_at AS moment FROM market.candles
        WHERE venue = ANY(%(venues)s) AND symbol = %(symbol)s AND timeframe = '1m'
            AND opened_at >= %(start)s AND opened_at < %(end)s
        UNION SELECT recorded_at FROM market.candle_revisions
        WHERE venue = ANY(%(venues)s) AND symbol = %(symbol)s AND timeframe = '1m'
            AND opened_at >= %(start)s AND opened_at < %(end)s
        UNION SELECT unnest(ARRAY[detected_at, settled_at]) FROM market.data_findings
        WHERE venue = ANY(%(venues)s) AND symbol = %(symbol)s AND timeframe = '1m'
            AND at >= %(start)s AND at < %(end)s AND held
        UNION SELECT recorded_at FROM market.source_switches WHERE market = %(market)s
    ) AS changed
    WHERE moment > %(since)s AND moment <= %(until)s
    ORDER BY moment DESC LIMIT %(limit)s
"""


def snapshot_recorded_at(connection: psycopg.Connection, snapshot_id: UUID) -> datetime | None:
    """When the transaction that stored a snapshot began; None where there is no such snapshot.

    What was recorded later, the snapshot cannot rest on: it had been made by then.
    """
    query = "SELECT recorded_at FROM research.snapshots WHERE snapshot_id = %s"
    row = connection.execute(query, (snapshot_id,)).fetchone()
    return row[0] if row else None


def known_spans(
    connection: psycopg.Connection, market: str, start: datetime, end: datetime, known_at: datetime
) -> list[SourceSpan]:
    """Which venue the candles that close in (start, end] belonged to, by the switches recorded up to `known_at`."""
    rows = connection.execute(_SWITCHES, {"market": market, "known_at": known_at}).fetchall()
    return source_spans(market, [Switch(*row) for row in rows], start, end)


def held_then(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime, known_at: datetime
) -> list[datetime]:
    """Opening times in [start, end) of the 1-minute candles that a finding held back at `known_at`, in order."""
    key = {"venue": venue, "symbol": symbol, "start": start, "end": end, "known_at": known_at}
    return [at for (at,) in connection.execute(_HELD, key).fetchall()]


def known_candles(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime, known_at: datetime
) -> pl.DataFrame:
    """The 1-minute candles of one venue opened in [start, end) that decisions could use at `known_at`."""
    import polars as pl

    from triplegain_pipelines.store.candles import read_candles_as_known

    candles = read_candles_as_known(connection, venue, symbol, Timeframe.M1, start, end, known_at)
    held = held_then(connection, venue, symbol, start, end, known_at)
    return candles.filter(~pl.col("opened_at").is_in(held)) if held else candles


def known_series(
    connection: psycopg.Connection,
    market: str,
    symbol: str,
    windows: Mapping[Timeframe, tuple[datetime, datetime]],
    known_at: datetime,
) -> dict[Timeframe, pl.DataFrame]:
    """Candles and roll-ups of a market as decisions saw them at `known_at`, the roll-ups made of the candles anew.

    Args:
        connection: in a transaction.
        market: the main venue.
        symbol: of the series.
        windows: by timeframe the opening times [first, last) of what is wanted; whole bars.
        known_at: what was recorded later does not count.

    Returns:
        Frames for the timeframes of `windows`: candle frames for 1m, roll-up frames for the others.
    """
    import polars as pl

    from triplegain_pipelines.market.rollups import roll_up_all

    start = min(first for first, _ in windows.values())
    end = max(last for _, last in windows.values())
    pieces: dict[Timeframe, list[pl.DataFrame]] = {timeframe: [] for timeframe in windows}
    for span in known_spans(connection, market, start, end, known_at):
        # From midnight on, so that every longer candle that closes in the span has all its minutes.
        opened = floor_to(span.starts_at, Timeframe.D1.duration)
        minutes = known_candles(connection, span.venue, symbol, opened, span.ends_at, known_at)
        made = {Timeframe.M1: minutes, **roll_up_all(minutes)}
        for timeframe, window in windows.items():
            first, last = opened_within(span, timeframe, *window)
            inside = (pl.col("opened_at") >= first) & (pl.col("opened_at") < last)
            pieces[timeframe].append(made[timeframe].filter(inside))
    return {timeframe: pl.concat(parts, rechunk=True) for timeframe, parts in pieces.items()}


def changes(
    connection: psycopg.Connection,
    market: str,
    symbol: str,
    window: tuple[datetime, datetime],
    since: datetime,
    until: datetime,
    *,
    limit: int,
) -> list[datetime]:
    """The last moments in (since, until] at which what is known of candles opened in `window` changed, newest first.

    Args:
        connection: in a transaction.
        market: the main venue; every venue it was ever switched to counts.
        symbol: of the series.
        window: opening times [first, last) of the 1-minute candles.
        since: excluded.
        until: included.
        limit: how many at most.
    """
    start, end = window
    venues = {span.venue for span in known_spans(connection, market, start, end, until)} | {market}
    key = {"market": market, "symbol": symbol, "venues": sorted(venues), "start": start, "end": end}
    rows = connection.execute(_CHANGES, {**key, "since": since, "until": until, "limit": limit}).fetchall()
    return [moment for (moment,) in rows]
