"""Studies that are killed, cut off or out of room in the middle end as if nothing had happened, and leave no fork."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from killable_postgres import killable_database
from research_market import RESEARCH, laboratory, planned
from study_checks import SERIES, lives, pieces, require_same_end, trials

from triplegain_pipelines.backtest import study as running
from triplegain_pipelines.backtest.forks import Laboratory, sweep_forks
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.study import begin_study, run_batch
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.operations.studies import run_study
from triplegain_pipelines.store import forks
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

# Of this database alone: tests beside this one have databases of their own on the same server.
_LOCKED = """SELECT FROM pg_locks WHERE locktype = 'advisory'
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
WORKER = Path(__file__).parents[1] / "support" / "study_worker.py"


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


@pytest.mark.parametrize(("method", "swept"), [(Method.SOBOL, True), (Method.TPE, False)])
def test_a_killed_worker_loses_what_was_in_flight(
    place: Laboratory, tmp_path: Path, method: Method, *, swept: bool
) -> None:
    """I5, issue 6.6: after SIGKILL the study goes on, repeats only the portion in flight, and no fork stays.

    Its forks are found by a sweep without waiting for their time to pass, or by whoever goes on with the batch.
    """
    study = planned(SERIES, method=method, trials=12)
    study_id = begin_study(place, study, SERIES)
    with subprocess.Popen(
        [sys.executable, WORKER, place.database.url, tmp_path, str(study_id), "2"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(WORKER.parent)},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "in flight\n"
        assert sweep_forks(place).left_behind == 0  # it lives: its forks are not taken from it
        with pytest.raises(UnavailableError, match="another worker is busy"):
            busy_batch(place, study_id)
        os.kill(worker.pid, signal.SIGKILL)
    stored = [one for one in trials(place, study_id) if one.state == "DONE"]
    in_flight = [one for one in trials(place, study_id) if one.state == "RUNNING"]
    assert len(stored) == 2 * RESEARCH.portion_trials
    assert len(in_flight) == RESEARCH.portion_trials
    assert lives(place, study_id)["USED"] == RESEARCH.portion_trials
    if swept:
        wait_until_alone(place.database)
        assert sweep_forks(place).left_behind == RESEARCH.portion_trials
    else:
        run_batch(place, study_id, pieces(place, study_id)[0], portion=RESEARCH.portion_trials)
    with place.database.connection() as connection:
        assert [one.trial_id for one in forks.living(connection, study_id)] == [None]  # the study's own
    require_same_end(place, study)
    after = {(one.fold, one.place): one for one in trials(place, study_id)}
    assert all(after[one.fold, one.place] == one for one in stored)
    assert all(after[one.fold, one.place].attempt == 2 for one in in_flight)


def busy_batch(place: Laboratory, study_id: UUID) -> None:
    """Run what the other worker runs."""
    before, running._TAKEOVER_SECONDS = running._TAKEOVER_SECONDS, 0.2
    try:
        run_batch(place, study_id, pieces(place, study_id)[0], portion=1)
    finally:
        running._TAKEOVER_SECONDS = before


def wait_until_alone(database: Database) -> None:
    """Until the server has noticed that the other process is gone, which takes it milliseconds."""
    with database.autocommit() as connection:
        while connection.execute(_LOCKED).fetchone() is not None:
            connection.execute("SELECT pg_sleep(0.02)")


def test_a_database_that_goes_away_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.6: the server is killed while trials are evaluated; the study goes on when it is back."""
    with killable_database(tmp_path / "postgres") as (server, database):
        place = laboratory(database, tmp_path)
        study = planned(SERIES, method=Method.SOBOL, trials=12)
        study_id = begin_study(place, study, SERIES)
        evaluate, calls = running.evaluate, iter(range(100))

        def evaluate_and_kill(*arguments: object) -> object:
            if next(calls) == 3:
                server.kill()
            return evaluate(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr("triplegain_pipelines.store.database._WAIT_SECONDS", 1.0)
            patched.setattr(running, "evaluate", evaluate_and_kill)
            with pytest.raises(UnavailableError):
                run_study(place, RESEARCH, study, SERIES)
        server.revive()
        stored = [one for one in trials(place, study_id) if one.state == "DONE"]
        assert len(stored) == RESEARCH.portion_trials
        require_same_end(place, study)
        assert all(one in trials(place, study_id) for one in stored)


def test_a_database_without_room_in_the_middle(place: Laboratory) -> None:
    """Issue 6.6: the disk of the server fills up; what was written stays, and the study goes on when there is room."""
    study = planned(SERIES, method=Method.SOBOL, trials=12)
    study_id = begin_study(place, study, SERIES)
    batches = pieces(place, study_id)
    run_batch(place, study_id, batches[0], portion=RESEARCH.portion_trials)
    for full in no_room_for_rows(place.database):
        with pytest.raises(UnavailableError, match="free some space"):
            run_batch(place, study_id, batches[1], portion=RESEARCH.portion_trials)
        assert full
    require_same_end(place, study)


def no_room_for_rows(database: Database) -> Iterator[bool]:
    with database.autocommit() as connection:
        connection.execute(
            """CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
               CREATE TRIGGER disk_is_full BEFORE UPDATE ON research.trials
                   FOR EACH STATEMENT EXECUTE FUNCTION public.full()"""
        )
        yield True
        connection.execute("DROP FUNCTION public.full CASCADE")
