"""Which fills an account's trail tells of since a moment: what has to be told to lineage."""

from datetime import datetime

import psycopg

from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.statements import statement


def newest_event(connection: psycopg.Connection, schema: str, account: str) -> int:
    """Sequence of the newest event of the account; 0 without any."""
    row = connection.execute(
        statement("SELECT coalesce(max(sequence), 0) FROM {schema}.trading_events WHERE account = %s", schema),
        [account],
    ).fetchone()
    return int(row[0]) if row else 0


def booked_after(connection: psycopg.Connection, schema: str, account: str, sequence: int) -> list[datetime]:
    """When the fills happened that were booked after the event `sequence`, in the order in which they were booked."""
    rows = connection.execute(
        statement(
            """SELECT payload::json ->> 'filled_at' FROM {schema}.trading_events
               WHERE account = %s AND sequence > %s AND kind = %s ORDER BY sequence""",
            schema,
        ),
        [account, sequence, EventKind.FILL_BOOKED],
    ).fetchall()
    return [datetime.fromisoformat(filled_at) for (filled_at,) in rows]
