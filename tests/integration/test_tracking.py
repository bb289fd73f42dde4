"""The projection into a real MLflow, straight into PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from report_inputs import make_calls, make_inputs, make_score

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.evaluation.comparison import ranked
from triplegain_pipelines.evaluation.tracking import project_window
from triplegain_pipelines.evaluation.validation import ValidationReport, build_validation
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.server import with_driver

pytestmark = pytest.mark.integration

SEATS = ("claude_opus", "claude_sonnet", "deepseek", "gpt", "grok", "qwen")


@pytest.fixture(scope="module")
def tracking_uri(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database of MLflow's own; its tables are made once, which takes seconds."""
    name = sql.Identifier("mlflow_test")
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    yield postgres.url("mlflow_test")
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def window(
    account: str, brier: float = 0.24, note: str | None = "not enough data: 119 of 1,208 needed"
) -> ValidationReport:
    scores = [make_score(name, "baseline seat", brier + 0.001 * index, note) for index, name in enumerate(SEATS)]
    scores.append(make_score("consensus", "consensus", brier - 0.01, note))
    scores.append(make_score("always 50 %", "baseline", 0.25, note))
    return build_validation(
        make_inputs(
            account=replace(make_inputs().account, account=account),
            simulated=True,
            baseline=True,
            forecasters=ranked(scores),
            calls=[make_calls(seat=name, model=f"triplegain/{name}", baseline=True) for name in SEATS],
        )
    )


def runs(tracking_uri: str, account: str) -> dict[str, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=with_driver(tracking_uri))
    experiment = client.get_experiment_by_name("triplegain validation")
    found = client.search_runs([experiment.experiment_id], f"tags.account = '{account}'")
    assert len({run.data.tags["triplegain.name"] for run in found}) == len(found)
    return {run.data.tags["triplegain.name"]: run for run in found}


@pytest.mark.slow
def test_a_window_is_a_run_with_one_for_each_forecaster(tracking_uri: str, tmp_path: Path) -> None:
    """A7: seats, consensus and baselines beside each other, each labelled, none ranked below the minimum."""
    projected = project_window(window("first"), tracking_uri=tracking_uri, artifact_root=tmp_path / "artifacts")
    found = runs(tracking_uri, "first")
    names = {*SEATS, "consensus", "always 50 %", "buy_and_hold_BTC/USDT", "equal-weight_hold", "cash"}
    assert set(projected.nested) == names
    assert set(found) == names | {"window"}
    gpt, parent = found["gpt"].data, found["window"]
    assert gpt.metrics["model_accuracy"] == pytest.approx(0.53)
    assert {"brier", "log_loss", "ece", "coverage", "abstentions", "latency_p95_ms", "cost_usd"} <= set(gpt.metrics)
    assert "model_rank" not in gpt.metrics
    assert gpt.tags["model_rank"].startswith("not enough data")
    assert gpt.tags["mlflow.parentRunId"] == parent.info.run_id == projected.run_id
    assert (gpt.tags["simulated"], gpt.tags["baseline"], gpt.tags["paper"]) == ("true", "true", "true")
    assert (gpt.tags["model"], gpt.tags["template_hash"]) == ("triplegain/gpt", "7e3b1a7e0000ffff")
    assert gpt.tags["code_versions"] == "consensus consensus-1"
    assert found["consensus"].data.tags["baseline"] == "true"
    assert parent.data.metrics["final_equity"] == pytest.approx(make_inputs().portfolio.final_equity)
    assert list((tmp_path / "artifacts").rglob("report.json"))
    assert {run.info.status for run in found.values()} == {"FINISHED"}


@pytest.mark.slow
def test_a_second_projection_adds_nothing(tracking_uri: str, tmp_path: Path) -> None:
    """Rule 9: a projection that is made again must not double the leaderboard."""
    first = project_window(window("second"), tracking_uri=tracking_uri, artifact_root=tmp_path)
    again = project_window(window("second"), tracking_uri=tracking_uri, artifact_root=tmp_path)
    assert (first.changed, again.changed) == (True, False)
    assert (first.run_id, dict(first.nested)) == (again.run_id, dict(again.nested))


@pytest.mark.slow
def test_corrected_figures_replace_the_old_ones_in_the_same_runs(tracking_uri: str, tmp_path: Path) -> None:
    """MLflow shows the larger of two values at one step: a score that got lower would never be seen."""
    first = project_window(window("third"), tracking_uri=tracking_uri, artifact_root=tmp_path)
    later = project_window(window("third", brier=0.2, note=None), tracking_uri=tracking_uri, artifact_root=tmp_path)
    assert later.changed
    assert dict(later.nested) == dict(first.nested)
    gpt = runs(tracking_uri, "third")["gpt"].data
    assert gpt.metrics["brier"] == pytest.approx(0.203)
    assert gpt.metrics["model_rank"] == 5
    assert gpt.tags["model_rank"] == "5"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://nobody:secret@127.0.0.1:1/mlflow"])
def test_an_outage_is_a_transient_error_within_seconds(uri: str, tmp_path: Path) -> None:
    """Rule 9: at its defaults one call to a server that is down blocks for four minutes."""
    began = monotonic_seconds()
    with pytest.raises(TransientError) as caught:
        project_window(window("fourth"), tracking_uri=uri, artifact_root=tmp_path)
    assert monotonic_seconds() - began < 10
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
