"""The projection into a real MLflow, straight into PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from report_inputs import make_inputs
from servers import Server
from tracked_windows import (
    SEATS,
    TEMPLATE,
    gpt_board,
    make_board,
    make_decision,
    make_row,
    make_version,
    make_window,
    only_pictures,
)
from tracking_stores import Tracking, content, copied, empty_tracking, registry

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.secrets import remember
from triplegain_pipelines.evaluation.leaderboard import ForecasterKind, Leaderboard
from triplegain_pipelines.evaluation.tracking_models import registered_models
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

SECRET = "sk-live-4f1e9d2c7b6a5038"  # noqa: S105 - nobody's


@pytest.fixture(scope="module")
def empty(postgres: Server) -> Iterator[Database]:
    """What every other database of this file is a copy of."""
    with empty_tracking(postgres, __name__) as database:
        yield database


@pytest.fixture(scope="module")
def tracking(postgres: Server, empty: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """Where the tests of this file project to."""
    with copied(postgres, empty) as uri:
        yield Tracking(uri, tmp_path_factory.mktemp("artifacts"))


@pytest.mark.slow
def test_a_window_is_a_run_with_one_for_each_forecaster(tracking: Tracking) -> None:
    """A7: seats, consensus, shadows and baselines beside each other, each labelled, none ranked below the minimum."""
    projected = tracking.project(make_window("first"))
    found = tracking.runs("first")
    seats = {f"{seat} (baseline: {seat})" for seat in SEATS}
    names = {*seats, "consensus", "pool: median", "always 50 %", "cash"}
    assert set(projected.nested) == names
    assert set(found) - names == {"first 2026-01-01 to 2026-01-21"}
    gpt, parent = found["gpt (baseline: gpt)"].data, found["first 2026-01-01 to 2026-01-21"]
    assert gpt.metrics["model_accuracy"] == pytest.approx(0.53)
    figures = {"brier", "log_loss", "ece", "coverage", "abstentions", "latency_p95_ms", "cost_usd", "shadow_net_return"}
    assert figures <= set(gpt.metrics)
    assert "model_rank" not in gpt.metrics
    assert gpt.tags["model_rank"].startswith("not enough data")
    assert gpt.tags["mlflow.parentRunId"] == parent.info.run_id == projected.run_id
    assert (gpt.tags["simulated"], gpt.tags["baseline"], gpt.tags["paper"]) == ("true", "true", "true")
    assert gpt.params == {
        "forecaster": "gpt",
        "kind": "baseline seat",
        "model": "triplegain/gpt",
        "template_hash": TEMPLATE,
        "parameters_hash": "none",
        "mode": "offline",
        "baseline": "true",
    }
    kinds = {name: found[name].data.tags["kind"] for name in ("consensus", "pool: median", "always 50 %", "cash")}
    assert kinds == {"consensus": "consensus", "pool: median": "shadow", "always 50 %": "baseline", "cash": "holding"}
    assert found["always 50 %"].data.tags["baseline"] == "true"
    assert parent.data.metrics["final_equity"] == pytest.approx(make_inputs().portfolio.final_equity)
    assert parent.data.tags["leaderboard"].startswith("Nobody is ranked.")
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    files = tracking.files(projected.run_id)
    assert set(files) == {"calibration.png", "cumulative_score.png", "equity.png", "report.json", "leaderboard.json"}
    assert all(picture.startswith(b"\x89PNG") for name, picture in files.items() if name.endswith("png"))


@pytest.mark.slow
def test_a_second_projection_adds_nothing(tracking: Tracking) -> None:
    """Rule 9: a projection that is made again must not double the leaderboard, its traces or its models."""
    window = only_pictures(make_window("second", decisions=(make_decision(1),)), "equity.png")
    models = registered_models(make_board("second"), [make_version("second_seat", "openai/one")])
    first, again = tracking.project(window, models), tracking.project(window, models)
    assert (first.changed, again.changed) == (True, False)
    assert replace(first, changed=False) == again
    assert len(tracking.traces(first.run_id)) == 1
    assert set(tracking.versions("second_seat")) == {"1"}
    history = tracking.client.get_metric_history(first.nested["consensus"], "brier")
    assert len(history) == 1


@pytest.mark.slow
def test_corrected_figures_replace_the_old_ones_in_the_same_runs(tracking: Tracking) -> None:
    """MLflow shows the larger of two values at one step: a score that got lower would never be seen."""
    first = tracking.project(only_pictures(make_window("third", gpt_board("third", 0.24))))
    later = tracking.project(only_pictures(make_window("third", gpt_board("third", 0.20, rank=1, gate=None))))
    assert later.changed
    assert dict(later.nested) == dict(first.nested)
    data = tracking.runs("third")["gpt"].data
    assert data.metrics["brier"] == pytest.approx(0.20)
    assert data.metrics["model_rank"] == 1
    assert data.tags["model_rank"] == "1"


@pytest.mark.slow
def test_what_is_gone_from_the_board_is_gone_from_the_runs(tracking: Tracking) -> None:
    """A7: MLflow keeps metrics for ever, so a rank that was taken back would go on being shown."""
    ranked = gpt_board("fourth", 0.20, rank=1, gate=None)
    more = replace(ranked, rows=(*ranked.rows, make_row("grok", ForecasterKind.SEAT)))
    decisions = [make_decision(number) for number in (1, 2, 3)]
    first = tracking.project(only_pictures(make_window("fourth", more, tuple(decisions[:2]))))
    assert {"gpt", "grok"} <= set(tracking.runs("fourth"))
    again = tracking.project(only_pictures(make_window("fourth", gpt_board("fourth", 0.24), tuple(decisions[1:]))))
    found = tracking.runs("fourth")
    assert "grok" not in found
    assert "model_rank" not in found["gpt"].data.metrics
    assert again.run_id == first.run_id
    times = {trace.info.request_time for trace in tracking.traces(again.run_id).values()}
    assert len(times) == 2
    assert {trace.data.spans[0].attributes["decision_id"][-1] for trace in tracking.traces(again.run_id).values()} == {
        "2",
        "3",
    }


@pytest.mark.slow
def test_a_decision_is_a_trace_with_a_span_for_each_seat_and_call(tracking: Tracking) -> None:
    """A6: who was asked what, what came back, how long it took and what it cost, of failed calls too."""
    projected = tracking.project(only_pictures(make_window("fifth", decisions=(make_decision(5),))))
    (trace,) = tracking.traces(projected.run_id).values()
    spans = {span.name: span for span in trace.data.spans}
    assert set(spans) == {"decision BTC/USDT", *SEATS, "turn 1, attempt 1", "turn 1, attempt 2"}
    root, failed, attempt = spans["decision BTC/USDT"], spans["gpt"], spans["turn 1, attempt 2"]
    assert {spans[seat].parent_id for seat in SEATS} == {root.span_id}
    assert attempt.parent_id == failed.span_id
    assert failed.status.status_code.value == "ERROR"
    assert "429" in failed.status.description
    assert spans["qwen"].inputs["messages"][1]["content"] == "<evidence>…</evidence>"
    assert spans["qwen"].attributes["mlflow.llm.cost"]["total_cost"] == pytest.approx(0.004)
    assert (spans["qwen"].end_time_ns - spans["qwen"].start_time_ns) / 1e6 == pytest.approx(805)
    # Five seats that answered at once and two attempts: none is counted twice.
    assert trace.info.token_usage["total_tokens"] == 7 * 1000
    assert trace.info.cost["total_cost"] == pytest.approx(7 * 0.004)


@pytest.mark.slow
def test_seats_are_registered_models_and_only_a_sole_leader_is_champion(tracking: Tracking) -> None:
    """A7: an alias on a model that leads nothing would be a shop window; a simulated market crowns nobody."""
    known = [
        make_version("gpt", "triplegain/momentum", baseline=True),
        make_version("gpt", "openai/gpt", day=2),
        make_version("grok", "xai/grok", day=3),
    ]

    def aliases(board: Leaderboard, end_day: int = 0) -> dict[str, dict[str, str]]:
        window = only_pictures(make_window("sixth", board))
        window = replace(window, judged=None if board.simulated else f"2026-01-{end_day} sixth")
        tracking.project(window, registered_models(board, known))
        return {
            seat: {alias: str(number) for alias, number in tracking.model(seat).aliases.items()}
            for seat in ("gpt", "grok")
        }

    rows = (
        make_row("gpt", ForecasterKind.SEAT, variant=replace(make_row("gpt").variant, model="openai/gpt")),
        make_row("grok", ForecasterKind.SEAT, variant=replace(make_row("grok").variant, model="xai/grok")),
    )
    led = make_board("sixth", rows, simulated=False, leaders=("gpt",))
    offline = {"offline-baseline": "1"}
    assert aliases(replace(led, simulated=True)) == {"gpt": offline, "grok": {}}
    assert aliases(replace(led, leaders=()), 20) == {"gpt": offline, "grok": {}}
    assert aliases(led, 21) == {"gpt": offline | {"champion": "2"}, "grok": {}}
    assert aliases(replace(led, leaders=("grok",)), 20)["grok"] == {}, "an earlier window has no say any more"
    assert aliases(replace(led, leaders=("gpt", "grok")), 22) == {"gpt": offline, "grok": {}}
    versions = tracking.versions("gpt")
    assert {number: one.tags["baseline"] for number, one in versions.items()} == {"1": "true", "2": "false"}
    assert versions["2"].tags["model"] == "openai/gpt"
    assert versions["2"].tags["template_hash"] == TEMPLATE


@pytest.mark.slow
def test_no_secret_gets_into_mlflow(tracking: Tracking) -> None:
    """S-rules: providers write keys into their errors, and MLflow has no password of its own."""
    remember(SECRET)
    row = make_row("gpt", leak=f"key {SECRET}", gate=f"no data for {SECRET}")
    board = make_board("ninth", (row,), verdict=(f"said {SECRET}",))
    decision = make_decision(9, error=f"401: Incorrect API key provided: {SECRET}")
    version = make_version("seat", f"openai/{SECRET}")
    projected = tracking.project(make_window("ninth", board, (decision,)), registered_models(board, [version]))
    shown = str(content(tracking, "ninth")) + str(registry(tracking, "seat"))
    assert "[secret]" in shown
    assert SECRET not in shown
    assert all(SECRET.encode() not in file for file in tracking.files(projected.run_id).values())


@pytest.mark.slow
def test_a_window_of_two_weeks_is_projected_within_seconds(tracking: Tracking) -> None:
    """Rule 9: it is made every day beside the trading, on the same machine."""
    known = [make_version(seat, f"openai/{seat}") for seat in SEATS]
    decisions = tuple(make_decision(number) for number in range(1, 21))
    window, models = make_window("tenth", decisions=decisions), registered_models(make_board("tenth"), known)
    began = monotonic_seconds()
    tracking.project(window, models)
    assert monotonic_seconds() - began < 10
    began = monotonic_seconds()
    tracking.project(window, models)
    assert monotonic_seconds() - began < 2
