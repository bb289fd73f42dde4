"""Heartbeats: that something was done, and when it was done last. What is not beaten for is not known to be so."""

from datetime import datetime

import psycopg

CLOCK = "clock"
"""Our clock was compared with a venue's; the subject is the venue."""
GUARDIAN = "guardian"
"""The guardian looked after the account, which is the subject."""

RECONCILED = "reconciled"
"""Books and venue of the account, which is the subject, were compared, and nothing stayed open."""


def beat(connection: psycopg.Connection, name: str, subject: str, at: datetime) -> None:
    """Note that `name` was done for `subject`, an account or a venue, at `at`."""
    connection.execute(
        """INSERT INTO ops.heartbeats (name, account, beat_at) VALUES (%s, %s, %s)
           ON CONFLICT (name, account) DO UPDATE SET beat_at = excluded.beat_at""",
        [name, subject, at],
    )


def last_beat(connection: psycopg.Connection, name: str, subject: str) -> datetime | None:
    """When `name` was done for `subject` last, or None."""
    row = connection.execute(
        "SELECT beat_at FROM ops.heartbeats WHERE name = %s AND account = %s", [name, subject]
    ).fetchone()
    return row[0] if row else None


def forget(connection: psycopg.Connection, name: str, subject: str) -> None:
    """Take back that `name` was done for `subject`: from now on it is not known to be so."""
    connection.execute("DELETE FROM ops.heartbeats WHERE name = %s AND account = %s", [name, subject])
