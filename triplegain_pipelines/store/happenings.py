"""What happened to an account that a person would want told, read from the rows that know it. Read only.

Each fact carries the identities of its rows. Money rows belong to `(start, end]`, decisions to `[start, end)`, as in
performance.py and evidence.py. The trading tables' schema is `paper_trading` or `live_trading`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class DecidedRegime:
    """The regime that a decision was made in."""

    decision_id: UUID
    symbol: str
    as_of: datetime
    regime: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision that was to be traded and made no order. `codes` are the verdict's reasons, where risk gave one."""

    decision_id: UUID
    outbox_id: int | None
    proposal_id: UUID | None
    symbol: str
    action: str
    status: str
    codes: Sequence[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class ChangedProposal:
    """A proposal that risk let through changed: why, and the quantity in base currency that it let through."""

    proposal_id: UUID
    decision_id: UUID
    symbol: str
    direction: str
    asked: Decimal | None
    allowed: Decimal | None
    codes: Sequence[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenedBreaker:
    """A circuit breaker that opened; `context` holds the numbers that tripped it, as they were written."""

    name: str
    sequence: int
    reason: str
    context: Mapping[str, str]
    changed_by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SilentSeat:
    """A seat that was not asked on a UTC day, for one reason. `forecast_ids` are its abstentions, oldest first."""

    seat: str
    model: str
    baseline: bool
    code: str
    forecast_ids: Sequence[UUID]
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class TakenStop:
    """A trade that its stop ended. `orders` are the stop orders that were filled for it."""

    decision_id: UUID
    symbol: str
    direction: str
    entry_price: Decimal
    exit_price: Decimal
    profit: Decimal
    r_multiple: Decimal | None
    opened_at: datetime
    closed_at: datetime
    orders: Sequence[UUID]


def decided_regimes(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime
) -> list[DecidedRegime]:
    """The regimes of the account's decisions in `[start, end)`, and of the last one before in each symbol."""
    query: LiteralString = """
        SELECT decision_id, symbol, as_of, regime FROM (
            (SELECT DISTINCT ON (symbol) decision_id, symbol, as_of, regime FROM research.consensus_decisions
             WHERE account = %(account)s AND as_of < %(start)s ORDER BY symbol, as_of DESC)
            UNION ALL
            SELECT decision_id, symbol, as_of, regime FROM research.consensus_decisions
            WHERE account = %(account)s AND as_of >= %(start)s AND as_of < %(end)s) AS decided
        ORDER BY as_of, symbol"""
    with connection.cursor(row_factory=class_row(DecidedRegime)) as cursor:
        return cursor.execute(query, _period(account, start, end)).fetchall()


def refusals(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[Refusal]:
    """Decisions that made no order in `(start, end]`: refused or expired in the outbox, or rejected by risk."""
    query: LiteralString = """
        WITH left_out AS (
            SELECT decision_id, outbox_id, status, reason_code, changed_at FROM {schema}.outbox
            WHERE account = %(account)s AND status IN ('REFUSED', 'EXPIRED')
              AND changed_at > %(start)s AND changed_at <= %(end)s),
        rejected AS (
            SELECT p.decision_id, p.proposal_id, v.decided_at,
                   ARRAY(SELECT reason ->> 'code' FROM jsonb_array_elements(v.reasons) reason) AS codes
            FROM {schema}.verdicts v JOIN {schema}.proposals p USING (proposal_id)
            WHERE v.account = %(account)s AND v.status = 'REJECTED'
              AND v.decided_at > %(start)s AND v.decided_at <= %(end)s)
        SELECT decision_id, o.outbox_id, r.proposal_id, d.symbol, d.action,
               coalesce(o.status, 'REFUSED') AS status,
               coalesce(r.codes, array_remove(ARRAY[o.reason_code], NULL)) AS codes,
               coalesce(o.changed_at, r.decided_at) AS at
        FROM left_out o FULL JOIN rejected r USING (decision_id)
        JOIN research.consensus_decisions d USING (decision_id)
        ORDER BY at, d.symbol, r.proposal_id"""
    with connection.cursor(row_factory=class_row(Refusal)) as cursor:
        return cursor.execute(statement(query, schema), _period(account, start, end)).fetchall()


def changed_proposals(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[ChangedProposal]:
    """Proposals that risk let through changed in `(start, end]`."""
    query: LiteralString = """
        SELECT p.proposal_id, p.decision_id, p.symbol, p.direction,
               (p.document::json ->> 'quantity')::numeric AS asked,
               (v.outcome::json ->> 'quantity')::numeric AS allowed,
               ARRAY(SELECT reason ->> 'code' FROM jsonb_array_elements(v.reasons) reason) AS codes, v.decided_at AS at
        FROM {schema}.verdicts v JOIN {schema}.proposals p USING (proposal_id)
        WHERE v.account = %(account)s AND v.status = 'MODIFIED'
          AND v.decided_at > %(start)s AND v.decided_at <= %(end)s
        ORDER BY v.decided_at, p.symbol, p.proposal_id"""
    with connection.cursor(row_factory=class_row(ChangedProposal)) as cursor:
        return cursor.execute(statement(query, schema), _period(account, start, end)).fetchall()


def opened_breakers(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime
) -> list[OpenedBreaker]:
    """The account's breakers that opened in `(start, end]`."""
    query: LiteralString = """
        SELECT name, sequence, reason, context, changed_by, changed_at AS at FROM ops.breaker_changes
        WHERE account = %(account)s AND to_state = 'OPEN' AND changed_at > %(start)s AND changed_at <= %(end)s
        ORDER BY changed_at, name, sequence"""
    with connection.cursor(row_factory=class_row(OpenedBreaker)) as cursor:
        return cursor.execute(query, _period(account, start, end)).fetchall()


def silent_seats(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, codes: Sequence[str]
) -> list[SilentSeat]:
    """Seats that abstained for one of `codes` in the account's decisions of `[start, end)`, by seat and UTC day."""
    query: LiteralString = """
        SELECT f.seat, f.model, f.baseline, f.reason_code AS code,
               array_agg(f.forecast_id ORDER BY d.as_of, f.forecast_id) AS forecast_ids,
               min(d.as_of) AS first_at, max(d.as_of) AS last_at
        FROM research.consensus_decisions d CROSS JOIN LATERAL unnest(d.forecast_ids) AS used(forecast_id)
        JOIN research.seat_forecasts f USING (forecast_id)
        WHERE d.account = %(account)s AND d.as_of >= %(start)s AND d.as_of < %(end)s
          AND f.reason_code = ANY(%(codes)s)
        GROUP BY f.seat, f.model, f.baseline, f.reason_code, date_trunc('day', d.as_of, 'UTC')
        ORDER BY min(d.as_of), f.seat, f.reason_code"""
    with connection.cursor(row_factory=class_row(SilentSeat)) as cursor:
        return cursor.execute(query, {**_period(account, start, end), "codes": list(codes)}).fetchall()


def taken_stops(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[TakenStop]:
    """Trades that their stop ended in `(start, end]`."""
    query: LiteralString = """
        SELECT t.decision_id, t.symbol, t.direction, t.entry_price, t.exit_price, t.profit, t.r_multiple, t.opened_at,
               t.closed_at,
               ARRAY(SELECT DISTINCT f.client_order_id FROM {schema}.intents i JOIN {schema}.fills f
                     USING (client_order_id) WHERE i.decision_id = t.decision_id AND i.leg = 'STOP'
                       AND f.filled_at > t.opened_at AND f.filled_at <= t.closed_at ORDER BY 1) AS orders
        FROM {schema}.trades t
        WHERE t.account = %(account)s AND t.exit_leg = 'STOP' AND t.closed_at > %(start)s AND t.closed_at <= %(end)s
        ORDER BY t.closed_at, t.symbol"""
    with connection.cursor(row_factory=class_row(TakenStop)) as cursor:
        return cursor.execute(statement(query, schema), _period(account, start, end)).fetchall()


def _period(account: str, start: datetime, end: datetime) -> Mapping[str, object]:
    return {"account": account, "start": start, "end": end}
