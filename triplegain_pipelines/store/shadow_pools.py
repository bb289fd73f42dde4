"""The shadow pools beside the decisions. What was stored first stands: it is evidence, and later ones learn from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.shadows import Panel, ShadowForecast, ShadowMethod, ShadowRecord
from triplegain_pipelines.store.bulk import stage

_INPUTS = ("research", "shadow_inputs")
_POOLS = ("research", "shadow_pools")


def save_shadows(connection: psycopg.Connection, records: Sequence[ShadowRecord]) -> int:
    """Store the shadows of decisions that are stored and have none yet; return how many were new.

    A stored decision that was made of other forecasts is passed over: these are not its shadows.
    """
    import polars as pl

    wanted = _without_shadows(connection, [one.decision_id for one in records])
    new = [one for one in records if wanted.get(one.decision_id) == one.forecast_ids]
    if not new:
        return 0
    _insert(connection, pl.DataFrame([_input_row(one) for one in new], infer_schema_length=None), _INPUTS)
    rows = [
        {
            "decision_id": str(one.decision_id),
            "method": method.value,
            "p_up": forecast.p_up,
            "log_odds": forecast.log_odds,
            "action": forecast.action.value,
        }
        for one in new
        for method, forecast in one.forecasts.items()
    ]
    _insert(connection, pl.DataFrame(rows, infer_schema_length=None), _POOLS)
    return len(new)


def read_panels(connection: psycopg.Connection, account: str, before: datetime) -> list[Panel]:
    """What was said for the account's decisions with `as_of` before `before`: what the shadows learn from."""
    query = """
        SELECT d.symbol, d.as_of, s.features_version, s.voters, s.p_up, s.features
        FROM research.shadow_inputs s JOIN research.consensus_decisions d USING (decision_id)
        WHERE d.account = %s AND d.as_of < %s ORDER BY d.as_of, d.symbol"""
    return [
        Panel(symbol, as_of, version, tuple(voters), tuple(p_up), tuple(features))
        for symbol, as_of, version, voters, p_up, features in connection.execute(query, (account, before))
    ]


def read_shadows(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> list[ShadowRecord]:
    """The shadows of the account's decisions with `as_of` in `[start, end)`, by time and symbol."""
    query = """
        SELECT d.symbol, d.as_of, d.forecast_ids, s.*, p.methods, p.chances, p.log_odds, p.actions
        FROM research.shadow_inputs s JOIN research.consensus_decisions d USING (decision_id)
        CROSS JOIN LATERAL (
            SELECT array_agg(method) AS methods, array_agg(p_up) AS chances, array_agg(log_odds) AS log_odds,
                   array_agg(action) AS actions
            FROM research.shadow_pools WHERE decision_id = s.decision_id) AS p
        WHERE d.account = %s AND d.as_of >= %s AND d.as_of < %s ORDER BY d.as_of, d.symbol"""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_record(row) for row in cursor.execute(query, (account, start, end))]


def _without_shadows(connection: psycopg.Connection, decisions: Sequence[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    """Which of `decisions` are stored and have no shadows, with the forecasts they were made of."""
    query = """
        SELECT d.decision_id, d.forecast_ids FROM research.consensus_decisions d
        WHERE d.decision_id = ANY(%s)
          AND NOT EXISTS (SELECT FROM research.shadow_inputs s WHERE s.decision_id = d.decision_id)"""
    return {decision: tuple(used) for decision, used in connection.execute(query, (list(decisions),))}


def _insert(connection: psycopg.Connection, rows: Any, table: tuple[str, str]) -> None:  # noqa: ANN401 - a frame
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            sql.Identifier(*table), columns, columns, sql.Identifier(stage(connection, rows, table))
        )
    )


def _input_row(record: ShadowRecord) -> dict[str, object]:
    panel = record.panel
    return {
        "decision_id": str(record.decision_id),
        "code_version": record.code_version,
        "voters": _array([f'"{voter}"' for voter in panel.voters]),
        "p_up": _array(panel.p_up),
        "features": _array(panel.features),
        "features_version": panel.features_version,
        "unanimous": record.unanimous,
        "agreement": record.agreement,
        "disagreement": record.disagreement,
        "settled": record.settled,
        "effective_voters": record.effective_voters,
        "error_correlation": _array(record.error_correlation),
        "words": record.words,
    }


def _record(row: dict[str, Any]) -> ShadowRecord:
    forecasts = {
        ShadowMethod(method): ShadowForecast(p_up, log_odds, Action(action))
        for method, p_up, log_odds, action in zip(
            row["methods"], row["chances"], row["log_odds"], row["actions"], strict=True
        )
    }
    return ShadowRecord(
        decision_id=row["decision_id"],
        forecast_ids=tuple(row["forecast_ids"]),
        code_version=row["code_version"],
        panel=Panel(
            symbol=row["symbol"],
            as_of=row["as_of"],
            features_version=row["features_version"],
            voters=tuple(row["voters"]),
            p_up=tuple(row["p_up"]),
            features=tuple(row["features"]),
        ),
        unanimous=row["unanimous"],
        agreement=row["agreement"],
        disagreement=row["disagreement"],
        settled=row["settled"],
        effective_voters=row["effective_voters"],
        error_correlation=tuple(row["error_correlation"]),
        words=row["words"],
        forecasts={method: forecasts[method] for method in ShadowMethod},
    )


def _array(values: Sequence[object]) -> str:
    """A one-dimensional array as PostgreSQL reads it."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
