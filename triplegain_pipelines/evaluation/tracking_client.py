"""MLflow's client with short patience and without secrets. With tracking_spans.py the only module that imports mlflow.

Every text has the remembered secrets taken out on its way to MLflow.
"""

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.errors import TransientError, UnavailableError
from triplegain_pipelines.domain.secrets import redacted
from triplegain_pipelines.evaluation.tracking_content import DailyPoint, TrackedRun, TrackedTrace, TrackedVersion
from triplegain_pipelines.evaluation.tracking_spans import (
    TRACE_PREFIX,
    milliseconds,
    mlflow_span,
    trace_info,
    without_secrets,
)
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.projection_lock import projecting_alone
from triplegain_pipelines.store.server import with_driver

VALIDATION, RESEARCH = "triplegain validation", "triplegain research"
"""The experiments: who forecasts and trades how well, and what was tried on history."""

# Left alone, one call to a server that is down blocks for four minutes, and every run is announced on the screen.
_MANNERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_MOST_METRICS = 1000  # of one batch
_MOST_TRACES = 500  # many more than a window has
_Mlflow: TypeAlias = Any  # classes of mlflow, which must not be imported before they are needed


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as MLflow has it."""

    run_id: str
    tags: Mapping[str, str]
    metrics: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A registered model as MLflow has it: its versions by model and template hash, and what each alias points to."""

    versions: Mapping[tuple[str, str], str]
    tags: Mapping[str, str]
    aliases: Mapping[str, str]


@contextmanager
def open_tracking(tracking_uri: str, artifact_root: Path, experiment: str = VALIDATION) -> Iterator["TrackingClient"]:
    """A client of one of the project's experiments at `tracking_uri`, of a database or of a server.

    Args:
        tracking_uri: `postgresql://…`, `sqlite:///…` or `http://…`.
        artifact_root: folder of the artifacts, fixed when the experiment is made.
        experiment: its name.

    Raises:
        TransientError: MLflow does not answer, within a few seconds, whenever that happens.
    """
    for name, value in _MANNERS.items():
        os.environ.setdefault(name, value)
    with _alone(tracking_uri), _outages():
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # each tells of every step of its first migration
            logging.getLogger(name).setLevel(logging.WARNING)
        address = with_driver(tracking_uri)
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        yield TrackingClient(client, _experiment(client, artifact_root, experiment))


def require_tracking(tracking_uri: str) -> None:
    """Ask a database for an answer, before anything is put together for it.

    MLflow itself would ask for more than a minute. Of a server nothing is asked: its first call tells.

    Raises:
        TransientError: it gives none.
    """
    database = _database(tracking_uri)
    try:
        if database is not None:
            database.check()
    except UnavailableError as error:
        raise _failure(error) from error


class TrackingClient:
    """Writes runs, files, traces and registered models into one experiment."""

    def __init__(self, client: _Mlflow, experiment_id: str) -> None:
        self._client = client
        self.experiment_id = experiment_id

    def runs(self, tag: str, value: str) -> list[StoredRun]:
        """The runs that carry this tag, those that were deleted left out."""
        found = self._client.search_runs([self.experiment_id], f"tags.\"{tag}\" = '{value}'")
        return [StoredRun(str(run.info.run_id), run.data.tags, frozenset(run.data.metrics)) for run in found]

    def create_run(self, name: str, start: datetime, end: datetime, tags: Mapping[str, str]) -> str:
        """A finished run over [start, end); its content is logged afterwards."""
        run = self._client.create_run(
            self.experiment_id, start_time=milliseconds(start), tags=without_secrets(tags), run_name=redacted(name)
        )
        self._client.set_terminated(run.info.run_id, "FINISHED", end_time=milliseconds(end))
        return str(run.info.run_id)

    def delete_run(self, run_id: str) -> None:
        """Take a run out of every list. What hangs on it stays readable by its id."""
        self._client.delete_run(run_id)

    def log_run(self, run_id: str, run: TrackedRun, tags: Mapping[str, str], at: datetime, revision: int) -> None:
        """The run's params, metrics and tags in one batch.

        MLflow shows the value of the highest step, so a corrected value needs a step of its own: the revision.
        """
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, milliseconds(at), revision) for name, value in run.metrics.items()],
            params=[Param(name, redacted(value)) for name, value in run.params.items()],
            tags=[RunTag(name, value) for name, value in without_secrets(tags).items()],
        )

    def log_daily(self, run_id: str, points: Sequence[DailyPoint]) -> None:
        """Metrics over time, a step for each day."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, milliseconds(point.day), step)
            for step, point in enumerate(points)
            for name, value in point.values.items()
        ]
        for first in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[first : first + _MOST_METRICS])

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        """Set one tag."""
        self._client.set_tag(run_id, name, redacted(value))

    def log_files(self, run_id: str, pictures: Mapping[str, bytes], documents: Mapping[str, object]) -> None:
        """Files of a run: pictures as they are, documents as JSON. Those of the same name are replaced."""
        with TemporaryDirectory() as folder:
            for name, picture in pictures.items():
                (Path(folder) / name).write_bytes(picture)
            for name, document in documents.items():
                (Path(folder) / name).write_text(redacted(canonical_json(document)))
            self._client.log_artifacts(run_id, folder)

    def trace_ids(self, run_id: str) -> set[str]:
        """The ids of the traces of a run."""
        found = self._client.search_traces(
            locations=[self.experiment_id], run_id=run_id, include_spans=False, max_results=_MOST_TRACES
        )
        return {str(trace.info.trace_id).removeprefix(TRACE_PREFIX) for trace in found}

    def delete_traces(self, trace_ids: Collection[str]) -> None:
        """Delete these traces."""
        if trace_ids:
            ids = [f"{TRACE_PREFIX}{one}" for one in sorted(trace_ids)]
            self._client.delete_traces(self.experiment_id, trace_ids=ids)

    def log_traces(self, run_id: str, traces: Sequence[TrackedTrace]) -> None:
        """Traces with their spans, all spans in one batch, linked to a run."""
        from mlflow.tracing.client import TracingClient

        if not traces:
            return
        client = TracingClient(self._client.tracking_uri)
        for trace in traces:
            client.start_trace(trace_info(self.experiment_id, run_id, trace))
        client.log_spans(self.experiment_id, [mlflow_span(trace, span) for trace in traces for span in trace.spans])

    def models(self, prefix: str) -> dict[str, StoredModel]:
        """The registered models whose names begin so, by name."""
        wanted = f"name LIKE '{prefix}%'"
        versions: dict[str, dict[tuple[str, str], str]] = {}
        for one in self._client.search_model_versions(wanted):
            key = (one.tags.get("model", ""), one.tags.get("template_hash", ""))
            versions.setdefault(str(one.name), {})[key] = str(one.version)
        return {
            str(one.name): StoredModel(
                versions.get(str(one.name), {}),
                one.tags,
                {alias: str(version) for alias, version in one.aliases.items()},
            )
            for one in self._client.search_registered_models(wanted)
        }

    def create_model(self, name: str, description: str) -> None:
        """A registered model without versions."""
        self._client.create_registered_model(name, description=description)

    def create_version(self, name: str, version: TrackedVersion) -> str:
        """A version that points to the model at its provider, for no weights are kept here; returns its number."""
        made = self._client.create_model_version(
            name,
            source=redacted(f"litellm:/{version.model}"),
            tags=without_secrets(version.tags),
            description=redacted(version.description),
            await_creation_for=0,
        )
        return str(made.version)

    def set_alias(self, name: str, alias: str, version: str | None) -> None:
        """Point an alias to a version; None takes it away."""
        if version is None:
            self._client.delete_registered_model_alias(name, alias)
        else:
            self._client.set_registered_model_alias(name, alias, version)

    def set_model_tag(self, name: str, tag: str, value: str) -> None:
        """Set a tag of a registered model."""
        self._client.set_registered_model_tag(name, tag, redacted(value))


def _experiment(client: _Mlflow, artifact_root: Path, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_root.absolute().as_uri()))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was quicker
            if found is None:
                raise
    return str(found.experiment_id)


@contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """The lock of a database, for one projection at a time. A server has none, and its runs are found by its lists."""
    database = _database(tracking_uri)
    try:
        with nullcontext() if database is None else projecting_alone(database):
            yield
    except UnavailableError as error:
        raise _failure(error) from error


@contextmanager
def _outages() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise _failure(error) from error


def _database(tracking_uri: str) -> Database | None:
    scheme, separator, rest = tracking_uri.partition("://")
    return Database(f"postgresql{separator}{rest}") if scheme.startswith("postgresql") else None


def _failure(error: Exception) -> TransientError:
    first_line = redacted((str(error).strip() or type(error).__name__).splitlines()[0])
    msg = f"MLflow did not take the projection: {first_line}; trading goes on, project the window again later"
    return TransientError(msg)
