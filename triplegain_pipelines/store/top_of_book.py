"""Best bid and ask by time. Every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, LiteralString

import psycopg

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.store.bulk import copy_out, stage
from triplegain_pipelines.store.extensions import find_extensions
from triplegain_pipelines.store.hypertables import TOP_OF_BOOK_DAYS

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.market.streams.books import TopOfBook


@dataclass(frozen=True, slots=True)
class QuoteCount:
    """What became of delivered quotes: not known before; known and equal; of a moment that has other values already."""

    new: int
    identical: int
    differing: int


_COLUMNS = ("venue", "symbol", "at", "bid", "bid_quantity", "ask", "ask_quantity")
# What was stored first stays: within one moment a book has several tops, and each was true.
_INSERT: LiteralString = """
    INSERT INTO market.top_of_book (venue, symbol, at, bid, bid_quantity, ask, ask_quantity, source)
    SELECT venue, symbol, at, bid, bid_quantity, ask, ask_quantity, %s
    FROM staged_top_of_book ORDER BY venue, symbol, at
    ON CONFLICT (venue, symbol, at) DO NOTHING
"""
_IDENTICAL: LiteralString = """
    SELECT count(*) FROM staged_top_of_book s
    WHERE EXISTS (
        SELECT FROM market.top_of_book t WHERE t.venue = s.venue AND t.symbol = s.symbol AND t.at = s.at
            AND (t.bid, t.bid_quantity, t.ask, t.ask_quantity) = (s.bid, s.bid_quantity, s.ask, s.ask_quantity)
    )
"""
# From one series to the next by the key; the table has thousands of rows of each a day.
_SERIES: LiteralString = """
    WITH RECURSIVE series AS (
        (SELECT venue, symbol FROM market.top_of_book ORDER BY venue, symbol LIMIT 1)
        UNION ALL
        SELECT next.* FROM series CROSS JOIN LATERAL (
            SELECT t.venue, t.symbol FROM market.top_of_book t
            WHERE (t.venue, t.symbol) > (series.venue, series.symbol) ORDER BY t.venue, t.symbol LIMIT 1
        ) AS next
    )
    SELECT venue, symbol FROM series ORDER BY venue, symbol
"""
_DROP: LiteralString = """
    DELETE FROM market.top_of_book WHERE venue = %s AND symbol = %s AND at < %s AND source = %s
"""
_READ: LiteralString = """
    SELECT at, bid, bid_quantity, ask, ask_quantity FROM market.top_of_book
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND at >= %(start)s AND at < %(end)s
    ORDER BY at
"""


STREAMED = "stream"
"""The source of quotes that were stored as they came, so that their time is when they were recorded."""


def upsert_top_of_book(connection: psycopg.Connection, rows: Sequence[TopOfBook], source: str) -> QuoteCount:
    """Store those snapshots whose moment is not stored yet, of any venues and symbols.

    Args:
        connection: in a transaction.
        rows: each moment of a symbol once; the bid below the ask.
        source: what delivered them, stored with each.

    Raises:
        DataError: a book is crossed, which is a finding and not a price.
    """
    import polars as pl

    from triplegain_pipelines.market.files.quote_files import QUOTE_COLUMNS

    schema = {"venue": pl.String(), "symbol": pl.String(), **QUOTE_COLUMNS}
    return _upsert(connection, pl.DataFrame([astuple(row) for row in rows], schema=schema, orient="row"), source)


def upsert_quotes(
    connection: psycopg.Connection, venue: str, symbol: str, frame: pl.DataFrame, source: str
) -> QuoteCount:
    """Store those quotes of one series whose moment is not stored yet; `frame` has the columns of QUOTE_COLUMNS.

    Raises:
        DataError: a quote is crossed.
    """
    import polars as pl

    return _upsert(connection, frame.with_columns(venue=pl.lit(venue), symbol=pl.lit(symbol)), source)


def read_top_of_book(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """The snapshots of [start, end) with the columns of QUOTE_COLUMNS, the oldest first."""
    from triplegain_pipelines.market.files.quote_files import QUOTE_COLUMNS

    key = {"venue": venue, "symbol": symbol, "start": start, "end": end}
    return copy_out(connection, _READ, key, QUOTE_COLUMNS)


def drop_old_quotes(connection: psycopg.Connection, now: datetime) -> int:
    """Delete the streamed quotes that are older than TOP_OF_BOOK_DAYS, and return how many those were.

    With TimescaleDB its own policy does that, by whole days, and this does nothing. It goes by when a quote was
    recorded, so imported quotes of last year are kept: without it nobody knows when they came, and they stay for good.
    """
    found = find_extensions(connection)
    if found.timescaledb and not found.lacks:
        return 0
    oldest = now - timedelta(days=TOP_OF_BOOK_DAYS)
    series = connection.execute(_SERIES).fetchall()
    return sum(connection.execute(_DROP, (*one, oldest, STREAMED)).rowcount for one in series)


def _upsert(connection: psycopg.Connection, frame: pl.DataFrame, source: str) -> QuoteCount:
    if frame.is_empty():
        return QuoteCount(0, 0, 0)
    crossed = frame.filter(frame["bid"] >= frame["ask"])
    if crossed.height:
        first = crossed.row(0, named=True)
        msg = f"{first['symbol']} at {first['venue']}: bid {first['bid']} is not below ask {first['ask']}; not stored"
        raise DataError(msg)
    stage(connection, frame.select(*_COLUMNS), ("market", "top_of_book"))
    new = connection.execute(_INSERT, (source,)).rowcount
    [(present,)] = connection.execute(_IDENTICAL).fetchall()
    identical = present - new
    return QuoteCount(new, identical, frame.height - new - identical)
