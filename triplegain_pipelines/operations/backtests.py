"""Runs strategies over stored history through the real risk engine, judges each result, and keeps what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from triplegain_pipelines.backtest.event_engine import run_events
from triplegain_pipelines.backtest.sealed_bars import data_hash
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.evaluation.backtest_report import report_document, write_judged
from triplegain_pipelines.evaluation.backtest_verdict import BacktestCase, Judgement, WalkForward, judge
from triplegain_pipelines.evaluation.results_linter import LintEvidence
from triplegain_pipelines.evaluation.strategy_checks import check_history, check_look_ahead
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.operations.replay_plan import only_venue
from triplegain_pipelines.operations.research_terms import terms_for
from triplegain_pipelines.operations.walk_forwards import neighbourhood, tried_sharpes, walk_forward_of
from triplegain_pipelines.risk.engine import RISK_VERSION
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store import strategy_parameters, studies
from triplegain_pipelines.store.backtests import StoredBacktest, save_backtest
from triplegain_pipelines.store.candles import coverage
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.research_candles import research_candles
from triplegain_pipelines.store.studies import StoredStudy
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

BACKTEST_VERSION = f"1/{RISK_VERSION}"
"""Raised when a backtest of the same data would give another result; risk's own version is part of it."""

_LONGEST = Timeframe.H1


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What is asked: each of these strategies on each of these symbols alone, on the bars opened in `[start, end)`."""

    strategies: tuple[str, ...]
    venue: str
    symbols: tuple[str, ...]
    timeframe: Timeframe
    start: datetime
    end: datetime

    def require_known(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InputError: an unknown strategy, nothing to run, an empty period or bars longer than an hour.
        """
        unknown = sorted(set(self.strategies) - set(STRATEGIES))
        if unknown or not self.strategies or not self.symbols:
            msg = f"there is no strategy {', '.join(unknown)}" if unknown else "name a strategy and a symbol"
            msg += f"; the strategies are {', '.join(STRATEGIES)}, or 'all'"
            raise InputError(msg)
        if self.start >= self.end:
            msg = f"the period ends at {self.end:%Y-%m-%d} and begins at {self.start:%Y-%m-%d}; it must begin before"
            raise InputError(msg)
        if self.timeframe.minutes > _LONGEST.minutes:
            msg = f"bars of {self.timeframe} hide what a breaker would have seen; take bars of {_LONGEST} or less"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class WrittenBacktests:
    """Every case judged, in the order of strategies and then symbols, and the page to open first."""

    judged: tuple[Judgement, ...]
    page: Path

    @property
    def best(self) -> Judgement:
        """The case with the highest Sharpe ratio, the first of several."""
        return max(self.judged, key=lambda one: one.figures.portfolio.sharpe or float("-inf"))

    @property
    def content(self) -> str:
        """Hash of all trades of all cases: the same question on the same data has the same."""
        return content_hash([trades_hash(one) for one in self.judged])


def run_backtests(
    database: Database,
    settings: Settings,
    plan: BacktestPlan,
    clock: Clock,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> WrittenBacktests:
    """Run what is planned, write the reports, and keep a row for each case.

    Args:
        database: with the candles.
        settings: costs, limits and where reports go.
        plan: what to run.
        clock: of the rows and pages.
        on_progress: told what runs next, how many cases are done, and how many there are.

    Raises:
        InputError: the plan cannot be run, or no candles are stored for a symbol.
        DataError: a case gave other trades than before on the same data with the same code.
    """
    plan.require_known()
    judged: list[Judgement] = []
    planned = len(plan.strategies) * len(plan.symbols)
    for symbol in plan.symbols:
        series = stored_series(database, plan.venue, symbol, plan.timeframe, plan.start, plan.end, clock.now())
        values = IndicatorValues(series)
        for name in plan.strategies:
            on_progress(f"{name} on {symbol}", len(judged), planned)
            judged.append(_judged(database, settings, plan, STRATEGIES[name], values))
    on_progress("reports", len(judged), planned)
    now = clock.now()
    page = write_judged(settings.home / "reports" / "backtests", judged, generated_at=now)
    with database.connection() as connection:
        for one in judged:
            save_backtest(connection, _row(plan.venue, one, now))
    return WrittenBacktests(tuple(judged), page)


def venue_of(database: Database, symbols: Sequence[str]) -> str:
    """The one venue whose candles of all these symbols are stored.

    Raises:
        InputError: none has them all, or several do.
    """
    with database.connection() as connection:
        return only_venue(coverage(connection), symbols)


def stored_series(
    database: Database, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime, now: datetime
) -> CandleSeries:
    """The stored candles of a market as research takes them: those opened in `[start, end)` that had closed by `now`.

    Raises:
        InputError: there are none.
    """
    with database.connection() as connection:
        # A bar that opened no earlier than this is still being made.
        closed = floor_to(now, timeframe.duration)
        frame = research_candles(connection, venue, symbol, timeframe, start, min(end, closed))
    if frame.is_empty():
        msg = (
            f"no {timeframe} candles of {symbol} at {venue} are stored from {start:%Y-%m-%d} to {end:%Y-%m-%d}; "
            "'triplegain doctor' shows what is there, 'triplegain import' and 'triplegain backfill' bring more"
        )
        raise InputError(msg)
    return CandleSeries.of(symbol, timeframe, frame)


def trades_hash(judged: Judgement) -> str:
    """Hash of everything in the trades of a result."""
    trades = judged.case.result.trades
    return content_hash(trades.write_csv() if trades.height else "")


def _judged(
    database: Database, settings: Settings, plan: BacktestPlan, strategy: Strategy, values: IndicatorValues
) -> Judgement:
    series = values.series
    instrument = Instrument(series.symbol)
    parameters, study = _chosen(database, strategy, plan, series.symbol)
    trials = None if study is None else tried_in(database, study)
    score, neighbours = (None, ()) if trials is None else neighbourhood(trials, strategy, parameters)
    result = run_events(
        {series.symbol: values},
        {series.symbol: strategy.function(values, parameters)},
        strategy=strategy,
        parameters=parameters,
        limits=settings.risk,
        terms=terms_for(settings, instrument),
        instruments={series.symbol: instrument},
    )
    evidence = LintEvidence(
        venue_fee=float(settings.profile.paper.fee_bps) / 10_000,
        look_ahead=check_look_ahead(strategy, parameters, series),
        history=check_history(strategy, parameters, series),
        grid=strategy.grid if study else {},
        trials=study.conclusion["out_of_sample"]["trials"] if study and study.conclusion else 0,
        score=score,
        neighbours=neighbours,
        out_of_sample=study is not None,
    )
    return judge(
        BacktestCase(
            result=result,
            series={series.symbol: series},
            evidence=evidence,
            walk_forward=None if study is None else _walk_forward(database, study),
            trials=trials,
            seed=settings.profile.paper.seed,
            simulated=plan.venue == SIMULATED_VENUE,
        )
    )


def _chosen(
    database: Database, strategy: Strategy, plan: BacktestPlan, symbol: str
) -> tuple[StrategyParameters, StoredStudy | None]:
    """The approved parameters and the study that found them, or the defaults and the newest study of this market."""
    with database.connection() as connection:
        approved = strategy_parameters.approved(connection, strategy.name, plan.venue, symbol, plan.timeframe.value)
        if approved is not None:
            return strategy.parameters(**approved.parameters), studies.read(connection, approved.study_id)
        concluded = [
            one
            for one in studies.read_all(connection, strategy.name)
            if one.conclusion is not None
            and (one.study.venue, one.study.symbol, one.study.timeframe) == (plan.venue, symbol, plan.timeframe.value)
        ]
    return strategy.parameters(), max(concluded, key=lambda one: one.created_at, default=None)


def tried_in(database: Database, study: StoredStudy) -> pl.DataFrame:
    """What the trials of a study showed where they were trained, a row for each set of parameters."""
    with database.connection() as connection:
        return tried_sharpes(studies.trials_of(connection, study.study_id))


def _walk_forward(database: Database, study: StoredStudy) -> WalkForward | None:
    asked = study.study
    series = stored_series(
        database, asked.venue, asked.symbol, Timeframe(asked.timeframe), asked.starts_at, asked.ends_at, asked.ends_at
    )
    return walk_forward_of(study, series) if data_hash(series) == asked.data_hash else None


def _row(venue: str, judged: Judgement, now: datetime) -> StoredBacktest:
    result = judged.case.result
    document = report_document(judged)
    return StoredBacktest(
        strategy=result.strategy,
        parameters=result.parameters,
        venue=venue,
        symbols=result.symbols,
        timeframe=result.timeframe.value,
        engine=result.engine,
        starts_at=result.starts_at,
        ends_at=result.ends_at,
        bars=result.bars,
        data_hash=content_hash([data_hash(one) for one in judged.case.series.values()]),
        terms=result.costs,
        code_version=BACKTEST_VERSION,
        trades_hash=trades_hash(judged),
        figures=document["figures"],
        findings=document["findings"],
        verdict=judged.verdict.value,
        created_at=now,
    )
