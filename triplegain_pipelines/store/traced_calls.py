"""What traces and registered models are made of: the calls behind decisions, and every model that ever sat in a seat.

Read only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.store.model_calls import read_calls


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One forecast of a seat: what was asked, what came back, how long it took and what it cost, in all its turns.

    `answered` is false for an abstention, whose `reason_code` and `error` say why. Latency in milliseconds.
    `attempts` are the single calls, none where they were not kept.
    """

    forecast_id: UUID
    seat: str
    vendor: str
    model: str
    baseline: bool
    template_hash: str
    system_text: str
    user_text: str
    answered: bool
    reason_code: str | None
    raw_answer: str | None
    error: str | None
    action: str | None
    p_up: float | None
    turns: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    latency_ms: float
    attempts: tuple[ModelCall, ...] = ()


@dataclass(frozen=True, slots=True)
class TracedDecision:
    """A decision of the seats and the calls behind it, by seat."""

    decision_id: UUID
    symbol: str
    as_of: datetime
    action: str
    reason_code: str
    p_up: float
    quorum_met: bool
    explanation: str
    forecast_ids: Sequence[UUID]
    calls: tuple[TracedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class SeatVersion:
    """A model with its wording in a seat, and when its first forecast was stored."""

    seat: str
    vendor: str
    model: str
    template_hash: str
    baseline: bool
    first_recorded_at: datetime


def read_traced_decisions(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, most: int
) -> list[TracedDecision]:
    """The newest `most` decisions of the account's seats in `[start, end)` with their calls, newest first."""
    query = """
        SELECT decision_id, symbol, as_of, action, reason_code, p_up, quorum_met, explanation, forecast_ids
        FROM research.consensus_decisions
        WHERE account = %s AND as_of >= %s AND as_of < %s AND target_quantity IS NULL
        ORDER BY as_of DESC, symbol LIMIT %s"""
    with connection.cursor(row_factory=class_row(TracedDecision)) as cursor:
        decisions = cursor.execute(query, (account, start, end, most)).fetchall()
    calls = _read_calls(connection, [one for decision in decisions for one in decision.forecast_ids])
    return [
        replace(decision, calls=tuple(call for call in calls if call.forecast_id in decision.forecast_ids))
        for decision in decisions
    ]


def read_seat_versions(connection: psycopg.Connection) -> list[SeatVersion]:
    """Every model and wording that ever sat in a seat, of whatever account, in the order of their first forecasts."""
    query = """
        SELECT seat, min(vendor) AS vendor, model, template_hash, bool_and(baseline) AS baseline,
               min(f.recorded_at) AS first_recorded_at
        FROM research.seat_forecasts f JOIN research.prompts p USING (prompt_hash)
        GROUP BY seat, model, template_hash
        ORDER BY first_recorded_at, seat, model, template_hash"""
    with connection.cursor(row_factory=class_row(SeatVersion)) as cursor:
        return cursor.execute(query).fetchall()


def _read_calls(connection: psycopg.Connection, forecast_ids: Sequence[UUID]) -> list[TracedCall]:
    query = """
        SELECT forecast_id, seat, vendor, model, baseline, template_hash, system_text, user_text,
               status = 'answered' AS answered, reason_code, raw_answer, error, action, p_up_4h AS p_up, turns,
               input_tokens, output_tokens, cost_usd, latency_ms
        FROM research.seat_forecasts JOIN research.prompts USING (prompt_hash)
        WHERE forecast_id = ANY(%s) ORDER BY seat, forecast_id"""
    with connection.cursor(row_factory=class_row(TracedCall)) as cursor:
        calls = cursor.execute(query, (list(forecast_ids),)).fetchall()
    attempts = read_calls(connection, forecast_ids)
    return [replace(call, attempts=tuple(attempts.get(call.forecast_id, ()))) for call in calls]
