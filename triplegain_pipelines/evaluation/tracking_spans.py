"""Stored decisions and calls as MLflow's traces and spans, with the ids and times of the rows.

MLflow's own spans begin when they are made and have random ids: a projection made again would double them.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.secrets import redacted
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.evaluation.tracking_content import TrackedSpan, TrackedTrace

TRACE_PREFIX = "tr-"

_MOST_PREVIEW = 1000  # characters, of MLflow's column
_NANOSECONDS = 1_000_000  # of a millisecond
_Mlflow: TypeAlias = Any  # classes of mlflow, which must not be imported before they are needed


def trace_info(experiment_id: str, run_id: str, trace: TrackedTrace) -> _Mlflow:
    """What MLflow's list of traces shows. It lasts from its first span's beginning to the end of the last one."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey

    root = trace.spans[0]
    return TraceInfo(
        trace_id=f"{TRACE_PREFIX}{trace.trace_id}",
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=milliseconds(root.starts_at),
        execution_duration=round(root.duration_ms),
        state=TraceState.OK if root.error is None else TraceState.ERROR,
        request_preview=_preview(root.inputs),
        response_preview=_preview(root.outputs),
        trace_metadata={TraceMetadataKey.SOURCE_RUN: run_id},
        tags={TraceTagKey.TRACE_NAME: trace.name, **without_secrets(trace.tags)},
    )


def mlflow_span(trace: TrackedTrace, span: TrackedSpan) -> _Mlflow:
    """A finished span."""
    from mlflow.entities import Span

    begins = milliseconds(span.starts_at) * _NANOSECONDS
    return Span.from_dict(
        {
            "trace_id": _in_base64(trace.trace_id),
            "span_id": _in_base64(span.span_id),
            "parent_span_id": None if span.parent_id is None else _in_base64(span.parent_id),
            "name": redacted(span.name),
            "start_time_unix_nano": begins,
            "end_time_unix_nano": begins + round(span.duration_ms * _NANOSECONDS),
            "status": {"code": "OK" if span.error is None else "ERROR", "message": redacted(span.error or "")},
            "attributes": {name: redacted(canonical_json([it])[1:-1]) for name, it in _attributes(trace, span).items()},
        }
    )


def without_secrets(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts with the remembered secrets taken out."""
    return {name: redacted(text) for name, text in texts.items()}


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _preview(document: object) -> str:
    """The beginning; all of it is in the span."""
    return redacted(canonical_json(document))[:_MOST_PREVIEW]


def _in_base64(hexadecimal: str) -> str:
    """An id as mlflow stores it. It takes hexadecimal too, but reads some of that as base64."""
    return b64encode(bytes.fromhex(hexadecimal)).decode()


def _attributes(trace: TrackedTrace, span: TrackedSpan) -> dict[str, object]:
    from mlflow.entities import SpanType
    from mlflow.tracing.constant import SpanAttributeKey

    attributes: dict[str, object] = {
        **span.attributes,
        SpanAttributeKey.REQUEST_ID: f"{TRACE_PREFIX}{trace.trace_id}",
        SpanAttributeKey.SPAN_TYPE: SpanType.CHAIN if span.model is None else SpanType.CHAT_MODEL,
        SpanAttributeKey.INPUTS: span.inputs,
        SpanAttributeKey.OUTPUTS: span.outputs,
    }
    if span.model is None:
        return attributes
    return attributes | {
        SpanAttributeKey.MODEL: span.model,
        SpanAttributeKey.MODEL_PROVIDER: span.vendor,
        SpanAttributeKey.CHAT_USAGE: {
            "input_tokens": span.input_tokens,
            "output_tokens": span.output_tokens,
            "total_tokens": span.input_tokens + span.output_tokens,
        },
        SpanAttributeKey.LLM_COST: {"total_cost": span.cost_usd},
    }
