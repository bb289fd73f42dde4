"""What the leaderboard reads and keeps: forecasts of every kind side by side, the series ever tried, the boards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.store.bulk import copy_out

if TYPE_CHECKING:
    import polars as pl

# A seat's series: model, wording, parameters. `calls` are one row a call behind a decision of the account.
_CALLS = sql.SQL("""
    decided AS (
        SELECT * FROM research.consensus_decisions d
        WHERE d.account = %(account)s AND d.as_of >= %(start)s AND d.as_of < %(end)s AND d.target_quantity IS NULL),
    calls AS (
        SELECT CASE WHEN f.baseline THEN 'baseline seat' ELSE 'seat' END AS kind, f.seat AS forecaster, f.model,
               p.template_hash, md5(f.parameters::text) AS parameters_hash, d.symbol, d.as_of, d.decision_id,
               f.forecast_id, f.p_up_4h AS p_up, f.action, f.leverage, f.status, f.reason_code, f.latency_ms,
               f.input_tokens + f.output_tokens AS tokens, f.cost_usd, f.recorded_at
        FROM decided d CROSS JOIN LATERAL unnest(d.forecast_ids) AS used (forecast_id)
        JOIN research.seat_forecasts f USING (forecast_id) JOIN research.prompts p USING (prompt_hash))""")


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What makes a series of forecasts one. Empty where a forecaster has no model, wording or parameters."""

    kind: str
    forecaster: str
    model: str
    template_hash: str
    parameters_hash: str

    @property
    def variant_id(self) -> UUID:
        """The same series has the same id everywhere."""
        return deterministic_id(
            "variant", self.kind, self.forecaster, self.model, self.template_hash, self.parameters_hash
        )


@dataclass(frozen=True, slots=True)
class SeriesCalls:
    """How the calls of a series went, summed exactly. Latencies in milliseconds."""

    kind: str
    forecaster: str
    model: str
    template_hash: str
    parameters_hash: str
    asked: int
    answered: int
    reasons: dict[str, int]
    latency_p50_ms: float
    latency_p95_ms: float
    tokens: int
    cost_usd: Decimal

    @property
    def key(self) -> SeriesKey:
        """Which series it is."""
        return SeriesKey(self.kind, self.forecaster, self.model, self.template_hash, self.parameters_hash)


@dataclass(frozen=True, slots=True)
class DecidedAccount:
    """For which market the seats decided for an account, and when first and last."""

    account: str
    venue: str
    symbols: list[str]
    first_at: datetime
    last_at: datetime
    replay: bool


@dataclass(frozen=True, slots=True)
class Vote:
    """What one seat said about one decision, for its shadow book; without `action` and `p_up` where it abstained."""

    decision_id: UUID
    forecast_id: UUID
    action: str | None
    p_up: float | None
    leverage: float | None
    reason_code: str | None


def read_series(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Every forecast behind the account's decisions in `[start, end)`: of seats, the consensus and the shadow pools.

    Returns:
        `kind`, `forecaster`, `model`, `template_hash`, `parameters_hash`, `symbol`, `as_of`, `p_up` (null: abstained)
        for 4 hours, `recorded_at` and the `slope` of the consensus (else null), by forecaster and time.
    """
    import polars as pl

    utc = pl.Datetime("us", "UTC")
    columns = {
        "kind": pl.String(),
        "forecaster": pl.String(),
        "model": pl.String(),
        "template_hash": pl.String(),
        "parameters_hash": pl.String(),
        "symbol": pl.String(),
        "as_of": utc,
        "p_up": pl.Float64(),
        "recorded_at": utc,
        "slope": pl.Float64(),
    }
    query = sql.SQL(
        """WITH {calls}
        SELECT kind, forecaster, model, template_hash, parameters_hash, symbol, as_of, p_up, recorded_at,
               NULL::float8 AS slope FROM calls
        UNION ALL
        SELECT 'consensus', 'consensus', code_version, coalesce(code_versions ->> 'template', ''),
               md5(code_versions::text), symbol, as_of, CASE WHEN quorum_met THEN p_up END, recorded_at, slope
        FROM decided
        UNION ALL
        SELECT 'shadow', s.method, i.code_version, '', '', d.symbol, d.as_of, s.p_up, d.recorded_at, NULL
        FROM decided d JOIN research.shadow_pools s USING (decision_id)
        JOIN research.shadow_inputs i USING (decision_id)
        ORDER BY kind, forecaster, model, template_hash, parameters_hash, as_of, symbol"""
    ).format(calls=_CALLS)
    return copy_out(connection, query, {"account": account, "start": start, "end": end}, columns)


def read_calls(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> list[SeriesCalls]:
    """The calls of the seats behind the account's decisions in `[start, end)`, by series."""
    query = sql.SQL(
        """WITH {calls},
        abstentions AS (
            SELECT kind, forecaster, model, template_hash, parameters_hash, jsonb_object_agg(reason_code, n) AS reasons
            FROM (SELECT kind, forecaster, model, template_hash, parameters_hash, reason_code, count(*) AS n
                  FROM calls WHERE status = 'abstained' GROUP BY 1, 2, 3, 4, 5, 6) counted GROUP BY 1, 2, 3, 4, 5)
        SELECT kind, forecaster, model, template_hash, parameters_hash, count(*) AS asked,
               count(*) FILTER (WHERE status = 'answered') AS answered, coalesce(a.reasons, '{{}}') AS reasons,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_p50_ms,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_p95_ms,
               sum(tokens)::bigint AS tokens, sum(cost_usd) AS cost_usd
        FROM calls LEFT JOIN abstentions a USING (kind, forecaster, model, template_hash, parameters_hash)
        GROUP BY 1, 2, 3, 4, 5, a.reasons ORDER BY 1, 2, 3, 4, 5"""
    ).format(calls=_CALLS)
    with connection.cursor(row_factory=class_row(SeriesCalls)) as cursor:
        return cursor.execute(query, {"account": account, "start": start, "end": end}).fetchall()


def read_votes(
    connection: psycopg.Connection, account: str, series: SeriesKey, start: datetime, end: datetime
) -> list[Vote]:
    """What a seat's series said at the account's decisions in `[start, end)`, in order of time."""
    query = sql.SQL(
        """WITH {calls}
        SELECT decision_id, forecast_id, action, p_up, leverage, reason_code FROM calls
        WHERE (kind, forecaster, model, template_hash, parameters_hash)
            = (%(kind)s, %(forecaster)s, %(model)s, %(template)s, %(parameters)s)
        ORDER BY as_of, symbol"""
    ).format(calls=_CALLS)
    parameters = {
        "account": account,
        "start": start,
        "end": end,
        "kind": series.kind,
        "forecaster": series.forecaster,
        "model": series.model,
        "template": series.template_hash,
        "parameters": series.parameters_hash,
    }
    with connection.cursor(row_factory=class_row(Vote)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def read_bill(
    connection: psycopg.Connection, account: str, series: SeriesKey | None, start: datetime, end: datetime
) -> list[tuple[datetime, Decimal]]:
    """What the calls for the decisions of each time in `[start, end)` cost in USD, of one series or of all of them."""
    query = sql.SQL(
        """WITH {calls}
        SELECT as_of, sum(cost_usd) FROM calls
        WHERE %(kind)s::text IS NULL OR (kind, forecaster, model, template_hash, parameters_hash)
            = (%(kind)s, %(forecaster)s, %(model)s, %(template)s, %(parameters)s)
        GROUP BY as_of ORDER BY as_of"""
    ).format(calls=_CALLS)
    parameters = {
        "account": account,
        "start": start,
        "end": end,
        "kind": series and series.kind,
        "forecaster": series and series.forecaster,
        "model": series and series.model,
        "template": series and series.template_hash,
        "parameters": series and series.parameters_hash,
    }
    return connection.execute(query, parameters).fetchall()


def register_variants(connection: psycopg.Connection) -> dict[str, int]:
    """Register every series that has ever forecast, and count those that are registered, by kind."""
    found = connection.execute(
        """SELECT DISTINCT CASE WHEN f.baseline THEN 'baseline seat' ELSE 'seat' END, f.seat, f.model,
                  p.template_hash, md5(f.parameters::text)
           FROM research.seat_forecasts f JOIN research.prompts p USING (prompt_hash)
           UNION
           SELECT DISTINCT 'consensus', 'consensus', code_version, coalesce(code_versions ->> 'template', ''),
                  md5(code_versions::text)
           FROM research.consensus_decisions d WHERE target_quantity IS NULL
             AND NOT EXISTS (SELECT FROM research.shadow_books b WHERE b.shadow_account = d.account)
           UNION
           SELECT DISTINCT 'shadow', s.method, i.code_version, '', ''
           FROM research.shadow_pools s JOIN research.shadow_inputs i USING (decision_id)"""
    ).fetchall()
    keys = [SeriesKey(*row) for row in found]
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO research.forecast_variants
                   (variant_id, kind, forecaster, model, template_hash, parameters_hash)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            [
                (key.variant_id, key.kind, key.forecaster, key.model, key.template_hash, key.parameters_hash)
                for key in keys
            ],
        )
    return dict(
        connection.execute("SELECT kind, count(*)::int FROM research.forecast_variants GROUP BY kind").fetchall()
    )


def open_shadow_book(
    connection: psycopg.Connection, account: str, series: SeriesKey, starts_at: datetime
) -> tuple[str, datetime]:
    """The shadow account of a series behind `account` and when it starts; a new one starts at `starts_at`."""
    name = f"shadow-{content_hash([account, str(series.variant_id)])[:12]}"
    connection.execute(
        """INSERT INTO research.shadow_books (shadow_account, account, variant_id, starts_at)
           VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (name, account, series.variant_id, starts_at),
    )
    row = connection.execute(
        "SELECT shadow_account, starts_at FROM research.shadow_books WHERE (account, variant_id) = (%s, %s)",
        (account, series.variant_id),
    ).fetchone()
    assert row is not None  # noqa: S101 - it was written above
    return row[0], row[1]


def decided_accounts(connection: psycopg.Connection, account: str | None) -> list[DecidedAccount]:
    """The accounts for which the seats decided, or the one of this name; without shadow books, decided last first."""
    query = """
        SELECT account, min(venue) AS venue, array_agg(DISTINCT symbol ORDER BY symbol) AS symbols,
               min(as_of) AS first_at, max(as_of) AS last_at,
               EXISTS (SELECT FROM ops.replays r WHERE r.account = d.account) AS replay
        FROM research.consensus_decisions d
        WHERE target_quantity IS NULL AND (%(account)s::text IS NULL OR account = %(account)s)
          AND NOT EXISTS (SELECT FROM research.shadow_books b WHERE b.shadow_account = d.account)
        GROUP BY account ORDER BY max(as_of) DESC, account"""
    with connection.cursor(row_factory=class_row(DecidedAccount)) as cursor:
        return cursor.execute(query, {"account": account}).fetchall()


def save_leaderboard(
    connection: psycopg.Connection,
    *,
    account: str,
    start: datetime,
    end: datetime,
    trials: int,
    leaders: tuple[str, ...],
    document: object,
    path: str,
    created_at: datetime,
) -> UUID:
    """Keep a board. The same content over the same period is the same board.

    Args:
        connection: in the caller's transaction.
        account: whose decisions were judged.
        start: beginning of the period.
        end: its end.
        trials: how many series had ever been tried.
        leaders: who beat every baseline.
        document: the board as JSON values.
        path: of the page, within the folder of reports.
        created_at: when.
    """
    identity = deterministic_id("leaderboard", account, start, end, content_hash(document))
    connection.execute(
        """INSERT INTO research.leaderboards
               (leaderboard_id, account, starts_at, ends_at, trials, leaders, document, path, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (leaderboard_id) DO NOTHING""",
        (identity, account, start, end, trials, list(leaders), Jsonb(document), path, created_at),
    )
    return identity


def latest_leaderboard(connection: psycopg.Connection, account: str) -> tuple[str, dict[str, object]] | None:
    """Path and document of the account's newest board, or None."""
    return connection.execute(
        """SELECT path, document FROM research.leaderboards WHERE account = %s
           ORDER BY created_at DESC, leaderboard_id LIMIT 1""",
        (account,),
    ).fetchone()
