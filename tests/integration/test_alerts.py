"""Alerts: one of a kind about a subject at a time."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from triplegain_pipelines.store.alerts import Alert, AlertLevel, end_alert, open_alerts, raise_alert
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
FAILOVER = ("venue_failover", "kraken")


def test_an_alert_is_new_once_until_it_has_ended(connection: psycopg.Connection) -> None:
    """M7: a person told every minute stops reading; one told once must be told again the next time."""
    assert raise_alert(connection, *FAILOVER, AlertLevel.WARNING, "kraken is silent", NOON)
    assert not raise_alert(connection, *FAILOVER, AlertLevel.CRITICAL, "still", LATER)
    (alert,) = open_alerts(connection)
    assert alert == Alert(alert.alert_id, *FAILOVER, AlertLevel.WARNING, "kraken is silent", NOON)
    assert end_alert(connection, *FAILOVER, LATER)
    assert not end_alert(connection, *FAILOVER, LATER)
    assert open_alerts(connection) == []
    assert raise_alert(connection, *FAILOVER, AlertLevel.WARNING, "again", LATER)
    rows = connection.execute("SELECT text, raised_at, ended_at FROM ops.alerts ORDER BY alert_id").fetchall()
    assert rows == [("kraken is silent", NOON, LATER), ("again", LATER, None)]


def test_alerts_about_other_things_stand_beside_each_other(connection: psycopg.Connection) -> None:
    """M7: an open alert must not swallow another one."""
    assert raise_alert(connection, "silent_feed", "kraken", AlertLevel.INFO, "b", LATER)
    assert raise_alert(connection, *FAILOVER, AlertLevel.WARNING, "a", NOON)
    assert raise_alert(connection, "venue_failover", "coinbase", AlertLevel.CRITICAL, "c", LATER)
    assert [alert.text for alert in open_alerts(connection)] == ["a", "b", "c"]
    assert end_alert(connection, *FAILOVER, LATER)
    assert [alert.text for alert in open_alerts(connection)] == ["b", "c"]


def test_two_processes_raise_one_alert(database: Database) -> None:
    """M7: the second of two that see the same thing is told that it is no news."""
    with database.connection() as first:
        assert raise_alert(first, *FAILOVER, AlertLevel.WARNING, "first", NOON)
    with database.connection() as second:
        assert not raise_alert(second, *FAILOVER, AlertLevel.WARNING, "second", NOON)
        assert len(open_alerts(second)) == 1
