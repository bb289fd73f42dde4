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
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("outbox_id", "decision_id", "status", "queued_at", "valid_until", "token", "reason_code")

_TAKING: LiteralString = "WITH taken AS ("
_CLAIMING: LiteralString = """)
    UPDATE {schema}.outbox AS waiting SET status = 'CLAIMED', token = taken.token, changed_at = %s FROM taken
    WHERE decision_id = %s AND status IN ('PENDING', 'CLAIMED') RETURNING taken.token"""


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
    """A decision in the outbox. `token` is that of the process which claimed it last."""

    outbox_id: int
    decision_id: UUID
    status: OutboxStatus
    queued_at: datetime
    valid_until: datetime
    token: int | None
    reason: ReasonCode | None


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
    connection: psycopg.Connection, schema: str, account: str, decision_id: UUID, holder: str, at: datetime
) -> int:
    """Raise the account's token (`fences.take`), and note that its `holder` works on the decision; the token.

    Raises:
        StaleFenceError: the decision is not waiting any more.
    """
    row = connection.execute(
        statement(
            _TAKING + fences.TAKE + _CLAIMING,
            schema,
        ),
        [account, holder, at, at, decision_id],
    ).fetchone()
    if row is None:
        msg = f"decision {decision_id} is not waiting any more, so it cannot be claimed"
        raise StaleFenceError(msg)
    return int(row[0])


def finish(
    connection: psycopg.Connection,
    schema: str,
    decision_id: UUID,
    status: OutboxStatus,
    reason: ReasonCode,
    at: datetime,
) -> None:
    """Note how the decision ended. An end is never changed."""
    connection.execute(
        statement(
            """UPDATE {schema}.outbox SET status = %s, reason_code = %s, changed_at = %s
               WHERE decision_id = %s AND status IN ('PENDING', 'CLAIMED')""",
            schema,
        ),
        [status, reason, at, decision_id],
    )


def _row(row: tuple[Any, ...]) -> OutboxRow:
    outbox_id, decision_id, status, queued_at, valid_until, token, reason = row
    known = ReasonCode[reason] if reason else None
    return OutboxRow(outbox_id, decision_id, OutboxStatus(status), queued_at, valid_until, token, known)
