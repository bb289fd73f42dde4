"""The criteria of the validation report, the verdict, and what it says of itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from report_inputs import END, START, make_calls, make_inputs, make_order

from triplegain_pipelines.evaluation.performance import execution_metrics
from triplegain_pipelines.evaluation.report import report_document
from triplegain_pipelines.evaluation.validation import (
    Outcome,
    ValidationReport,
    ValidationVerdict,
    build_validation,
    decisions_due,
)
from triplegain_pipelines.store.evidence import DecisionCounts

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)


def outcomes(report: ValidationReport) -> dict[str, Outcome]:
    return {criterion.criterion_id: criterion.outcome for criterion in report.criteria}


def counts(made: int) -> DecisionCounts:
    return DecisionCounts(made, quorum_failures=0, unanimous=0, unanimous_settled=0, unanimous_right=0)


def test_a_good_period_on_a_live_market_passes_every_criterion() -> None:
    """B3: all eight criteria, and only this may count towards live trading."""
    report = build_validation(make_inputs())
    assert set(outcomes(report).values()) == {Outcome.PASSED}
    assert len(report.criteria) == 8
    assert report.verdict is ValidationVerdict.PASSED
    assert report.counts_for_live
    assert "Every criterion is met." in report.summary


@pytest.mark.parametrize(
    ("criterion", "inputs"),
    [
        ("trades", make_inputs(profits=[3.0, -1.0] * 24 + [3.0])),
        ("sharpe", make_inputs(equities=[2100 - 6 * day + day % 3 for day in range(1, 21)])),
        ("drawdown", make_inputs(equities=[2100, 1785] + [2500 + 9 * day + day % 2 for day in range(18)])),
        ("win_rate", make_inputs(profits=[3.0] * 27 + [-1.0] * 33)),
        ("uptime", make_inputs(decisions=counts(475))),
        ("agent_errors", make_inputs(calls=[make_calls(reasons={"SEAT_TIMEOUT": 5})])),
        ("latency", make_inputs(execution=execution_metrics([make_order(1.0)], 2100))),
    ],
)
def test_a_value_on_the_wrong_side_of_its_threshold_fails(criterion: str, inputs: object) -> None:
    """B3: 49 trades, a falling equity, a fall of exactly 15 %, exactly 45 % won, 98.96 % uptime, 1.04 % errors, 1 s."""
    report = build_validation(inputs)  # type: ignore[arg-type]
    assert outcomes(report)[criterion] is Outcome.FAILED
    assert report.verdict is ValidationVerdict.FAILED
    assert not report.counts_for_live


def test_a_short_period_fails_and_judges_no_sharpe_ratio() -> None:
    """B3: a Sharpe ratio over three days must not pass, however high it is."""
    portfolio = replace(make_inputs().portfolio, days=3)
    report = build_validation(make_inputs(end=START + timedelta(days=3), portfolio=portfolio))
    assert outcomes(report)["period"] is Outcome.FAILED
    assert outcomes(report)["sharpe"] is Outcome.NOT_ENOUGH_DATA
    assert "Too little data to judge: Sharpe ratio" in report.summary


def test_nothing_at_all_is_a_report_that_says_so() -> None:
    """A validation of an idle account is an honest failure, not a traceback and not a pass."""
    report = build_validation(
        make_inputs(
            profits=[], equities=[], calls=[], decisions=counts(0), decisions_due=0, execution=execution_metrics([], 1)
        )
    )
    assert report.verdict is ValidationVerdict.FAILED
    found = outcomes(report)
    assert found["trades"] is Outcome.FAILED
    assert {found[name] for name in ("sharpe", "win_rate", "uptime", "agent_errors", "latency")} == {
        Outcome.NOT_ENOUGH_DATA
    }
    assert all(criterion.explanation and criterion.value for criterion in report.criteria)


def test_few_trades_judge_no_win_rate() -> None:
    """Two won of three is not a win rate of 67 %."""
    report = build_validation(make_inputs(profits=[3.0, 3.0, -1.0]))
    assert outcomes(report)["win_rate"] is Outcome.NOT_ENOUGH_DATA


def test_a_switched_off_seat_is_no_error() -> None:
    """A6: LLM_ENABLED=false is a person's decision and must not fail the validation as an agent's error."""
    report = build_validation(make_inputs(calls=[make_calls(answered=0, reasons={"SEATS_DISABLED": 480})]))
    assert outcomes(report)["agent_errors"] is Outcome.PASSED


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"simulated": True}, "Simulated market"),
        ({"baseline": True}, "Baseline seats"),
        ({"replay": True}, "Replay"),
    ],
)
def test_what_is_not_real_is_labelled_and_never_counts_for_live(change: dict[str, bool], label: str) -> None:
    """DESIGN rule 8, X7: a perfect simulated period must not open the door to real money."""
    report = build_validation(make_inputs(**change))
    assert report.verdict is ValidationVerdict.PASSED
    assert {item.title for item in report.labels} == {label, "Paper fills"}
    assert not report.counts_for_live


def test_live_fills_are_not_called_paper() -> None:
    """A live report must not carry a label that plays it down."""
    assert build_validation(make_inputs(schema="live_trading")).labels == ()


def test_latency_of_the_paper_venue_says_that_it_is_simulated() -> None:
    """B3: milliseconds to a venue in the same process are not an exchange's latency."""
    paper = next(item for item in build_validation(make_inputs()).criteria if item.criterion_id == "latency")
    assert "simulated" in paper.value
    assert "no network" in paper.explanation
    live = build_validation(make_inputs(schema="live_trading"))
    assert "simulated" not in next(item for item in live.criteria if item.criterion_id == "latency").value


@pytest.mark.parametrize(
    ("start", "end", "due"),
    [
        (START, START + 24 * HOUR, 48),
        (START + HOUR / 2, START + 24 * HOUR, 46),
        (START, START + 23.5 * HOUR, 48),
        (START + HOUR / 2, START + HOUR / 1.5, 0),
        (START, START + HOUR / 60, 2),
    ],
)
def test_due_decisions_are_the_points_of_the_grid_times_the_symbols(start: datetime, end: datetime, due: int) -> None:
    """B3: uptime is a share of this number, so one point too few hides an outage."""
    assert decisions_due(start, end, HOUR, ["BTC/USDT", "ETH/USDT"]) == due


def test_the_document_is_the_same_for_the_same_inputs_and_has_no_time_of_writing() -> None:
    """A report written twice must be one report: a clock in it would make it a new one each time."""
    document = report_document(build_validation(make_inputs()))
    assert document == report_document(build_validation(make_inputs()))
    assert document["verdict"] == "PASSED"
    assert document["period"]["end"] == END.astimezone(UTC).isoformat()
    assert document["counts"]["trades"] == 60
    assert document["execution"]["slippage_bps"] == pytest.approx(5)
    assert {item["criterion_id"] for item in document["criteria"]} >= {"period", "latency", "uptime"}
