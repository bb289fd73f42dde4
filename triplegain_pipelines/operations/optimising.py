"""Studies over stored candles, whole or in the pieces that an executor spreads over processes."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from triplegain_pipelines.backtest.bench import Batch
from triplegain_pipelines.backtest.forks import Swept, sweep_forks
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.study import begin_study, plan_batches, run_batches
from triplegain_pipelines.backtest.verdict import conclude
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.operations.backtests import stored_series
from triplegain_pipelines.operations.research_terms import terms_for
from triplegain_pipelines.operations.studies import (
    Question,
    bar_of,
    laboratory_of,
    plan_study,
    propose_parameters,
    run_study,
)
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.studies import StoredStudy, Study
from triplegain_pipelines.strategies.registry import STRATEGIES

_LIFE = ("CREATED", "USED", "DESTROYED", "EXPIRED")
_THREADS = os.cpu_count() or 1
_PIECE_SECONDS = 20.0  # of one core; a process begins in three to five
_MOST_PIECES = 200  # each is a step in the record of the run
# A trial of a year of hours takes one millisecond, mostly for its rows, and one of a year of minutes twelve more.
_TRIAL_SECONDS, _BAR_SECONDS = 0.001, 25e-9


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What is asked: one strategy on one market, searched over the bars opened in `[start, end)`."""

    strategy: str
    venue: str
    symbol: str
    timeframe: Timeframe
    start: datetime
    end: datetime
    method: str
    trials: int
    seed: int


@dataclass(frozen=True, slots=True)
class FoundParameters:
    """A concluded study, and the row of what it proposes; None where no trial ever traded."""

    study: StoredStudy
    parameters_id: UUID | None

    @property
    def words(self) -> str:
        """The verdict, and why."""
        return str((self.study.conclusion or {})["words"])

    @property
    def proposed(self) -> dict[str, object]:
        """The parameters that are proposed; empty where there are none."""
        return dict((self.study.conclusion or {})["proposed"]["parameters"] or {})


def optimise_parameters(
    database: Database,
    settings: Settings,
    plan: StudyPlan,
    clock: Clock,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> FoundParameters:
    """Run a study in this process, from its beginning or from where it was stopped, and propose what it found.

    Raises:
        InputError: the plan cannot be run, or no candles are stored.
        UnavailableError: something it needs is not there at the moment; it goes on when it is run again.
    """
    study, series = _planned(database, settings, plan, clock.now())
    laboratory = laboratory_of(settings, database, clock)
    concluded = run_study(laboratory, settings.research, study, series, threads=_THREADS, on_progress=on_progress)
    return FoundParameters(concluded, propose_parameters(laboratory, concluded))


def begin_pieces(
    database: Database, settings: Settings, plan: StudyPlan, clock: Clock
) -> tuple[UUID, list[tuple[Batch, ...]]]:
    """Begin a study or go on with it: its id, and the pieces in which something is left to do."""
    study, series = _planned(database, settings, plan, clock.now())
    laboratory = laboratory_of(settings, database, clock)
    study_id = begin_study(laboratory, study, series)
    batches = plan_batches(laboratory, study_id, size=settings.research.batch_trials)
    return study_id, pieces_of(batches, len(series))


def pieces_of(batches: Sequence[Batch], bars: int) -> list[tuple[Batch, ...]]:
    """Batches of one study in pieces of much the same work, in their order.

    A step of an executor is a process, and takes seconds to begin: a piece is worth that many times over. What is too
    short for two is one piece.

    Args:
        batches: of the study.
        bars: of its data.
    """
    trials = sum(len(batch.places) for batch in batches)
    seconds = trials * (_TRIAL_SECONDS + bars * _BAR_SECONDS)
    count = min(max(int(seconds / _PIECE_SECONDS), 1), _MOST_PIECES)
    pieces: dict[int, list[Batch]] = {}
    before = 0
    for batch in batches:
        pieces.setdefault(before * count // trials, []).append(batch)
        before += len(batch.places)
    return [tuple(piece) for piece in pieces.values()]


def run_piece(
    database: Database, settings: Settings, study_id: UUID, piece: Sequence[Batch], pieces: int, clock: Clock
) -> int:
    """Run what is left of one of so many pieces: where there are fewer than cores, each takes its share of them."""
    laboratory = laboratory_of(settings, database, clock)
    threads, portion = max(_THREADS // pieces, 1), settings.research.portion_trials
    return run_batches(laboratory, study_id, piece, portion=portion, threads=threads)


def conclude_pieces(database: Database, settings: Settings, study_id: UUID, clock: Clock) -> FoundParameters:
    """Judge a study whose pieces are all done, and propose what it found."""
    laboratory = laboratory_of(settings, database, clock)
    concluded = conclude(laboratory, study_id, bar_of(settings.research))
    return FoundParameters(concluded, propose_parameters(laboratory, concluded))


def sweep(database: Database, settings: Settings, clock: Clock) -> Swept:
    """End forks whose time has passed or whose worker is gone, and remove data of which no fork lives."""
    return sweep_forks(laboratory_of(settings, database, clock))


def study_table(study: StoredStudy) -> list[dict[str, str]]:
    """A row for each fold of a concluded study: what was chosen, and what it showed in sample and out of sample."""
    return [
        {
            "fold": str(fold["fold"]),
            "chosen": ", ".join(f"{name} {value}" for name, value in (fold["parameters"] or {}).items()),
            "in sample": _sharpe(fold["in_sample"]),
            "out of sample": _sharpe(fold["out_of_sample"]),
            "on the edge of the grid": "yes" if fold.get("at_edge") else "no",
        }
        for fold in (study.conclusion or {})["folds"]
    ]


def fork_lives(database: Database) -> list[dict[str, object]]:
    """A row for each study: what it is about, and how many of its forks are in which part of their life."""
    with database.connection() as connection:
        found = studies.read_all(connection)
        lives = {one.study_id: forks.lives_by_state(connection, one.study_id) for one in found}
    return [
        {
            "study": str(one.study_id),
            "about": f"{one.study.strategy} on {one.study.symbol} {one.study.timeframe}",
            "state": one.state,
            "begun": f"{one.created_at:%Y-%m-%d %H:%M}",
            **{state.lower(): lives[one.study_id].get(state, 0) for state in _LIFE},
        }
        for one in found
    ]


def _sharpe(figures: Mapping[str, Any] | None) -> str:
    value = None if figures is None else figures["sharpe"]
    return "none" if value is None else f"{value:.2f}"


def _planned(database: Database, settings: Settings, plan: StudyPlan, now: datetime) -> tuple[Study, CandleSeries]:
    if plan.strategy not in STRATEGIES or plan.method not in set(Method):
        known, what = (STRATEGIES, "strategy") if plan.strategy not in STRATEGIES else (list(Method), "method")
        asked = plan.strategy if what == "strategy" else plan.method
        msg = f"there is no {what} {asked!r}; there are: {', '.join(known)}"
        raise InputError(msg)
    series = stored_series(database, plan.venue, plan.symbol, plan.timeframe, plan.start, plan.end, now)
    question = Question(
        strategy=STRATEGIES[plan.strategy],
        venue=plan.venue,
        method=Method(plan.method),
        trials=plan.trials,
        seed=plan.seed,
        terms=terms_for(settings, Instrument(plan.symbol)),
    )
    return plan_study(settings.research, question, series), series
