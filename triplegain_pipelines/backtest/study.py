"""Runs a study piece by piece: what is left of it, one batch of trials, and again after any crash.

A study is a walk: each fold tries its sets of parameters on its train bars, the plateau among them is chosen, and the
choice is judged on the test bars. What a trial shows is in the journal at once and in the database soon after. One that
is stored is never run again; those in flight when a worker, the machine or the database dies are begun again, on forks
of their own. All that decides the result is in the study's row and in the sealed bars, so the pieces may run in any
order, process or machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from uuid import UUID

from triplegain_pipelines.backtest.bench import Batch, Bench, Task
from triplegain_pipelines.backtest.forks import Laboratory, opened, sealing
from triplegain_pipelines.backtest.journal import journal_of
from triplegain_pipelines.backtest.search import Method, fixed_trials
from triplegain_pipelines.backtest.splits import Fold
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.studies import Study
from triplegain_pipelines.strategies.strategy import Strategy

_TAKEOVER_SECONDS = 5.0
"""How long the server may take to notice that a worker was killed."""


def folds_of(study: Study) -> tuple[Fold, ...]:
    """The folds of a study."""
    return tuple(Fold(number, *ranges) for number, ranges in enumerate(study.folds))


def strategy_of(study: Study) -> Strategy:
    """The strategy that a study is about.

    Raises:
        InputError: the registry does not know it.
    """
    from triplegain_pipelines.strategies.registry import STRATEGIES

    if study.strategy not in STRATEGIES:
        msg = f"there is no strategy {study.strategy!r}; there are: {', '.join(sorted(STRATEGIES))}"
        raise InputError(msg)
    return STRATEGIES[study.strategy]


def begin_study(laboratory: Laboratory, study: Study, series: CandleSeries) -> UUID:
    """Seal the bars and write the study down. A study that was begun before goes on, and its bars are there again.

    Args:
        laboratory: where.
        study: whose `data_hash` is that of the series.
        series: all bars of the study.

    Raises:
        InputError: the bars are others than the study says.
        UnavailableError: there is no room for the bars, or the database cannot be reached.
    """
    with sealing(laboratory, series) as (data_hash, connection):
        if data_hash != study.data_hash:
            msg = f"the study is about the data {study.data_hash[:12]}, and these are {data_hash[:12]}; plan it again"
            raise InputError(msg)
        studies.begin(connection, study, laboratory.clock.now())
        if studies.read(connection, study.study_id).state == "RUNNING":
            laboratory.hold(connection, data_hash, study.study_id)
    return study.study_id


def plan_batches(laboratory: Laboratory, study_id: UUID, *, size: int) -> list[Batch]:
    """The batches in which something is left to do.

    A search that learns has one batch a fold, for its trials follow from each other; any other has as many as there are
    `size` trials.
    """
    with laboratory.database.connection() as connection:
        study = studies.read(connection, study_id).study
        done = studies.done_places(connection, study_id)
    step = study.trials_per_fold if study.method == Method.TPE else size
    planned = [
        Batch(fold, first, min(first + step, study.trials_per_fold))
        for fold in range(len(study.folds))
        for first in range(0, study.trials_per_fold, step)
    ]
    return [one for one in planned if not set(range(one.first, one.stop)) <= done.get(one.fold, set())]


def run_batches(
    laboratory: Laboratory,
    study_id: UUID,
    batches: Sequence[Batch],
    *,
    portion: int,
    threads: int = 1,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Run what is left of some batches, one after the other, and return how many trials were run.

    Run twice, it does nothing the second time. Indicators are computed once for all of them.

    Args:
        laboratory: where.
        study_id: of which study.
        batches: which trials.
        portion: how many are written to the database at once.
        threads: of the kernel.
        on_progress: told after each portion how many trials of these batches are done.

    Raises:
        UnavailableError: another worker runs one of them, there is no room, or the database cannot be reached: run them
            again later.
        InputError: the study's bars were removed; begin it again.
    """
    with laboratory.database.connection() as connection:
        found = studies.read(connection, study_id)
    values = cache(lambda: IndicatorValues(opened(laboratory, found.study.data_hash)))
    ran = before = 0
    for batch in batches:
        holder = f"triplegain.study.{study_id}.{batch.key}"
        task = Task(found, strategy_of(found.study), folds_of(found.study)[batch.fold], batch, holder, threads)
        with (
            laboratory.database.autocommit() as lock,
            forks.holding(lock, holder, _TAKEOVER_SECONDS),
            journal_of(laboratory.journals(study_id), batch.fold, batch.key) as journal,
        ):
            bench = Bench(laboratory, task, journal)
            if not bench.is_done:
                ran += bench.run(values(), portion, partial(_told, on_progress, before))
            journal.remove()
        before += len(batch.places)
        on_progress(before)
    return ran


def planned_trials(strategy: Strategy, method: Method, *, seed: int, trials: int) -> int:
    """How many trials each fold of a study has: the whole grid, or as many as are wanted and can be told apart.

    Raises:
        InputError: the strategy has no grid, or no combination of it is allowed.
    """
    count = len(fixed_trials(strategy, Method.GRID if method is Method.GRID else Method.SOBOL, seed, trials))
    if count < 1:
        msg = f"the grid of {strategy.name} has no combination that its type allows; mend the grid"
        raise InputError(msg)
    return count


def _told(on_progress: Callable[[int], None], before: int, done: int) -> None:
    on_progress(before + done)
