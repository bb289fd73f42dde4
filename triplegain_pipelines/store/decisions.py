"""The decisions of the consensus. The first one for an account, symbol and time stands; none replaces it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action, Decision, Regime
from triplegain_pipelines.domain.forecasts import PooledForecast
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.bulk import stage

_TABLE = ("research", "consensus_decisions")
NAMES = tuple(one.name for one in fields(Decision))
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, NAMES))


def save_decisions(connection: psycopg.Connection, decisions: Sequence[Decision]) -> int:
    """Store `decisions`, and return how many of them differ from the one that was stored before.

    A rerun of the same code on the same data returns 0. More than 0 means that code, configuration or
    data have changed since; the stored decisions stay what they are.
    """
    import polars as pl

    if not decisions:
        return 0
    staged = sql.Identifier(
        stage(connection, pl.DataFrame([_row(one) for one in decisions], infer_schema_length=None), _TABLE)
    )
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT (account, symbol, as_of) DO NOTHING").format(
            sql.Identifier(*_TABLE), _COLUMNS, _COLUMNS, staged
        )
    )
    differing = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM {} AS new JOIN {} AS old USING (account, symbol, as_of)"
            " WHERE ({}) IS DISTINCT FROM ({})"
        ).format(staged, sql.Identifier(*_TABLE), _columns_of("new"), _columns_of("old"))
    ).fetchone()
    return int(differing[0]) if differing else 0


def read_decisions(connection: psycopg.Connection, account: str, start: datetime, end: datetime) -> list[Decision]:
    """What the seats decided for the account with `as_of` in `[start, end)`, by time and symbol: no rebalancing."""
    condition: LiteralString = (
        "account = %s AND as_of >= %s AND as_of < %s AND target_quantity IS NULL ORDER BY as_of, symbol"
    )
    return _read(connection, condition, (account, start, end))


def read_decision(connection: psycopg.Connection, decision_id: UUID) -> Decision | None:
    """The decision with this id; None where there is none."""
    return next(iter(_read(connection, "decision_id = %s", (decision_id,))), None)


def read_pooled(connection: psycopg.Connection, account: str, before: datetime) -> list[PooledForecast]:
    """The account's pooled forecasts with a quorum and `as_of` before `before`: what its slope is learnt from."""
    query = """
        SELECT symbol, as_of, pooled_log_odds AS log_odds FROM research.consensus_decisions
        WHERE account = %s AND as_of < %s AND quorum_met AND target_quantity IS NULL ORDER BY as_of, symbol"""
    with connection.cursor(row_factory=class_row(PooledForecast)) as cursor:
        return cursor.execute(query, (account, before)).fetchall()


def _read(connection: psycopg.Connection, condition: LiteralString, parameters: Sequence[object]) -> list[Decision]:
    query = _selection(condition)
    with connection.cursor(row_factory=dict_row) as cursor:
        return [from_row(row) for row in cursor.execute(query, parameters)]


@cache
def _selection(condition: LiteralString) -> bytes:
    """The query for decisions that meet `condition`, composed once."""
    query = sql.SQL("SELECT {} FROM {} WHERE {}")
    return query.format(_COLUMNS, sql.Identifier(*_TABLE), sql.SQL(condition)).as_bytes(None)


def from_row(row: dict[str, Any]) -> Decision:
    """The decision in a row of its table, by the names of its columns."""
    row["forecast_ids"] = tuple(row["forecast_ids"])
    row["regime"] = Regime(row["regime"])
    row["action"] = Action(row["action"])
    row["reason_code"] = ReasonCode[row["reason_code"]]
    return Decision(**row)


def _row(decision: Decision) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(decision, name) for name in NAMES}
    row |= {name: str(row[name]) for name in ("decision_id", "snapshot_id", "size_factor", "leverage")}
    row |= {name: getattr(decision, name).value for name in ("regime", "action", "reason_code")}
    row["target_quantity"] = None if decision.target_quantity is None else format(decision.target_quantity, "f")
    row["forecast_ids"] = "{" + ",".join(map(str, decision.forecast_ids)) + "}"
    row["code_versions"] = canonical_json(decision.code_versions)
    return row


def _columns_of(alias: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in NAMES)


def decided_symbols(connection: psycopg.Connection, account: str) -> tuple[str, ...]:
    """Every symbol that was ever decided on for the account."""
    rows = connection.execute(
        "SELECT DISTINCT symbol FROM research.consensus_decisions WHERE account = %s ORDER BY symbol", [account]
    )
    return tuple(row[0] for row in rows)
