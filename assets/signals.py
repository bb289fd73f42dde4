"""Signals of the agents that are code: functions of a snapshot, and of what a seat said where one scores headlines."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg

from assets.metadata import table
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.agents.regime import REGIME_VERSION, classify_regime
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION, assess_technicals
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.evidence import SentimentSignal, Snapshot
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import read_snapshots

_Save = Callable[[psycopg.Connection, str, Mapping[Any, Any]], int]
# The version that the signals are stored under, which settings may be a part of, and the signals.
_Assess = Callable[[Database, Session, Sequence[Snapshot]], tuple[str, Mapping[UUID, Any]]]


def _signals(name: str, version: str, assess: _Assess, save: _Save, text: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        group_name="signals",
        deps=["snapshots"],
        partitions_def=DAYS,
        backfill_policy=ONE_RUN,
        code_version=version,
        description=text,
        kinds={"postgres"},
    )
    def signals(
        context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
    ) -> dg.MaterializeResult:
        with database.connection() as connection:
            snapshots = read_snapshots(connection, session.venue, session.symbols, *utc_range(context))
        series, found = assess(database, session, snapshots)
        with database.connection() as connection:
            save(connection, series, found)
        newest = [{"symbol": s.symbol, "as of": s.as_of, "signal": found[s.snapshot_id]} for s in snapshots[-8:]]
        return dg.MaterializeResult(
            metadata={"dagster/row_count": len(found), "newest": table(newest)},
            data_version=dg.DataVersion(content_hash([str(signal) for signal in found.values()])),
        )

    return signals


def _each(version: str, assess: Callable[[Snapshot], Any]) -> _Assess:
    return lambda _, __, snapshots: (version, {snapshot.snapshot_id: assess(snapshot) for snapshot in snapshots})


def _sentiment(
    database: Database, session: Session, snapshots: Sequence[Snapshot]
) -> tuple[str, Mapping[UUID, SentimentSignal]]:
    from triplegain_pipelines.agents.headline_tones import score_snapshots, sentiment_version

    models, enabled = session.settings.models, session.settings.environment.llm_enabled
    return sentiment_version(models), score_snapshots(database, snapshots, models, llm_enabled=enabled)


technical_signals = _signals(
    "technical_signals",
    TECHNICAL_VERSION,
    _each(TECHNICAL_VERSION, assess_technicals),
    save_technical_signals,
    "Bias, confidence and reasons from the indicators of all timeframes.",
)
regime_signals = _signals(
    "regime_signals",
    REGIME_VERSION,
    _each(REGIME_VERSION, classify_regime),
    save_regime_signals,
    "The state of each market, by which risk limits differ.",
)
sentiment_signals = _signals(
    "sentiment_signals",
    SENTIMENT_VERSION,
    _sentiment,
    save_sentiment_signals,
    "The tone of the headlines that were known; neutral and labelled so where there were none.",
)
