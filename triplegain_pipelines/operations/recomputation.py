"""Computing a decision again from what was stored, station by station, and saying where it differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import SETTINGS, decide, settings_of
from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.headline_tones import read_again
from triplegain_pipelines.agents.prompt import render_prompt
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.decisions import Decision, ForecastStatus
from triplegain_pipelines.domain.errors import TripleGainError
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import Prompt, SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import Reason
from triplegain_pipelines.domain.risk import ProposalKind
from triplegain_pipelines.execution.documents import inputs_from, proposal_from, proposal_text
from triplegain_pipelines.execution.risk_gate import judged
from triplegain_pipelines.operations.rebalancing_decision import decided_again
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.verdicts import StoredVerdict


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was stored of one order, and what it rests on."""

    order: Order
    stored_id: UUID
    fills: Sequence[Mapping[str, Any]]
    verdict: StoredVerdict
    decision: Decision
    forecasts: Sequence[SeatForecast]
    prompts: Mapping[str, Prompt]
    signals: Signals | None
    headline_calls: Sequence[ModelCall]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class VerifyStep:
    """One station: whether it came out as stored, and what differs where it did not."""

    name: str
    identical: bool
    detail: str


def recompute(evidence: Evidence, configured: Settings) -> list[VerifyStep]:
    """Every station between the snapshot and the fills, in order."""
    decided: list[tuple[str, Callable[[], str]]] = [
        ("prompts", lambda: _prompts(evidence)),
        ("answers", lambda: _answers(evidence)),
        ("consensus", lambda: _consensus(evidence, configured)),
    ]
    if evidence.decision.target_quantity is not None:
        decided = [("rebalancing", lambda: _rebalancing(evidence))]
    stations: list[tuple[str, Callable[[], str]]] = [
        ("snapshot", lambda: _snapshot(evidence)),
        ("signals", lambda: _signals(evidence)),
        *decided,
        ("proposal", lambda: _proposal(evidence)),
        ("verdict", lambda: _verdict(evidence)),
        ("order", lambda: _order(evidence)),
        ("fills", lambda: _fills(evidence)),
    ]
    steps = []
    for name, station in stations:
        try:
            difference = station()
        except (TripleGainError, ValueError, KeyError) as error:
            difference = f"it cannot be computed again: {error}"
        steps.append(VerifyStep(name, not difference, difference))
    return steps


def _snapshot(evidence: Evidence) -> str:
    snapshot = evidence.snapshot
    computed = content_hash(snapshot.document)
    if computed != snapshot.content_hash:
        return f"its document has the hash {computed} and not {snapshot.content_hash}"
    if deterministic_id("snapshot", computed) != snapshot.snapshot_id:
        return f"its document belongs to another snapshot than {snapshot.snapshot_id}"
    return ""


def _signals(evidence: Evidence) -> str:
    if evidence.signals is None:
        return "no signals of the decision's code versions are stored"
    reading = read_again(evidence.snapshot, evidence.signals.sentiment, evidence.headline_calls)
    computed = assess(evidence.snapshot, reading)
    return _differences(evidence.signals, computed)


def _prompts(evidence: Evidence) -> str:
    for forecast in evidence.forecasts:
        prompt = evidence.prompts[forecast.prompt_hash]
        if content_hash([prompt.system_text, prompt.user_text]) != forecast.prompt_hash:
            return f"the prompt of {forecast.seat} does not have the hash it is stored under"
        if evidence.signals is not None and render_prompt(evidence.snapshot, evidence.signals) != prompt:
            return f"the prompt of {forecast.seat} is another than the one written today"
    return ""


def _answers(evidence: Evidence) -> str:
    missing = set(evidence.decision.forecast_ids) - {forecast.forecast_id for forecast in evidence.forecasts}
    if missing:
        return f"{len(missing)} of {len(evidence.decision.forecast_ids)} forecasts are not stored"
    for forecast in evidence.forecasts:
        if forecast.status is not ForecastStatus.ANSWERED:
            continue
        try:
            answer = SeatAnswer.model_validate_json(forecast.raw_answer or "")
        except ValidationError as error:
            return f"the raw answer of {forecast.seat} does not fit the schema: {error.error_count()} errors"
        changed = [name for name in SeatAnswer.model_fields if getattr(answer, name) != getattr(forecast, name)]
        if changed:
            return f"the raw answer of {forecast.seat} has another {', '.join(changed)}"
    return ""


def _consensus(evidence: Evidence, configured: Settings) -> str:
    stored = evidence.decision
    if evidence.signals is None:
        return "it needs the signals"
    told = stored.code_versions.get(SETTINGS)
    quorum, pool = settings_of(told) if told else (configured.models.quorum, configured.models.pool)
    validity = {"valid_minutes": int((stored.valid_until - stored.as_of).total_seconds() // 60)}
    computed = decide(
        account=stored.account,
        snapshot=evidence.snapshot,
        regime=evidence.signals.regime,
        forecasts=evidence.forecasts,
        slope=Slope(stored.slope, stored.settled_count, learnt=stored.settled_count >= pool.settled_needed),
        quorum=quorum,
        pool=pool,
        decisions=configured.profile.decisions.model_copy(update=validity),
        sentiment=stored.code_versions["sentiment"],
    )
    if told:
        return _differences(stored, computed)
    versions = {name: version for name, version in computed.code_versions.items() if name != SETTINGS}
    differences = _differences(stored, replace(computed, code_versions=versions))
    return differences and f"its settings were not stored with it, and under those of today {differences}"


def _rebalancing(evidence: Evidence) -> str:
    """A rebalancing asks no seats: its plan is made again of what the account held and the prices then."""
    if evidence.signals is None:
        return "it needs the signals"
    computed = decided_again(evidence.decision, evidence.snapshot, evidence.signals.regime)
    if computed is None:
        return "its plan has no such trade"
    return _differences(evidence.decision, computed)


def _proposal(evidence: Evidence) -> str:
    inputs = inputs_from(evidence.verdict.inputs)
    stored = proposal_from(evidence.verdict.document)
    if evidence.order.intent.decision_id != stored.decision_id:
        return f"the order's proposal belongs to decision {stored.decision_id}"
    computed = propose(
        evidence.decision,
        inputs.portfolio.holding(stored.symbol),
        stored.entry_price,
        inputs.limits,
        inputs.instrument.price_step,
    )
    if isinstance(computed, Reason):
        return f"today nothing is proposed: {computed.sentence()}"
    return _differences(stored, computed)


def _verdict(evidence: Evidence) -> str:
    stored, inputs = evidence.verdict, inputs_from(evidence.verdict.inputs)
    if proposal_text(inputs.proposal) != stored.document:
        return "it was given on another proposal"
    computed = judged(inputs)
    if computed.status is not stored.status:
        return f"it was {stored.status} and is {computed.status} today"
    if [reason.document() for reason in computed.reasons] != stored.reasons:
        return "its reasons are others today"
    return "" if proposal_text(computed.proposal) == stored.outcome else "what may be traded is another today"


def _order(evidence: Evidence) -> str:
    intent = evidence.order.intent
    if intent.client_order_id != evidence.stored_id:
        return f"its content has the id {intent.client_order_id}"
    outcome = proposal_from(evidence.verdict.outcome)
    allowed = outcome.quantity
    bound = intent.leg is Leg.ENTRY or (intent.leg is Leg.EXIT and outcome.kind is ProposalKind.REDUCE)
    if bound and (allowed is None or intent.quantity > allowed):
        return f"its quantity {intent.quantity} is more than the {allowed} that risk allowed"
    levels = {Leg.STOP: outcome.stop_loss, Leg.TAKE_PROFIT: outcome.take_profit}
    if intent.leg in levels and intent.trigger_price != levels[intent.leg]:
        return f"its trigger {intent.trigger_price} is not the {levels[intent.leg]} that risk let through"
    return ""


def _fills(evidence: Evidence) -> str:
    total = sum((fill["quantity"] for fill in evidence.fills), Decimal(0))
    filled = evidence.order.filled_quantity
    return "" if total == filled else f"they sum to {total}, but {filled} is booked as filled"


def _differences(stored: Any, computed: Any) -> str:  # noqa: ANN401 - any two objects of one dataclass
    different = [one.name for one in fields(stored) if getattr(stored, one.name) != getattr(computed, one.name)]
    return "; ".join(
        f"{name} was {getattr(stored, name)!r} and is {getattr(computed, name)!r} today" for name in different
    )
