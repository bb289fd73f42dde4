"""Who may act for an account: a lock held by one session, and a token that grows with every holder.

The lock keeps two honest processes apart. The token stops one that lost its lock without noticing: each transaction
that writes an order compares it, and a newer holder has raised it.
"""

from datetime import datetime

import psycopg

from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError

# The server needs a moment to notice that a killed process is gone and to free what it held, and the breaker sensor
# may have hours of candles to walk: a run that gave up would leave its decision to expire.
_WAIT = "5s"


def lock_session(connection: psycopg.Connection, account: str) -> None:
    """Take the account's lock for as long as the session of `connection` lives. `connection` must be on autocommit.

    Raises:
        AccountBusyError: another session holds it.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [_WAIT])
    try:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('triplegain.account.' || %s, 0))", [account])
    except psycopg.errors.LockNotAvailable as error:
        msg = f"another process trades for the account {account!r} now; wait until it is done, or stop it"
        raise AccountBusyError(msg) from error


def take(connection: psycopg.Connection, account: str, holder: str, at: datetime) -> int:
    """Raise the account's token, which makes every earlier one stale, and return it."""
    row = connection.execute(
        """INSERT INTO ops.fences AS fence (account, token, holder, taken_at) VALUES (%s, 1, %s, %s)
           ON CONFLICT (account) DO UPDATE
               SET token = fence.token + 1, holder = excluded.holder, taken_at = excluded.taken_at
           RETURNING token""",
        [account, holder, at],
    ).fetchone()
    if row is None:
        msg = f"the fence of the account {account!r} gave no token"
        raise StaleFenceError(msg)
    return int(row[0])


def newest(connection: psycopg.Connection, account: str) -> int:
    """The newest token of the account; 0 where it was never claimed."""
    row = connection.execute("SELECT token FROM ops.fences WHERE account = %s", [account]).fetchone()
    return int(row[0]) if row else 0
