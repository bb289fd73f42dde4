"""The series that decisions see: usable candles, each from the venue that was the market's source when it closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString

import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.failover import opened_within
from triplegain_pipelines.store.sources import spans

if TYPE_CHECKING:
    import polars as pl

_MINUTE = Timeframe.M1
# An absent number of trades is read as -1: a null has no fixed width.
_USABLE: LiteralString = """
    SELECT opened_at, open, high, low, close, volume, coalesce(trades, -1) FROM market.usable_candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""
_CLOSES: LiteralString = """
    SELECT opened_at, close FROM market.usable_candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
        AND opened_at >= %(start)s AND opened_at < %(end)s
    ORDER BY opened_at
"""
_NEWEST: LiteralString = """
    SELECT wanted.symbol, newest.opened_at FROM unnest(%(symbols)s::text[]) AS wanted (symbol) CROSS JOIN LATERAL (
        SELECT opened_at FROM market.usable_candles
        WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = '1m' AND opened_at <= %(newest)s
        ORDER BY opened_at DESC LIMIT 1
    ) AS newest
"""


def stand_still(connection: psycopg.Connection) -> None:
    """Let the rest of the transaction see the database as it is now. To be called before its first query."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def decision_candles(
    connection: psycopg.Connection, market: str, symbol: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """The usable 1-minute candles of the market opened in [start, end), as a candle frame.

    A candle with a finding that holds it is left out, which leaves a hole, until the finding is settled.
    """

    def read(venue: str, first: datetime, last: datetime) -> pl.DataFrame:
        return read_usable_candles(connection, venue, symbol, first, last)

    return _joined(connection, market, _MINUTE, start, end, read)


def decision_rollups(
    connection: psycopg.Connection, market: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> pl.DataFrame:
    """The roll-ups of the market opened in [start, end), as a roll-up frame; each is made of one venue's minutes."""
    from triplegain_pipelines.store.candles import read_rollups

    def read(venue: str, first: datetime, last: datetime) -> pl.DataFrame:
        return read_rollups(connection, venue, symbol, timeframe, first, last)

    return _joined(connection, market, timeframe, start, end, read)


def read_usable_candles(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """The usable 1-minute candles of one venue opened in [start, end), as a candle frame."""
    import polars as pl

    from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
    from triplegain_pipelines.store.binary_copy import copy_out_binary

    frame = copy_out_binary(connection, _USABLE, _window(venue, symbol, start, end), CANDLE_COLUMNS)
    return frame.with_columns(pl.when(pl.col("trades") >= 0).then("trades"))


def read_closes(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> dict[datetime, float]:
    """The closes of one venue's usable 1-minute candles opened in [start, end), by opening time."""
    return dict(connection.execute(_CLOSES, _window(venue, symbol, start, end)).fetchall())


def newest_closes(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], now: datetime
) -> dict[str, datetime]:
    """When the newest usable 1-minute candle of each symbol closed; a symbol without one is left out.

    A candle that closes after `now` is not seen: it cannot have closed, whatever the venue says.
    """
    key = {"venue": venue, "symbols": list(symbols), "newest": now - _MINUTE.duration}
    rows = connection.execute(_NEWEST, key).fetchall()
    return {symbol: opened_at + _MINUTE.duration for symbol, opened_at in rows}


def _joined(
    connection: psycopg.Connection,
    market: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    read: Callable[[str, datetime, datetime], pl.DataFrame],
) -> pl.DataFrame:
    """What `read` gives of each venue for the time in which it was the source, oldest first."""
    pieces = list(_pieces(connection, market, timeframe, start, end))
    if len(pieces) == 1:
        return read(*pieces[0])
    if not pieces:
        return read(market, start, start)
    import polars as pl

    return pl.concat([read(*piece) for piece in pieces])


def _pieces(
    connection: psycopg.Connection, market: str, timeframe: Timeframe, start: datetime, end: datetime
) -> Iterator[tuple[str, datetime, datetime]]:
    for span in spans(connection, market, start, end + timeframe.duration):
        first, last = opened_within(span, timeframe, start, end)
        if first < last:
            yield span.venue, first, last


def _window(venue: str, symbol: str, start: datetime, end: datetime) -> dict[str, object]:
    return {"venue": venue, "symbol": symbol, "start": start, "end": end}
