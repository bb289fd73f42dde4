"""Who may act for an account: a lock held by one session, and a token that grows with every holder.

The lock keeps two honest processes apart. Two things stop one that lost its lock without noticing: each transaction
that writes an order compares the token, which a newer holder has raised, and right before each order is sent the
session that holds the lock is asked whether it still lives.
"""

from contextlib import suppress
from datetime import datetime
from typing import LiteralString

import psycopg

from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError

# The server needs a moment to notice that a killed process is gone and to free what it held, and the breaker sensor
# may have hours of candles to walk: a run that gave up would leave its decision to expire.
TAKEOVER_SECONDS = 5.0

_ALIVE: LiteralString = "SELECT 1"
TAKE: LiteralString = """
    INSERT INTO ops.fences AS fence (account, token, holder, taken_at) VALUES (%s, 1, %s, %s)
    ON CONFLICT (account) DO UPDATE
        SET token = fence.token + 1, holder = excluded.holder, taken_at = excluded.taken_at
    RETURNING token"""
"""Raises the token of an account; its parameters are the account, the holder and the present time."""


class AccountLock:
    """The lock of an account, held by a session of its own until `release` or the session's end.

    Args:
        connection: on autocommit, and used for nothing else.
        account: whose lock.
        wait: how many seconds to wait for another holder to let go; 0 is not at all.

    Raises:
        AccountBusyError: another session holds it.
    """

    def __init__(self, connection: psycopg.Connection, account: str, wait: float) -> None:
        self._connection = connection
        self._asking = connection.cursor()
        self._account = account
        if not (self._taken_within(wait) if wait > 0 else self._taken_at_once()):
            msg = f"another process trades for the account {account!r} now; wait until it is done, or stop it"
            raise AccountBusyError(msg)

    def require_held(self) -> None:
        """Ask the session that holds the lock whether it lives: as long as it does, nobody else can have the lock.

        Raises:
            StaleFenceError: the session is gone, or nobody can tell.
        """
        try:
            self._asking.execute(_ALIVE)
        except psycopg.Error as error:
            msg = (
                f"the lock of the account {self._account!r} is lost: the database ended the session that held it; "
                "nothing more is sent, start again"
            )
            raise StaleFenceError(msg) from error

    def release(self) -> None:
        """Let go. A session that is gone has let go already."""
        with suppress(psycopg.Error):
            self._connection.execute(
                "SELECT pg_advisory_unlock(hashtextextended('triplegain.account.' || %s, 0))", [self._account]
            )

    def _taken_at_once(self) -> bool:
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('triplegain.account.' || %s, 0))", [self._account]
        ).fetchone()
        return bool(row and row[0])

    def _taken_within(self, seconds: float) -> bool:
        self._connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{int(seconds * 1000)}ms"])
        try:
            self._connection.execute(
                "SELECT pg_advisory_lock(hashtextextended('triplegain.account.' || %s, 0))", [self._account]
            )
        except psycopg.errors.LockNotAvailable:
            return False
        return True


def take(connection: psycopg.Connection, account: str, holder: str, at: datetime) -> int:
    """Raise the account's token, which makes every earlier one stale, and return it."""
    row = connection.execute(TAKE, [account, holder, at]).fetchone()
    if row is None:
        msg = f"the fence of the account {account!r} gave no token"
        raise StaleFenceError(msg)
    return int(row[0])


def newest(connection: psycopg.Connection, account: str) -> int:
    """The newest token of the account; 0 where it was never claimed."""
    row = connection.execute("SELECT token FROM ops.fences WHERE account = %s", [account]).fetchone()
    return int(row[0]) if row else 0
