"""How the streams stand: written by the stream service, read by whoever wants to know what is connected."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

_WRITE: LiteralString = """
    INSERT INTO market.streams
        (endpoint, venue, connected, changed_at, last_message_at, reconnects, detail, beat_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (endpoint) DO UPDATE SET
        connected = excluded.connected, changed_at = excluded.changed_at, last_message_at = excluded.last_message_at,
        reconnects = excluded.reconnects, detail = excluded.detail, beat_at = excluded.beat_at
"""
_READ: LiteralString = """
    SELECT endpoint, venue, connected, changed_at, last_message_at, reconnects, detail, beat_at
    FROM market.streams WHERE venue = ANY(%(venues)s) ORDER BY endpoint
"""


@dataclass(frozen=True, slots=True)
class StreamState:
    """One WebSocket channel of a venue, as its service last told. A state without a fresh `beat_at` is not known."""

    endpoint: str
    venue: str
    connected: bool
    changed_at: datetime
    last_message_at: datetime | None
    reconnects: int
    detail: str
    beat_at: datetime


def write_stream_states(connection: psycopg.Connection, states: Sequence[StreamState]) -> None:
    """Take over how the channels stand now."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _WRITE,
            [
                (
                    one.endpoint,
                    one.venue,
                    one.connected,
                    one.changed_at,
                    one.last_message_at,
                    one.reconnects,
                    one.detail,
                    one.beat_at,
                )
                for one in states
            ],
        )


def read_stream_states(connection: psycopg.Connection, venues: Sequence[str]) -> list[StreamState]:
    """Every channel that a stream service followed at `venues`."""
    with connection.cursor(row_factory=class_row(StreamState)) as cursor:
        return cursor.execute(_READ, {"venues": list(venues)}).fetchall()
