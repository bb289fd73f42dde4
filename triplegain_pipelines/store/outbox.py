"""The outbox: decisions that wait to be acted on, and how each ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import StaleFenceError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store import fences
from triplegain_pipelines.store.gathered import Change, write
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("outbox_id", "decision_id", "status", "queued_at", "valid_until", "token", "reason_code")

_ENDED: LiteralString = """
    ended AS (
        UPDATE {schema}.outbox SET status = %s, reason_code = %s, changed_at = %s
        WHERE decision_id = %s AND status IN ('PENDING', 'CLAIMED'))"""
_CLAIMING: LiteralString = """),
    claimed AS (
        UPDATE {schema}.outbox AS waiting SET status = 'CLAIMED', token = taken.token, changed_at = %s FROM taken
        WHERE decision_id = %s AND status IN ('PENDING', 'CLAIMED') RETURNING taken.token)"""
_CLAIMED: LiteralString = "taken AS (" + fences.TAKE + _CLAIMING


class OutboxStatus(StrEnum):
    """PENDING waits, CLAIMED is being worked on, the other three are ends."""

    PENDING = "PENDING"
    CLAIMED = "CLAIMED"
    DONE = "DONE"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more is done with the decision."""
        return self not in {OutboxStatus.PENDING, OutboxStatus.CLAIMED}


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A decision in the outbox. `token` is that of the process which claimed it last, `reason` why it ended."""

    outbox_id: int
    decision_id: UUID
    status: OutboxStatus
    queued_at: datetime
    valid_until: datetime
    token: int | None
    reason: ReasonCode | None

    @property
    def is_held_up(self) -> bool:
        """Whether it waits for an order to be clear, for however long that takes: `reason` says so before its end."""
        return self.status is OutboxStatus.CLAIMED and self.reason is not None


def queue(connection: psycopg.Connection, schema: str, decisions: Sequence[Decision], at: datetime) -> None:
    """Put `decisions` into the outbox in their order; those that are there already stay as they are."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement(
                """INSERT INTO {schema}.outbox (account, decision_id, queued_at, valid_until, status, changed_at)
                   VALUES (%s, %s, %s, %s, 'PENDING', %s) ON CONFLICT (decision_id) DO NOTHING""",
                schema,
            ),
            [(made.account, made.decision_id, at, made.valid_until, at) for made in decisions],
        )


def read(connection: psycopg.Connection, schema: str, account: str, decision_id: UUID) -> OutboxRow | None:
    """The decision's row, or None where it was never queued for the account."""
    row = connection.execute(
        statement("SELECT {columns} FROM {schema}.outbox WHERE decision_id = %s AND account = %s", schema, _COLUMNS),
        [decision_id, account],
    ).fetchone()
    return _row(row) if row else None


def waiting(connection: psycopg.Connection, schema: str, account: str) -> list[OutboxRow]:
    """The account's unfinished decisions, oldest first."""
    rows = connection.execute(
        statement(
            """SELECT {columns} FROM {schema}.outbox
               WHERE account = %s AND status IN ('PENDING', 'CLAIMED') ORDER BY outbox_id""",
            schema,
            _COLUMNS,
        ),
        [account],
    ).fetchall()
    return [_row(row) for row in rows]


def claim(
    connection: psycopg.Connection,
    schema: str,
    account: str,
    decision_id: UUID,
    holder: str,
    at: datetime,
    *,
    token: int,
) -> None:
    """Raise the account's token to `token` (`fences.take`), and note that its `holder` works on the decision.

    Raises:
        StaleFenceError: the decision is not waiting any more, or the token was not the one before; then or when it is
            written.
    """

    def require_taken(taken: int | None) -> None:
        if taken != token:
            msg = f"decision {decision_id} cannot be claimed with token {token}: another process was faster"
            raise StaleFenceError(msg)

    values = [account, holder, at, at, decision_id]
    rows = frozenset(["claimed", decision_id])
    write(
        connection,
        Change(statement(_CLAIMED, schema), values, rows, b"(SELECT token FROM claimed)", require_taken),
    )


def hold_up(connection: psycopg.Connection, schema: str, decision_id: UUID, reason: ReasonCode, at: datetime) -> None:
    """Note that the claimed decision waits for what `reason` says, and does not run out meanwhile."""
    connection.execute(
        statement(
            """UPDATE {schema}.outbox SET reason_code = %s, changed_at = %s
               WHERE decision_id = %s AND status = 'CLAIMED'""",
            schema,
        ),
        [reason, at, decision_id],
    )


def finish(
    connection: psycopg.Connection,
    schema: str,
    decision_id: UUID,
    status: OutboxStatus,
    reason: ReasonCode,
    at: datetime,
) -> None:
    """Note how the decision ended. An end is never changed."""
    ended = Change(statement(_ENDED, schema), [status, reason, at, decision_id], frozenset(["ended", decision_id]))
    write(connection, ended)


def _row(row: tuple[Any, ...]) -> OutboxRow:
    outbox_id, decision_id, status, queued_at, valid_until, token, reason = row
    known = ReasonCode[reason] if reason else None
    return OutboxRow(outbox_id, decision_id, OutboxStatus(status), queued_at, valid_until, token, known)
