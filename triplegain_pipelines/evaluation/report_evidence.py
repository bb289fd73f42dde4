"""The tables of the report that show evidence: decisions, seats, breakers, gaps, provenance. In words, no HTML."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import VerdictStatus
from triplegain_pipelines.evaluation.comparison import MINIMUM_FORECASTS
from triplegain_pipelines.evaluation.forecast_scores import ForecastScore
from triplegain_pipelines.evaluation.happenings import RowLink
from triplegain_pipelines.evaluation.rewording import Rewording
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs
from triplegain_pipelines.evaluation.wording import NOTHING, between, meaning, milliseconds, moment, number, percent
from triplegain_pipelines.store.evidence import CandleGap, SeatCalls
from triplegain_pipelines.store.performance import ReasonCount

SHOWN_GAPS = 50
SHOWN_HAPPENINGS = 40
_SHOWN_ROWS = 3
_STAGES = {
    "consensus": "What the consensus decided",
    "order path": "Why decisions made no order, one reason each",
    "risk": "What risk said to proposals (a verdict counts under each of its reasons)",
}
_LADDER = {
    ReasonCode.DRAWDOWN_HALF_SIZE.value: "half size",
    ReasonCode.DRAWDOWN_PAUSED.value: "paused",
    ReasonCode.DRAWDOWN_LOCKED.value: "locked",
    ReasonCode.DAILY_LOSS_WARNING.value: "warned",
    ReasonCode.DAILY_LOSS_HALTED.value: "halted",
}


def decision_sentence(inputs: ValidationInputs) -> str:
    """How many decisions became proposals, orders and fills."""
    counts, decisions = inputs.counts, inputs.decisions
    return (
        f"{decisions.made:,} decisions, {decisions.quorum_failures:,} of them without a quorum. "
        f"{counts.proposals:,} became proposals: {counts.approved:,} were approved, {counts.modified:,} changed by "
        f"risk, {counts.rejected:,} rejected. {counts.orders:,} orders were made, stops and targets included, "
        f"with {counts.fills:,} fills."
    )


def stages(inputs: ValidationInputs) -> list[dict[str, Any]]:
    """Refusals and decisions by stage and reason, each with its share of the stage's most frequent one."""
    found = []
    for stage, title in _STAGES.items():
        rows = [reason for reason in inputs.reasons if reason.stage == stage and not _lowered_before_refusal(reason)]
        most = max((reason.count for reason in rows), default=1)
        lines = [
            {
                "status": row.status,
                "meaning": meaning(row.code),
                "code": row.code,
                "count": f"{row.count:,}",
                "share": f"{100 * row.count / most:.1f}",
            }
            for row in rows
        ]
        found += [{"title": title, "lines": lines}] if lines else []
    return found


def _lowered_before_refusal(reason: ReasonCount) -> bool:
    # A refused proposal was sized first; that its size was lowered is not why it was refused.
    return reason.status == VerdictStatus.REJECTED and reason.code.endswith("_REDUCED")


def minimum_sentence(inputs: ValidationInputs) -> str:
    """How many forecasts it takes to tell skill from luck, how many there are, and that nobody is ranked here."""
    best = max((score.effective for score in inputs.forecasters), default=0)
    text = (
        f"To tell a forecaster that is right 55 % of the time from a coin, among six of them, takes about "
        f"{MINIMUM_FORECASTS:,} independent forecasts; here are {best:,.0f}. Nobody is ranked here: who is ahead, and "
        "on what evidence, is on the leaderboard. "
    )
    if best < MINIMUM_FORECASTS:
        text += "Not enough data: whoever looks best below may only be lucky."
    if inputs.baseline:
        text += " The seats are baselines, so this compares plain rules and no language models."
    return text


def forecaster_line(score: ForecastScore) -> dict[str, Any]:
    """One line of the comparison of forecasters."""
    return {
        "name": score.name,
        "kind": score.kind,
        "cells": [
            (f"{score.settled:,}", f"worth {score.effective:,.0f}"),
            (percent(score.accuracy), between(score.accuracy_interval, ".0%")),
            (number(score.brier, places=4), between(score.brier_interval, ".3f")),
            (number(score.log_loss, places=4), ""),
            (number(score.calibration_error, places=3), ""),
        ],
    }


def call_line(calls: SeatCalls) -> dict[str, Any]:
    """One line of the table of calls."""
    return {
        "seat": calls.seat,
        "model": calls.model,
        "baseline": calls.baseline,
        "calls": f"{calls.calls:,}",
        "answered": percent(calls.answered / calls.calls),
        "reasons": ", ".join(f"{code}: {count}" for code, count in sorted(calls.reasons.items())) or NOTHING,
        "median": milliseconds(calls.latency_p50_ms),
        "p95": milliseconds(calls.latency_p95_ms),
        "cost": f"{calls.cost_usd:,.2f} USD",
    }


def timeline(inputs: ValidationInputs) -> list[dict[str, str]]:
    """Changes of breakers, and the first time each step of the ladder changed or refused a proposal."""
    rows = [
        (
            change.changed_at,
            {
                "what": f"breaker {change.name.replace('_', ' ')}",
                "change": f"{change.from_state} → {change.to_state}",
                "why": f"{meaning(change.reason)} ({change.changed_by})",
                "tone": {"OPEN": "loss", "CLOSED": "gain"}.get(change.to_state, "unsure"),
            },
        )
        for change in inputs.breaker_changes
    ]
    rows += [
        (
            reason.first_at,
            {
                "what": "daily loss" if reason.code.startswith("DAILY") else "drawdown ladder",
                "change": _LADDER[reason.code],
                "why": f"{meaning(reason.code)} Said to {reason.count} proposals, last {moment(reason.last_at)}.",
                "tone": "unsure",
            },
        )
        for reason in inputs.reasons
        if reason.stage == "risk" and reason.code in _LADDER
    ]
    return [{"at": moment(at)} | line for at, line in sorted(rows, key=lambda row: row[0])]


def gap_line(gap: CandleGap) -> tuple[str, ...]:
    """A gap, from its first missing candle to the end of its last."""
    after = gap.ends_at + timedelta(minutes=1)
    return (gap.symbol, moment(gap.starts_at), moment(after), f"{gap.missing:,}", gap.kind.replace("_", " "))


def gap_sentence(inputs: ValidationInputs) -> str:
    """How much market data is missing."""
    missing = sum(gap.missing for gap in inputs.gaps)
    gaps = "1 gap" if len(inputs.gaps) == 1 else f"{len(inputs.gaps):,} gaps"
    text = f"{gaps} with {missing:,} missing one-minute candles."
    return text + (f" The first {SHOWN_GAPS} are listed." if len(inputs.gaps) > SHOWN_GAPS else "")


def happening_lines(inputs: ValidationInputs, rewording: Rewording) -> list[dict[str, str]]:
    """The newest things that happened, each with the rows that say so, and with its facts where a seat worded it."""
    return [
        {
            "at": moment(one.at),
            "kind": one.kind.value,
            "sentence": rewording.of(one.sentence),
            "facts": rewording.facts(one.sentence),
            "rows": row_list(one.rows),
        }
        for one in reversed(inputs.happenings[-SHOWN_HAPPENINGS:])
    ]


def happening_sentence(inputs: ValidationInputs) -> str:
    """How much of each kind happened, and how much of it is shown."""
    kinds = Counter(one.kind.value for one in inputs.happenings)
    counted = ", ".join(f"{count} of the kind '{kind}'" for kind, count in kinds.most_common())
    rest = f" The newest {SHOWN_HAPPENINGS} are listed; all are in the JSON file beside this page."
    return f"In this period: {counted}." + (rest if len(inputs.happenings) > SHOWN_HAPPENINGS else "")


def row_list(rows: Sequence[RowLink]) -> str:
    """The rows that a sentence rests on, as table and key."""
    shown = ", ".join(f"{row.table} {row.key}" for row in rows[:_SHOWN_ROWS])
    return shown + (f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else "")


def provenance(inputs: ValidationInputs, generated_at: datetime) -> list[tuple[str, str]]:
    """Which account, rows, configuration and code the report rests on."""
    parts = [f"{part} {', '.join(versions)}" for part, versions in sorted(inputs.code_versions.items())]
    counts = inputs.counts
    templates = sorted({template[:12] for calls in inputs.calls for template in calls.template_hashes})
    rows = (
        f"{inputs.decisions.made} research.consensus_decisions, {inputs.agent_calls} research.seat_forecasts, "
        f"{counts.orders} intents, {counts.fills} fills, {inputs.trading.closed} trades, "
        f"{inputs.equity.height} equity marks, {inputs.prices.height} prices from market.candles"
    )
    return [
        ("Account", f"{inputs.account.account} in {inputs.schema}"),
        ("Rows", rows),
        ("Configuration", inputs.config_hash),
        ("Result", inputs.result_hash),
        ("Code", "; ".join(parts) or NOTHING),
        ("Prompt templates", ", ".join(templates) or NOTHING),
        ("Written", f"{moment(generated_at)} UTC"),
    ]
