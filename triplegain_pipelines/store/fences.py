"""Who may act for an account: a lock held by one session, and a token that grows with every holder.

The lock keeps two honest processes apart. The token stops one that lost its lock without noticing: each transaction
that writes an order compares it, and a newer holder has raised it.
"""

from datetime import datetime

import psycopg

from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError


def lock_session(connection: psycopg.Connection, account: str) -> None:
    """Take the account's lock for as long as the session of `connection` lives. `connection` must be on autocommit.

    Raises:
        AccountBusyError: another session holds it.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended('triplegain.account.' || %s, 0))", [account]
    ).fetchone()
    if row is None or not row[0]:
        msg = f"another process trades for the account {account!r} now; wait until it is done, or stop it"
        raise AccountBusyError(msg)


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


def require(connection: psycopg.Connection, account: str, token: int) -> None:
    """Hold the account's fence as it is until the transaction ends.

    Raises:
        StaleFenceError: `token` is not the newest one.
    """
    row = connection.execute("SELECT token, holder FROM ops.fences WHERE account = %s FOR SHARE", [account]).fetchone()
    if row is None or row[0] != token:
        newest = "there is none" if row is None else f"the newest is {row[0]} of {row[1]}"
        msg = f"token {token} of the account {account!r} is stale ({newest}); stop, and let the newer holder go on"
        raise StaleFenceError(msg)


def newest(connection: psycopg.Connection, account: str) -> int:
    """The newest token of the account; 0 where it was never claimed."""
    row = connection.execute("SELECT token FROM ops.fences WHERE account = %s", [account]).fetchone()
    return int(row[0]) if row else 0
