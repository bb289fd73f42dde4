"""The audit trail `trading_events`: append-only, each row with the hash of the one before it.

Who writes has taken the account's books, which gives events one order.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.store.gathered import Change, write
from triplegain_pipelines.store.statements import statement

GENESIS = "0" * 64

_COLUMNS = ("account", "sequence", "occurred_at", "kind", "payload", "previous_hash", "hash")
_TOLD: LiteralString = "told AS (INSERT INTO {schema}.trading_events ({columns}) VALUES {values})"
_CHAIN = """
    SELECT sequence, occurred_at, kind, payload, previous_hash, hash
    FROM {schema}.trading_events WHERE account = %s ORDER BY sequence"""
_OF_DECISION = """
    SELECT sequence, occurred_at, kind, payload FROM {schema}.trading_events
    WHERE payload::json ->> 'decision_id' = %s AND account = %s ORDER BY sequence"""


class EventKind(StrEnum):
    """What an event tells of."""

    ACCOUNT_OPENED = "account_opened"
    DECISION_MADE = "decision_made"
    DECISION_CLAIMED = "decision_claimed"
    DECISION_FINISHED = "decision_finished"
    VERDICT_GIVEN = "verdict_given"
    ORDER_INTENDED = "order_intended"
    ORDER_SENT = "order_sent"
    ORDER_CHANGED = "order_changed"
    ORDER_ADOPTED = "order_adopted"  # the venue has an order that was given up
    ORDER_SETTLED = "order_settled"  # by a person, where the venue says nothing of it any more
    FILL_BOOKED = "fill_booked"
    FILL_UNACCOUNTED = "fill_unaccounted"  # booked, but no position fits it
    POSITION_OPENED = "position_opened"
    POSITION_CHANGED = "position_changed"
    POSITION_CLOSED = "position_closed"
    DUST_WRITTEN_OFF = "dust_written_off"
    PROTECTION_FAILED = "protection_failed"
    PROTECTION_HELD = "protection_held"
    BREAKER_CHANGED = "breaker_changed"
    MODE_CHANGED = "mode_changed"
    EMERGENCY_STOPPED = "emergency_stopped"
    EMERGENCY_RELEASED = "emergency_released"
    RECONCILED = "reconciled"
    LIVE_ARMED = "live_armed"
    LIVE_DISARMED = "live_disarmed"
    FLOW_BOOKED = "flow_booked"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account. The payload names its decision as `decision_id`, where it has one."""

    kind: EventKind
    occurred_at: datetime
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Sequence and hash of the newest event of an account."""

    sequence: int
    hash: str


NO_EVENTS = ChainEnd(0, GENESIS)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was written."""

    sequence: int
    occurred_at: datetime
    kind: str
    payload: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """How far a chain of events holds. `broken_at` is the sequence of the first event that does not, or None."""

    events: int
    broken_at: int | None
    detail: str


def append(connection: psycopg.Connection, schema: str, account: str, events: Sequence[Event], end: ChainEnd) -> None:
    """Write `events` behind `end`, which was read after the account's books were taken (`accounts.take_books`)."""
    values: list[object] = []
    for sequence, event in enumerate(events, end.sequence + 1):
        payload = canonical_json(event.payload)
        digest = _digest(account, sequence, event.occurred_at, event.kind, payload, end.hash)
        values += (account, sequence, event.occurred_at, event.kind, payload, end.hash, digest)
        end = ChainEnd(sequence, digest)
    if events:
        write(connection, Change(statement(_TOLD, schema, _COLUMNS, len(events)), values, frozenset(["told"])))


def verify_chain(connection: psycopg.Connection, schema: str, account: str) -> ChainReport:
    """Compute every hash of the account's events again, and compare."""
    previous, expected = GENESIS, 1
    with connection.cursor() as cursor:
        for sequence, occurred_at, kind, payload, before, digest in cursor.execute(
            statement(_CHAIN, schema), [account]
        ):
            if sequence != expected:
                return ChainReport(expected - 1, expected, f"event {expected} is missing")
            if before != previous:
                return ChainReport(expected - 1, sequence, f"event {sequence} does not follow the event before it")
            if digest != _digest(account, sequence, occurred_at, kind, payload, previous):
                return ChainReport(expected - 1, sequence, f"event {sequence} was changed after it was written")
            previous, expected = digest, expected + 1
    return ChainReport(expected - 1, None, "every event follows the one before it")


def of_decision(connection: psycopg.Connection, schema: str, account: str, decision_id: UUID) -> list[StoredEvent]:
    """The account's events that name the decision, in order."""
    rows = connection.execute(statement(_OF_DECISION, schema), [str(decision_id), account]).fetchall()
    return [StoredEvent(*row) for row in rows]


def decisions_made(connection: psycopg.Connection, schema: str, decision_ids: Sequence[UUID]) -> set[UUID]:
    """Those of `decision_ids` that the trail already tells of."""
    rows = connection.execute(
        statement(
            """SELECT payload::json ->> 'decision_id' FROM {schema}.trading_events
               WHERE payload::json ->> 'decision_id' = ANY (%s) AND kind = %s""",
            schema,
        ),
        [[str(decision_id) for decision_id in decision_ids], EventKind.DECISION_MADE],
    ).fetchall()
    return {UUID(row[0]) for row in rows}


def _digest(account: str, sequence: int, occurred_at: datetime, kind: str, payload: str, previous: str) -> str:
    # The canonical JSON of a document with these keys: texts alone are spelled faster, and every event is hashed.
    content = (
        f'{{"account":{canonical_json(account)},"kind":{canonical_json(kind)},'
        f'"occurred_at":"{occurred_at.isoformat()}","payload":{canonical_json(payload)},"sequence":{sequence}}}'
    )
    return hashlib.sha256((previous + content).encode()).hexdigest()
