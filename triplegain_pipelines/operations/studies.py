"""Studies as a person or a job asks for them: planned from settings, run in pieces, concluded, proposed, approved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.sealed_bars import data_hash
from triplegain_pipelines.backtest.search import Method, fixed_trials
from triplegain_pipelines.backtest.splits import purge_bars, walk_forward
from triplegain_pipelines.backtest.study import begin_study, plan_batches, planned_trials, run_batches
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.backtest.verdict import Bar, conclude
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.research import ResearchSettings
from triplegain_pipelines.store import strategy_parameters
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.strategy_parameters import StoredParameters
from triplegain_pipelines.store.studies import StoredStudy, Study
from triplegain_pipelines.strategies.strategy import Strategy

STUDY_VERSION = "1"
"""Raised when a study of the same data would give another result: kernel, strategies, search, splits or plateau."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks: which strategy on which market, searched how. `trials` is of each fold; a grid needs none."""

    strategy: Strategy
    venue: str
    method: Method
    trials: int
    seed: int
    terms: Terms


def laboratory_of(settings: Settings, database: Database, clock: Clock) -> Laboratory:
    """Where studies of this home work."""
    folder = settings.home / "research" / "sealed"
    return Laboratory(database, folder, clock, settings.research.fork_life)


def bar_of(research: ResearchSettings) -> Bar:
    """What it takes to be significant."""
    return Bar(research.significance_level, research.fewest_days, research.fewest_trades)


def plan_study(research: ResearchSettings, question: Question, series: CandleSeries) -> Study:
    """The study that answers a question, with the walk that the settings describe.

    Raises:
        InputError: too few bars for one test, or a strategy without a grid.
    """
    strategy, walk = question.strategy, research.walk_forward
    tries = fixed_trials(
        strategy, Method.GRID if question.method is Method.GRID else Method.SOBOL, question.seed, question.trials
    )
    warm_up = max((strategy.warm_up(one) for one in tries), default=0)
    per_day = _DAY_MINUTES / series.timeframe.minutes
    folds = walk_forward(
        len(series),
        first=warm_up,
        train=max(1, round(walk.train_days * per_day)),
        test=max(1, round(walk.test_days * per_day)),
        purge=purge_bars([warm_up], walk.longest_holding_bars),
        embargo=walk.embargo_bars,
        anchored=walk.anchored,
    )
    return Study(
        strategy=strategy.name,
        venue=question.venue,
        symbol=series.symbol,
        timeframe=series.timeframe.value,
        data_hash=data_hash(series),
        starts_at=_moment(int(series.opened_at[0])),
        ends_at=_moment(int(series.closed_at[-1])),
        terms=question.terms.document(),
        method=question.method.value,
        seed=question.seed,
        trials_per_fold=planned_trials(strategy, question.method, seed=question.seed, trials=question.trials),
        folds=tuple(tuple(fold.document()) for fold in folds),
        code_version=STUDY_VERSION,
    )


def run_study(
    laboratory: Laboratory,
    research: ResearchSettings,
    study: Study,
    series: CandleSeries,
    *,
    threads: int = 1,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> StoredStudy:
    """Begin a study or go on with it, run what is left of it in this process, and conclude it.

    Args:
        laboratory: where.
        research: sizes of its pieces, and what it has to show.
        study: the question.
        series: all of its bars.
        threads: of the kernel.
        on_progress: told the trials that are done, and all there are.

    Raises:
        UnavailableError: something it needs is not there at the moment; it goes on where it was when it is run again.
    """
    study_id = begin_study(laboratory, study, series)
    batches = plan_batches(laboratory, study_id, size=research.batch_trials)
    planned = len(study.folds) * study.trials_per_fold
    before = planned - sum(len(batch.places) for batch in batches)
    run_batches(
        laboratory,
        study_id,
        batches,
        portion=research.portion_trials,
        threads=threads,
        on_progress=lambda done: on_progress(before + done, planned),
    )
    return conclude(laboratory, study_id, bar_of(research))


def propose_parameters(laboratory: Laboratory, concluded: StoredStudy) -> UUID | None:
    """Put what a study found into the registry, with its evidence; None where no trial of it ever traded.

    A proposal changes nothing: it is used after somebody approved it.

    Raises:
        InputError: the study is not concluded.
    """
    if concluded.conclusion is None:
        msg = f"study {concluded.study_id} is not concluded; run what is left of it first"
        raise InputError(msg)
    proposed: dict[str, Any] = concluded.conclusion["proposed"]
    if proposed["parameters"] is None:
        return None
    with laboratory.database.connection() as connection:
        return strategy_parameters.propose(
            connection, concluded.study_id, proposed["parameters"], concluded.conclusion, laboratory.clock.now()
        )


def approve_parameters(
    laboratory: Laboratory, parameters_id: UUID, *, by: str, reason: str, although_not_significant: bool = False
) -> StoredParameters:
    """Let proposed parameters be used from now on, in place of those that are used now.

    Raises:
        InputError: they are not proposed, nobody or no reason is named, or they are not significant and nobody says so.
    """
    with laboratory.database.connection() as connection:
        strategy_parameters.approve(
            connection,
            parameters_id,
            by=by,
            reason=reason,
            although_not_significant=although_not_significant,
            at=laboratory.clock.now(),
        )
        return strategy_parameters.read(connection, parameters_id)


def retire_parameters(laboratory: Laboratory, parameters_id: UUID, *, by: str, reason: str) -> StoredParameters:
    """Let parameters be used no more.

    Raises:
        InputError: they are retired already, or nobody or no reason is named.
    """
    with laboratory.database.connection() as connection:
        strategy_parameters.retire(connection, parameters_id, by=by, reason=reason, at=laboratory.clock.now())
        return strategy_parameters.read(connection, parameters_id)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
