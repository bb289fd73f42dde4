"""The trading modes of accounts: the newest row of an account is in force, and rows are never changed."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import TradingMode


@dataclass(frozen=True, slots=True)
class ModeChange:
    """A mode as it was set, by whom and why. `reason` is the code, `why` the words."""

    mode: TradingMode
    changed_at: datetime
    changed_by: str
    reason: ReasonCode
    why: str


def read(connection: psycopg.Connection, account: str) -> TradingMode:
    """The mode of the account; one that was never changed is ACTIVE. An emergency stop is not seen here."""
    newest = last_change(connection, account)
    return newest.mode if newest else TradingMode.ACTIVE


def last_change(connection: psycopg.Connection, account: str) -> ModeChange | None:
    """The newest change of the account's mode, or None."""
    row = connection.execute(
        """SELECT mode, changed_at, changed_by, reason, why FROM ops.trading_modes
           WHERE account = %s ORDER BY sequence DESC LIMIT 1""",
        [account],
    ).fetchone()
    if row is None:
        return None
    mode, changed_at, changed_by, reason, why = row
    return ModeChange(TradingMode(mode), changed_at, changed_by, ReasonCode[reason], why)


def change(
    connection: psycopg.Connection,
    account: str,
    mode: TradingMode,
    *,
    changed_by: str,
    reason: ReasonCode,
    why: str,
    at: datetime,
) -> None:
    """Put `mode` in force. Who calls it holds the account's books, which gives changes one order."""
    connection.execute(
        """INSERT INTO ops.trading_modes (account, sequence, mode, changed_at, changed_by, reason, why)
           SELECT %(account)s, coalesce(max(sequence), 0) + 1, %(mode)s, %(at)s, %(by)s, %(reason)s, %(why)s
           FROM ops.trading_modes WHERE account = %(account)s""",
        {"account": account, "mode": mode, "at": at, "by": changed_by, "reason": reason, "why": why},
    )
