"""One worker on one batch of a study: what is left of it is forked, walked and written, some trials at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import psycopg

from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.journal import Journal, Stretch
from triplegain_pipelines.backtest.search import FixedSearch, Method, Search, fixed_trials, search_for
from triplegain_pipelines.backtest.splits import Fold
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.backtest.trials import Evaluated, evaluate
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.studies import BegunTrial, DoneTrial, StoredStudy, StoredTrial, trial_id_of
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

_Walks = tuple[Evaluated, Evaluated | None]
"""What a trial showed over its train and its test bars, if its fold has any."""


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

    @property
    def places(self) -> range:
        """Of its trials."""
        return range(self.first, self.stop)


@dataclass(frozen=True, slots=True)
class Task:
    """What a batch is walked with.

    Attributes:
        study: which it is of.
        strategy: the study's.
        fold: the batch's.
        batch: which trials.
        holder: name of the lock that the worker holds.
        threads: of the kernel.
    """

    study: StoredStudy
    strategy: Strategy
    fold: Fold
    batch: Batch
    holder: str
    threads: int


class Bench:
    """A worker on a batch, which it has locked. What another worker left in the journal is written down first.

    Args:
        laboratory: where.
        task: what to do.
        journal: of the batch.
    """

    def __init__(self, laboratory: Laboratory, task: Task, journal: Journal) -> None:
        self._laboratory, self._task, self._journal = laboratory, task, journal
        study, batch = task.study, task.batch
        with laboratory.database.connection() as connection:
            own = studies.trials_of(connection, study.study_id, batch.fold, batch.places)
            left = [one for one in own if one.state == "RUNNING"]
            walked = {one.place: walks for one in left if (walks := self._walks_of(one)) is not None}
            ended = self._finish(connection, [one for one in left if one.place in walked], walked)
            forks.destroyed(connection, [one.fork_id for one in left], laboratory.clock.now())
            if study.state == "RUNNING":
                laboratory.hold(connection, study.study.data_hash, study.study_id)
        self._known = {one.place: one for one in own} | ended

    @property
    def is_done(self) -> bool:
        """Whether nothing of the batch is left to do."""
        return all(self._is_done(place) for place in self._task.batch.places)

    def run(self, values: IndicatorValues, portion: int, on_progress: Callable[[int], None]) -> int:
        """Run portion after portion, and return how many trials were run; `on_progress` is told how many are done."""
        batch = self._task.batch
        search = _search_of(self._task)
        step, ran = min(portion, search.together), 0
        for first in range(batch.first, batch.stop, step):
            stop = min(first + step, batch.stop)
            chosen = self._chosen(search, first, stop)
            ran += self._portion(values, {place: one for place, one in chosen.items() if not self._is_done(place)})
            search.tell([(one, _figure(self._known[place])) for place, one in chosen.items()])
            on_progress(stop - batch.first)
        return ran

    def _is_done(self, place: int) -> bool:
        return place in self._known and self._known[place].state == "DONE"

    def _chosen(self, search: Search, first: int, stop: int) -> dict[int, StrategyParameters]:
        """The parameters at these places: as they were written, else as they are proposed."""
        places = range(first, stop)
        written = {
            place: self._task.strategy.parameters(**self._known[place].parameters)
            for place in places
            if place in self._known
        }
        if len(written) == len(places):
            return written
        proposed = dict(zip(places, search.propose(first, stop - first), strict=False))
        return dict(sorted((proposed | written).items()))

    def _portion(self, values: IndicatorValues, chosen: Mapping[int, StrategyParameters]) -> int:
        """Fork, walk, write, and end the forks."""
        if not chosen:
            return 0
        database, clock = self._laboratory.database, self._laboratory.clock
        begun = self._begin(chosen)
        fork_ids = [one.fork_id for one in begun]
        try:
            train = self._walked(values, chosen, Stretch.TRAIN)
            test = self._walked(values, chosen, Stretch.TEST)
            with database.connection() as connection:
                ended = self._finish(connection, begun, {place: (train[place], test.get(place)) for place in chosen})
                forks.destroyed(connection, fork_ids, clock.now())
        except UnavailableError:
            raise  # without a database nobody can end forks: who goes on with the batch does, or a sweep
        except BaseException:
            with suppress(UnavailableError), database.connection() as connection:
                forks.destroyed(connection, fork_ids, clock.now())
            raise
        self._known |= ended
        return len(begun)

    def _begin(self, chosen: Mapping[int, StrategyParameters]) -> list[StoredTrial]:
        """Write the trials and their forks, and say that the forks are looked at."""
        laboratory, fold, study_id = self._laboratory, self._task.batch.fold, self._task.study.study_id
        data_hash = self._task.study.study.data_hash
        now = laboratory.clock.now()
        begun, made = [], []
        for place, parameters in chosen.items():
            trial_id = trial_id_of(study_id, fold, place)
            attempt = self._known[place].attempt + 1 if place in self._known else 1
            fork = laboratory.new_fork(data_hash, study_id, trial_id, self._task.holder, attempt)
            made.append(fork)
            document = parameters.model_dump()
            begun.append(BegunTrial(trial_id, study_id, fold, place, document, attempt, fork.fork_id, now))
        with laboratory.database.connection() as connection:
            laboratory.hold(connection, data_hash, study_id)
            forks.create(connection, made)
            studies.begin_trials(connection, begun)
        with laboratory.database.connection() as connection:
            forks.used(connection, [one.fork_id for one in made], laboratory.clock.now())
        return [
            StoredTrial(
                fold, one.place, dict(one.parameters), one.attempt, one.fork_id, "RUNNING", None, None, None, None
            )
            for one in begun
        ]

    def _walked(
        self, values: IndicatorValues, chosen: Mapping[int, StrategyParameters], stretch: Stretch
    ) -> dict[int, Evaluated]:
        """What the trials show on a stretch: what the journal has, and the others walked now and kept there."""
        task, fold = self._task, self._task.fold
        if stretch is Stretch.TEST and not fold.is_tested:
            return {}
        written = {place: one.model_dump() for place, one in chosen.items()}
        known = {place: self._journal.walked(place, stretch, document) for place, document in written.items()}
        left = [place for place, evaluated in known.items() if evaluated is None]
        trained = stretch is Stretch.TRAIN
        walked = evaluate(
            values,
            task.strategy,
            [chosen[place] for place in left],
            Terms(**task.study.study.terms),
            fold.train_start if trained else fold.test_start,
            fold.train_stop if trained else fold.test_stop,
            task.threads,
            lambda number, one: self._journal.write(left[number], stretch, written[left[number]], one),
        )
        return {place: one for place, one in known.items() if one is not None} | dict(zip(left, walked, strict=True))

    def _walks_of(self, trial: StoredTrial) -> _Walks | None:
        """All that a trial had to show, where the journal has all of it."""
        train = self._journal.walked(trial.place, Stretch.TRAIN, trial.parameters)
        test = self._journal.walked(trial.place, Stretch.TEST, trial.parameters)
        return None if train is None or (test is None and self._task.fold.is_tested) else (train, test)

    def _finish(
        self, connection: psycopg.Connection, trials: Sequence[StoredTrial], walks: Mapping[int, _Walks]
    ) -> dict[int, StoredTrial]:
        """Write what came of trials, and return them as they are then, by place."""
        now, study_id = self._laboratory.clock.now(), self._task.study.study_id
        done, stored = [], {}
        for one in trials:
            train, test = walks[one.place]
            shown, test_hash = (None, None) if test is None else (dict(test.figures), test.trades_hash)
            trial_id = trial_id_of(study_id, one.fold, one.place)
            done.append(DoneTrial(trial_id, one.attempt, train.figures, train.trades_hash, shown, test_hash, now))
            stored[one.place] = replace(
                one,
                state="DONE",
                train=dict(train.figures),
                test=shown,
                train_trades_hash=train.trades_hash,
                test_trades_hash=test_hash,
            )
        studies.finish_trials(connection, done)
        return stored


def _search_of(task: Task) -> Search:
    study = task.study.study
    method, trials = Method(study.method), study.trials_per_fold
    if method is Method.TPE:
        return search_for(task.strategy, method, seed=study.seed, fold=task.fold.number, trials=trials)
    return FixedSearch(_fixed(task.strategy.name, method, study.seed, trials))


@lru_cache(maxsize=2)
def _fixed(name: str, method: Method, seed: int, trials: int) -> tuple[StrategyParameters, ...]:
    """The trials of a search that learns nothing, made once in a process, or each batch of many would make them all."""
    from triplegain_pipelines.strategies.registry import STRATEGIES

    return tuple(fixed_trials(STRATEGIES[name], method, seed, trials))


def _figure(trial: StoredTrial) -> float | None:
    figure: float | None = (trial.train or {}).get("daily_sharpe")
    return figure
