"""What was thought and what the market did in a period: decisions, calls, prices, gaps, breakers.

Read only, for reports. Decisions belong to `[start, end)`. What the account did is in performance.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.store.bulk import copy_out

_PRICES = {"symbol": pl.String(), "at": pl.Datetime("us", "UTC"), "price": pl.Float64()}


@dataclass(frozen=True, slots=True)
class DecisionCounts:
    """Decisions of an account; `unanimous_settled` are unanimous ones with a known outcome."""

    made: int
    quorum_failures: int
    unanimous: int
    unanimous_settled: int
    unanimous_right: int


@dataclass(frozen=True, slots=True)
class SeatCalls:
    """The calls of one model in one seat. `reasons` counts abstentions by reason code; latency in milliseconds."""

    seat: str
    vendor: str
    model: str
    baseline: bool
    calls: int
    answered: int
    reasons: Mapping[str, int]
    cost_usd: Decimal
    latency_p50_ms: float
    latency_p95_ms: float
    tokens: int
    template_hashes: Sequence[str]
    code_versions: Sequence[str]


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """A circuit breaker that changed its state."""

    name: str
    from_state: str
    to_state: str
    changed_at: datetime
    changed_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class CandleGap:
    """Missing candles, from the opening time of the first to that of the last."""

    symbol: str
    timeframe: str
    starts_at: datetime
    ends_at: datetime
    missing: int
    kind: str


def decision_counts(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, horizon_hours: int
) -> DecisionCounts:
    """What the seats decided in `[start, end)`; the unanimous ones against the outcome after `horizon_hours`.

    A forecast of exactly one half is on no side, so it can be neither right nor wrong.
    """
    query = """
        SELECT count(*) AS made, count(*) FILTER (WHERE NOT d.quorum_met) AS quorum_failures,
               count(*) FILTER (WHERE d.unanimous) AS unanimous,
               count(*) FILTER (WHERE d.unanimous AND d.p_up <> 0.5 AND o.went_up IS NOT NULL) AS unanimous_settled,
               count(*) FILTER (WHERE d.unanimous AND d.p_up <> 0.5 AND (d.p_up > 0.5) = o.went_up) AS unanimous_right
        FROM research.consensus_decisions d
        LEFT JOIN research.forecast_outcomes o
          ON (o.venue, o.symbol, o.as_of, o.horizon_hours) = (d.venue, d.symbol, d.as_of, %s)
        WHERE d.account = %s AND d.as_of >= %s AND d.as_of < %s AND d.target_quantity IS NULL"""
    with connection.cursor(row_factory=class_row(DecisionCounts)) as cursor:
        counts = cursor.execute(query, (horizon_hours, account, start, end)).fetchone()
    assert counts is not None  # noqa: S101 - an aggregate without GROUP BY always has one row
    return counts


def seat_calls(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> list[SeatCalls]:
    """The calls behind the account's decisions in `[start, end)`, by seat and model."""
    query = """
        WITH calls AS (
            SELECT f.*, p.template_hash FROM research.consensus_decisions d
            CROSS JOIN LATERAL unnest(d.forecast_ids) AS used(forecast_id)
            JOIN research.seat_forecasts f USING (forecast_id) JOIN research.prompts p USING (prompt_hash)
            WHERE d.account = %(account)s AND d.as_of >= %(start)s AND d.as_of < %(end)s),
        abstentions AS (
            SELECT seat, model, jsonb_object_agg(reason_code, n) AS reasons
            FROM (SELECT seat, model, reason_code, count(*) AS n FROM calls
                  WHERE status = 'abstained' GROUP BY 1, 2, 3) AS counted GROUP BY 1, 2)
        SELECT seat, vendor, model, baseline, count(*) AS calls,
               count(*) FILTER (WHERE status = 'answered') AS answered,
               coalesce(a.reasons, '{}') AS reasons, sum(cost_usd) AS cost_usd,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_p50_ms,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_p95_ms,
               sum(input_tokens + output_tokens) AS tokens,
               array_agg(DISTINCT template_hash ORDER BY template_hash) AS template_hashes,
               array_agg(DISTINCT code_version ORDER BY code_version) AS code_versions
        FROM calls LEFT JOIN abstentions a USING (seat, model)
        GROUP BY seat, vendor, model, baseline, a.reasons ORDER BY seat, model"""
    with connection.cursor(row_factory=class_row(SeatCalls)) as cursor:
        return cursor.execute(query, {"account": account, "start": start, "end": end}).fetchall()


def code_versions(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> dict[str, list[str]]:
    """The versions of every part of the code that what the seats decided for the account rests on."""
    query = """
        WITH decided AS (SELECT * FROM research.consensus_decisions WHERE target_quantity IS NULL)
        SELECT part, array_agg(DISTINCT version ORDER BY version) FROM (
            SELECT 'consensus' AS part, code_version AS version, account, as_of FROM decided
            UNION ALL
            SELECT part, version, account, as_of FROM decided,
                   jsonb_each_text(code_versions) AS versions(part, version)) AS used
        WHERE account = %s AND as_of >= %s AND as_of < %s GROUP BY part ORDER BY part"""
    return dict(connection.execute(query, (account, start, end)).fetchall())


def breaker_changes(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime
) -> list[BreakerChange]:
    """Changes of the account's breakers in `[start, end]`, in order."""
    query = """
        SELECT name, from_state, to_state, changed_at, changed_by, reason FROM ops.breaker_changes
        WHERE account = %s AND changed_at >= %s AND changed_at <= %s ORDER BY changed_at, name, sequence"""
    with connection.cursor(row_factory=class_row(BreakerChange)) as cursor:
        return cursor.execute(query, (account, start, end)).fetchall()


def candle_gaps(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime, end: datetime
) -> list[CandleGap]:
    """Gaps of the one-minute candles that touch `[start, end)`."""
    query = """
        SELECT symbol, timeframe, starts_at, ends_at, missing, kind FROM market.candle_gaps
        WHERE venue = %s AND symbol = ANY(%s) AND timeframe = '1m' AND starts_at < %s AND ends_at >= %s
        ORDER BY starts_at, symbol"""
    with connection.cursor(row_factory=class_row(CandleGap)) as cursor:
        return cursor.execute(query, (venue, list(symbols), end, start)).fetchall()


def prices(
    connection: psycopg.Connection,
    venue: str,
    symbols: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    step: timedelta,
) -> pl.DataFrame:
    """Prices of each symbol over `[start, end)`: `symbol`, `at`, `price`, sorted.

    The first row of a symbol is the open of its first one-minute candle, the price it could have been bought at; then
    comes the last close of each `step` at the moment it was known.
    """
    query = """
        (SELECT DISTINCT ON (symbol) symbol, opened_at AS at, open AS price FROM market.candles
         WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND timeframe = '1m'
           AND opened_at >= %(start)s AND opened_at < %(end)s ORDER BY symbol, opened_at)
        UNION ALL
        (SELECT DISTINCT ON (symbol, date_bin(%(step)s, opened_at, 'epoch'))
                symbol, opened_at + interval '1 minute', close FROM market.candles
         WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND timeframe = '1m'
           AND opened_at >= %(start)s AND opened_at < %(end)s
         ORDER BY symbol, date_bin(%(step)s, opened_at, 'epoch'), opened_at DESC)
        ORDER BY 1, 2"""
    return copy_out(
        connection,
        query,
        {"venue": venue, "symbols": list(symbols), "start": start, "end": end, "step": step},
        _PRICES,
    )


def is_replay(connection: psycopg.Connection, account: str) -> bool:
    """Whether the account belongs to a replay of stored candles."""
    return connection.execute("SELECT 1 FROM ops.replays WHERE account = %s", (account,)).fetchone() is not None
