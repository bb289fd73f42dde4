"""The validation of an account: requirement B3's criteria as data, a verdict, and the sentence that sums them up.

Pure: `build_validation` looks at what was collected and at nothing else. A sample that is too small fails with a plain
sentence; no criterion passes on it. How the report looks is report_page.py's, where its rows come from report.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.evaluation.performance import POINT_IS_ENOUGH_DAYS
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs

MINIMUM_DAYS = 14
MINIMUM_TRADES = 50
SHARPE_OVER = 1.0
DRAWDOWN_UNDER = 0.15
WIN_RATE_OVER = 0.45
UPTIME_OVER = 0.99
AGENT_ERRORS_UNDER = 0.01
LATENCY_UNDER_SECONDS = 1.0


class Outcome(StrEnum):
    """How a criterion ends."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ENOUGH_DATA = "not enough data"


class ValidationVerdict(StrEnum):
    """How the validation ends: passed when every criterion is."""

    PASSED = "PASSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the validation. `number` is the measured value, `value` how a person reads it."""

    criterion_id: str
    title: str
    threshold: str
    value: str
    number: float | None
    outcome: Outcome
    explanation: str


@dataclass(frozen=True, slots=True)
class Label:
    """What must be said beside every number: that something in it is not the real thing."""

    title: str
    meaning: str


@dataclass(frozen=True)
class ValidationReport:
    """The judged report. `verdict` is about the criteria; `counts_for_live` also asks that everything was real."""

    inputs: ValidationInputs
    verdict: ValidationVerdict
    criteria: tuple[Criterion, ...]
    labels: tuple[Label, ...]
    summary: str

    @property
    def counts_for_live(self) -> bool:
        """Whether this validation may be one of the conditions for live trading: paper fills on a live market."""
        unreal = self.inputs.simulated or self.inputs.baseline or self.inputs.replay
        return self.verdict is ValidationVerdict.PASSED and not unreal


def build_validation(inputs: ValidationInputs) -> ValidationReport:
    """Judge every criterion of B3; the verdict is PASSED when all of them pass."""
    criteria = (
        _period(inputs),
        _trades(inputs),
        _sharpe(inputs),
        _drawdown(inputs),
        _win_rate(inputs),
        _uptime(inputs),
        _agent_errors(inputs),
        _latency(inputs),
    )
    passed = all(criterion.outcome is Outcome.PASSED for criterion in criteria)
    return ValidationReport(
        inputs=inputs,
        verdict=ValidationVerdict.PASSED if passed else ValidationVerdict.FAILED,
        criteria=criteria,
        labels=_labels(inputs),
        summary=_summary(inputs, criteria),
    )


def decisions_due(start: datetime, end: datetime, interval: timedelta, symbols: Sequence[str]) -> int:
    """How many decisions belong to `[start, end)`: one for each symbol at each point of the grid of `interval`."""
    origin = floor_to(start, interval)
    # rounded up: the first point at or after each end of the period
    points = -((origin - end) // interval) + (origin - start) // interval
    return max(0, points) * len(symbols)


def _period(inputs: ValidationInputs) -> Criterion:
    enough = inputs.days >= MINIMUM_DAYS
    return Criterion(
        criterion_id="period",
        title="Period",
        threshold=f"at least {MINIMUM_DAYS} days",
        value=f"{inputs.days:.1f} days",
        number=inputs.days,
        outcome=Outcome.PASSED if enough else Outcome.FAILED,
        explanation="Long enough to have met more than one kind of market."
        if enough
        else f"{inputs.days:.1f} days are too few to tell skill from the weather of the market.",
    )


def _trades(inputs: ValidationInputs) -> Criterion:
    closed = inputs.trading.closed
    enough = closed >= MINIMUM_TRADES
    return Criterion(
        criterion_id="trades",
        title="Closed trades",
        threshold=f"at least {MINIMUM_TRADES}",
        value=f"{closed}",
        number=closed,
        outcome=Outcome.PASSED if enough else Outcome.FAILED,
        explanation="A trade runs from flat to flat; open positions do not count."
        if enough
        else f"With {closed} of {MINIMUM_TRADES} trades, luck can explain any result.",
    )


def _sharpe(inputs: ValidationInputs) -> Criterion:
    ratio, interval, days = inputs.portfolio.sharpe, inputs.portfolio.sharpe_interval, inputs.portfolio.days
    value = "none" if ratio is None else f"{ratio:.2f}"
    explanation = f"Mean over deviation of {days} daily returns, open positions included, times the root of 365."
    if interval is not None and days < POINT_IS_ENOUGH_DAYS:
        value += f" ({interval.low:.1f} to {interval.high:.1f})"
        explanation += f" After so few days the true ratio may lie anywhere from {interval.low:.1f} to "
        explanation += f"{interval.high:.1f} (95 %)."
    if ratio is None:
        explanation = "There is no ratio: the equity did not move, or there are fewer than two whole days."
    return Criterion(
        criterion_id="sharpe",
        title="Sharpe ratio",
        threshold=f"over {SHARPE_OVER:.1f} a year",
        value=value,
        number=ratio,
        outcome=_judged(enough=days >= MINIMUM_DAYS, passed=None if ratio is None else ratio > SHARPE_OVER),
        explanation=explanation,
    )


def _drawdown(inputs: ValidationInputs) -> Criterion:
    fall = inputs.portfolio.drawdown
    return Criterion(
        criterion_id="drawdown",
        title="Maximum drawdown",
        threshold=f"under {DRAWDOWN_UNDER:.0%}",
        value=f"{fall.depth:.1%}",
        number=fall.depth,
        outcome=Outcome.PASSED if fall.depth < DRAWDOWN_UNDER else Outcome.FAILED,
        explanation=f"The deepest fall from a peak on {inputs.portfolio.marks} marks of the equity, "
        "open positions included.",
    )


def _win_rate(inputs: ValidationInputs) -> Criterion:
    trading = inputs.trading
    rate, interval = trading.win_rate, trading.win_rate_interval
    value, explanation = "none", "No trade was closed."
    if rate is not None and interval is not None:
        value = f"{rate:.1%} ({interval.low:.0%} to {interval.high:.0%})"
        explanation = f"{trading.wins} won, {trading.losses} lost, {trading.break_even} came out even, after fees."
    return Criterion(
        criterion_id="win_rate",
        title="Win rate",
        threshold=f"over {WIN_RATE_OVER:.0%}",
        value=value,
        number=rate,
        outcome=_judged(enough=trading.closed >= MINIMUM_TRADES, passed=None if rate is None else rate > WIN_RATE_OVER),
        explanation=explanation,
    )


def _uptime(inputs: ValidationInputs) -> Criterion:
    due, made = inputs.decisions_due, inputs.decisions.made
    share = made / due if due else None
    return Criterion(
        criterion_id="uptime",
        title="Uptime",
        threshold=f"over {UPTIME_OVER:.0%}",
        value="none" if share is None else f"{share:.2%}",
        number=share,
        outcome=_judged(enough=due > 0, passed=None if share is None else share > UPTIME_OVER),
        explanation=f"{made} of {due} decisions that were due were made.",
    )


def _agent_errors(inputs: ValidationInputs) -> Criterion:
    errors, calls = inputs.agent_errors, inputs.agent_calls
    share = errors / calls if calls else None
    return Criterion(
        criterion_id="agent_errors",
        title="Agent errors",
        threshold=f"under {AGENT_ERRORS_UNDER:.0%}",
        value="none" if share is None else f"{share:.2%}",
        number=share,
        outcome=_judged(enough=calls > 0, passed=None if share is None else share < AGENT_ERRORS_UNDER),
        explanation=f"{errors} of {calls} calls of the six seats ended without a valid answer.",
    )


def _latency(inputs: ValidationInputs) -> Criterion:
    seconds = inputs.execution.latency_p95_seconds
    explanation = "From the recorded intent to the recorded first fill of market orders, by the database's clock."
    if inputs.paper:
        explanation += " Simulated: the paper venue answers on the same machine, so no network is in it."
    return Criterion(
        criterion_id="latency",
        title="Execution latency",
        threshold=f"p95 under {LATENCY_UNDER_SECONDS:g} s",
        value="none" if seconds is None else f"{seconds:.2f} s" + (" (simulated)" if inputs.paper else ""),
        number=seconds,
        outcome=_judged(
            enough=seconds is not None, passed=None if seconds is None else seconds < LATENCY_UNDER_SECONDS
        ),
        explanation=explanation if seconds is not None else "No filled market order has a recorded latency.",
    )


def _judged(*, enough: bool, passed: bool | None) -> Outcome:
    if not enough or passed is None:
        return Outcome.NOT_ENOUGH_DATA
    return Outcome.PASSED if passed else Outcome.FAILED


def _labels(inputs: ValidationInputs) -> tuple[Label, ...]:
    known = (
        (inputs.simulated, Label("Simulated market", "Prices come from a simulator and not from any exchange.")),
        (
            inputs.baseline,
            Label("Baseline seats", "Plain deterministic forecasters sat in for the six language models."),
        ),
        (
            inputs.paper,
            Label("Paper fills", "Orders were filled by the paper venue; no money moved."),
        ),
        (inputs.replay, Label("Replay", "Stored candles were replayed; nothing here happened in real time.")),
    )
    return tuple(label for applies, label in known if applies)


def _summary(inputs: ValidationInputs, criteria: Sequence[Criterion]) -> str:
    currency, portfolio = inputs.account.currency, inputs.portfolio
    trades = "trade" if inputs.trading.closed == 1 else "trades"
    opening = (
        f"In {inputs.days:.0f} days the account made {inputs.decisions.made:,} decisions and closed "
        f"{inputs.trading.closed:,} {trades}."
    )
    result = f"Equity went from {portfolio.starting_equity:,.2f} to {portfolio.final_equity:,.2f} {currency} "
    result += f"with {portfolio.paid_in:+,.2f} paid in or out " if portfolio.paid_in else ""
    result += f"({portfolio.total_return:+.2%})"
    result += f", while holding bitcoin made {inputs.bitcoin.total_return:+.2%}." if inputs.bitcoin else "."
    sentences = [opening, result]
    unmet = [criterion.title for criterion in criteria if criterion.outcome is Outcome.FAILED]
    unknown = [criterion.title for criterion in criteria if criterion.outcome is Outcome.NOT_ENOUGH_DATA]
    if unmet:
        sentences.append(f"Not met: {', '.join(unmet)}.")
    if unknown:
        sentences.append(f"Too little data to judge: {', '.join(unknown)}.")
    if not unmet and not unknown:
        sentences.append("Every criterion is met.")
    return " ".join(sentences)
