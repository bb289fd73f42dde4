"""What TimescaleDB makes of the market tables: hypertables, column store, retention, continuous aggregates.

Run after every migration, because a server can gain the extension later; what is there is left as it is. Nothing of
it changes an answer, except that top of book is kept for `TOP_OF_BOOK_DAYS`.

For later revisions: a unique index of a hypertable must hold its time column, a new column of one with a column store
must be nullable or have a constant default, and a column that an aggregate reads cannot be altered while it exists.
"""

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.store.extensions import find_extensions

TOP_OF_BOOK_DAYS = 90


@dataclass(frozen=True, slots=True)
class Hypertable:
    """How one table is cut and packed.

    Attributes:
        table: in the schema `market`.
        time: the column by which it is cut into chunks.
        chunk_days: length of a chunk.
        segment_by: the key of a series: rows of one series are packed together.
        order_by: the rest of the primary key, so that an upsert unpacks only what it may meet.
        pack_after_days: age from which a chunk goes to the column store.
        drop_after_days: days for which a chunk is kept; None for everything that is evidence.
    """

    table: str
    time: str
    chunk_days: int
    segment_by: str
    order_by: str
    pack_after_days: int
    drop_after_days: int | None = None


HYPERTABLES = (
    Hypertable("candles", "opened_at", 14, "venue, symbol, timeframe", "opened_at", 30),
    Hypertable("rollups", "opened_at", 28, "venue, symbol, timeframe", "opened_at", 30),
    Hypertable("trades", "traded_at", 7, "venue, symbol", "traded_at, trade_id", 7),
    Hypertable("top_of_book", "at", 1, "venue, symbol", "at", 1, TOP_OF_BOOK_DAYS),
)

_CREATE: LiteralString = """
    SELECT create_hypertable({table}, by_range({time}, {chunk}::interval), create_default_indexes => false,
        if_not_exists => true, migrate_data => true)
"""
_IS_PACKED: LiteralString = """
    SELECT FROM timescaledb_information.hypertables
    WHERE hypertable_schema = 'market' AND hypertable_name = %s AND compression_enabled
"""
_ENABLE: LiteralString = """
    ALTER TABLE {name} SET (timescaledb.enable_columnstore, timescaledb.segmentby = {segment_by},
        timescaledb.orderby = {order_by})
"""
_PACK: LiteralString = "CALL add_columnstore_policy({table}, after => {after}::interval, if_not_exists => true)"
# By the age of the chunk, not of its rows: a recording of last year that is replayed today is kept as long.
_DROP: LiteralString = """
    SELECT add_retention_policy({table}, drop_created_before => {after}::interval, if_not_exists => true)
"""
# They serve charts: made of all stored candles, those that a finding holds back included. What decisions read is
# market.rollups. Volumes are added as decimals, so that the order of the rows does not show in the last bit.
_AGGREGATE: LiteralString = """
    CREATE MATERIALIZED VIEW IF NOT EXISTS {name}
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT venue, symbol, time_bucket({width}::interval, opened_at) AS opened_at, first(open, opened_at) AS open,
        max(high) AS high, min(low) AS low, last(close, opened_at) AS close,
        sum(volume::text::numeric)::float8 AS volume, count(*)::integer AS minutes
    FROM market.candles WHERE timeframe = '1m'
    GROUP BY venue, symbol, time_bucket({width}::interval, opened_at)
    WITH NO DATA
"""
# One bucket from the end: the newest is not complete. In one piece: the default takes ten buckets at a time, which for
# years of five-minute buckets is ten thousand transactions.
_REFRESH: LiteralString = """
    SELECT add_continuous_aggregate_policy({view}, start_offset => NULL, end_offset => {width}::interval,
        schedule_interval => INTERVAL '15 minutes', if_not_exists => true, buckets_per_batch => 0)
"""


def aggregate_name(timeframe: Timeframe) -> str:
    """Name, in the schema `market`, of the continuous aggregate of `timeframe`."""
    return f"chart_{timeframe.value}"


def arrange_tables(connection: psycopg.Connection) -> None:
    """Make the market tables hypertables, with their policies and aggregates. Does nothing without TimescaleDB.

    Args:
        connection: each statement its own transaction, which the aggregates need. Two calls at once wait for each
            other.
    """
    found = find_extensions(connection)
    if found.timescaledb is None or found.lacks is not None:
        return
    connection.execute("SELECT pg_advisory_lock(hashtextextended('market/hypertables', 0))")
    try:
        for hypertable in HYPERTABLES:
            _arrange(connection, hypertable)
        for timeframe in ROLLUP_TIMEFRAMES:
            _aggregate(connection, timeframe)
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtextextended('market/hypertables', 0))")


def _arrange(connection: psycopg.Connection, hypertable: Hypertable) -> None:
    table = sql.Literal(f"market.{hypertable.table}")
    create = sql.SQL(_CREATE).format(table=table, time=hypertable.time, chunk=_days(hypertable.chunk_days))
    connection.execute(create)
    if connection.execute(_IS_PACKED, (hypertable.table,)).fetchone() is None:
        enable = sql.SQL(_ENABLE).format(
            name=sql.Identifier("market", hypertable.table),
            segment_by=hypertable.segment_by,
            order_by=hypertable.order_by,
        )
        connection.execute(enable)
    connection.execute(sql.SQL(_PACK).format(table=table, after=_days(hypertable.pack_after_days)))
    if hypertable.drop_after_days is not None:
        connection.execute(sql.SQL(_DROP).format(table=table, after=_days(hypertable.drop_after_days)))


def _aggregate(connection: psycopg.Connection, timeframe: Timeframe) -> None:
    name = aggregate_name(timeframe)
    width = f"{timeframe.minutes} minutes"
    connection.execute(sql.SQL(_AGGREGATE).format(name=sql.Identifier("market", name), width=width))
    connection.execute(sql.SQL(_REFRESH).format(view=f"market.{name}", width=width))


def _days(number: int) -> str:
    return f"{number} days"
