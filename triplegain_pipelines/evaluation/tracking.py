"""Projection of a validation window into MLflow: its run, a nested run for each forecaster, traces, registered models.

PostgreSQL is the record and MLflow can be filled again from it at any time, so nothing here is ever read back as
evidence, and an outage is an error of this projection alone. What a window holds is put together in
tracking_window.py, and how it is sent is tracking_client.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.evaluation.tracking_charts import draw
from triplegain_pipelines.evaluation.tracking_client import VALIDATION, StoredRun, TrackingClient, open_tracking
from triplegain_pipelines.evaluation.tracking_content import TrackedModel, TrackedRun, TrackedWindow
from triplegain_pipelines.evaluation.tracking_registry import register

_WINDOW, _IDENTITY, _NAME, _FIXED, _CONTENT, _REVISION = (
    f"triplegain.{tag}" for tag in ("window", "identity", "name", "fixed", "content", "revision")
)
_PARENT = "mlflow.parentRunId"
_INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ProjectedWindow:
    """Where a window is in MLflow: its run, and the run of each forecaster by name.

    `versions` are those of the registered models, by model. `changed` is false where the same content of the window
    was there already.
    """

    experiment_id: str
    run_id: str
    nested: Mapping[str, str]
    versions: Mapping[str, Sequence[str]]
    changed: bool


def project_window(
    window: TrackedWindow,
    models: Sequence[TrackedModel],
    *,
    tracking_uri: str,
    artifact_root: Path,
    experiment: str = VALIDATION,
) -> ProjectedWindow:
    """Write the window and the seats' models into MLflow, or bring what is there up to date.

    Runs, traces and versions are found again by what they are about, so a second projection adds none; with the same
    content it writes nothing at all.

    Args:
        window: what is to be there.
        models: the seats with all their versions.
        tracking_uri: of a database (`postgresql://…`, `sqlite:///…`) or of a server (`http://…`).
        artifact_root: folder of the artifacts, fixed when the experiment is made.
        experiment: where the window belongs.

    Raises:
        TransientError: MLflow does not answer, within a few seconds. Nothing else is touched then.
    """
    with open_tracking(tracking_uri, artifact_root, experiment) as client:
        versions = register(client, models, window.judged)
        found = {run.tags[_IDENTITY]: run for run in client.runs(_WINDOW, window.window_id)}
        ids = {identity: run.run_id for identity, run in found.items()}
        parent, content = found.get(window.run.identity), content_hash(asdict(window))
        changed = parent is None or parent.tags.get(_CONTENT) != content
        if changed:
            if parent is not None:  # until all is there again, it is marked as incomplete
                client.set_tag(parent.run_id, _CONTENT, _INCOMPLETE)
            ids = _write(client, window, found)
            client.set_tag(ids[window.run.identity], _CONTENT, content)
        experiment_id = client.experiment_id
    return ProjectedWindow(
        experiment_id=experiment_id,
        run_id=ids[window.run.identity],
        nested={run.name: ids[run.identity] for run in window.nested},
        versions=versions,
        changed=changed,
    )


def _write(client: TrackingClient, window: TrackedWindow, found: Mapping[str, StoredRun]) -> dict[str, str]:
    """Bring all runs of the window up to date and return their ids by identity."""
    kept = {
        run.identity: found[run.identity]
        for run in (window.run, *window.nested)
        if _goes_on(run, found.get(run.identity))
    }
    traced = _kept_traces(client, window, found, kept)
    for identity, stored in found.items():
        if identity not in kept:
            client.delete_run(stored.run_id)
    ids = _write_runs(client, window, kept)
    run_id = ids[window.run.identity]
    client.log_files(run_id, {name: draw(chart) for name, chart in window.charts.items()}, window.documents)
    client.log_traces(run_id, [trace for trace in window.traces if trace.trace_id not in traced])
    return ids


def _write_runs(client: TrackingClient, window: TrackedWindow, kept: Mapping[str, StoredRun]) -> dict[str, str]:
    revision = 1 + max((int(stored.tags.get(_REVISION, 0)) for stored in kept.values()), default=0)
    ids: dict[str, str] = {}
    for run in (window.run, *window.nested):
        place = {_WINDOW: window.window_id, _IDENTITY: run.identity, _NAME: run.name}
        if ids:  # the window's own run comes first
            place[_PARENT] = ids[window.run.identity]
        if run.identity in kept:
            ids[run.identity] = kept[run.identity].run_id
        else:
            ids[run.identity] = client.create_run(run.name, window.start, window.end, place)
            client.log_daily(ids[run.identity], run.daily)
        # A run that was broken off before this is not marked as fixed, and the next projection makes another.
        tags = {**run.tags, **place, _FIXED: _fixed(run), _REVISION: str(revision)}
        client.log_run(ids[run.identity], run, tags, window.end, revision)
    return ids


def _kept_traces(
    client: TrackingClient, window: TrackedWindow, found: Mapping[str, StoredRun], kept: Mapping[str, StoredRun]
) -> set[str]:
    """Delete the traces that are not to stay, and return those that do: a trace never changes, once it is complete."""
    parent = found.get(window.run.identity)
    if parent is None:
        return set()
    known = client.trace_ids(parent.run_id)
    complete = window.run.identity in kept and parent.tags.get(_CONTENT, _INCOMPLETE) != _INCOMPLETE
    stay = known & {trace.trace_id for trace in window.traces} if complete else set()
    client.delete_traces(known - stay)
    return stay


def _goes_on(wanted: TrackedRun, stored: StoredRun | None) -> bool:
    """Whether a stored run can be brought up to date: in MLflow params stay, and so do metrics without a value."""
    if stored is None or stored.tags.get(_FIXED) != _fixed(wanted):
        return False
    own = {tag for tag in stored.tags if not tag.startswith(("mlflow.", "triplegain."))}
    known = set(wanted.metrics) | {name for point in wanted.daily for name in point.values}
    return own <= set(wanted.tags) and stored.metrics <= known


def _fixed(run: TrackedRun) -> str:
    return content_hash([dict(run.params), [asdict(point) for point in run.daily]])
