"""Circuit breakers as they stand, every change of them, and the heartbeat that proves they were evaluated."""

from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, BreakerStates
from triplegain_pipelines.risk.breakers import BreakerChange
from triplegain_pipelines.store import heartbeats

HEARTBEAT = "breakers"


def read(connection: psycopg.Connection, account: str) -> dict[BreakerName, Breaker]:
    """The account's breakers. A breaker without a row is left out, and its absence means no new risk."""
    rows = connection.execute(
        "SELECT name, state, changed_at, reason, trials_left FROM ops.breakers WHERE account = %s ORDER BY name",
        [account],
    ).fetchall()
    return {
        BreakerName(name): Breaker(BreakerName(name), BreakerState(state), changed_at, reason, trials_left)
        for name, state, changed_at, reason, trials_left in rows
    }


def insert(connection: psycopg.Connection, account: str, breakers: BreakerStates) -> None:
    """Write the breakers of a new account; existing ones stay as they are."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO ops.breakers (account, name, state, changed_at, reason, trials_left)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            [
                (account, made.name, made.state, made.changed_at, made.reason, made.trials_left)
                for made in breakers.values()
            ],
        )


def change(connection: psycopg.Connection, account: str, made: BreakerChange, changed_by: str) -> None:
    """Latch the breaker in its new state and keep the change in its history."""
    after = made.after
    connection.execute(
        """WITH changed AS (
               UPDATE ops.breakers SET state = %(to)s, changed_at = %(at)s, reason = %(reason)s,
                   trials_left = %(trials)s, sequence = sequence + 1
               WHERE account = %(account)s AND name = %(name)s RETURNING sequence)
           INSERT INTO ops.breaker_changes (account, name, sequence, from_state, to_state, changed_at, changed_by,
               reason, context)
           SELECT %(account)s, %(name)s, sequence, %(from)s, %(to)s, %(at)s, %(by)s, %(reason)s, %(context)s
           FROM changed""",
        {
            "account": account,
            "name": after.name,
            "from": made.before.state,
            "to": after.state,
            "at": after.changed_at,
            "reason": after.reason,
            "trials": after.trials_left,
            "by": changed_by,
            "context": Jsonb(dict(made.reason.context)),
        },
    )


def beat(connection: psycopg.Connection, account: str, at: datetime) -> None:
    """Note that the account's breakers were evaluated at `at`."""
    heartbeats.beat(connection, HEARTBEAT, account, at)


def last_beat(connection: psycopg.Connection, account: str) -> datetime | None:
    """When the account's breakers were evaluated last, or None."""
    return heartbeats.last_beat(connection, HEARTBEAT, account)
