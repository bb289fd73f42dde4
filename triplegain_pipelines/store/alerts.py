"""Alerts: what a person should know of now. One alert of a kind about a subject is open at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import psycopg


class AlertLevel(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """An open alert: `kind` says what happened, `subject` to what, such as a venue."""

    alert_id: int
    kind: str
    subject: str
    level: AlertLevel
    text: str
    raised_at: datetime


def raise_alert(
    connection: psycopg.Connection, kind: str, subject: str, level: AlertLevel, text: str, at: datetime
) -> bool:
    """Open an alert, unless one of its kind about its subject is open: that one stays as it is.

    Returns:
        Whether it is new, and a person is to be told.
    """
    written = connection.execute(
        """INSERT INTO ops.alerts (kind, subject, level, text, raised_at) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO NOTHING""",
        [kind, subject, AlertLevel(level).value, text, at],
    )
    return written.rowcount == 1


def end_alert(connection: psycopg.Connection, kind: str, subject: str, at: datetime) -> bool:
    """End the open alert of this kind about this subject; returns whether there was one."""
    ended = connection.execute(
        "UPDATE ops.alerts SET ended_at = %s WHERE kind = %s AND subject = %s AND ended_at IS NULL",
        [at, kind, subject],
    )
    return ended.rowcount == 1


def end_alerts(connection: psycopg.Connection, kinds: Sequence[str], subject: str, at: datetime) -> None:
    """End the open alerts of these kinds about this subject."""
    connection.execute(
        "UPDATE ops.alerts SET ended_at = %s WHERE kind = ANY (%s) AND subject = %s AND ended_at IS NULL",
        [at, list(kinds), subject],
    )


def open_alerts(connection: psycopg.Connection) -> list[Alert]:
    """The alerts that have not ended, the oldest first."""
    rows = connection.execute(
        """SELECT alert_id, kind, subject, level, text, raised_at FROM ops.alerts
           WHERE ended_at IS NULL ORDER BY raised_at, alert_id"""
    ).fetchall()
    return [Alert(row[0], row[1], row[2], AlertLevel(row[3]), row[4], row[5]) for row in rows]
