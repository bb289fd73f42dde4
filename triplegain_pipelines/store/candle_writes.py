"""The one way candles are written: under the lock of their series, compared with what is stored, revisions kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import polars as pl
import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.store.binary_copy import Block, copy_in_binary, copy_out_binary
from triplegain_pipelines.store.bulk import stage


@dataclass(frozen=True, slots=True)
class UpsertCount:
    """What became of delivered candles: not known before, known and equal, known with other values."""

    new: int
    identical: int
    revised: int


_TABLE = ("market", "candles")
_VALUES = tuple(name for name in CANDLE_COLUMNS if name not in {"opened_at", "trades"})
# Number of trades is the only value that may be absent, and absence has no fixed width.
_NO_TRADES = -1
# In the order of the keys, so that two writers of many series never wait for each other in a circle.
_LOCK: LiteralString = """
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(%s::text[]) AS name ORDER BY key
    ) AS ordered
"""
# OFFSET 0 keeps the planner from turning this inside out: one range of the index for each symbol, whatever it knows.
_KNOWN: LiteralString = """
    SELECT wanted.place, known.*
    FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS wanted (symbol, place)
    CROSS JOIN LATERAL (
        SELECT opened_at, open, high, low, close, volume, coalesce(trades, -1) FROM market.candles
        WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = %(timeframe)s
            AND opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        OFFSET 0
    ) AS known
"""
_REVISE: LiteralString = """
    INSERT INTO market.candle_revisions
        (venue, symbol, timeframe, opened_at, open, high, low, close, volume, trades, source,
         recorded_at, superseded_at, superseded_by)
    SELECT venue, symbol, timeframe, opened_at, c.open, c.high, c.low, c.close, c.volume, c.trades, c.source,
        c.recorded_at, greatest(c.recorded_at, %(moment)s::timestamptz), %(source)s
    FROM market.candles c JOIN staged_candles s USING (symbol, opened_at)
    WHERE venue = %(venue)s AND timeframe = %(timeframe)s AND symbol = ANY(%(symbols)s::text[])
        AND opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    ORDER BY symbol, opened_at
"""
# A delivery that does not know the number of trades, such as REST history, and has other values leaves none: the number
# before was of another candle.
# The moment is never before the one it supersedes, or a candle would have had two values at once.
_OVERWRITE: LiteralString = """
    UPDATE market.candles c SET
        open = s.open, high = s.high, low = s.low, close = s.close, volume = s.volume,
        trades = s.trades, source = %(source)s,
        recorded_at = greatest(c.recorded_at, %(moment)s::timestamptz)
    FROM staged_candles s
    WHERE c.venue = %(venue)s AND c.timeframe = %(timeframe)s AND c.symbol = ANY(%(symbols)s::text[])
        AND c.symbol = s.symbol AND c.opened_at = s.opened_at
        AND c.opened_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
"""


def lock_series(connection: psycopg.Connection, venue: str, symbols: Sequence[str], timeframe: Timeframe) -> None:
    """Lock series against other writers until the transaction ends; waits for those that hold one of them.

    All series of a transaction must be locked by one call (or all but the first by calls for series that are locked
    already): calls in different orders can wait for each other, and PostgreSQL then ends one of the transactions.
    """
    connection.execute(_LOCK, ([f"candles/{venue}/{symbol}/{timeframe.value}" for symbol in symbols],))


def write_candles(
    connection: psycopg.Connection,
    venue: str,
    timeframe: Timeframe,
    symbols: Sequence[str],
    frame: pl.DataFrame,
    source: str,
) -> UpsertCount:
    """Store candles. One that is stored with other values goes to `candle_revisions` before it is overwritten.

    What is stored in the range is read and compared here rather than by the server: new candles, nearly always the
    most, then go into the table without a staging table between, and identical ones cost no write at all.

    Args:
        connection: in a transaction; the series stay locked against other writers until it ends.
        venue: of all series.
        timeframe: of all series.
        symbols: of the series, each once.
        frame: column `place` (Int64: which of `symbols`, from 1) and the columns of the contract `candles`; a candle
            stands in it once.
        source: what delivered them, stored with each.
    """
    lock_series(connection, venue, symbols, timeframe)
    if frame.is_empty():
        return UpsertCount(0, 0, 0)
    # Asked once the locks are held: the start of the transaction may lie before what another writer recorded.
    [(moment,)] = connection.execute("SELECT clock_timestamp()").fetchall()
    reach = {"first": frame["opened_at"].min(), "last": frame["opened_at"].max()}
    key = {"venue": venue, "timeframe": timeframe.value, "symbols": list(symbols), **reach}
    known = copy_out_binary(connection, _KNOWN, key, {"place": pl.Int64(), **CANDLE_COLUMNS})
    new, changed = _compare(frame, known)
    constants = {"venue": venue, "timeframe": timeframe.value, "source": source, "recorded_at": moment}
    copy_in_binary(
        connection,
        _TABLE,
        (Block({**constants, "symbol": symbols[place - 1]}, candles) for place, candles in _by_place(new)),
    )
    if changed.height:
        _revise(connection, changed, {**key, "source": source, "moment": moment})
    return UpsertCount(new.height, frame.height - new.height - changed.height, changed.height)


def _compare(frame: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `frame` that are not known, and those that are known with other values."""
    if known.is_empty():
        return frame, frame.clear()
    both = frame.join(known, on=["place", "opened_at"], how="left", suffix="_known", maintain_order="left")
    is_known = pl.col("trades_known").is_not_null()
    same_trades = pl.col("trades").is_null() | (pl.col("trades") == pl.col("trades_known"))
    same = pl.all_horizontal(*(pl.col(name) == pl.col(f"{name}_known") for name in _VALUES), same_trades)
    new, changed = both.filter(~is_known), both.filter(is_known & ~same.fill_null(value=False))
    return new.select(frame.columns), changed.select(frame.columns)


def _by_place(frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    if frame["place"].n_unique() == 1:
        return [(frame["place"][0], frame.drop("place"))]
    parts = frame.partition_by("place", as_dict=True, include_key=False)
    return [(int(place), part) for (place,), part in parts.items()]


def _revise(connection: psycopg.Connection, changed: pl.DataFrame, key: dict[str, object]) -> None:
    symbols = key["symbols"]
    names = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String()}).with_row_index("place", offset=1)
    named = changed.join(names.cast({"place": pl.Int64()}), on="place", how="left").drop("place")
    stage(connection, named, _TABLE)
    connection.execute(_REVISE, key)
    connection.execute(_OVERWRITE, key)
