"""Replays: what was asked, and how far each has walked."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from triplegain_pipelines.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay of the market `venue` from `starts_at` to `ends_at`, on an account of its own."""

    account: str
    symbols: tuple[str, ...]
    venue: str
    starts_at: datetime
    ends_at: datetime
    config_hash: str
    walked_until: datetime | None = None


def insert(connection: psycopg.Connection, replay: Replay) -> None:
    """Write a replay; one that is there already stays as it is."""
    connection.execute(
        """INSERT INTO ops.replays (account, symbols, venue, starts_at, ends_at, config_hash)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        [
            replay.account,
            list(replay.symbols),
            replay.venue,
            replay.starts_at,
            replay.ends_at,
            replay.config_hash,
        ],
    )


def read(connection: psycopg.Connection, account: str) -> Replay:
    """The replay of the account.

    Raises:
        InputError: there is none.
    """
    row = connection.execute(
        """SELECT account, symbols, venue, starts_at, ends_at, config_hash, walked_until
           FROM ops.replays WHERE account = %s""",
        [account],
    ).fetchone()
    if row is None:
        msg = f"there is no replay {account!r}"
        raise InputError(msg)
    return Replay(row[0], tuple(row[1]), *row[2:])


def walked(connection: psycopg.Connection, account: str, until: datetime) -> None:
    """Note that everything before `until` is done, and that what happens at `until` may be half done."""
    connection.execute("UPDATE ops.replays SET walked_until = %s WHERE account = %s", [until, account])
