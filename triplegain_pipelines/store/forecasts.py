"""Prompts and the seats' forecasts. A forecast is written once and never changed: it is evidence, and the cache."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action, ForecastStatus
from triplegain_pipelines.domain.forecasts import Prompt, SeatForecast
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.bulk import stage

_TABLE = ("research", "seat_forecasts")
_COLUMNS = sql.SQL(", ").join(sql.Identifier(one.name) for one in fields(SeatForecast))


def save_forecasts(
    connection: psycopg.Connection, prompts: Iterable[Prompt], forecasts: Sequence[SeatForecast]
) -> None:
    """Store forecasts with the prompts they answer; those that are there already stay as they are.

    Their snapshots must be stored before.
    """
    save_prompts(connection, prompts)
    if not forecasts:
        return
    rows = [{one.name: _plain(getattr(forecast, one.name)) for one in fields(forecast)} for forecast in forecasts]
    staged = stage(connection, pl.DataFrame(rows, infer_schema_length=None), _TABLE)
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT (forecast_id) DO NOTHING").format(
            sql.Identifier(*_TABLE), _COLUMNS, _COLUMNS, sql.Identifier(staged)
        )
    )


def read_forecasts(connection: psycopg.Connection, forecast_ids: Sequence[UUID]) -> list[SeatForecast]:
    """The forecasts with these ids that are stored, by seat."""
    return _read(connection, sql.SQL("forecast_id = ANY(%s) ORDER BY seat, forecast_id"), list(forecast_ids))


def read_snapshot_forecasts(connection: psycopg.Connection, snapshot_ids: Sequence[UUID]) -> list[SeatForecast]:
    """Every forecast about these snapshots, of whatever models and versions, by snapshot and seat."""
    order = sql.SQL("snapshot_id = ANY(%s) ORDER BY snapshot_id, seat, model, forecast_id")
    return _read(connection, order, list(snapshot_ids))


def read_prompts(connection: psycopg.Connection, prompt_hashes: Iterable[str]) -> dict[str, Prompt]:
    """The prompts with these hashes that are stored, by hash."""
    query = (
        "SELECT prompt_hash, template_hash, system_text, user_text FROM research.prompts WHERE prompt_hash = ANY(%s)"
    )
    with connection.cursor(row_factory=class_row(Prompt)) as cursor:
        return {one.prompt_hash: one for one in cursor.execute(query, (list(prompt_hashes),))}


def save_prompts(connection: psycopg.Connection, prompts: Iterable[Prompt]) -> None:
    """Store prompts; those that are there already stay as they are."""
    distinct = list({one.prompt_hash: one for one in prompts}.values())
    if not distinct:
        return
    staged = stage(connection, pl.DataFrame(distinct), ("research", "prompts"))
    connection.execute(
        sql.SQL(
            "INSERT INTO research.prompts (prompt_hash, template_hash, system_text, user_text)"
            " SELECT prompt_hash, template_hash, system_text, user_text FROM {} ON CONFLICT DO NOTHING"
        ).format(sql.Identifier(staged))
    )


def _read(connection: psycopg.Connection, condition: sql.SQL, identities: list[UUID]) -> list[SeatForecast]:
    query = sql.SQL("SELECT {} FROM {} WHERE {}").format(_COLUMNS, sql.Identifier(*_TABLE), condition)
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_forecast(row) for row in cursor.execute(query, (identities,))]


def _forecast(row: dict[str, Any]) -> SeatForecast:
    row["status"] = ForecastStatus(row["status"])
    row["reason_code"] = None if row["reason_code"] is None else ReasonCode[row["reason_code"]]
    row["action"] = None if row["action"] is None else Action(row["action"])
    return SeatForecast(**row)


def _plain(value: object) -> object:
    """`value` as a frame holds it."""
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return canonical_json(value)
    return value.value if isinstance(value, Action | ForecastStatus | ReasonCode) else value
