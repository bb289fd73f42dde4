"""The journal of trades: entries made once, and what people noted beside them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.store.statements import statement

_COLUMNS = (
    "account",
    "decision_id",
    "opened_at",
    "closed_at",
    "symbol",
    "why",
    "how",
    "profit",
    "r_multiple",
    "best_r",
    "worst_r",
    "entry_slippage_bps",
    "exit_slippage_bps",
    "lessons",
    "code_version",
)


@dataclass(frozen=True, slots=True)
class JournalRow:
    """An entry as it is kept. `lessons` has the numbers of each lesson as text, `notes` what people said."""

    decision_id: UUID
    symbol: str
    opened_at: datetime
    closed_at: datetime
    why: str
    how: str
    profit: Decimal
    r_multiple: Decimal | None
    best_r: float | None
    worst_r: float | None
    entry_slippage_bps: float
    exit_slippage_bps: float | None
    lessons: dict[str, str]
    notes: list[str]

    def document(self) -> dict[str, Any]:
        """The form for --json."""
        return asdict(self)

    @property
    def learnt(self) -> str:
        """The lessons on one line."""
        return "; ".join(f"{lesson} ({numbers})" for lesson, numbers in self.lessons.items())


def insert(
    connection: psycopg.Connection, schema: str, account: str, entries: Sequence[dict[str, Any]], version: str
) -> int:
    """Write `entries`, a value for each column; how many were new. An entry is never written again."""
    query = statement(
        "INSERT INTO {schema}.journal ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING", schema, _COLUMNS
    )
    written = 0
    for entry in entries:
        values = {**entry, "account": account, "lessons": Jsonb(entry["lessons"]), "code_version": version}
        written += connection.execute(query, [values[column] for column in _COLUMNS]).rowcount
    return written


def unwritten(connection: psycopg.Connection, schema: str, account: str) -> tuple[datetime, datetime] | None:
    """Closing times of the first and the last trade without an entry, or None."""
    row = connection.execute(
        statement(
            """SELECT min(t.closed_at), max(t.closed_at) FROM {schema}.trades t
               LEFT JOIN {schema}.journal j USING (account, decision_id, opened_at)
               WHERE t.account = %s AND j.account IS NULL""",
            schema,
        ),
        [account],
    ).fetchone()
    return (row[0], row[1]) if row and row[0] is not None else None


def newest(connection: psycopg.Connection, schema: str, account: str, most: int) -> list[JournalRow]:
    """At most so many entries, the trade that closed last first, with their notes."""
    query = statement(
        """SELECT decision_id, symbol, opened_at, closed_at, why, how, profit, r_multiple, best_r, worst_r,
                  entry_slippage_bps, exit_slippage_bps, lessons,
                  ARRAY(SELECT to_char(n.noted_at, 'YYYY-MM-DD HH24:MI') || ' ' || n.noted_by || ': ' || n.note
                        FROM {schema}.journal_notes n
                        WHERE n.account = j.account AND n.decision_id = j.decision_id ORDER BY n.note_id) AS notes
           FROM {schema}.journal j WHERE account = %s ORDER BY closed_at DESC, symbol LIMIT %s""",
        schema,
    )
    with connection.cursor(row_factory=class_row(JournalRow)) as cursor:
        return cursor.execute(query, [account, most]).fetchall()


def note(connection: psycopg.Connection, schema: str, decision_id: UUID, by: str, text: str, at: datetime) -> bool:
    """Keep what a person has to say to a trade; False where the journal has no entry of that decision."""
    added = connection.execute(
        statement(
            """INSERT INTO {schema}.journal_notes (account, decision_id, noted_at, noted_by, note)
               SELECT DISTINCT account, decision_id, %s::timestamptz, %s, %s
               FROM {schema}.journal WHERE decision_id = %s""",
            schema,
        ),
        [at, by, text, decision_id],
    )
    return added.rowcount > 0
