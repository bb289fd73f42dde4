"""The newest minutes of many symbols at once: their candles, and the roll-ups that hold a minute, in few statements."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

import polars as pl
import psycopg

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe, floor_to
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, TIME
from triplegain_pipelines.market.rollups import roll_up_series
from triplegain_pipelines.store.binary_copy import copy_out_binary
from triplegain_pipelines.store.candle_writes import UpsertCount, lock_series, write_candles

_MINUTE_COLUMNS = {name: kind for name, kind in CANDLE_COLUMNS.items() if name != "trades"}
_LONGEST = ROLLUP_TIMEFRAMES[-1]
# OFFSET 0 keeps the planner from turning this inside out: one range of the index for each symbol, whatever it knows.
_USABLE: LiteralString = """
    SELECT wanted.series, usable.*
    FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS wanted (symbol, series)
    CROSS JOIN LATERAL (
        SELECT opened_at, open, high, low, close, volume FROM market.usable_candles
        WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = '1m'
            AND opened_at >= %(start)s::timestamptz AND opened_at < %(end)s::timestamptz
        OFFSET 0
    ) AS usable
"""
_UPSERT: LiteralString = """
    INSERT INTO market.rollups AS r (venue, symbol, timeframe, opened_at, open, high, low, close, volume, minutes)
    SELECT %(venue)s, made.* FROM unnest(
        %(symbol)s::text[], %(timeframe)s::text[], %(opened_at)s::timestamptz[], %(open)s::float8[], %(high)s::float8[],
        %(low)s::float8[], %(close)s::float8[], %(volume)s::float8[], %(minutes)s::int[]
    ) AS made
    ON CONFLICT (venue, symbol, timeframe, opened_at) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, minutes = excluded.minutes
    WHERE (r.open, r.high, r.low, r.close, r.volume, r.minutes) IS DISTINCT FROM
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.minutes)
"""
_DELETE: LiteralString = """
    DELETE FROM market.rollups
    WHERE venue = %(venue)s AND (symbol, timeframe, opened_at) IN (
        SELECT * FROM unnest(%(symbol)s::text[], %(timeframe)s::text[], %(opened_at)s::timestamptz[])
    )
"""


def upsert_minutes(connection: psycopg.Connection, venue: str, frame: pl.DataFrame, source: str) -> UpsertCount:
    """Store 1-minute candles of many symbols, as `upsert_candles` does for one.

    All series are locked in one order until the transaction ends, so two writers wait for each other but never in a
    circle; that holds as long as the transaction locks no other series.

    Args:
        connection: in a transaction.
        venue: of all candles.
        frame: column `symbol`, and the columns of the contract `candles`, which holds for each symbol by itself.
        source: what delivered them, stored with each.
    """
    symbols = frame["symbol"].unique().sort()
    places = symbols.to_frame().with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64()))
    delivered = frame.join(places, on="symbol", how="left", maintain_order="left").select(
        "place", *(pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items())
    )
    return write_candles(connection, venue, Timeframe.M1, symbols.to_list(), delivered, source)


def renew_rollups(connection: psycopg.Connection, venue: str, symbols: Sequence[str], opened_at: datetime) -> int:
    """Make every longer candle that holds the minute `opened_at` anew from the minutes that decisions may see.

    The rows are those that `roll_up` makes. One that has no such minute any more, because its last was held, goes.

    Args:
        connection: in a transaction. The 1-minute series stay locked until it ends: renew in it only symbols that it
            has upserted, or in one of its own.
        venue: of the candles.
        symbols: of the candles, each once.
        opened_at: of the minute.

    Returns:
        How many roll-ups were new, changed or removed.
    """
    lock_series(connection, venue, symbols, Timeframe.M1)
    minutes = _usable_minutes(connection, venue, symbols, floor_to(opened_at, _LONGEST.duration))
    wanted = _buckets(symbols, opened_at)
    made = pl.concat([_bucket_of(minutes, timeframe, opened_at) for timeframe in ROLLUP_TIMEFRAMES])
    rows = wanted.join(made, on=["series", "timeframe", "opened_at"], how="left", maintain_order="left")
    present = rows.filter(pl.col("minutes").is_not_null()).drop("series")
    absent = rows.filter(pl.col("minutes").is_null()).select("symbol", "timeframe", "opened_at")
    written = connection.execute(_UPSERT, {"venue": venue, **present.to_dict(as_series=False)}).rowcount
    if absent.height:
        written += connection.execute(_DELETE, {"venue": venue, **absent.to_dict(as_series=False)}).rowcount
    return written


def _usable_minutes(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime
) -> pl.DataFrame:
    """The minutes of the longest bucket, which holds all others, by `series`: which symbol, counted from 1."""
    key = {"venue": venue, "symbols": list(symbols), "start": start, "end": start + _LONGEST.duration}
    frame = copy_out_binary(connection, _USABLE, key, {"series": pl.Int64(), **_MINUTE_COLUMNS})
    return frame.sort("series", "opened_at")


def _bucket_of(minutes: pl.DataFrame, timeframe: Timeframe, opened_at: datetime) -> pl.DataFrame:
    start = floor_to(opened_at, timeframe.duration)
    inside = minutes.filter(pl.col("opened_at") >= start, pl.col("opened_at") < start + timeframe.duration)
    return roll_up_series(inside, timeframe).with_columns(timeframe=pl.lit(timeframe.value))


def _buckets(symbols: Sequence[str], opened_at: datetime) -> pl.DataFrame:
    """The buckets that hold a minute, by symbol and rising timeframe: the order in which they are written."""
    starts = {timeframe.value: floor_to(opened_at, timeframe.duration) for timeframe in ROLLUP_TIMEFRAMES}
    series = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String()}).with_row_index("series", offset=1)
    buckets = pl.DataFrame(
        {"timeframe": list(starts), "opened_at": list(starts.values())},
        schema={"timeframe": pl.String(), "opened_at": TIME},
    )
    every = series.join(buckets, how="cross", maintain_order="left_right")
    return every.with_columns(pl.col("series").cast(pl.Int64()))
