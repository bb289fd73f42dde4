"""What the results linter speaks of: its codes, its findings, and the evidence that a result itself does not hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from triplegain_pipelines.evaluation.backtest_performance import BacktestFigures
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.market.series import CandleSeries


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # the result must not be believed
    WARNING = "warning"  # it may be right, and this is how it may be wrong
    NOTE = "note"  # what could not be told


class LintCode(StrEnum):
    """What can be wrong with a result: `meaning` says what, `advice` what to do about it."""

    meaning: str
    advice: str

    def __new__(cls, value: str, meaning: str, advice: str) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.advice = advice
        return member

    TOO_FEW_TRADES = (
        "TOO_FEW_TRADES",
        "So few trades that their mean is mostly luck: under 30 an error, under 100 a warning.",
        "Test over more history or more symbols before believing any figure.",
    )
    TOO_MANY_PARAMETERS = (
        "TOO_MANY_PARAMETERS",
        "More than ten parameters, or fewer than ten trades for each: enough freedom to fit noise.",
        "Fix parameters at their usual values until few are left, or test over more history.",
    )
    LOOK_AHEAD = (
        "LOOK_AHEAD",
        "Signals before a cut change when the future behind the cut is taken away: they know it.",
        "Find the value that reads later bars; until then the result is worth nothing.",
    )
    RECURSIVE_INDICATOR = (
        "RECURSIVE_INDICATOR",
        "Values change with where the history starts, so live trading sees others than the backtest did.",
        "Give the strategy a longer warm-up: five times its longest period, fifteen times for Wilder's averages.",
    )
    GAP_SHARE = (
        "GAP_SHARE",
        "Candles are missing: over 1 % a warning, over 5 % an error.",
        "Repair the gaps from another source, or leave the stretch out.",
    )
    STALE_FILLS = (
        "STALE_FILLS",
        "Fills right after missing candles, or at prices that no candle around the fill has shown.",
        "Repair the gaps; a price that was never shown is a defect of the engine or of the candles.",
    )
    FLAT_EQUITY = (
        "FLAT_EQUITY",
        "The equity stands still for more than a quarter of the time: the figures rest on the rest of it.",
        "Look at what the strategy waited for, and judge it by the stretches in which it traded.",
    )
    ONE_TRADE = (
        "ONE_TRADE",
        "One trade makes half of the net profit or more; without it there may be none.",
        "Look at that trade's candles first, then judge the strategy without it.",
    )
    COSTS_TOO_SMALL = (
        "COSTS_TOO_SMALL",
        "The fee is below the venue's, or slippage is zero: no one trades like that.",
        "Run it again with the venue's fee for market orders and at least 2 basis points of slippage.",
    )
    EDGE_OF_GRID = (
        "EDGE_OF_GRID",
        "A parameter is the smallest or largest that was tried, so the best may lie beyond.",
        "Widen the grid past that edge and search again.",
    )
    UNSTABLE_NEIGHBOURHOOD = (
        "UNSTABLE_NEIGHBOURHOOD",
        "Neighbouring parameters do less than half as well: a peak by luck, not a plateau.",
        "Choose the middle of a plateau, or give the idea up.",
    )
    IN_SAMPLE_ONLY = (
        "IN_SAMPLE_ONLY",
        "The parameters were chosen on the very bars that the result is shown on.",
        "Run a walk-forward: only bars that the choice has not seen count.",
    )
    SHORT_HISTORY = (
        "SHORT_HISTORY",
        "Under 90 days an error, under a year a warning: one kind of market, seen once.",
        "Test over several years, with a rise, a fall and a sideways market in them.",
    )
    ONLY_EXPOSURE = (
        "ONLY_EXPOSURE",
        "It beats holding, but not holding with the same mean exposure: being out of the market did it, not timing.",
        "A smaller holding does the same for less in fees.",
    )
    UNCHECKED = (
        "UNCHECKED",
        "Rules that could not be applied, because their evidence was not given.",
        "Give the evidence; that a rule is silent says nothing while it is listed here.",
    )


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One doubt about a result: `message` has the numbers, `advice` what to do."""

    code: LintCode
    severity: Severity
    message: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.code.advice


@dataclass(frozen=True, slots=True)
class LookAheadCheck:
    """Signals computed again without the future: over `cuts` cuts, `differences` bars before them differed."""

    cuts: int
    differences: int
    first_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryCheck:
    """Signals computed again from later starts.

    `bars` were compared, all past the warm-up; in `differences` of them the signal differed, and the stop distance
    by up to `largest_change`, a fraction.
    """

    bars: int
    differences: int
    largest_change: float


@dataclass(frozen=True)
class LintEvidence:
    """What a result does not hold itself. What is left out makes its rules silent, and that is said.

    Attributes:
        series: the candles of its symbols, from which gaps and fills are checked.
        venue_fee: what the venue takes from a market order, as a fraction.
        grid: the values that were tried, by parameter; empty where nothing was searched.
        trials: how many parameters were ever tried on these bars; at most 1 where nothing was chosen.
        score: what the choice went by, and `neighbours` the same for the parameters next to the chosen ones.
        out_of_sample: whether there is a result on bars that the choice has not seen.
        look_ahead: from strategy_checks.check_look_ahead.
        history: from strategy_checks.check_history.
        hold_return: of holding in equal parts, and `same_exposure_return` of doing so with the strategy's exposure.
    """

    series: Mapping[str, CandleSeries] = field(default_factory=dict)
    venue_fee: float | None = None
    grid: Mapping[str, Sequence[float | int]] = field(default_factory=dict)
    trials: int = 0
    score: float | None = None
    neighbours: Sequence[float | None] = ()
    out_of_sample: bool = False
    look_ahead: LookAheadCheck | None = None
    history: HistoryCheck | None = None
    hold_return: float | None = None
    same_exposure_return: float | None = None


@dataclass(frozen=True, slots=True)
class Linted:
    """What a rule looks at."""

    result: BacktestResult
    figures: BacktestFigures
    evidence: LintEvidence

    @property
    def days(self) -> float:
        """Length of the result's period."""
        return (self.result.ends_at - self.result.starts_at) / timedelta(days=1)
