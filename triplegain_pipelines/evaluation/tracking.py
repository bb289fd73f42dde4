"""Projection of a validation window into MLflow: one run for the window, a nested run for each forecaster.

The only module that imports mlflow. PostgreSQL is the record and MLflow can be filled again from it at any time, so
nothing here is ever read back as evidence, and an outage is an error of this projection alone.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.evaluation.benchmarks import Benchmark
from triplegain_pipelines.evaluation.comparison import RankedScore
from triplegain_pipelines.evaluation.performance import drawdown_curve
from triplegain_pipelines.evaluation.report import report_document
from triplegain_pipelines.evaluation.report_charts import drawdown_chart, equity_chart
from triplegain_pipelines.evaluation.validation import ValidationReport
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.evidence import SeatCalls
from triplegain_pipelines.store.server import with_driver

EXPERIMENT = "triplegain validation"
_WINDOW, _NAME, _CONTENT, _REVISION = (f"triplegain.{tag}" for tag in ("window", "name", "content", "revision"))
_PARENT = "window"
# Left alone, one call to a server that is down blocks for four minutes.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_Client: TypeAlias = Any  # mlflow.tracking.MlflowClient, which must not be imported before it is needed


@dataclass(frozen=True, slots=True)
class ProjectedWindow:
    """Where a window is in MLflow: its run, and the run of each forecaster by name.

    `changed` is false where the same content was there already.
    """

    experiment_id: str
    run_id: str
    nested: Mapping[str, str]
    changed: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run is to hold."""

    name: str
    metrics: Mapping[str, float | None]
    tags: Mapping[str, str]


def project_window(report: ValidationReport, *, tracking_uri: str, artifact_root: Path) -> ProjectedWindow:
    """Write the report's window into MLflow, or bring what is there up to date.

    The runs are found again by account and period, so a second projection adds none; with the same content it writes
    nothing at all.

    Args:
        report: the judged window.
        tracking_uri: of a database (`postgresql://…`, `sqlite:///…`) or of a server (`http://…`).
        artifact_root: folder of the artifacts, fixed when the experiment is made.

    Raises:
        TransientError: MLflow does not answer, within a few seconds. Nothing else is touched then.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    _require_database(tracking_uri)
    with _outages():
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # each tells of every step of its first migration
            logging.getLogger(name).setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=with_driver(tracking_uri))
        return _project(client, _experiment(client, artifact_root), report)


def _project(client: _Client, experiment_id: str, report: ValidationReport) -> ProjectedWindow:
    inputs = report.inputs
    window = str(deterministic_id("window", inputs.account.account, inputs.start, inputs.end))
    wanted = [_window_run(report), *_nested_runs(report)]
    content = content_hash([[run.name, dict(run.metrics), dict(run.tags)] for run in wanted])
    found = client.search_runs([experiment_id], f"tags.\"{_WINDOW}\" = '{window}'")
    ids = {run.data.tags[_NAME]: str(run.info.run_id) for run in found}
    known: dict[str, str] = next((run.data.tags for run in found if run.data.tags[_NAME] == _PARENT), {})
    changed = known.get(_CONTENT) != content
    if changed:
        revision = int(known.get(_REVISION, 0)) + 1
        for run in wanted:
            tags = {_WINDOW: window, _NAME: run.name, **run.tags}
            if run.name != _PARENT:
                tags["mlflow.parentRunId"] = ids[_PARENT]
            if run.name not in ids:
                ids[run.name] = _create(client, experiment_id, inputs, run.name, tags)
            _log(client, ids[run.name], run, tags, inputs.end, revision)
        _log_curves_and_files(client, ids[_PARENT], report)
        # Last of all: what is marked with its content is complete.
        client.set_tag(ids[_PARENT], _REVISION, str(revision))
        client.set_tag(ids[_PARENT], _CONTENT, content)
    nested = {run.name: ids[run.name] for run in wanted[1:]}
    return ProjectedWindow(experiment_id=experiment_id, run_id=ids[_PARENT], nested=nested, changed=changed)


def _experiment(client: _Client, artifact_root: Path) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=artifact_root.absolute().as_uri()))
        except MlflowException:
            found = client.get_experiment_by_name(EXPERIMENT)  # another process was quicker
            if found is None:
                raise
    return str(found.experiment_id)


def _create(client: _Client, experiment_id: str, inputs: ValidationInputs, name: str, tags: Mapping[str, str]) -> str:
    title = f"{inputs.account.account} {inputs.start:%Y-%m-%d} to {inputs.end:%Y-%m-%d}" if name == _PARENT else name
    run = client.create_run(experiment_id, start_time=_milliseconds(inputs.start), tags=dict(tags), run_name=title)
    client.set_terminated(run.info.run_id, "FINISHED", end_time=_milliseconds(inputs.end))
    return str(run.info.run_id)


def _log(client: _Client, run_id: str, run: _Run, tags: Mapping[str, str], at: datetime, revision: int) -> None:
    from mlflow.entities import Metric, RunTag

    # MLflow shows the value of the highest step, so a corrected value needs a step of its own.
    metrics = [
        Metric(name, value, _milliseconds(at), revision) for name, value in run.metrics.items() if value is not None
    ]
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])


def _log_curves_and_files(client: _Client, run_id: str, report: ValidationReport) -> None:
    from mlflow.entities import Metric

    inputs = report.inputs
    curve = drawdown_curve(inputs.equity, inputs.start, inputs.portfolio.starting_equity)
    daily = curve.group_by(pl.col("at").dt.truncate("1d").alias("day"), maintain_order=True).agg(
        pl.last("equity"), pl.max("drawdown")
    )
    points = [
        Metric(name, row[name], _milliseconds(row["day"]), step)
        for step, row in enumerate(daily.iter_rows(named=True))
        for name in ("equity", "drawdown")
    ]
    client.log_batch(run_id, metrics=points)
    client.log_dict(run_id, report_document(report), "report.json")
    client.log_text(run_id, equity_chart(inputs), "equity.plotly.json")
    client.log_text(run_id, drawdown_chart(inputs), "drawdown.plotly.json")


def _window_run(report: ValidationReport) -> _Run:
    inputs = report.inputs
    portfolio, trading, execution = inputs.portfolio, inputs.trading, inputs.execution
    return _Run(
        name=_PARENT,
        metrics={
            "total_return": portfolio.total_return,
            "final_equity": portfolio.final_equity,
            "max_drawdown": portfolio.drawdown.depth,
            "sharpe": portfolio.sharpe,
            "sortino": portfolio.sortino,
            "trades": trading.closed,
            "win_rate": trading.win_rate,
            "profit_factor": trading.profit_factor,
            "expectancy": trading.expectancy,
            "fees": trading.fees,
            "slippage_bps": execution.slippage_bps,
            "decisions": inputs.decisions.made,
        },
        tags={**_common_tags(report), "verdict": report.verdict.value, "summary": report.summary},
    )


def _nested_runs(report: ValidationReport) -> list[_Run]:
    inputs, common = report.inputs, _common_tags(report)
    calls = {
        seat: [item for item in inputs.calls if item.seat == seat] for seat in {item.seat for item in inputs.calls}
    }
    return [
        *(_forecaster_run(item, calls.get(item.score.name, []), common) for item in inputs.forecasters),
        *(_benchmark_run(benchmark, common) for benchmark in inputs.benchmarks),
    ]


def _forecaster_run(item: RankedScore, calls: Sequence[SeatCalls], common: Mapping[str, str]) -> _Run:
    score = item.score
    metrics: dict[str, float | None] = {
        "model_accuracy": score.accuracy,
        "model_rank": item.rank,
        "brier": score.brier,
        "log_loss": score.log_loss,
        "ece": score.calibration_error,
        "coverage": score.coverage,
        "abstentions": score.asked - score.answered,
        "settled": score.settled,
        "effective": score.effective,
    }
    tags = {**common, "kind": score.kind}
    if "baseline" in score.kind:
        tags["baseline"] = "true"
    tags["model_rank"] = (
        f"{item.rank}" if item.rank else score.note or "not enough data: another forecaster has too few"
    )
    if calls:
        metrics |= {
            "latency_p50_ms": max(call.latency_p50_ms for call in calls),
            "latency_p95_ms": max(call.latency_p95_ms for call in calls),
            "cost_usd": float(sum(call.cost_usd for call in calls)),
        }
        tags |= {
            "model": ", ".join(call.model for call in calls),
            "template_hash": ", ".join(sorted({text for call in calls for text in call.template_hashes})),
            "code_version": ", ".join(sorted({text for call in calls for text in call.code_versions})),
        }
    return _Run(score.name, metrics, tags)


def _benchmark_run(benchmark: Benchmark, common: Mapping[str, str]) -> _Run:
    return _Run(
        name=benchmark.name.replace(" ", "_"),
        metrics={"total_return": benchmark.total_return, "max_drawdown": benchmark.max_drawdown},
        tags={**common, "kind": "benchmark", "baseline": "true"},
    )


def _common_tags(report: ValidationReport) -> dict[str, str]:
    inputs = report.inputs
    return {
        "account": inputs.account.account,
        "simulated": _flag(inputs.simulated),
        "baseline": _flag(inputs.baseline),
        "replay": _flag(inputs.replay),
        "paper": _flag(inputs.paper),
        "config_hash": inputs.config_hash,
        "result_hash": inputs.result_hash,
        "code_versions": "; ".join(f"{part} {', '.join(known)}" for part, known in inputs.code_versions.items()),
    }


def _flag(value: bool) -> str:  # noqa: FBT001
    return "true" if value else "false"


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _require_database(tracking_uri: str) -> None:
    """Ask the database for an answer first: MLflow itself would ask for more than a minute."""
    scheme, separator, rest = tracking_uri.partition("://")
    if scheme.startswith("postgresql"):
        Database(f"postgresql{separator}{rest}").check()


@contextmanager
def _outages() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = str(error).strip().splitlines()[0]
        msg = f"MLflow did not take the projection: {first_line}; trading goes on, project the window again later"
        raise TransientError(msg) from error
