"""One-minute candles made of stored trades by the server, the same in plain SQL and with the toolkit's candlesticks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from triplegain_pipelines.store.bulk import copy_out
from triplegain_pipelines.store.extensions import Extensions, find_extensions

if TYPE_CHECKING:
    import polars as pl

# Trades of one moment come in the order of their ids, as numbers where they are numbers. They become one step, because
# a candlestick of the toolkit keeps of one moment whatever it happened to see first.
_STEPS: LiteralString = """
    SELECT traded_at,
        (array_agg(price ORDER BY octet_length(trade_id), trade_id COLLATE "C"))[1] AS first,
        max(price) AS high, min(price) AS low,
        (array_agg(price ORDER BY octet_length(trade_id), trade_id COLLATE "C"))[count(*)::integer] AS last,
        sum(quantity::text::numeric) AS quantity, count(*) AS trades
    FROM market.trades
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at >= %(start)s AND traded_at < %(end)s
    GROUP BY traded_at
"""
_PLAIN: LiteralString = """
    SELECT date_bin('1 minute', traded_at, 'epoch'::timestamptz) AS opened_at,
        (array_agg(first ORDER BY traded_at))[1] AS open, max(high) AS high, min(low) AS low,
        (array_agg(last ORDER BY traded_at))[count(*)::integer] AS close,
        sum(quantity)::float8 AS volume, sum(trades)::integer AS trades
    FROM ({steps}) AS steps GROUP BY 1 ORDER BY 1
"""
_CANDLESTICKS: LiteralString = """
    SELECT opened_at, open(stick), high(stick), low(stick), close(stick), volume, trades FROM (
        SELECT date_bin('1 minute', traded_at, 'epoch'::timestamptz) AS opened_at,
            rollup(candlestick(traded_at, first, high, low, last, quantity::float8)) AS stick,
            sum(quantity)::float8 AS volume, sum(trades)::integer AS trades
        FROM ({steps}) AS steps GROUP BY 1
    ) AS sticks ORDER BY opened_at
"""


def trade_candles(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    start: datetime,
    end: datetime,
    *,
    extensions: Extensions | None = None,
) -> pl.DataFrame:
    """The candles of the minutes of [start, end) in which there are stored trades, as a candle frame.

    The volume is the double nearest to the sum of the published decimals. A window that cuts a minute gives a candle
    of the part inside.

    Args:
        connection: to the database.
        venue: of the series.
        symbol: of the series.
        start: UTC, included.
        end: UTC, not included.
        extensions: those to use; None for those that the database has.
    """
    from triplegain_pipelines.market.contracts import CANDLE_COLUMNS

    found = extensions or find_extensions(connection)
    rendering = _PLAIN if found.toolkit is None else _CANDLESTICKS
    query = sql.SQL(rendering).format(steps=sql.SQL(_STEPS))
    key = {"venue": venue, "symbol": symbol, "start": start, "end": end}
    return copy_out(connection, query, key, CANDLE_COLUMNS)
