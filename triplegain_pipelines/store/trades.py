"""Single trades. Every function works in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString

import psycopg

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.store.bulk import copy_out, stage

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class TradeCount:
    """What became of delivered trades: not known before, known and equal."""

    new: int
    identical: int


_LOCK: LiteralString = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 0))"
# What an id numbers stands before a colon: nothing for the venue's trades, `agg` for its aggregates, `file` for rows of
# a file. The same trades under two kinds of ids would count twice.
_OTHER_KIND: LiteralString = """
    SELECT t.trade_id, s.trade_id
    FROM market.trades t, (SELECT trade_id FROM staged_trades LIMIT 1) s
    WHERE t.venue = %(venue)s AND t.symbol = %(symbol)s
        AND t.traded_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        AND coalesce(substring(t.trade_id FROM '^[a-z]+:'), '') <> coalesce(substring(s.trade_id FROM '^[a-z]+:'), '')
    LIMIT 1
"""
# A source may cut times to the millisecond: the same trade is then up to that much earlier, and the stored one stays.
# The range is wider than that, so that a trade whose time was changed is found as well.
_CHANGED: LiteralString = """
    SELECT s.trade_id, t.traded_at, t.price, t.quantity, t.side, s.traded_at, s.price, s.quantity, s.side
    FROM staged_trades s JOIN market.trades t ON t.trade_id = s.trade_id
    WHERE t.venue = %(venue)s AND t.symbol = %(symbol)s
        AND t.traded_at BETWEEN %(first)s::timestamptz - interval '1 hour' AND %(last)s::timestamptz + interval '1 hour'
        AND NOT (t.price = s.price AND t.quantity = s.quantity AND coalesce(t.side = s.side, true)
            AND t.traded_at BETWEEN s.traded_at - interval '1 millisecond' AND s.traded_at + interval '1 millisecond')
    ORDER BY s.traded_at LIMIT 1
"""
_FORGET_KNOWN: LiteralString = """
    DELETE FROM staged_trades s USING market.trades t
    WHERE t.trade_id = s.trade_id AND t.venue = %(venue)s AND t.symbol = %(symbol)s
        AND t.traded_at BETWEEN %(first)s::timestamptz - interval '1 hour' AND %(last)s::timestamptz + interval '1 hour'
"""
_INSERT: LiteralString = """
    INSERT INTO market.trades (venue, symbol, traded_at, trade_id, price, quantity, side, source)
    SELECT %(venue)s, %(symbol)s, traded_at, trade_id, price, quantity, side, %(source)s
    FROM staged_trades ORDER BY traded_at, length(trade_id), trade_id
"""
_READ: LiteralString = """
    SELECT trade_id, traded_at, price, quantity, side FROM market.trades
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at >= %(start)s AND traded_at < %(end)s
    ORDER BY traded_at, length(trade_id), trade_id COLLATE "C"
"""


def upsert_trades(
    connection: psycopg.Connection, venue: str, symbol: str, frame: pl.DataFrame, source: str
) -> TradeCount:
    """Store those trades that are not stored yet.

    Args:
        connection: in a transaction; the series stays locked against other writers of trades until it ends.
        venue: of the trades.
        symbol: of the trades.
        frame: columns of TRADE_COLUMNS, each id once; `side` null or empty where it is not known.
        source: what delivered them, stored with each.

    Raises:
        DataError: a trade is stored with other values, or the same time is stored under another kind of ids. Venues do
            not change trades, so one of the two sources is wrong, and nothing says which.
    """
    import polars as pl

    if frame.is_empty():
        return TradeCount(0, 0)
    reach = {"first": frame["traded_at"].min(), "last": frame["traded_at"].max()}
    key = {"venue": venue, "symbol": symbol, "source": source, **reach}
    connection.execute(_LOCK, (f"trades/{venue}/{symbol}",))
    sided = frame.with_columns(side=pl.when(pl.col("side") != "").then("side"))
    stage(connection, sided, ("market", "trades"))
    other = connection.execute(_OTHER_KIND, key).fetchone()
    if other is not None:
        msg = (
            f"trades of {symbol} at {venue} of this time are stored with ids such as {other[0]}, and these have ids "
            f"such as {other[1]}: the same trades would count twice; import one kind only"
        )
        raise DataError(msg)
    changed = connection.execute(_CHANGED, key).fetchone()
    if changed is not None:
        raise DataError(_changed(venue, symbol, changed))
    identical = connection.execute(_FORGET_KNOWN, key).rowcount
    return TradeCount(connection.execute(_INSERT, key).rowcount, identical)


def read_trades(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """The trades of [start, end) with the columns of TRADE_COLUMNS, in the order in which they happened.

    Those of the same moment come in the order of their ids, as numbers where they are numbers.
    """
    from triplegain_pipelines.market.trades import TRADE_COLUMNS

    key = {"venue": venue, "symbol": symbol, "start": start, "end": end}
    return copy_out(connection, _READ, key, TRADE_COLUMNS)


def _changed(venue: str, symbol: str, row: tuple[object, ...]) -> str:
    trade_id, *values = row
    stored, delivered = (
        f"{at:%Y-%m-%dT%H:%M:%S.%f}, price {price}, quantity {quantity}, {side or 'side unknown'}"
        for at, price, quantity, side in (values[:4], values[4:])
    )
    return (
        f"the trade {trade_id} of {symbol} at {venue} is stored with other values ({stored}) than were delivered "
        f"({delivered}); compare both with the venue"
    )
