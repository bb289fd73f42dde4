"""What a backtest is worth, in one sentence, from its figures, its benchmarks, and how far it can be luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import prod

import polars as pl

from triplegain_pipelines.evaluation.backtest_benchmarks import (
    SAME_EXPOSURE,
    backtest_benchmarks,
    benchmark_returns,
)
from triplegain_pipelines.evaluation.backtest_performance import BacktestFigures, backtest_figures
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.benchmarks import EQUAL_WEIGHT, Benchmark, hold_name
from triplegain_pipelines.evaluation.performance import Interval, sharpe
from triplegain_pipelines.evaluation.random_entries import (
    RandomEntries,
    random_entries,
    sharpe_bootstrap,
    sharpe_difference_p,
)
from triplegain_pipelines.evaluation.results_linter import LintCode, LintEvidence, LintFinding, Severity, lint
from triplegain_pipelines.evaluation.results_linter_sample import FEWEST_DAYS, FEWEST_TRADES
from triplegain_pipelines.evaluation.wording import number, percent
from triplegain_pipelines.market.series import CandleSeries

LUCK = 0.05  # a chance under this is not called luck
_SMALLEST = 0.01
_UNTRUE = frozenset({LintCode.LOOK_AHEAD, LintCode.STALE_FILLS})


class Verdict(StrEnum):
    """A backtest's worth in two or three words."""

    UNTRUE = "NOT BELIEVABLE"
    NO_TRADES = "NO TRADES"
    LOSES = "LOSES MONEY"
    TOO_LITTLE = "NOT ENOUGH DATA"
    LUCK = "NO EDGE SHOWN"
    HOLDING = "HOLDING IS BETTER"
    SEARCHED = "LUCK OF THE SEARCH"
    FADED = "FAILS OUT OF SAMPLE"
    IN_SAMPLE = "IN SAMPLE ONLY"
    EDGE = "EDGE SHOWN"


@dataclass(frozen=True, slots=True)
class WalkForwardWindow:
    """Parameters chosen on one stretch, and what they did on the next, which the choice has not seen.

    Sharpe ratios are yearly, of daily returns; None where there is none.
    """

    trained_from: datetime
    tested_from: datetime
    tested_until: datetime
    parameters: Mapping[str, float | int | str | bool]
    in_sample_sharpe: float | None
    out_of_sample_sharpe: float | None
    out_of_sample_return: float
    trades: int


@dataclass(frozen=True, slots=True)
class WalkForward:
    """A walk-forward. `sharpe` is of all test days in a row; `deflated` the chance that it is not luck of `trials`."""

    windows: tuple[WalkForwardWindow, ...]
    sharpe: float | None
    deflated: float | None
    trials: int

    @property
    def total_return(self) -> float:
        """What the test stretches made one after the other."""
        return prod(1 + window.out_of_sample_return for window in self.windows) - 1


@dataclass(frozen=True)
class BacktestCase:
    """A result and everything that a report of it rests on.

    Attributes:
        result: of any engine.
        series: the candles of its symbols, which may reach beyond the period.
        evidence: for the linter; the candles and the returns of holding are filled in.
        walk_forward: of the study that chose the parameters.
        trials: a row for each combination that was tried: its parameters and `sharpe`.
        seed: of everything that is drawn.
        simulated: whether the candles are of a made-up market.
    """

    result: BacktestResult
    series: Mapping[str, CandleSeries]
    evidence: LintEvidence = field(default_factory=LintEvidence)
    walk_forward: WalkForward | None = None
    trials: pl.DataFrame | None = None
    seed: int = 0
    simulated: bool = False


@dataclass(frozen=True)
class Judgement:
    """A case judged.

    `hold` is holding the symbols in equal parts; `better_p` the chance that a Sharpe ratio as much above its is luck.
    `interval` is of the Sharpe ratio, by the block bootstrap.
    """

    case: BacktestCase
    figures: BacktestFigures
    benchmarks: tuple[Benchmark, ...]
    hold: Benchmark
    hold_sharpe: float | None
    interval: Interval | None
    better_p: float | None
    random: RandomEntries | None
    findings: tuple[LintFinding, ...]
    verdict: Verdict
    sentence: str


def judge(case: BacktestCase) -> Judgement:
    """Figures, benchmarks, luck and doubts of a case, and the verdict that follows from them.

    Raises:
        DataError: candles of one of the result's symbols are missing.
    """
    result = case.result
    figures = backtest_figures(result)
    found = backtest_benchmarks(result, case.series, figures.net_exposure)
    by_name = {one.name: one for one in found}
    hold = by_name[EQUAL_WEIGHT if len(result.symbols) > 1 else hold_name(result.symbols[0])]
    held = benchmark_returns(hold, result)
    evidence = replace(
        case.evidence,
        series=case.evidence.series or case.series,
        hold_return=hold.total_return,
        same_exposure_return=by_name[SAME_EXPOSURE].total_return,
        out_of_sample=case.evidence.out_of_sample or case.walk_forward is not None,
    )
    judged = Judgement(
        case=case,
        figures=figures,
        benchmarks=tuple(found),
        hold=hold,
        hold_sharpe=sharpe(held),
        interval=sharpe_bootstrap(figures.returns, seed=case.seed),
        better_p=sharpe_difference_p(figures.returns, held, seed=case.seed),
        random=random_entries(result, case.series, seed=case.seed),
        findings=tuple(lint(result, evidence, figures)),
        verdict=Verdict.EDGE,
        sentence="",
    )
    verdict, sentence = _first(judged)
    return replace(judged, verdict=verdict, sentence=sentence)


def _first(judged: Judgement) -> tuple[Verdict, str]:
    # In the order in which a trader should hear it: what makes the figures void, then what makes them worthless.
    for step in (_void, _worthless, _luck, _searched):
        found = step(judged)
        if found is not None:
            return found
    random = spelt_chance(judged.random.p_value if judged.random else None)
    unseen = "also on bars that the choice has not seen" if judged.case.walk_forward else "with nothing chosen on these"
    return Verdict.EDGE, (
        f"Better than holding ({spelt_chance(judged.better_p)}) and than random entries ({random}), {unseen}. "
        "Watch it on paper before it gets money."
    )


def _void(judged: Judgement) -> tuple[Verdict, str] | None:
    untrue = [one for one in judged.findings if one.code in _UNTRUE and one.severity is Severity.ERROR]
    if untrue:
        return Verdict.UNTRUE, f"Do not believe this result: {untrue[0].message}."
    if not judged.figures.trades.closed:
        return Verdict.NO_TRADES, f"It closed no trade; holding made {_made(judged.hold)}."
    return None


def _worthless(judged: Judgement) -> tuple[Verdict, str] | None:
    figures = judged.figures
    made = figures.portfolio.total_return
    if made <= 0:
        before = made + figures.fee_share
        fees = f" Without the fees it would have made about {before:+.1%}." if before > 0 else ""
        lost = f"It lost {-made:.1%}" if made < 0 else "It made nothing"
        return Verdict.LOSES, f"{lost} after costs, where holding made {_made(judged.hold)}.{fees}"
    days = (judged.case.result.ends_at - judged.case.result.starts_at).days
    if figures.trades.closed < FEWEST_TRADES or days < FEWEST_DAYS:
        trades = "1 trade" if figures.trades.closed == 1 else f"{figures.trades.closed} trades"
        return Verdict.TOO_LITTLE, (
            f"{trades} in {days} days are too few to tell {made:+.1%} from luck; "
            f"{FEWEST_TRADES} trades in {FEWEST_DAYS} days are the least."
        )
    return None


def _luck(judged: Judgement) -> tuple[Verdict, str] | None:
    mine, theirs = judged.figures.portfolio.sharpe, judged.hold_sharpe
    chance = judged.random.p_value if judged.random else None
    if mine is not None and theirs is not None and mine <= theirs:
        word = "" if chance is None else f"; random entries do as well with {spelt_chance(chance)}"
        return Verdict.HOLDING, (
            f"Not better than holding: {_made_by(judged)} with a Sharpe ratio of {number(mine)}, "
            f"holding {_made(judged.hold)} with {number(theirs)}{word}."
        )
    if chance is None or chance > LUCK:
        return Verdict.LUCK, (
            f"Not better than luck: the same trades entered at random do as well with {spelt_chance(chance)}. "
            f"It made {_made_by(judged)}, holding {_made(judged.hold)}."
        )
    if judged.better_p is None or judged.better_p > LUCK:
        return Verdict.LUCK, (
            f"Not shown to be better than holding; the difference can be luck: {spelt_chance(judged.better_p)} "
            f"(Sharpe ratio {number(mine)} against {number(theirs)})."
        )
    return None


def _searched(judged: Judgement) -> tuple[Verdict, str] | None:
    walk, tried = judged.case.walk_forward, judged.case.evidence.trials
    if walk is not None and walk.total_return <= 0:
        return Verdict.FADED, (
            f"It made {_made_by(judged)} on the bars it was chosen on, "
            f"and {walk.total_return:+.1%} on those the choice had not seen."
        )
    if walk is not None and walk.deflated is not None and walk.deflated < 1 - LUCK:
        return Verdict.SEARCHED, (
            f"The best of {walk.trials:,} trials looks like this by luck alone: "
            f"{percent(walk.deflated)} that it is more (deflated Sharpe ratio)."
        )
    if walk is None and tried > 1:
        return Verdict.IN_SAMPLE, f"The best of {tried:,} trials on these very bars; only a walk-forward can say more."
    return None


def holm(chances: Sequence[float]) -> list[float]:
    """Chances of several results, each corrected for having looked at all of them (Holm 1979).

    >>> [round(one, 4) for one in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected = [0.0] * len(chances)
    least = 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = least
    return corrected


def _made(benchmark: Benchmark) -> str:
    return f"{benchmark.total_return:+.1%}"


def _made_by(judged: Judgement) -> str:
    return f"{judged.figures.portfolio.total_return:+.1%}"


def spelt_chance(chance: float | None) -> str:
    """A p value with two places; what is smaller is never spelt as zero.

    >>> spelt_chance(0.413), spelt_chance(0.004), spelt_chance(None)
    ('p = 0.41', 'p < 0.01', 'p unknown')
    """
    return "p unknown" if chance is None else f"p < {_SMALLEST}" if chance < _SMALLEST else f"p = {chance:.2f}"
