"""Databases of MLflow for tests, and what is in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from servers import Server, fresh_database

from triplegain_pipelines.evaluation.tracking import ProjectedWindow, project_window
from triplegain_pipelines.evaluation.tracking_content import TrackedModel, TrackedWindow
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import with_driver

_DRAWN = ("mlflow.parentRunId", "triplegain.revision")


@dataclass(frozen=True)
class Tracking:
    """A tracking database and the folder of its artifacts."""

    uri: str = field(repr=False)
    artifacts: Path

    def project(self, window: TrackedWindow, models: tuple[TrackedModel, ...] = ()) -> ProjectedWindow:
        """What the asset does."""
        return project_window(window, models, tracking_uri=self.uri, artifact_root=self.artifacts)

    @property
    def client(self) -> Any:
        """MLflow's own client."""
        from mlflow.tracking import MlflowClient

        address = with_driver(self.uri)
        return MlflowClient(tracking_uri=address, registry_uri=address)

    @property
    def experiment_id(self) -> str:
        """The project's experiment."""
        return str(self.client.get_experiment_by_name("triplegain validation").experiment_id)

    def runs(self, account: str) -> dict[str, Any]:
        """The runs of an account's window by name."""
        found = self.client.search_runs([self.experiment_id], f"tags.account = '{account}'")
        assert len({run.data.tags["triplegain.name"] for run in found}) == len(found)
        return {run.data.tags["triplegain.name"]: run for run in found}

    def traces(self, run_id: str) -> dict[str, Any]:
        """The traces of a run by id."""
        found = self.client.search_traces(locations=[self.experiment_id], run_id=run_id)
        return {trace.info.trace_id: trace for trace in found}

    def files(self, run_id: str) -> dict[str, bytes]:
        """The artifacts of a run by name."""
        return {file.name: file.read_bytes() for file in (self.artifacts / run_id / "artifacts").iterdir()}

    def model(self, seat: str) -> Any:
        """A seat's registered model."""
        return self.client.get_registered_model(f"triplegain.{seat}")

    def versions(self, seat: str) -> dict[str, Any]:
        """Its versions by number."""
        found = self.client.search_model_versions(f"name = 'triplegain.{seat}'")
        return {str(version.version): version for version in found}


@contextmanager
def empty_tracking(server: Server, test: str) -> Iterator[Database]:
    """A database with MLflow's tables, which take seconds to make, and nothing in them, to be copied."""
    import sqlalchemy
    from mlflow.store.db.utils import _initialize_tables

    with fresh_database(server, f"{test} mlflow", migrated=False) as database:
        engine = sqlalchemy.create_engine(with_driver(database.url))
        _initialize_tables(engine)
        engine.dispose()
        yield database


@contextmanager
def copied(server: Server, source: Database) -> Iterator[str]:
    """The URL of a copy of a database that nobody uses, dropped at the end."""
    origin = urlsplit(source.url).path.lstrip("/")
    name = f"{origin}_{token_hex(4)}"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(origin)
            )
        )
        yield server.url(name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def content(tracking: Tracking, account: str) -> dict[str, Any]:
    """All that MLflow shows of an account's windows, without ids that it draws itself and without its revisions."""
    shown: dict[str, Any] = {}
    for name, run in tracking.runs(account).items():
        own = {tag: text for tag, text in run.data.tags.items() if tag not in _DRAWN}
        times = (run.info.start_time, run.info.end_time)
        shown[name] = (run.data.params, run.data.metrics, own, times)
        if run.data.tags["kind"] == "window":
            shown["files"] = tracking.files(run.info.run_id)
            shown["traces"] = {
                trace_id: (
                    [span.to_dict() for span in trace.data.spans],
                    {tag: text for tag, text in trace.info.tags.items() if not tag.startswith("mlflow.artifact")},
                    (trace.info.request_time, trace.info.execution_duration, trace.info.state),
                )
                for trace_id, trace in tracking.traces(run.info.run_id).items()
            }
    return shown


def registry(tracking: Tracking, seat: str) -> dict[str, Any]:
    """All that MLflow shows of a seat's registered model."""
    model = tracking.model(seat)
    versions = {number: (one.tags, one.source, one.description) for number, one in tracking.versions(seat).items()}
    return {"versions": versions, "aliases": dict(model.aliases), "tags": model.tags, "about": model.description}
