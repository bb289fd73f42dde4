"""What a validation rests on, collected: metrics, counts, rows and frames. Nothing is judged here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.benchmarks import Benchmark, hold_name
from triplegain_pipelines.evaluation.forecast_scores import ForecastScore
from triplegain_pipelines.evaluation.happenings import Happening
from triplegain_pipelines.evaluation.performance import ExecutionMetrics, PortfolioMetrics, TradeMetrics
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.evidence import BreakerChange, CandleGap, DecisionCounts, SeatCalls
from triplegain_pipelines.store.performance import OpenPosition, ReasonCount, TradeRecord, TradingCounts

BITCOIN = "BTC"
# A person switched the models off: nothing went wrong.
_NO_ERROR = frozenset({ReasonCode.SEATS_DISABLED.value})


@dataclass(frozen=True, slots=True)
class SymbolFigures:
    """What the account did in one symbol, and what holding it would have done."""

    symbol: str
    trades: TradeMetrics
    hold_return: float | None


@dataclass(frozen=True)
class ValidationInputs:
    """Everything a report rests on. `equity` and `prices` are the frames of store/performance.py and evidence.py."""

    account: Account
    schema: str
    start: datetime
    end: datetime
    symbols: tuple[str, ...]
    simulated: bool
    baseline: bool
    replay: bool
    config_hash: str
    result_hash: str
    code_versions: dict[str, list[str]]
    equity: pl.DataFrame
    prices: pl.DataFrame
    trades: Sequence[TradeRecord]
    positions: Sequence[OpenPosition]
    portfolio: PortfolioMetrics
    trading: TradeMetrics
    execution: ExecutionMetrics
    by_symbol: Sequence[SymbolFigures]
    benchmarks: Sequence[Benchmark]
    decisions_due: int
    decisions: DecisionCounts
    calls: Sequence[SeatCalls]
    forecasters: Sequence[ForecastScore]
    counts: TradingCounts
    reasons: Sequence[ReasonCount]
    breaker_changes: Sequence[BreakerChange]
    gaps: Sequence[CandleGap]
    happenings: Sequence[Happening] = ()

    @property
    def paper(self) -> bool:
        """Whether orders were filled by the paper venue."""
        return self.schema == "paper_trading"

    @property
    def days(self) -> float:
        """Length of the period."""
        return (self.end - self.start) / timedelta(days=1)

    @property
    def agent_errors(self) -> int:
        """Calls of seats that ended in an error. A seat that a person switched off made none."""
        return sum(count for calls in self.calls for code, count in calls.reasons.items() if code not in _NO_ERROR)

    @property
    def agent_calls(self) -> int:
        """Calls of seats, answered or not."""
        return sum(calls.calls for calls in self.calls)

    @property
    def refusals(self) -> list[ReasonCount]:
        """Why decisions that were to be traded made no order: one reason for each such decision."""
        return [reason for reason in self.reasons if reason.stage == "order path"]

    def benchmark(self, name: str) -> Benchmark | None:
        """The benchmark of that name, if its prices are known."""
        return next((benchmark for benchmark in self.benchmarks if benchmark.name == name), None)

    @property
    def bitcoin(self) -> Benchmark | None:
        """Holding bitcoin, which every account is compared with."""
        return self.benchmark(hold_name(f"{BITCOIN}/{self.account.currency}"))
