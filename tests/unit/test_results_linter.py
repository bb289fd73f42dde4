"""The results linter: each rule where it fires, where it must not, and at its border."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from backtest_cases import BTC, COSTS, EQUITY_AT_START, HOUR, START, Traded, every, traded, wandering, without

from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.results_linter import (
    RULES,
    HistoryCheck,
    LintCode,
    LintEvidence,
    LintFinding,
    LookAheadCheck,
    Severity,
    lint,
)

pytestmark = pytest.mark.unit

YEAR = 24 * 366
SERIES = wandering(YEAR, seed=1)
FULL = LintEvidence(
    series={BTC: SERIES},
    venue_fee=0.001,
    grid={"fast": (5, 10, 20), "slow": (30, 50, 70)},
    trials=9,
    score=1.0,
    neighbours=(0.8, 0.9, 0.7, 0.6),
    out_of_sample=True,
    look_ahead=LookAheadCheck(cuts=24, differences=0),
    history=HistoryCheck(bars=5000, differences=0, largest_change=1e-6),
    hold_return=10.0,
    same_exposure_return=0.01,
)


def result(count: int = 120, apart: int = 70, held: int = 30, **changes: Any) -> BacktestResult:
    return traded(SERIES, every(count, apart, held), **changes)


def found(code: LintCode, given: BacktestResult, evidence: LintEvidence = FULL) -> LintFinding | None:
    return next((one for one in lint(given, evidence) if one.code is code), None)


def with_profits(*profits: float) -> BacktestResult:
    made = result(len(profits))
    return replace(made, trades=made.trades.with_columns(profit=pl.Series(profits, dtype=pl.Float64)))


def test_a_clean_result_with_all_evidence_has_no_finding() -> None:
    """Issue 6: a linter that always finds something is not read."""
    assert lint(result(), FULL) == []


def test_every_code_has_a_rule_or_says_what_was_not_checked() -> None:
    """A code without a rule would stand in the docs and never fire; each has a meaning and an advice for them."""
    assert {rule.code for rule in RULES} == set(LintCode) - {LintCode.UNCHECKED}
    assert all(code.meaning.endswith(".") and code.advice.endswith(".") for code in LintCode)


def test_rules_without_evidence_are_named() -> None:
    """A silent rule must not pass for one that found nothing."""
    note = found(LintCode.UNCHECKED, result(), LintEvidence())
    assert note is not None
    assert note.severity is Severity.NOTE
    silent = ("LOOK_AHEAD", "RECURSIVE_INDICATOR", "STALE_FILLS", "GAP_SHARE", "ONLY_EXPOSURE")
    assert all(code in note.message for code in silent)
    assert "EDGE_OF_GRID" not in note.message  # nothing was searched
    searched = found(LintCode.UNCHECKED, result(), LintEvidence(trials=50))
    assert searched is not None
    assert "EDGE_OF_GRID" in searched.message


def test_errors_come_first() -> None:
    """A reader who stops after the first line must have read the worst."""
    severities = [one.severity for one in lint(result(5), replace(FULL, look_ahead=None, out_of_sample=False))]
    assert severities == sorted(severities, key=list(Severity).index)
    assert severities[0] is Severity.ERROR


@pytest.mark.parametrize(
    ("closed", "severity"),
    [(0, Severity.ERROR), (29, Severity.ERROR), (30, Severity.WARNING), (99, Severity.WARNING), (100, None)],
)
def test_too_few_trades(closed: int, severity: Severity | None) -> None:
    """Issue 6: a mean of 29 trades is luck; 100 are enough."""
    finding = found(LintCode.TOO_FEW_TRADES, result(closed))
    assert (finding.severity if finding else None) is severity
    assert finding is None or f"{closed} closed trades" in finding.message


@pytest.mark.parametrize(
    ("free", "closed", "fires"), [(10, 120, False), (11, 120, True), (3, 30, False), (3, 29, True)]
)
def test_too_many_parameters(free: int, closed: int, *, fires: bool) -> None:
    """Issue 6: ten parameters, and ten trades for each, are the most and the least."""
    given = result(closed, parameters={f"p{number}": number for number in range(free)})
    assert (found(LintCode.TOO_MANY_PARAMETERS, given, replace(FULL, grid={})) is not None) is fires


def test_of_a_searched_strategy_only_what_was_searched_is_free() -> None:
    """Twelve parameters of which two were varied have the freedom of two."""
    given = result(parameters={f"p{number}": number for number in range(12)})
    assert found(LintCode.TOO_MANY_PARAMETERS, given) is None


def test_look_ahead() -> None:
    """B2: one signal that knows the future is an error, and it says when."""
    known = replace(FULL, look_ahead=LookAheadCheck(cuts=24, differences=1, first_at=START + HOUR))
    finding = found(LintCode.LOOK_AHEAD, result(), known)
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert "2024-01-01 01:00" in finding.message


@pytest.mark.parametrize(
    ("differences", "change", "severity"),
    [
        (0, 0.001, None),
        (0, 0.0011, Severity.WARNING),
        (5, 0.0, None),
        (6, 0.0, Severity.WARNING),
        (51, 0, Severity.ERROR),
    ],
)
def test_recursive_indicators(differences: int, change: float, severity: Severity | None) -> None:
    """Trap 28: a warm-up that is too short shows as values that depend on where the history starts."""
    finding = found(
        LintCode.RECURSIVE_INDICATOR, result(), replace(FULL, history=HistoryCheck(5000, differences, change))
    )
    assert (finding.severity if finding else None) is severity


@pytest.mark.parametrize(
    ("missing", "severity"),
    [(YEAR // 100, None), (YEAR // 100 + 1, Severity.WARNING), (YEAR * 5 // 100 + 1, Severity.ERROR)],
)
def test_gap_share(missing: int, severity: Severity | None) -> None:
    """Issue 6: one per cent of missing candles is borne, one more is said."""
    gappy = without(SERIES, range(60, 60 + missing))
    finding = found(LintCode.GAP_SHARE, result(), replace(FULL, series={BTC: gappy}))
    assert (finding.severity if finding else None) is severity


def test_fills_right_after_missing_candles_are_stale() -> None:
    """Trap 33: 3 of 240 fills after a gap are over one per cent; 2 are not."""
    entries = [one.entry for one in every(120, 70, 30)]
    three = replace(FULL, series={BTC: without(SERIES, [bar - 1 for bar in entries[1:4]])})
    two = replace(FULL, series={BTC: without(SERIES, [bar - 1 for bar in entries[1:3]])})
    finding = found(LintCode.STALE_FILLS, result(), three)
    assert finding is not None
    assert finding.severity is Severity.WARNING
    assert "3 of 240 fills" in finding.message
    assert found(LintCode.STALE_FILLS, result(), two) is None


def test_a_price_that_no_candle_showed_is_an_error() -> None:
    """Trap 33: a fill older than a bar has a price that the bars around it have not; slippage is allowed for."""
    made = result()
    odd = made.trades.with_columns(
        exit_price=pl.when(pl.int_range(pl.len()) == 7).then(pl.col("exit_price") * 1.2).otherwise("exit_price")
    )
    finding = found(LintCode.STALE_FILLS, replace(made, trades=odd))
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert "1 of 240" in finding.message


@pytest.mark.parametrize(
    ("fee", "slippage", "severity"),
    [
        (0.001, 0.0005, None),
        (0.00099, 0.0005, Severity.ERROR),
        (0.0, 0.0005, Severity.ERROR),
        (0.001, 0.0, Severity.WARNING),
    ],
)
def test_costs_too_small(fee: float, slippage: float, severity: Severity | None) -> None:
    """Issue 6: a fee below the venue's, or fills that never slip, make winners of losers."""
    finding = found(LintCode.COSTS_TOO_SMALL, result(costs=COSTS | {"fee": fee, "slippage": slippage}))
    assert (finding.severity if finding else None) is severity


def test_no_fee_is_an_error_also_where_the_venue_is_unknown() -> None:
    """A missing fee schedule must not excuse a backtest without fees."""
    finding = found(LintCode.COSTS_TOO_SMALL, result(costs=COSTS | {"fee": 0.0}), replace(FULL, venue_fee=None))
    assert finding is not None
    assert finding.severity is Severity.ERROR


def test_one_trade_makes_the_profit() -> None:
    """Issue 6: just under half of the net profit is borne, half is said, all of it is an error."""
    assert found(LintCode.ONE_TRADE, with_profits(49.9, 25.1, 25.0)) is None
    half = found(LintCode.ONE_TRADE, with_profits(50.0, 25.0, 25.0))
    assert half is not None
    assert half.severity is Severity.WARNING
    assert "50.00 of 100.00 net profit (50%)" in half.message
    whole = found(LintCode.ONE_TRADE, with_profits(50.0, -5.0, 5.0))
    assert whole is not None
    assert whole.severity is Severity.ERROR
    assert found(LintCode.ONE_TRADE, with_profits(50.0, -60.0)) is None  # there is no profit to make


def test_flat_equity() -> None:
    """Issue 6: a quarter of the days without any move is borne, a day more is said."""
    made = result()
    days = made.equity.height
    for still, fires in ((days // 4, False), (days // 4 + 1, True)):
        worth = [EQUITY_AT_START] * still + [EQUITY_AT_START + 1 + day for day in range(days - still)]
        flat = replace(made, equity=made.equity.with_columns(equity=pl.Series(worth)))
        assert (found(LintCode.FLAT_EQUITY, flat) is not None) is fires


@pytest.mark.parametrize(
    ("days", "severity"), [(89, Severity.ERROR), (90, Severity.WARNING), (364, Severity.WARNING), (365, None)]
)
def test_short_history(days: int, severity: Severity | None) -> None:
    """Issue 6: under 90 days an error, under a year a warning."""
    finding = found(LintCode.SHORT_HISTORY, result(10, ends_at=START + days * 24 * HOUR))
    assert (finding.severity if finding else None) is severity


def test_edge_of_grid() -> None:
    """Issue 6: the best at the edge of what was tried may lie beyond; of two values each is an edge."""
    edge = found(LintCode.EDGE_OF_GRID, result(parameters={"fast": 20, "slow": 50}))
    assert edge is not None
    assert "fast = 20 is the largest of 3 tried" in edge.message
    assert found(LintCode.EDGE_OF_GRID, result(parameters={"fast": 10, "slow": 50})) is None
    two = replace(FULL, grid={"fast": (10, 20)})
    assert found(LintCode.EDGE_OF_GRID, result(), two) is None


@pytest.mark.parametrize(
    ("neighbours", "severity"),
    [
        ((0.5, 0.5, 0.5), None),
        ((0.49, 0.49, 2.0), Severity.WARNING),
        ((-0.1, None, 3.0), Severity.ERROR),
    ],
)
def test_unstable_neighbourhood(neighbours: tuple[float | None, ...], severity: Severity | None) -> None:
    """Issue 6: neighbours that do half as well are a plateau; less is a peak; a loss is luck."""
    finding = found(LintCode.UNSTABLE_NEIGHBOURHOOD, result(), replace(FULL, neighbours=neighbours))
    assert (finding.severity if finding else None) is severity


def test_a_bad_score_has_no_neighbourhood_to_fall_from() -> None:
    """A loser among losers is no peak."""
    assert found(LintCode.UNSTABLE_NEIGHBOURHOOD, result(), replace(FULL, score=-1.0, neighbours=(-3.0,))) is None


@pytest.mark.parametrize(
    ("trials", "unseen", "fires"), [(0, False, False), (1, False, False), (2, False, True), (2, True, False)]
)
def test_in_sample_only(trials: int, *, unseen: bool, fires: bool) -> None:
    """I5: the best of two is chosen already; one that was not chosen has no sample to be in."""
    evidence = replace(FULL, trials=trials, out_of_sample=unseen)
    assert (found(LintCode.IN_SAMPLE_ONLY, result(), evidence) is not None) is fires


@pytest.mark.parametrize(
    ("held", "same", "fires"), [(-0.1, 0.05, True), (-0.1, 0.04, True), (-0.1, 0.03, False), (0.05, 0.06, False)]
)
def test_only_exposure(held: float, same: float, *, fires: bool) -> None:
    """Issue 6: +4 % in a market of -10 % is no timing where a constant small holding made as much."""
    made = result()
    worth = [EQUITY_AT_START * (1 + 0.04 * (day + 1) / made.equity.height) for day in range(made.equity.height)]
    given = replace(made, equity=made.equity.with_columns(equity=pl.Series(worth)))
    evidence = replace(FULL, hold_return=held, same_exposure_return=same + 1e-12)
    assert (found(LintCode.ONLY_EXPOSURE, given, evidence) is not None) is fires


def test_a_result_without_trades_is_linted() -> None:
    """An empty result must get its findings, not a traceback."""
    codes = {one.code for one in lint(traded(SERIES, []), LintEvidence(series={BTC: SERIES}))}
    assert {LintCode.TOO_FEW_TRADES, LintCode.FLAT_EQUITY, LintCode.TOO_MANY_PARAMETERS} <= codes
    assert LintCode.ONE_TRADE not in codes


def test_a_single_trade_is_said_in_the_singular() -> None:
    """Words that a person reads."""
    finding = found(LintCode.TOO_FEW_TRADES, traded(SERIES, [Traded(1, 5)]))
    assert finding is not None
    assert finding.message.startswith("1 closed trade;")
