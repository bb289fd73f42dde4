"""Runs a study piece by piece: what is left of it, one batch of trials, and again after any crash.

A study is a walk: each fold tries its sets of parameters on its train bars, the plateau among them is chosen, and the
choice is judged on the test bars. Trials are written as they are done. One that is stored is never run again; those in
flight when a worker, the machine or the database dies are begun again, on forks of their own. All that decides the
result is in the study's row and in the sealed bars, so the pieces may run in any order, process or machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from triplegain_pipelines.backtest.forks import Laboratory, opened, sealing
from triplegain_pipelines.backtest.search import FixedSearch, Method, Search, fixed_trials, search_for
from triplegain_pipelines.backtest.splits import Fold
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.backtest.trials import Evaluated, evaluate
from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.studies import BegunTrial, DoneTrial, StoredTrial, Study, trial_id_of
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

_TAKEOVER_SECONDS = 5.0
"""How long the server may take to notice that a worker was killed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The trials `first` to `stop` - 1 of one fold. Batches of a study depend on nothing of each other."""

    fold: int
    first: int
    stop: int

    @property
    def key(self) -> str:
        """A name that Dagster takes for the key of a mapped step."""
        return f"fold_{self.fold}_trials_{self.first}_{self.stop}"


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


def run_batch(
    laboratory: Laboratory,
    study_id: UUID,
    batch: Batch,
    *,
    portion: int,
    threads: int = 1,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Run what is left of a batch, and return how many trials it ran. Run twice, it does nothing the second time.

    Args:
        laboratory: where.
        study_id: of which study.
        batch: which trials.
        portion: how many are evaluated and written at once: as many are lost at most when something dies.
        threads: of the kernel.
        on_progress: told after each portion how many trials were run so far.

    Raises:
        UnavailableError: another worker runs this batch, or the database cannot be reached: run it again later.
        InputError: the study's bars were removed; begin it again.
    """
    holder = f"triplegain.study.{study_id}.{batch.key}"
    with (
        laboratory.database.autocommit() as lock,
        forks.holding(lock, holder, _TAKEOVER_SECONDS),
    ):
        return _Bench(laboratory, study_id, batch, holder, threads).run(portion, on_progress)


class _Bench:
    """One worker on one batch, which it has locked."""

    def __init__(self, laboratory: Laboratory, study_id: UUID, batch: Batch, holder: str, threads: int) -> None:
        self._laboratory, self._batch, self._holder, self._threads = laboratory, batch, holder, threads
        with laboratory.database.connection() as connection:
            found = studies.read(connection, study_id)
            own = studies.trials_of(connection, study_id, batch.fold, range(batch.first, batch.stop))
            self._known = {one.place: one for one in own}
            left = [one for one in own if one.state == "RUNNING"]
            forks.destroyed(connection, [one.fork_id for one in left], laboratory.clock.now())
            if found.state == "RUNNING":
                laboratory.hold(connection, found.study.data_hash, study_id)
        self._study, self._study_id = found.study, study_id
        self._strategy = strategy_of(found.study)
        self._fold = folds_of(found.study)[batch.fold]
        self._terms = Terms(**found.study.terms)

    def run(self, portion: int, on_progress: Callable[[int], None]) -> int:
        """Run portion after portion."""
        if all(self._is_done(place) for place in range(self._batch.first, self._batch.stop)):
            return 0
        study = self._study
        values = IndicatorValues(opened(self._laboratory, study.data_hash))
        search = _search_of(study, self._strategy, self._batch.fold)
        step, ran = min(portion, search.together), 0
        for first in range(self._batch.first, self._batch.stop, step):
            chosen = self._chosen(search, first, min(first + step, self._batch.stop))
            ran += self._portion(values, {place: one for place, one in chosen.items() if not self._is_done(place)})
            search.tell([(one, _figure(self._known[place])) for place, one in chosen.items()])
            on_progress(ran)
        return ran

    def _is_done(self, place: int) -> bool:
        return place in self._known and self._known[place].state == "DONE"

    def _chosen(self, search: Search, first: int, stop: int) -> dict[int, StrategyParameters]:
        """The parameters at these places: as they were written, else as they are proposed."""
        places = range(first, stop)
        written = {
            place: self._strategy.parameters(**self._known[place].parameters)
            for place in places
            if place in self._known
        }
        if len(written) == len(places):
            return written
        proposed = dict(zip(places, search.propose(first, stop - first), strict=False))
        return dict(sorted((proposed | written).items()))

    def _portion(self, values: IndicatorValues, chosen: Mapping[int, StrategyParameters]) -> int:
        """Fork, evaluate, write, and end the forks."""
        if not chosen:
            return 0
        laboratory, fold = self._laboratory, self._fold
        begun = self._begin(chosen)
        fork_ids = [one.fork_id for one in begun]
        try:
            parameters = list(chosen.values())
            train = evaluate(
                values, self._strategy, parameters, self._terms, fold.train_start, fold.train_stop, self._threads
            )
            test: Sequence[Evaluated | None] = [None] * len(parameters)
            if fold.is_tested:
                test = evaluate(
                    values, self._strategy, parameters, self._terms, fold.test_start, fold.test_stop, self._threads
                )
            now = laboratory.clock.now()
            done = [_done(one, trained, tested, now) for one, trained, tested in zip(begun, train, test, strict=True)]
            with laboratory.database.connection() as connection:
                studies.finish_trials(connection, done)
                forks.destroyed(connection, fork_ids, now)
        except UnavailableError:
            raise  # without a database nobody can end forks: who goes on with the batch does, or a sweep
        except BaseException:
            with suppress(UnavailableError), laboratory.database.connection() as connection:
                forks.destroyed(connection, fork_ids, laboratory.clock.now())
            raise
        self._known |= {one.place: _stored(one, came) for one, came in zip(begun, done, strict=True)}
        return len(begun)

    def _begin(self, chosen: Mapping[int, StrategyParameters]) -> list[BegunTrial]:
        """Write the trials and their forks, and say that the forks are looked at."""
        laboratory, study_id = self._laboratory, self._study_id
        now = laboratory.clock.now()
        begun, made = [], []
        for place, parameters in chosen.items():
            trial_id = trial_id_of(study_id, self._batch.fold, place)
            attempt = self._known[place].attempt + 1 if place in self._known else 1
            fork = laboratory.new_fork(self._study.data_hash, study_id, trial_id, self._holder, attempt)
            made.append(fork)
            begun.append(
                BegunTrial(
                    trial_id, study_id, self._batch.fold, place, parameters.model_dump(), attempt, fork.fork_id, now
                )
            )
        with laboratory.database.connection() as connection:
            laboratory.hold(connection, self._study.data_hash, study_id)
            forks.create(connection, made)
            studies.begin_trials(connection, begun)
        with laboratory.database.connection() as connection:
            forks.used(connection, [one.fork_id for one in made], laboratory.clock.now())
        return begun


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


def _search_of(study: Study, strategy: Strategy, fold: int) -> Search:
    method, trials = Method(study.method), study.trials_per_fold
    if method is Method.TPE:
        return search_for(strategy, method, seed=study.seed, fold=fold, trials=trials)
    return FixedSearch(_fixed(strategy.name, method, study.seed, trials))


@lru_cache(maxsize=2)
def _fixed(name: str, method: Method, seed: int, trials: int) -> tuple[StrategyParameters, ...]:
    """The trials of a search that learns nothing, made once in a process, or each batch of many would make them all."""
    from triplegain_pipelines.strategies.registry import STRATEGIES

    return tuple(fixed_trials(STRATEGIES[name], method, seed, trials))


def _figure(trial: StoredTrial) -> float | None:
    figure: float | None = (trial.train or {}).get("daily_sharpe")
    return figure


def _done(begun: BegunTrial, train: Evaluated, test: Evaluated | None, now: datetime) -> DoneTrial:
    return DoneTrial(
        begun.trial_id,
        begun.attempt,
        train.figures,
        train.trades_hash,
        test.figures if test else None,
        test.trades_hash if test else None,
        now,
    )


def _stored(begun: BegunTrial, done: DoneTrial) -> StoredTrial:
    return StoredTrial(
        begun.fold,
        begun.place,
        dict(begun.parameters),
        begun.attempt,
        begun.fork_id,
        "DONE",
        dict(done.train),
        None if done.test is None else dict(done.test),
        done.train_trades_hash,
        done.test_trades_hash,
    )
