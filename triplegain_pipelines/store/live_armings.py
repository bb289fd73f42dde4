"""The arming of live trading: who allowed it, why, until when, and how every switch stood then.

An arming counts from its time on until it expires or is ended. Nothing else makes it longer than a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.types.json import Jsonb

ARMED_UNTIL: LiteralString = """
    SELECT max(expires_at) FROM ops.live_armings
    WHERE account = %(account)s AND disarmed_at IS NULL AND armed_at <= %(at)s AND expires_at > %(at)s
        AND config_hash = %(config_hash)s"""


@dataclass(frozen=True, slots=True)
class Arming:
    """That a person allowed an account to take new risk with real money, for a while.

    `config_hash` is that of the settings it was allowed under: what is changed afterwards was not armed.
    """

    account: str
    armed_at: datetime
    expires_at: datetime
    armed_by: str
    why: str
    switches: Sequence[dict[str, object]]
    config_hash: str = ""


def insert(connection: psycopg.Connection, arming: Arming) -> None:
    """Keep an arming; the table refuses one of more than 24 hours."""
    connection.execute(
        """INSERT INTO ops.live_armings (account, armed_at, expires_at, armed_by, why, switches, config_hash)
           VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        [
            arming.account,
            arming.armed_at,
            arming.expires_at,
            arming.armed_by,
            arming.why,
            Jsonb(list(arming.switches)),
            arming.config_hash,
        ],
    )


def armed_until(connection: psycopg.Connection, account: str, at: datetime, config_hash: str = "") -> datetime | None:
    """Until when the account may take new risk with real money, or None where it may not at `at`.

    An arming from the future counts as none: then a clock is wrong. So does one under other settings than those of
    `config_hash`: limits and seats that were changed since are not what was validated and armed.
    """
    row = connection.execute(ARMED_UNTIL, {"account": account, "at": at, "config_hash": config_hash}).fetchone()
    return row[0] if row else None


def disarm(connection: psycopg.Connection, account: str | None, at: datetime, by: str, why: str) -> list[str]:
    """End every arming of the account, or of all accounts with None, those that have expired or lie ahead included.

    Returns:
        The accounts that were armed at `at`.
    """
    rows = connection.execute(
        """UPDATE ops.live_armings SET disarmed_at = %(at)s, disarmed_by = %(by)s, disarmed_why = %(why)s
           WHERE disarmed_at IS NULL AND (%(account)s::text IS NULL OR account = %(account)s)
           RETURNING account, expires_at > %(at)s""",
        {"account": account, "at": at, "by": by, "why": why},
    ).fetchall()
    return sorted({account for account, counted in rows if counted})
