"""Calls of models, and the bench of seats that keep failing. An ended call is never changed: it is evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.errors import SeatBusyError
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.bulk import stage

_TABLE = ("research", "model_calls")
_NAMES = [one.name for one in fields(ModelCall)]
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, _NAMES))


def insert_call(connection: psycopg.Connection, call: ModelCall) -> None:
    """Store a call before it leaves.

    Raises:
        SeatBusyError: the same attempt is stored already, by somebody else.
    """
    written = connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
            sql.Identifier(*_TABLE), _COLUMNS, sql.SQL(", ").join(map(sql.Placeholder, _NAMES))
        ),
        _plain(call),
    )
    if written.rowcount == 0:
        msg = f"another process is asking {call.seat} the same at this moment; run this again when that has ended"
        raise SeatBusyError(msg)


def finish_call(connection: psycopg.Connection, call: ModelCall) -> None:
    """Complete the row of a call that was sent with how it ended."""
    ends = [name for name in _NAMES if name != "call_id"]
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in ends
    )
    connection.execute(
        sql.SQL("UPDATE {} SET {} WHERE call_id = %(call_id)s").format(sql.Identifier(*_TABLE), assignments),
        _plain(call),
    )


def save_calls(connection: psycopg.Connection, calls: Sequence[ModelCall]) -> None:
    """Store many ended calls at once; those that are there already stay as they are."""
    if not calls:
        return
    import polars as pl

    rows = pl.DataFrame([_plain(call) for call in calls], infer_schema_length=None)
    staged = stage(connection, rows, _TABLE)
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            sql.Identifier(*_TABLE), _COLUMNS, _COLUMNS, sql.Identifier(staged)
        )
    )


def read_calls(connection: psycopg.Connection, conversation_ids: Iterable[UUID]) -> dict[UUID, list[ModelCall]]:
    """The calls of these conversations, by conversation, in the order in which they were made."""
    query = sql.SQL("SELECT {} FROM {} WHERE conversation_id = ANY(%s) ORDER BY conversation_id, turn, attempt").format(
        _COLUMNS, sql.Identifier(*_TABLE)
    )
    found: dict[UUID, list[ModelCall]] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(query, (list(conversation_ids),)):
            found.setdefault(row["conversation_id"], []).append(_call(row))
    return found


def claim_seat(
    connection: psycopg.Connection, seat: str, model: str, failures: int, at: datetime, patience: timedelta
) -> datetime | None:
    """Until when this seat is benched; None where it may be asked.

    After its rest one call may try whether it answers again: whoever claims that keeps the others waiting for
    `patience`.

    Args:
        connection: in a transaction.
        seat: its name.
        model: what sits in it: another model starts afresh.
        failures: so many in a row bench it.
        at: now.
        patience: how long the one that tries may take.
    """
    claimed = connection.execute(
        "UPDATE research.seat_benches SET benched_until = %(until)s, changed_at = %(at)s"
        " WHERE seat = %(seat)s AND model = %(model)s AND failures >= %(failures)s AND benched_until <= %(at)s",
        {"seat": seat, "model": model, "failures": failures, "at": at, "until": at + patience},
    )
    if claimed.rowcount:
        return None
    row = connection.execute(
        "SELECT benched_until FROM research.seat_benches"
        " WHERE seat = %s AND model = %s AND failures >= %s AND benched_until > %s",
        (seat, model, failures, at),
    ).fetchone()
    return row[0] if row else None


def note_success(connection: psycopg.Connection, seat: str, model: str, at: datetime) -> None:
    """The seat answered: its failures are forgotten."""
    connection.execute(
        "UPDATE research.seat_benches SET failures = 0, benched_until = NULL, changed_at = %s"
        " WHERE seat = %s AND model = %s AND failures > 0",
        (at, seat, model),
    )


def note_failure(
    connection: psycopg.Connection, seat: str, model: str, failures: int, at: datetime, rest: timedelta
) -> None:
    """The seat failed once more; with `failures` in a row it is benched for `rest`."""
    connection.execute(
        """INSERT INTO research.seat_benches AS b (seat, model, failures, benched_until, changed_at)
           VALUES (%(seat)s, %(model)s, 1, CASE WHEN 1 >= %(failures)s THEN %(until)s::timestamptz END, %(at)s)
           ON CONFLICT (seat, model) DO UPDATE SET
               failures = b.failures + 1,
               benched_until = CASE WHEN b.failures + 1 >= %(failures)s THEN %(until)s::timestamptz END,
               changed_at = %(at)s""",
        {"seat": seat, "model": model, "failures": failures, "until": at + rest, "at": at},
    )


def _call(row: dict[str, Any]) -> ModelCall:
    row["status"] = CallStatus(row["status"])
    row["reason_code"] = None if row["reason_code"] is None else ReasonCode[row["reason_code"]]
    return ModelCall(**row)


def _plain(call: ModelCall) -> dict[str, object]:
    return {name: _value(getattr(call, name)) for name in _NAMES}


def _value(value: object) -> object:
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return canonical_json(value)
    return value.value if isinstance(value, CallStatus | ReasonCode) else value
