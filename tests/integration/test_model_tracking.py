"""The comparison of models from rows in a real database to MLflow, and an MLflow that is dead."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg import sql
from report_rows import ACCOUNT, SEATS, START, VENUE, Period, copy_rows, plant
from tracked_windows import make_attempt

from assets.reports import data_quality_report, model_comparison, trade_journal, validation_report
from triplegain_pipelines.domain.clock import ReplayClock, monotonic_seconds
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import CallStatus
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.operations.model_tracking import compare_models
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.model_calls import save_calls
from triplegain_pipelines.store.server import database_urls, with_driver
from triplegain_pipelines.store.traced_calls import read_seat_versions, read_traced_decisions

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC/USDT",)
NOBODY = "postgresql://nobody:nothing-secret@127.0.0.1:1/triplegain"


@pytest.fixture
def planted(database: Database) -> Period:
    """Two days of an account's rows."""
    period = Period(days=2, symbols=SYMBOLS)
    with database.connection() as connection:
        plant(connection, period)
    database.analyze()
    return period


@pytest.fixture
def mlflow_database(database: Database) -> Iterator[None]:
    """An empty database for MLflow beside the test's own."""
    name = sql.Identifier(f"{database.place.rpartition('/')[2]}_mlflow")
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        yield
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def session_at(url: str, home: Path) -> Session:
    """The planted account's session, with its settings' databases at `url`."""
    environment = Environment(profile="demo", home=home, database_url=url)
    clock = ReplayClock(START + timedelta(days=2))
    return Session(ACCOUNT, VENUE, SYMBOLS, replay=False, settings=load_settings(environment, CONFIG), clock=clock)


def test_the_newest_decisions_come_with_the_calls_behind_them(database: Database, planted: Period) -> None:
    """A6: a trace rests on stored rows, a bounded number of them, and leaves no failed call out."""
    retried = planted.rows["research", "seat_forecasts"][-1]
    attempts = tuple(
        make_attempt(
            "qwen",
            number,
            conversation_id=retried["forecast_id"],
            snapshot_id=retried["snapshot_id"],
            prompt_hash="p",
            attempt=number,
            status=CallStatus.REFUSED if number == 1 else CallStatus.ANSWERED,
            reason_code=ReasonCode.SEAT_RATE_LIMITED if number == 1 else None,
            parsed=None,
        )
        for number in (1, 2)
    )
    with database.connection() as connection:
        save_calls(connection, attempts)
        found = read_traced_decisions(connection, ACCOUNT, START, planted.end, 48)
        newest = read_traced_decisions(connection, ACCOUNT, START, planted.end, 5)
        none = read_traced_decisions(connection, "another", START, planted.end, 5)
    assert (newest, none) == (found[:5], [])
    assert [one.as_of for one in found] == sorted((one.as_of for one in found), reverse=True)
    assert all([call.seat for call in one.calls] == sorted(SEATS) for one in found)
    rows = {row["forecast_id"]: row for row in planted.rows["research", "seat_forecasts"]}
    for call in (call for one in found for call in one.calls):
        assert call.p_up == pytest.approx(rows[call.forecast_id]["p_up_4h"])
        assert (call.answered, call.reason_code) == (
            rows[call.forecast_id]["status"] == "answered",
            rows[call.forecast_id]["reason_code"],
        )
        assert (call.system_text, call.template_hash) == ("s", "template-1")
        assert call.attempts == (attempts if call.forecast_id == retried["forecast_id"] else ())


def test_every_model_and_wording_is_a_version_in_the_order_of_its_first_forecast(
    database: Database, planted: Period
) -> None:
    """Rule 9: registered again from the rows, every version must get the number that it had."""
    snapshot = planted.rows["research", "snapshots"][0]["snapshot_id"]
    row = {
        "forecast_id": deterministic_id("forecast", "another"),
        "snapshot_id": snapshot,
        "prompt_hash": "q",
        "seat": "gpt",
        "vendor": "openai",
        "model": "openai/aardvark",
        "baseline": False,
        "code_version": "seat-1",
        "parameters": "{}",
        "status": "abstained",
        "reason_code": "SEAT_TIMEOUT",
        "turns": 1,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0,
        "latency_ms": 1.0,
    }
    with database.connection() as connection:
        copy_rows(
            connection,
            "research",
            "prompts",
            [{"prompt_hash": "q", "template_hash": "template-0", "system_text": "s", "user_text": "u"}],
        )
        copy_rows(connection, "research", "seat_forecasts", [row])
    with database.connection() as connection:
        known = read_seat_versions(connection)
    assert len(known) == 7
    assert {one.seat for one in known[:6]} == set(SEATS)
    assert [(one.model, one.template_hash, one.baseline) for one in known if one.seat == "gpt"] == [
        ("triplegain/momentum", "template-1", True),
        ("openai/aardvark", "template-0", False),
    ]


@pytest.mark.slow
def test_a_dead_mlflow_fails_the_comparison_alone_and_at_once(
    database: Database, planted: Period, tmp_path: Path
) -> None:
    """Rule 9: whatever happens to MLflow, everything else is done, and a person reads what failed within seconds."""
    config: dict[str, Any] = {"starts_at": START.isoformat(), "ends_at": planted.end.isoformat()}
    reports = [validation_report, model_comparison, data_quality_report]
    result = dg.materialize(
        [*reports, trade_journal],
        resources={"database": database, "session": session_at(NOBODY, tmp_path)},
        run_config={"ops": {asset.op.name: {"config": config} for asset in reports}},
        raise_on_error=False,
    )
    failed = [event for event in result.all_events if event.is_step_failure]
    assert [event.step_key for event in failed] == ["model_comparison"]
    done = {event.step_key for event in result.all_events if event.is_step_success}
    assert done == {"validation_report", "trade_journal", "data_quality_report"}
    error = failed[0].step_failure_data.error.to_string()
    assert "MLflow did not take the projection" in error
    assert "trading goes on" in error
    assert "nothing-secret" not in error
    began = monotonic_seconds()
    with pytest.raises(TransientError, match="MLflow"):
        compare_models(database, session_at(NOBODY, tmp_path), START, planted.end)
    assert monotonic_seconds() - began < 5


@pytest.mark.slow
@pytest.mark.usefixtures("mlflow_database")
def test_the_rows_become_a_window_with_runs_traces_and_models(
    database: Database, planted: Period, tmp_path: Path
) -> None:
    """A7: the whole way, from what was stored while trading; a second time adds nothing."""
    from mlflow.tracking import MlflowClient

    session = session_at(database.url, tmp_path)
    first = compare_models(database, session, START, planted.end)
    again = compare_models(database, session, START, planted.end)
    assert (first.changed, again.changed) == (True, False)
    assert {f"{seat} (baseline: {rule})" for seat, (_, rule) in SEATS.items()} | {"consensus"} <= set(first.nested)
    assert set(first.versions) == {f"triplegain.{seat}" for seat in SEATS}
    address = with_driver(database_urls(session.settings).mlflow)
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    gpt = client.get_run(first.nested["gpt (baseline: momentum)"]).data
    assert (gpt.params["mode"], gpt.params["template_hash"], gpt.tags["baseline"]) == ("offline", "template-1", "true")
    assert {"brier", "model_accuracy", "cost_usd", "latency_p95_ms"} <= set(gpt.metrics)
    assert "model_rank" not in gpt.metrics
    traces = client.search_traces(locations=[first.experiment_id], run_id=first.run_id)
    assert len(traces) == 20
    assert all(len(trace.data.spans) == 7 for trace in traces)
    assert dict(client.get_registered_model("triplegain.gpt").aliases) == {"offline-baseline": 1}
