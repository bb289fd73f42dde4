"""Signals of the agents that are code, by snapshot and code version. Rows are added, never changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.decisions import Bias, Regime
from triplegain_pipelines.domain.evidence import RegimeSignal, SentimentSignal, Signals, TechnicalSignal
from triplegain_pipelines.domain.reasons import ReasonCode

_INSERT_TECHNICAL: LiteralString = """
    INSERT INTO research.technical_signals (snapshot_id, code_version, bias, confidence, reasons)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_INSERT_REGIME: LiteralString = """
    INSERT INTO research.regime_signals (snapshot_id, code_version, regime, confidence, reasons)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_INSERT_SENTIMENT: LiteralString = """
    INSERT INTO research.sentiment_signals
        (snapshot_id, code_version, score, headlines, reasons, conversation_id, fallback)
    VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_READ: LiteralString = """
    SELECT snapshot_id, t.bias, t.confidence, t.reasons, r.regime, r.confidence, r.reasons,
        s.score, s.headlines, s.reasons, s.conversation_id, s.fallback
    FROM research.technical_signals t
    JOIN research.regime_signals r USING (snapshot_id)
    JOIN research.sentiment_signals s USING (snapshot_id)
    WHERE snapshot_id = ANY(%(snapshots)s) AND t.code_version = %(technical)s AND r.code_version = %(regime)s
        AND s.code_version = %(sentiment)s
"""


def save_technical_signals(
    connection: psycopg.Connection, code_version: str, signals: Mapping[UUID, TechnicalSignal]
) -> int:
    """Store those signals that are new, and return how many were."""
    rows = [(key, code_version, one.bias.value, one.confidence, Jsonb(one.reasons)) for key, one in signals.items()]
    return _save(connection, _INSERT_TECHNICAL, rows)


def save_regime_signals(connection: psycopg.Connection, code_version: str, signals: Mapping[UUID, RegimeSignal]) -> int:
    """Store those signals that are new, and return how many were."""
    rows = [(key, code_version, one.regime.value, one.confidence, Jsonb(one.reasons)) for key, one in signals.items()]
    return _save(connection, _INSERT_REGIME, rows)


def save_sentiment_signals(
    connection: psycopg.Connection, code_version: str, signals: Mapping[UUID, SentimentSignal]
) -> int:
    """Store those signals that are new, and return how many were."""
    rows = [
        (
            key,
            code_version,
            one.score,
            one.headlines,
            Jsonb(one.reasons),
            one.conversation_id,
            one.fallback.value if one.fallback else None,
        )
        for key, one in signals.items()
    ]
    return _save(connection, _INSERT_SENTIMENT, rows)


def read_signals(
    connection: psycopg.Connection, snapshot_ids: Iterable[UUID], *, technical: str, regime: str, sentiment: str
) -> dict[UUID, Signals]:
    """What the three agents, each in the code version given, said about the snapshots.

    A snapshot that lacks one of the three signals is not in the answer.
    """
    rows = connection.execute(
        _READ,
        {"snapshots": list(snapshot_ids), "technical": technical, "regime": regime, "sentiment": sentiment},
    )
    return {
        row[0]: Signals(
            TechnicalSignal(Bias(row[1]), row[2], tuple(row[3])),
            RegimeSignal(Regime(row[4]), row[5], tuple(row[6])),
            SentimentSignal(row[7], row[8], tuple(row[9]), row[10], ReasonCode[row[11]] if row[11] else None),
        )
        for row in rows
    }


def _save(connection: psycopg.Connection, insert: LiteralString, rows: Sequence[tuple[object, ...]]) -> int:
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(insert, rows)
        return cursor.rowcount
