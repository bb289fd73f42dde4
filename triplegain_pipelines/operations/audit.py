"""Where an order came from, and whether it would come out the same again: `trace` and `verify`.

`trace` follows an order back to the candles' data version. What is computed again from the snapshot on, and how it is
compared, is in `recomputation`; the snapshot itself is made again in `snapshot_again`.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import Prompt, SeatForecast
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.operations.recomputation import Evidence, VerifyStep, recompute
from triplegain_pipelines.operations.snapshot_again import check_market_data
from triplegain_pipelines.settings import Settings, settings
from triplegain_pipelines.store import events, lineage, verdicts
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decision
from triplegain_pipelines.store.events import StoredEvent
from triplegain_pipelines.store.forecasts import read_forecasts, read_prompts
from triplegain_pipelines.store.lineage import OrderRow
from triplegain_pipelines.store.model_calls import read_calls
from triplegain_pipelines.store.signals import read_signals
from triplegain_pipelines.store.snapshots import read_snapshot
from triplegain_pipelines.store.verdicts import StoredVerdict


@dataclass(frozen=True, slots=True)
class TraceDocument:
    """An order and everything behind it, from the fills back to the snapshot."""

    row: OrderRow
    fills: list[dict[str, Any]]
    verdict: StoredVerdict
    decision: Decision
    forecasts: list[SeatForecast]
    prompts: dict[str, Prompt]
    signals: Signals | None
    snapshot: Snapshot
    events: list[StoredEvent]

    def document(self) -> dict[str, Any]:
        """The trace as nested values that can be printed or written as canonical JSON."""
        decision = asdict(self.decision)
        return {
            "order": {
                "schema": self.row.schema,
                "client_order_id": self.row.client_order_id,
                "venue_order_id": self.row.venue_order_id,
                "state": self.row.order.state,
                "reason": self.row.reason_code,
                "filled_quantity": self.row.filled_quantity,
                "changed_at": self.row.changed_at,
            },
            "intent": asdict(self.row.order.intent) | {"intended_at": self.row.intended_at},
            "fills": self.fills,
            "verdict": {
                "status": self.verdict.status,
                "reasons": self.verdict.reasons,
                "proposal": self.verdict.document,
                "outcome": self.verdict.outcome,
                "inputs": self.verdict.inputs,
                "decided_at": self.verdict.decided_at,
            },
            "decision": decision,
            "forecasts": [
                asdict(forecast)
                | {
                    "system_text": self.prompts[forecast.prompt_hash].system_text,
                    "user_text": self.prompts[forecast.prompt_hash].user_text,
                }
                for forecast in self.forecasts
            ],
            "signals": None if self.signals is None else asdict(self.signals),
            "snapshot": {
                "snapshot_id": self.snapshot.snapshot_id,
                "content_hash": self.snapshot.content_hash,
                "document": self.snapshot.document,
            },
            "data_version": self.snapshot.data_version,
            "code_versions": dict(self.decision.code_versions),
            "events": [asdict(event) for event in self.events],
        }


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What came of computing an order's decision again, step by step."""

    steps: tuple[VerifyStep, ...]

    @property
    def identical(self) -> bool:
        """Whether every step came out as it was stored."""
        return all(step.identical for step in self.steps)

    def document(self) -> dict[str, Any]:
        """The result as values that can be written as JSON."""
        return {"identical": self.identical, "steps": [asdict(step) for step in self.steps]}


def trace(database: Database, client_order_id: UUID) -> TraceDocument:
    """Follow an order, on paper or live, back to what it rests on.

    Raises:
        InputError: there is no such order.
    """
    with database.connection() as connection:
        return _trace(connection, client_order_id)


def verify(database: Database, client_order_id: UUID, configured: Settings | None = None) -> VerifyResult:
    """Compute the decision behind an order again from what was stored, and compare each step.

    The snapshot is made again of the market data as it was known when it was stored, and the consensus under the
    settings that are stored with the decision. A decision of before they were is computed under `configured`, by
    default the settings of this process.

    Raises:
        InputError: there is no such order.
    """
    configured = configured or settings()
    with database.connection() as connection:
        found = _trace(connection, client_order_id)
        chain = events.verify_chain(connection, found.row.schema, found.row.order.intent.account)
        market_data = check_market_data(connection, found.snapshot, configured.profile.decisions.grace)
        headline_calls = _headline_calls(connection, found.signals)
    evidence = Evidence(
        order=found.row.order,
        stored_id=found.row.client_order_id,
        fills=found.fills,
        verdict=found.verdict,
        decision=found.decision,
        forecasts=found.forecasts,
        prompts=found.prompts,
        signals=found.signals,
        headline_calls=headline_calls,
        snapshot=found.snapshot,
    )
    unbroken = VerifyStep("events", chain.broken_at is None, f"{chain.events} events: {chain.detail}")
    return VerifyResult((market_data, *recompute(evidence, configured), unbroken))


def _headline_calls(connection: psycopg.Connection, signals: Signals | None) -> list[ModelCall]:
    identity = None if signals is None else signals.sentiment.conversation_id
    return [] if identity is None else read_calls(connection, [identity]).get(identity, [])


def _trace(connection: psycopg.Connection, client_order_id: UUID) -> TraceDocument:
    row = lineage.find_order(connection, client_order_id)
    intent = row.order.intent
    verdict = verdicts.read(connection, row.schema, row.order.proposal_id)
    decision = read_decision(connection, intent.decision_id)
    snapshot = read_snapshot(connection, decision.snapshot_id) if decision else None
    if verdict is None or decision is None or snapshot is None:
        msg = f"order {client_order_id} has lost its verdict, decision or snapshot; restore them from a backup"
        raise InputError(msg)
    forecasts = read_forecasts(connection, decision.forecast_ids)
    versions = decision.code_versions
    signals = read_signals(
        connection,
        [snapshot.snapshot_id],
        technical=versions.get("technical", ""),
        regime=versions.get("regime", ""),
        sentiment=versions.get("sentiment", ""),
    )
    return TraceDocument(
        row=row,
        fills=lineage.fills_of(connection, row.schema, client_order_id),
        verdict=verdict,
        decision=decision,
        forecasts=forecasts,
        prompts=read_prompts(connection, {forecast.prompt_hash for forecast in forecasts}),
        signals=signals.get(snapshot.snapshot_id),
        snapshot=snapshot,
        events=events.of_decision(connection, row.schema, intent.account, intent.decision_id),
    )
