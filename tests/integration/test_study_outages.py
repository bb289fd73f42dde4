"""Studies that are killed, cut off or out of room in the middle end as if nothing had happened, and leave no fork."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from counted_walks import Walks, drawn_seed, walks_of
from full_disk import files_no_larger_than
from interrupted import forked, stand_still
from killable_postgres import killable_database
from research_market import RESEARCH, laboratory, planned
from study_checks import SERIES, lives, pieces, require_same_end, trials

from triplegain_pipelines.backtest import study as running
from triplegain_pipelines.backtest.forks import Laboratory, sweep_forks
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.study import begin_study, run_batches
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.operations.compiling import compile_sweeps
from triplegain_pipelines.store import forks
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

# Of this database alone: tests beside this one have databases of their own on the same server.
_LOCKED = """SELECT FROM pg_locks WHERE locktype = 'advisory'
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
STRATEGY = "breakout"


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Nothing is compiled in processes that are killed, nor written to a disk that is full."""
    compile_sweeps([STRATEGY])


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


def run_left(place: Laboratory, study_id: UUID, threads: int = 1) -> int:
    """Run what is left of a study."""
    return run_batches(place, study_id, pieces(place, study_id), portion=RESEARCH.portion_trials, threads=threads)


def in_own_process(folder: Path, url: str, study_id: UUID, threads: int) -> int:
    """What a worker does that shares nothing with this process but the database and the folder."""
    database = Database(url)
    run_left(laboratory(database, folder), study_id, threads)
    database.close()
    return 0


@pytest.mark.parametrize(("method", "threads"), [(Method.SOBOL, 1), (Method.SOBOL, 2), (Method.TPE, 1)])
def test_a_killed_worker_loses_what_was_in_flight(
    place: Laboratory, tmp_path: Path, method: Method, threads: int
) -> None:
    """I5, issue 6.6: killed in any walk of any trial, a study repeats that walk and no other, one a thread."""
    study = planned(SERIES, method=method, trials=12)
    study_id = begin_study(place, study, SERIES)
    draw, walks, kills = np.random.default_rng(drawn_seed()), Walks(), 0
    while pieces(place, study_id):
        at = int(draw.integers(1, walks_of(study) // 3))

        def work(reached: object, at: int = at) -> int:
            with walks.counted(STRATEGY, at, lambda: signal.raise_signal(signal.SIGKILL)):
                return in_own_process(tmp_path, place.database.url, study_id, threads)

        with forked(work) as worker:
            code = worker.wait()
        assert code in {0, -signal.SIGKILL}
        kills += code != 0
    repeated = walks.begun - walks_of(study)
    assert kills > 1
    assert kills <= repeated <= kills * threads
    require_same_end(place, study)


def test_a_worker_that_lives_and_one_that_is_dead(place: Laboratory, tmp_path: Path) -> None:
    """I5, issue 6.6: a living worker keeps its trials and forks; a dead one's are found without waiting."""
    study = planned(SERIES, method=Method.SOBOL, trials=12)
    study_id = begin_study(place, study, SERIES)
    portion, walks = RESEARCH.portion_trials, Walks()
    in_second = 2 * portion + portion + 2  # train and test of the first portion, train of the second, and a test

    def work(reached: object) -> int:
        def wait() -> None:
            reached()  # type: ignore[operator]
            stand_still()

        with walks.counted(STRATEGY, in_second, wait):
            return in_own_process(tmp_path, place.database.url, study_id, 1)

    with forked(work) as worker:
        worker.reached()
        assert sweep_forks(place).left_behind == 0  # it lives: its forks and its journal are not taken from it
        with pytest.raises(UnavailableError, match="another worker is busy"):
            run_busy(place, study_id)
        assert worker.end(signal.SIGKILL)[0] == -signal.SIGKILL
    stored = {(one.fold, one.place): one for one in trials(place, study_id)}
    assert [one.state for one in stored.values()] == ["DONE"] * portion + ["RUNNING"] * portion
    wait_until_alone(place.database)
    assert sweep_forks(place).left_behind == portion
    with place.database.connection() as connection:
        assert [one.trial_id for one in forks.living(connection, study_id)] == [None]  # the study's own
    with walks.counted(STRATEGY):
        run_left(place, study_id)
    assert walks.begun == walks_of(study) + 1
    after = {(one.fold, one.place): one for one in trials(place, study_id)}
    assert {key: after[key].attempt for key in stored} == dict.fromkeys(list(stored)[: portion + 1], 1) | dict.fromkeys(
        list(stored)[portion + 1 :], 2
    )
    assert all(after[key] == one for key, one in stored.items() if one.state == "DONE")
    require_same_end(place, study)


def run_busy(place: Laboratory, study_id: UUID) -> None:
    """Run what the other worker runs."""
    before, running._TAKEOVER_SECONDS = running._TAKEOVER_SECONDS, 0.2
    try:
        run_left(place, study_id)
    finally:
        running._TAKEOVER_SECONDS = before


def wait_until_alone(database: Database) -> None:
    """Until the server has noticed that the other process is gone, which takes it milliseconds."""
    with database.autocommit() as connection:
        while connection.execute(_LOCKED).fetchone() is not None:
            connection.execute("SELECT pg_sleep(0.02)")


def test_a_database_that_goes_away_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.6: the server is killed while trials are walked; the study goes on when it is back, and repeats none."""
    with killable_database(tmp_path / "postgres") as (server, database):
        place = laboratory(database, tmp_path)
        study = planned(SERIES, method=Method.SOBOL, trials=12)
        study_id = begin_study(place, study, SERIES)
        at, walks = int(np.random.default_rng(drawn_seed()).integers(1, walks_of(study))), Walks()
        with monkeypatch.context() as patched, walks.counted(STRATEGY, at, server.kill):
            patched.setattr("triplegain_pipelines.store.database._WAIT_SECONDS", 1.0)
            with pytest.raises(UnavailableError):
                run_left(place, study_id)
            assert walks.begun >= at
        server.revive()
        with walks.counted(STRATEGY):
            run_left(place, study_id)
        assert walks.begun == walks_of(study)
        require_same_end(place, study)


def test_a_database_without_room_in_the_middle(place: Laboratory) -> None:
    """Issue 6.6: the disk of the server fills up; the study goes on when there is room, and repeats nothing."""
    study = planned(SERIES, method=Method.SOBOL, trials=12)
    study_id = begin_study(place, study, SERIES)
    walks = Walks()
    with walks.counted(STRATEGY):
        run_batches(place, study_id, pieces(place, study_id)[:1], portion=RESEARCH.portion_trials)
        with no_room_for_rows(place.database), pytest.raises(UnavailableError, match="free some space"):
            run_left(place, study_id)
        run_left(place, study_id)
    assert walks.begun == walks_of(study)
    require_same_end(place, study)


@contextmanager
def no_room_for_rows(database: Database) -> Iterator[None]:
    with database.autocommit() as connection:
        connection.execute(
            """CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
               CREATE TRIGGER disk_is_full BEFORE UPDATE ON research.trials
                   FOR EACH ROW WHEN (NEW.state = 'DONE') EXECUTE FUNCTION public.full()"""
        )
        yield
        connection.execute("DROP FUNCTION public.full CASCADE")


def test_a_disk_of_the_worker_without_room_in_the_middle(place: Laboratory) -> None:
    """Issue 6.6: where a walk cannot be kept the study stops at once; that walk is repeated, and no other."""
    study = planned(SERIES, method=Method.SOBOL, trials=12)
    study_id = begin_study(place, study, SERIES)
    size, walks = int(np.random.default_rng(drawn_seed()).integers(1, 3_000)), Walks()
    with walks.counted(STRATEGY):
        with files_no_larger_than(size), pytest.raises(UnavailableError, match="free some space there"):
            run_left(place, study_id)
        assert lives(place, study_id)["USED"] == RESEARCH.portion_trials  # the next worker ends them, or a sweep
        run_left(place, study_id)
    # None is repeated where there was room for all of a line but the line feed at its end.
    assert walks.begun - walks_of(study) in {0, 1}
    require_same_end(place, study)
