"""Emergency stops: each is in force until somebody releases it. One without an account stops all of them."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """A stop that is in force. `account` is None where it stops all; `flatten` asks for positions to be closed."""

    stop_id: int
    account: str | None
    flatten: bool
    raised_at: datetime
    raised_by: str
    why: str


def insert(
    connection: psycopg.Connection, account: str | None, *, flatten: bool, raised_by: str, why: str, at: datetime
) -> int:
    """Put a stop in force, and return its id."""
    row = connection.execute(
        """INSERT INTO ops.emergency_stops (account, flatten, raised_at, raised_by, why) VALUES (%s, %s, %s, %s, %s)
           RETURNING stop_id""",
        [account, flatten, at, raised_by, why],
    ).fetchone()
    assert row is not None  # noqa: S101 - an INSERT that did not fail returns its row
    return int(row[0])


def in_force(connection: psycopg.Connection, account: str) -> list[EmergencyStop]:
    """The stops that bind the account, oldest first. `account` is not that of a replay."""
    return [stop for stop in all_in_force(connection) if stop.account in {account, None}]


def all_in_force(connection: psycopg.Connection) -> list[EmergencyStop]:
    """Every stop that is in force, oldest first."""
    rows = connection.execute(
        """SELECT stop_id, account, flatten, raised_at, raised_by, why FROM ops.emergency_stops
           WHERE released_at IS NULL ORDER BY stop_id"""
    ).fetchall()
    return [EmergencyStop(*row) for row in rows]


def release(
    connection: psycopg.Connection, account: str | None, *, released_by: str, why: str, at: datetime
) -> list[EmergencyStop]:
    """Release the stops of one account, or every stop there is where `account` is None. Returns those released."""
    rows = connection.execute(
        """UPDATE ops.emergency_stops SET released_at = %(at)s, released_by = %(by)s, released_why = %(why)s
           WHERE released_at IS NULL AND (%(account)s::text IS NULL OR account = %(account)s)
           RETURNING stop_id, account, flatten, raised_at, raised_by, why""",
        {"account": account, "at": at, "by": released_by, "why": why},
    ).fetchall()
    return sorted((EmergencyStop(*row) for row in rows), key=lambda stop: stop.stop_id)


def bound_accounts(connection: psycopg.Connection, schema: str, account: str | None) -> list[str]:
    """The accounts of `schema` that a stop of `account` binds; with None all but replays, which trade nothing."""
    rows = connection.execute(
        statement(
            """SELECT a.account FROM {schema}.accounts a
               WHERE a.account = %(account)s OR (%(account)s::text IS NULL
                   AND NOT EXISTS (SELECT FROM ops.replays r WHERE r.account = a.account))
               ORDER BY a.account""",
            schema,
        ),
        {"account": account},
    ).fetchall()
    return [name for (name,) in rows]
