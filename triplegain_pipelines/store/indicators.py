"""Indicator readings: what each decision read off each timeframe. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.evidence import IndicatorReading
from triplegain_pipelines.domain.timeframes import Timeframe

if TYPE_CHECKING:
    import polars as pl

# Late data has another hash and a new parameter set another version, so either makes a new row.
_INSERT: LiteralString = """
    INSERT INTO market.indicators (venue, symbol, timeframe, as_of, code_version, opened_at, bars, data_hash, readings)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_READ: LiteralString = """
    SELECT venue, symbol, timeframe, as_of, code_version, opened_at, bars, data_hash, readings FROM market.indicators
    WHERE venue = %s AND symbol = %s AND as_of >= %s AND as_of < %s
    ORDER BY as_of, timeframe, code_version, data_hash
"""


def upsert_indicators(connection: psycopg.Connection, rows: Sequence[IndicatorReading]) -> int:
    """Store those readings that are new, and return how many were."""
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, [_parameters(row) for row in rows])
        return cursor.rowcount


def indicator_keys(rows: Sequence[IndicatorReading]) -> pl.DataFrame:
    """The keys of `rows` as a frame that keeps the contract `indicators`."""
    import polars as pl

    from triplegain_pipelines.market.contracts import INDICATOR_KEYS

    keys = [(row.venue, row.symbol, row.timeframe.value, row.as_of, row.code_version, row.opened_at) for row in rows]
    return pl.DataFrame(keys, schema=dict(INDICATOR_KEYS), orient="row")


def read_indicator_rows(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> list[IndicatorReading]:
    """The readings of `symbol` for decisions seen in [start, end), of all versions, in order of time."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_READ, (venue, symbol, start, end)).fetchall()
    return [IndicatorReading(**{**row, "timeframe": Timeframe(row["timeframe"])}) for row in rows]


def _parameters(row: IndicatorReading) -> tuple[object, ...]:
    return (
        row.venue,
        row.symbol,
        row.timeframe.value,
        row.as_of,
        row.code_version,
        row.opened_at,
        row.bars,
        row.data_hash,
        Jsonb(dict(row.readings)),
    )
