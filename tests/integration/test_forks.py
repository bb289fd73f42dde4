"""Forks of sealed data: nobody can change what a trial reads, their time passes, and nothing of them stays."""

import os
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest
from full_disk import files_no_larger_than
from research_market import at, laboratory, planned, random_walk

from triplegain_pipelines.backtest.forks import Laboratory, _beside, database_fork, opened, seal_tables, sweep_forks
from triplegain_pipelines.backtest.sealed_bars import data_hash, open_bars, seal_bars
from triplegain_pipelines.backtest.study import begin_study
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import DataError, InputError, UnavailableError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.store import fork_databases, forks
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

SERIES = random_walk(1, 24 * 230)
TABLES = content_hash("what the template holds")


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(at(0))


@pytest.fixture
def place(database: Database, tmp_path: Path, clock: ReplayClock) -> Laboratory:
    return laboratory(database, tmp_path, clock)


@pytest.fixture
def study_id(place: Laboratory) -> UUID:
    """A study that holds its bars from hour 0 to hour 1."""
    return begin_study(place, planned(SERIES), SERIES)


def state_of(place: Laboratory, study_id: UUID) -> dict[str, int]:
    with place.database.connection() as connection:
        return forks.lives_by_state(connection, study_id)


def databases(place: Laboratory) -> list[str]:
    with place.database.autocommit() as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || '_')"
            )
        ]


def fork_in(place: Laboratory, study_id: UUID, number: int, holder: str | None = None) -> UUID:
    """A fork of the study's bars."""
    fork = place.new_fork(data_hash(SERIES), study_id, deterministic_id("trial", number), holder, 1)
    with place.database.connection() as connection:
        forks.create(connection, [fork])
    return fork.fork_id


@pytest.mark.parametrize("array", ["opened_at", "open", "high", "low", "close", "volume"])
def test_a_trial_cannot_change_what_it_reads(place: Laboratory, study_id: UUID, array: str) -> None:
    """I5: one that rounds a price in place would change the market of every trial after it."""
    values = getattr(opened(place, data_hash(SERIES)), array)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        values.flags.writeable = True
    assert (values == getattr(SERIES, array)).all()


def test_the_files_are_read_only(place: Laboratory, study_id: UUID) -> None:
    """I5: whoever opens a file to write is told, unless it is root, who finds out when the bars are opened."""
    folder = place.folder / data_hash(SERIES)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}
    assert folder.stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize("damage", ["a price", "a file is missing", "a file is cut"])
def test_damaged_bars_are_not_opened(tmp_path: Path, damage: str) -> None:
    """I5: a result from bars that nobody sealed would be evidence of nothing."""
    folder = seal_bars(tmp_path, SERIES)
    file = folder / "close.npy"
    folder.chmod(0o755)
    file.chmod(0o644)
    if damage == "a price":
        close = np.load(file)
        close[1000] += 0.01
        np.save(file, close)
    elif damage == "a file is missing":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size - 8)
    with pytest.raises(DataError, match="seal them again"):
        open_bars(folder)
    with pytest.raises(DataError, match="seal them again"):
        seal_bars(tmp_path, SERIES)


def test_sealing_twice_costs_nothing(tmp_path: Path) -> None:
    """I5: a fork is a reference; a copy for each would fill the disk."""
    folder = seal_bars(tmp_path, SERIES)
    before = {file: file.stat().st_ino for file in folder.iterdir()}
    assert seal_bars(tmp_path, SERIES) == folder
    assert {file: file.stat().st_ino for file in folder.iterdir()} == before
    assert folder.name == data_hash(SERIES) == data_hash(open_bars(folder))


def test_what_is_in_the_bars_is_in_the_hash() -> None:
    """I5: two markets with one hash would count each other's trials and read each other's bars."""
    others = [random_walk(2, 24 * 230), SERIES.part(0, len(SERIES) - 1), SERIES.part(1, len(SERIES))]
    assert data_hash(SERIES) == data_hash(SERIES.part(0, len(SERIES)))
    assert len({data_hash(one) for one in (SERIES, *others)}) == 4


def test_a_full_disk_while_sealing_leaves_nothing_half_done(place: Laboratory) -> None:
    """Issue 6.6: half a snapshot under the name of a whole one would be read as the market; no row may name it."""
    with files_no_larger_than(20_000), pytest.raises(UnavailableError, match="free some space there"):
        begin_study(place, planned(SERIES), SERIES)
    assert list(place.folder.iterdir()) == []
    with place.database.connection() as connection:
        assert forks.read_sealed(connection, data_hash(SERIES)) is None
    begin_study(place, planned(SERIES), SERIES)
    assert data_hash(opened(place, data_hash(SERIES))) == data_hash(SERIES)


def test_bars_of_a_killed_sealer_are_found(place: Laboratory, study_id: UUID) -> None:
    """Issue 6.6: what a process wrote that was killed before it said so would stay for ever."""
    seal_bars(place.folder, random_walk(2, 100))
    (place.folder / ".half_written").mkdir()
    sweep_forks(place)
    assert [one.name for one in place.folder.iterdir()] == [data_hash(SERIES)]


def test_time_to_live(place: Laboratory, clock: ReplayClock, study_id: UUID) -> None:
    """I5: a fork that nobody ends ends by itself, and so do the data that no fork needs any more."""
    folder = place.folder / data_hash(SERIES)
    clock.advance_to(at(0.5))
    later = fork_in(place, study_id, 1)
    swept = sweep_forks(place)
    assert (swept.expired, swept.left_behind, swept.removed) == (0, 0, ())
    clock.advance_to(at(1))  # the study's own has lived an hour
    assert sweep_forks(place).expired == 1
    assert folder.exists()
    with place.database.connection() as connection:
        assert [one.fork_id for one in forks.living(connection)] == [later]
    clock.advance_to(at(1.5))
    swept = sweep_forks(place)
    assert (swept.expired, swept.removed) == (1, (data_hash(SERIES),))
    assert not folder.exists()
    assert state_of(place, study_id) == {"EXPIRED": 2}
    assert sweep_forks(place).removed == ()


def test_no_fork_of_data_that_are_gone(place: Laboratory, clock: ReplayClock, study_id: UUID) -> None:
    """I5: a trial on bars that were removed would fail half way; begun again, the study has its bars again."""
    clock.advance_to(at(2))
    sweep_forks(place)
    with pytest.raises(InputError, match="begin the study again"):
        fork_in(place, study_id, 1)
    assert begin_study(place, planned(SERIES), SERIES) == study_id
    fork_in(place, study_id, 1)
    with place.database.connection() as connection:
        sealed = forks.read_sealed(connection, data_hash(SERIES))
    assert sealed is not None
    assert (sealed.removed_at, sealed.sealed_at) == (None, at(2))
    assert opened(place, data_hash(SERIES)).symbol == SERIES.symbol


def test_a_reader_keeps_what_is_removed(place: Laboratory, clock: ReplayClock, study_id: UUID) -> None:
    """I5: a sweep must not pull the pages from under a trial that runs over its time."""
    series = opened(place, data_hash(SERIES))
    clock.advance_to(at(2))
    assert sweep_forks(place).removed
    assert (series.close == SERIES.close).all()


def test_forks_of_a_worker_that_lives_are_not_taken(place: Laboratory, study_id: UUID) -> None:
    """I5: a sweep in the middle of a batch must find the living busy and the dead gone."""
    fork_in(place, study_id, 1, "busy")
    fork_in(place, study_id, 2, "gone")
    with place.database.autocommit() as connection, forks.holding(connection, "busy", 1):
        assert sweep_forks(place).left_behind == 1
    assert sweep_forks(place).left_behind == 1
    assert state_of(place, study_id) == {"CREATED": 1, "DESTROYED": 2}


def test_ten_thousand_forks_in_bulk(place: Laboratory, study_id: UUID) -> None:
    """I5, issue 6.4: forks of many trials are written in one statement, or 100,000 of them would take minutes."""
    bars = data_hash(SERIES)
    made = [place.new_fork(bars, study_id, deterministic_id("trial", n), "one", 1) for n in range(10_000)]
    with place.database.connection() as connection:
        forks.create(connection, made)
        forks.used(connection, [one.fork_id for one in made], at(0.1))
    assert state_of(place, study_id) == {"CREATED": 1, "USED": 10_000}
    assert sweep_forks(place).left_behind == 10_000


def fill(database: Database) -> None:
    """What trials find in their tables."""
    with database.connection() as connection:
        connection.execute("CREATE TABLE public.found AS SELECT generate_series(1, 1000) AS number")


def numbers(database: Database) -> int:
    with database.connection() as connection:
        row = connection.execute("SELECT sum(number) FROM public.found").fetchone()
    assert row is not None
    return int(row[0])


def test_forks_of_tables(place: Laboratory, clock: ReplayClock, study_id: UUID) -> None:
    """I5: a trial that writes does it in a database of its own, which no other trial sees and which goes with it."""
    template = seal_tables(place, TABLES, study_id, fill)
    assert seal_tables(place, TABLES, study_id, fill) == template
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(_beside(place.database, template))
    first, second = (deterministic_id("trial", n) for n in (1, 2))
    with database_fork(place, template, TABLES, study_id, first, 1) as own:
        with own.connection() as connection:
            connection.execute("DELETE FROM public.found")
        with database_fork(place, template, TABLES, study_id, second, 1) as other:
            assert numbers(other) == 500_500
        assert len(databases(place)) == 2
        assert sweep_forks(place).left_behind == 0
        assert len(databases(place)) == 2  # a sweep leaves those alone whose worker lives
    assert databases(place) == [template]
    assert state_of(place, study_id) == {"CREATED": 2, "DESTROYED": 2}  # the study holds bars and template
    clock.advance_to(at(2))
    assert set(sweep_forks(place).removed) == {TABLES, data_hash(SERIES)}
    assert databases(place) == []


def test_a_database_fork_of_a_killed_worker(place: Laboratory, clock: ReplayClock, study_id: UUID) -> None:
    """Issue 6.6: a database that nobody drops would stay for ever; with the row it is found, and even without one."""
    template = seal_tables(place, TABLES, study_id, fill)
    with (
        pytest.raises(KeyboardInterrupt),
        database_fork(place, template, TABLES, study_id, deterministic_id("trial", 1), 1),
    ):
        raise KeyboardInterrupt
    assert databases(place) == [template]
    as_if_killed(place, template, study_id, at(0))
    unknown = f"{template.rsplit('_', 2)[0]}_fork_nobody"
    with place.database.autocommit() as connection:
        fork_databases.fork_database(connection, template, unknown)
    assert len(databases(place)) == 3
    assert sweep_forks(place).left_behind == 1
    assert databases(place) == [template]
    assert state_of(place, study_id) == {"CREATED": 2, "DESTROYED": 2}


def as_if_killed(place: Laboratory, template: str, study_id: UUID, now: datetime) -> None:
    """What a worker leaves that is killed right after its database was made: a row, a database, and a free lock."""
    plain = place.new_fork(TABLES, study_id, deterministic_id("trial", 2), "its worker", 1)
    name = f"{template.rsplit('_', 2)[0]}_fork_{plain.fork_id.hex[:12]}"
    with place.database.autocommit() as connection:
        forks.create(
            connection,
            [forks.Fork(plain.fork_id, TABLES, study_id, plain.trial_id, "its worker", name, now, plain.expires_at)],
        )
        fork_databases.fork_database(connection, template, name)
