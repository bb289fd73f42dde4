"""Imported records of other people's models. They are kept as they came, apart from our forecasts."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row, dict_row

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedScore, RecordedStep
from triplegain_pipelines.market.files.model_records import RecordsFile

_FILE: LiteralString = """
    INSERT INTO research.recorded_files (digest, name, kind, rows, imported_at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_STEP: LiteralString = """
    INSERT INTO research.recorded_steps
        (digest, line, model, day, step, action, symbol, amount, price, cash, holdings, overwritten)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_SCORE: LiteralString = """
    INSERT INTO research.recorded_scores (digest, line, published_at, headline, score, reason)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_DIGESTS: LiteralString = "SELECT digest FROM research.recorded_files WHERE kind = %s ORDER BY imported_at, digest"
_STEPS: LiteralString = """
    SELECT line, model, day, step, action, symbol, amount, price, cash, holdings, overwritten
    FROM research.recorded_steps WHERE digest = %s ORDER BY line
"""
_SCORES: LiteralString = """
    SELECT line, published_at, headline, score, reason FROM research.recorded_scores WHERE digest = %s ORDER BY line
"""


def save_records(connection: psycopg.Connection, records: RecordsFile, at: datetime) -> bool:
    """Store the records of a file; False where this very file is stored already and nothing was written."""
    file = (records.digest, records.name, records.kind.value, records.rows, at)
    if connection.execute(_FILE, file).rowcount == 0:
        return False
    with connection.cursor() as cursor:
        cursor.executemany(_STEP, [_step_row(records.digest, one) for one in records.steps])
        cursor.executemany(
            _SCORE,
            [
                (records.digest, one.line, one.published_at, one.headline, one.score, one.reason)
                for one in records.scores
            ],
        )
    return True


def recorded_steps(connection: psycopg.Connection) -> list[list[RecordedStep]]:
    """The steps of every imported file, in the order of the imports, each in the order of its lines."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [[_step(row) for row in cursor.execute(_STEPS, (one,))] for one in _digests(connection, "positions")]


def recorded_scores(connection: psycopg.Connection) -> list[list[RecordedScore]]:
    """The scored headlines of every imported file, in the order of the imports, each in the order of its rows."""
    with connection.cursor(row_factory=class_row(RecordedScore)) as cursor:
        return [cursor.execute(_SCORES, (one,)).fetchall() for one in _digests(connection, "headline_scores")]


def _digests(connection: psycopg.Connection, kind: str) -> Sequence[str]:
    return [digest for (digest,) in connection.execute(_DIGESTS, (kind,))]


def _step_row(digest: str, step: RecordedStep) -> tuple[object, ...]:
    # As text, or JSON would make floats of them.
    holdings = json.dumps({symbol: str(amount) for symbol, amount in step.holdings.items()})
    return (
        digest,
        step.line,
        step.model,
        step.day,
        step.step,
        step.action.value,
        step.symbol,
        step.amount,
        step.price,
        step.cash,
        holdings,
        step.overwritten,
    )


def _step(row: dict[str, Any]) -> RecordedStep:
    row["action"] = RecordedAction(row["action"])
    row["holdings"] = {symbol: Decimal(amount) for symbol, amount in row["holdings"].items()}
    return RecordedStep(**row)
