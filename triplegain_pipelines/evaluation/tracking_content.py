"""What a window, its runs, its traces and its models are to hold in MLflow, as plain data that knows nothing of MLflow.

Times are moments in UTC, money is US dollars, durations of calls are in milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from triplegain_pipelines.evaluation.tracking_charts import Chart


@dataclass(frozen=True, slots=True)
class DailyPoint:
    """Figures at the end of a day."""

    day: datetime
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One run. Its `params` and `daily` figures are part of what it is: with others it is another run.

    `identity` tells the runs of a window apart and never changes; `name` is for people.
    """

    identity: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    daily: tuple[DailyPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackedSpan:
    """A part of a trace. A call of a model has a `model`; `error` is None where all went well."""

    span_id: str
    parent_id: str | None
    name: str
    starts_at: datetime
    duration_ms: float
    inputs: object
    outputs: object
    error: str | None
    attributes: Mapping[str, str]
    model: str | None = None
    vendor: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class TrackedTrace:
    """A decision and the calls behind it; the first span is the decision."""

    trace_id: str
    name: str
    spans: tuple[TrackedSpan, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TrackedVersion:
    """A model with its wording in a seat, as a version of the seat's registered model."""

    model: str
    template_hash: str
    tags: Mapping[str, str]
    description: str


@dataclass(frozen=True, slots=True)
class TrackedModel:
    """A seat as a registered model. Versions are in order of appearance; an alias without a version is on none."""

    name: str
    description: str
    versions: tuple[TrackedVersion, ...]
    offline_baseline: TrackedVersion | None
    champion: TrackedVersion | None


@dataclass(frozen=True, slots=True)
class TrackedWindow:
    """All of a window: its own run, the runs nested in it, charts, documents and traces.

    `judged` orders the windows that may name a champion, the later one the greater; None of a window that may not.
    """

    window_id: str
    start: datetime
    end: datetime
    judged: str | None
    run: TrackedRun
    nested: tuple[TrackedRun, ...]
    charts: Mapping[str, Chart]
    documents: Mapping[str, object]
    traces: tuple[TrackedTrace, ...]
