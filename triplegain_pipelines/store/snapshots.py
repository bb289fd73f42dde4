"""Snapshots: what agents saw, stored as text byte for byte. Rows are added, never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.evidence import Snapshot

_INSERT: LiteralString = """
    INSERT INTO research.snapshots
        (snapshot_id, venue, symbol, as_of, content_hash, data_version, code_version, document)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# Late data makes a second snapshot of the same moment: the newest one counts.
_READ: LiteralString = """
    SELECT snapshot_id, venue, symbol, as_of, content_hash, data_version, code_version, document FROM (
        SELECT DISTINCT ON (symbol, as_of) * FROM research.snapshots
        WHERE venue = %s AND symbol = ANY(%s) AND as_of >= %s AND as_of < %s
        ORDER BY symbol, as_of, recorded_at DESC, snapshot_id
    ) AS newest ORDER BY as_of, symbol
"""
_READ_ONE: LiteralString = """
    SELECT snapshot_id, venue, symbol, as_of, content_hash, data_version, code_version, document
    FROM research.snapshots WHERE snapshot_id = %s
"""


def save_snapshots(connection: psycopg.Connection, snapshots: Sequence[Snapshot]) -> int:
    """Store those snapshots that are new, and return how many were."""
    rows = [
        (
            one.snapshot_id,
            one.venue,
            one.symbol,
            one.as_of,
            one.content_hash,
            one.data_version,
            one.code_version,
            one.document,
        )
        for one in snapshots
    ]
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
        return cursor.rowcount


def read_snapshots(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime, end: datetime
) -> list[Snapshot]:
    """The newest recorded snapshot of each symbol and moment with `as_of` in [start, end), by time, then symbol."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(_READ, (venue, list(symbols), start, end)).fetchall()


def read_snapshot(connection: psycopg.Connection, snapshot_id: UUID) -> Snapshot | None:
    """One snapshot, or None where there is none with this id."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(_READ_ONE, (snapshot_id,)).fetchone()
