"""Traces of decisions, made of stored rows: a span for the decision, under it the seats', under those their calls'."""

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.evaluation.tracking_content import TrackedSpan, TrackedTrace
from triplegain_pipelines.store.traced_calls import TracedCall, TracedDecision

MOST_TRACES = 20  # of a window: the newest decisions, with all calls behind them


def decision_trace(window_id: str, decision: TracedDecision) -> TrackedTrace:
    """The trace of a decision in a window. What has no moment of its own is shown as beginning with the decision."""
    trace_id = deterministic_id("trace", window_id, decision.decision_id).hex
    root = TrackedSpan(
        span_id=_span_id(trace_id, decision.decision_id),
        parent_id=None,
        name=f"decision {decision.symbol}",
        starts_at=decision.as_of,
        duration_ms=max((call.latency_ms for call in decision.calls), default=0.0),
        inputs={"symbol": decision.symbol, "as of": decision.as_of},
        outputs={
            "action": decision.action,
            "p_up": decision.p_up,
            "reason": decision.reason_code,
            "explanation": decision.explanation,
        },
        error=None if decision.quorum_met else "no quorum",
        attributes={"decision_id": str(decision.decision_id)},
    )
    seats = [span for call in decision.calls for span in _seat_spans(trace_id, root, call)]
    return TrackedTrace(
        trace_id=trace_id,
        name=f"{decision.symbol} {decision.as_of:%Y-%m-%d %H:%M}",
        spans=(root, *seats),
        tags={
            "symbol": decision.symbol,
            "action": decision.action,
            "abstentions": str(sum(not call.answered for call in decision.calls)),
            "baseline": _flag(any(call.baseline for call in decision.calls)),
            "models": ", ".join(sorted({call.model for call in decision.calls})),
        },
    )


def _seat_spans(trace_id: str, root: TrackedSpan, call: TracedCall) -> list[TrackedSpan]:
    """The span of a seat and those of its calls. Without calls the seat's span stands for them, tokens and cost too."""
    alone = not call.attempts
    seat = TrackedSpan(
        span_id=_span_id(trace_id, call.forecast_id),
        parent_id=root.span_id,
        name=f"{call.seat} (baseline)" if call.baseline else call.seat,
        starts_at=call.attempts[0].asked_at if call.attempts else root.starts_at,
        duration_ms=call.latency_ms,
        inputs=_messages(call),
        outputs={"raw answer": call.raw_answer, "action": call.action, "p_up": call.p_up},
        error=None if call.answered else f"{call.reason_code}: {call.error or 'no words'}",
        attributes={
            "seat": call.seat,
            "status": "answered" if call.answered else "abstained",
            "baseline": _flag(call.baseline),
            "template_hash": call.template_hash,
            "forecast_id": str(call.forecast_id),
            "turns": str(call.turns),
        },
        model=call.model if alone else None,
        vendor=call.vendor,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cost_usd=float(call.cost_usd),
    )
    return [seat, *(_attempt_span(trace_id, seat, call, attempt) for attempt in call.attempts)]


def _attempt_span(trace_id: str, seat: TrackedSpan, call: TracedCall, attempt: ModelCall) -> TrackedSpan:
    reason = attempt.reason_code.value if attempt.reason_code else None
    return TrackedSpan(
        span_id=_span_id(trace_id, attempt.call_id),
        parent_id=seat.span_id,
        name=f"turn {attempt.turn}, attempt {attempt.attempt}",
        starts_at=attempt.asked_at,
        duration_ms=attempt.latency_ms,
        inputs=_messages(call) if attempt.turn == 1 else {"asked again": "to repair the answer before"},
        outputs={"raw answer": attempt.raw_answer, "answered by": attempt.answered_by},
        error=None if reason is None else f"{reason}: {attempt.error or attempt.status.value}",
        attributes={
            "call_id": str(attempt.call_id),
            "status": attempt.status.value,
            "http_status": str(attempt.http_status or ""),
            "baseline": _flag(attempt.baseline),
        },
        model=attempt.model,
        vendor=attempt.vendor,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cost_usd=float(attempt.cost_usd),
    )


def _messages(call: TracedCall) -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": "system", "content": call.system_text}, {"role": "user", "content": call.user_text}]}


def _span_id(trace_id: str, part: object) -> str:
    return deterministic_id("span", trace_id, part).hex[:16]


def _flag(value: bool) -> str:  # noqa: FBT001
    return "true" if value else "false"
