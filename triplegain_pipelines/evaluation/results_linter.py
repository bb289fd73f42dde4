"""Doubting a backtest's result as a linter doubts code: every finding has a code, numbers and what to do.

A result without findings is not proven good; it only has none of the usual ways of being wrong. The rules are in
results_linter_sample.py, results_linter_data.py and results_linter_search.py, by what they look at.
"""

from collections.abc import Callable
from dataclasses import dataclass

from triplegain_pipelines.evaluation import results_linter_data as data
from triplegain_pipelines.evaluation import results_linter_sample as sample
from triplegain_pipelines.evaluation import results_linter_search as search
from triplegain_pipelines.evaluation.backtest_performance import BacktestFigures, backtest_figures
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.results_linter_terms import (
    HistoryCheck,
    LintCode,
    Linted,
    LintEvidence,
    LintFinding,
    LookAheadCheck,
    Severity,
)

__all__ = [
    "RULES",
    "HistoryCheck",
    "LintCode",
    "LintEvidence",
    "LintFinding",
    "LookAheadCheck",
    "Severity",
    "lint",
]

_WEIGHT = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def _always(_: LintEvidence) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the linter, and whether the evidence lets it be applied."""

    code: LintCode
    check: Callable[[Linted], LintFinding | None]
    applies: Callable[[LintEvidence], bool] = _always


RULES = (
    Rule(LintCode.LOOK_AHEAD, data.look_ahead, lambda given: given.look_ahead is not None),
    Rule(LintCode.RECURSIVE_INDICATOR, data.recursive_indicator, lambda given: given.history is not None),
    Rule(LintCode.STALE_FILLS, data.stale_fills, lambda given: bool(given.series)),
    Rule(LintCode.GAP_SHARE, data.gap_share, lambda given: bool(given.series)),
    Rule(LintCode.COSTS_TOO_SMALL, data.costs_too_small),
    Rule(LintCode.TOO_FEW_TRADES, sample.too_few_trades),
    Rule(LintCode.TOO_MANY_PARAMETERS, sample.too_many_parameters),
    Rule(LintCode.SHORT_HISTORY, sample.short_history),
    Rule(LintCode.ONE_TRADE, sample.one_trade),
    Rule(LintCode.FLAT_EQUITY, sample.flat_equity),
    Rule(LintCode.ONLY_EXPOSURE, sample.only_exposure, lambda given: given.hold_return is not None),
    Rule(LintCode.IN_SAMPLE_ONLY, search.in_sample_only),
    # Nothing was searched: there is no edge and no neighbourhood to be told.
    Rule(LintCode.EDGE_OF_GRID, search.edge_of_grid, lambda given: bool(given.grid) or given.trials <= 1),
    Rule(
        LintCode.UNSTABLE_NEIGHBOURHOOD,
        search.unstable_neighbourhood,
        lambda given: (given.score is not None and bool(given.neighbours)) or given.trials <= 1,
    ),
)


def lint(result: BacktestResult, evidence: LintEvidence, figures: BacktestFigures | None = None) -> list[LintFinding]:
    """What speaks against believing a result, errors first; at last, which rules could not be applied.

    Args:
        result: of any engine.
        evidence: what the result does not hold itself.
        figures: of the result, where they are known already.
    """
    linted = Linted(result, figures or backtest_figures(result), evidence)
    found = [rule.check(linted) for rule in RULES if rule.applies(evidence)]
    findings = sorted((one for one in found if one is not None), key=lambda one: _WEIGHT[one.severity])
    silent = [rule.code.value for rule in RULES if not rule.applies(evidence)]
    if silent:
        words = f"{len(silent)} of {len(RULES)} rules were not applied: {', '.join(silent)}"
        findings.append(LintFinding(LintCode.UNCHECKED, Severity.NOTE, words))
    return findings
