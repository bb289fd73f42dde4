"""Forks of sealed data: how they are made, how long they live, and how those that a killed worker left are found.

A fork of bars is a row: it says who may look at which sealed bars until when. A fork of tables is a database, copied
from a sealed template, for a trial that has to write. Both are created, used and destroyed, or they expire; each moment
is a column. Data of which no fork lives are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg

from triplegain_pipelines.backtest.journal import remove_journals
from triplegain_pipelines.backtest.sealed_bars import open_bars, remove_bars, seal_bars, size_of
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.store import fork_databases, forks
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.forks import Fork, SealedData

_SHORT = 12  # hex digits that tell databases of one installation apart
_LONGEST_NAME = 63  # bytes


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Where research works.

    Attributes:
        database: with the tables of research; its user may create databases where forks of tables are made.
        folder: of sealed bars.
        clock: of all rows.
        time_to_live: of a fork.
    """

    database: Database
    folder: Path
    clock: Clock
    time_to_live: timedelta

    def journals(self, study_id: UUID) -> Path:
        """The folder of a study's journals: beside the sealed bars, so that other machines find it where these are."""
        return self.all_journals / str(study_id)

    @property
    def all_journals(self) -> Path:
        """The folder of all studies' journals."""
        return self.folder.with_name("journals")

    def new_fork(self, data_hash: str, study_id: UUID, trial_id: UUID | None, holder: str | None, life: int) -> Fork:
        """A fork that begins now; `life` tells it from those of the same trial before it."""
        now = self.clock.now()
        identity = deterministic_id("fork", data_hash, study_id, trial_id, life)
        return Fork(identity, data_hash, study_id, trial_id, holder, None, now, now + self.time_to_live)

    def hold(self, connection: psycopg.Connection, data_hash: str, study_id: UUID) -> None:
        """Keep the data of a study from being removed for one more time to live.

        Raises:
            InputError: they were removed already.
        """
        lives = forks.extend_hold(connection, data_hash, study_id, self.clock.now() + self.time_to_live)
        if lives is not None:
            forks.create(connection, [self.new_fork(data_hash, study_id, None, None, lives)])


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: forks that had expired, forks whose worker was gone, and sealed data that it removed."""

    expired: int
    left_behind: int
    removed: tuple[str, ...]


@contextmanager
def sealing(laboratory: Laboratory, series: CandleSeries) -> Iterator[tuple[str, psycopg.Connection]]:
    """Seal bars, and hand out their hash and the transaction that says so; bars that are sealed already cost nothing.

    Whoever wants them to stay holds them in this transaction.

    Raises:
        UnavailableError: there is no room for the files, or the database cannot be reached. Nothing half done stays.
        DataError: the files are there and are not these bars.
    """
    with laboratory.database.connection() as connection:
        forks.lock_sealing(connection)
        place = seal_bars(laboratory.folder, series)
        forks.seal(connection, SealedData(place.name, "bars", place.name, size_of(place), laboratory.clock.now()))
        yield place.name, connection


def opened(laboratory: Laboratory, data_hash: str) -> CandleSeries:
    """The sealed bars of this hash, read-only and verified.

    Raises:
        DataError: they are damaged or gone.
    """
    return open_bars(laboratory.folder / data_hash)


def sweep_forks(laboratory: Laboratory) -> Swept:
    """End forks whose time has passed or whose worker is gone, and remove data and journals of which no fork lives."""
    now = laboratory.clock.now()
    with laboratory.database.connection() as connection:
        expired = forks.expire(connection, now)
        left_behind = forks.destroy_left_behind(connection, now)
    dropped = _drop_databases(laboratory, now)
    removed = tuple(data.data_hash for data in _idle(laboratory) if _remove(laboratory, data))
    _remove_unknown(laboratory)
    _remove_journals(laboratory)
    return Swept(expired + dropped[0], left_behind + dropped[1], removed)


def seal_tables(laboratory: Laboratory, data_hash: str, study_id: UUID, fill: Callable[[Database], None]) -> str:
    """Make and seal the template of forks of tables, unless there is one for this hash; its name.

    Args:
        laboratory: where.
        data_hash: of what `fill` writes.
        study_id: of the study, which holds the template by a fork of its own.
        fill: writes into a migrated, empty database.

    Raises:
        UnavailableError: the database cannot be reached or has no room; a half filled template is thrown away later.
    """
    name = _named(laboratory, f"{data_hash[:_SHORT]}_template")
    with laboratory.database.autocommit() as connection, forks.holding(connection, f"triplegain.template.{name}", 60):
        if fork_databases.make_template(connection, name):
            template = Database(_beside(laboratory.database, name))
            try:
                template.migrate()
                fill(template)
            finally:
                template.close()
        size = fork_databases.seal_template(connection, name)
    with laboratory.database.connection() as connection:
        forks.lock_sealing(connection)
        forks.seal(connection, SealedData(data_hash, "database", name, size, laboratory.clock.now()))
        laboratory.hold(connection, data_hash, study_id)
    return name


@contextmanager
def database_fork(
    laboratory: Laboratory, template: str, data_hash: str, study_id: UUID, trial_id: UUID, attempt: int
) -> Iterator[Database]:
    """A database of a trial's own, with the template's rows, dropped at the end.

    Its row is written before the database is made, and its worker's lock is held until it is dropped: a sweep finds
    what a killed worker left.

    Raises:
        UnavailableError: the database cannot be reached or has no room.
    """
    plain = laboratory.new_fork(data_hash, study_id, trial_id, f"triplegain.fork.{trial_id}", attempt)
    name = _named(laboratory, f"fork_{plain.fork_id.hex[:_SHORT]}")
    fork = Fork(plain.fork_id, data_hash, study_id, trial_id, plain.holder, name, plain.created_at, plain.expires_at)
    with (
        laboratory.database.autocommit() as connection,
        forks.holding(connection, str(fork.holder), 5),
    ):
        forks.create(connection, [fork])
        try:
            fork_databases.fork_database(connection, template, name)
            forks.used(connection, [fork.fork_id], laboratory.clock.now())
            own = Database(_beside(laboratory.database, name))
            try:
                yield own
            finally:
                own.close()
        finally:
            if not connection.closed:  # else a sweep finds it
                fork_databases.drop_database(connection, name)
                forks.destroyed(connection, [fork.fork_id], laboratory.clock.now())


def _drop_databases(laboratory: Laboratory, now: datetime) -> tuple[int, int]:
    """Drop the databases of forks that ended, and those that no row knows to be alive.

    Returns:
        How many of the forks had expired, and how many were left behind.
    """
    expired = left_behind = 0
    with laboratory.database.connection() as connection, laboratory.database.autocommit() as admin:
        for fork in forks.databases_to_drop(connection, now):
            fork_databases.drop_database(admin, str(fork.database_name))
            forks.ended(connection, fork, now)
            expired += fork.expires_at <= now
            left_behind += fork.expires_at > now
        there = fork_databases.fork_databases(admin)  # before the rows are read: a row is older than its database
        alive = {fork.database_name for fork in forks.living(connection)}
        for name in there:
            if name not in alive:
                fork_databases.drop_database(admin, name)
    return expired, left_behind


def _idle(laboratory: Laboratory) -> Sequence[SealedData]:
    with laboratory.database.connection() as connection:
        return forks.without_forks(connection)


def _remove(laboratory: Laboratory, data: SealedData) -> bool:
    """Remove sealed data, unless a fork of them was made a moment ago."""
    with laboratory.database.connection() as connection:
        forks.lock_sealing(connection)
        if not forks.is_without_forks(connection, data.data_hash):
            return False
        if data.kind == "bars":
            remove_bars(laboratory.folder / data.place)
        else:
            with laboratory.database.autocommit() as admin:
                fork_databases.drop_database(admin, data.place)
        forks.removed(connection, data.data_hash, laboratory.clock.now())
    return True


def _remove_unknown(laboratory: Laboratory) -> None:
    """Remove folders that no row knows: whoever sealed them was killed before it was done."""
    if not laboratory.folder.exists():
        return
    with laboratory.database.connection() as connection:
        forks.lock_sealing(connection)
        known = forks.sealed_places(connection)
        for place in laboratory.folder.iterdir():
            if place.name not in known:
                remove_bars(place)


def _remove_journals(laboratory: Laboratory) -> None:
    """Remove the journals of studies that are done or given up: no fork of them lives."""
    if not laboratory.all_journals.exists():
        return
    with laboratory.database.connection() as connection:
        forks.lock_sealing(connection)  # or a study begins between the two questions
        alive = {str(fork.study_id) for fork in forks.living(connection)}
        for folder in laboratory.all_journals.iterdir():
            if folder.name not in alive:
                remove_journals(folder)


def _named(laboratory: Laboratory, purpose: str) -> str:
    """Name of a database beside ours.

    Raises:
        InputError: PostgreSQL would cut it off, and two names might become one.
    """
    own = urlsplit(laboratory.database.url).path.lstrip("/")
    name = f"{own}_{purpose}"
    if len(name.encode()) > _LONGEST_NAME:
        msg = f"the database name {own!r} leaves no room for {purpose!r}; give the database a shorter name"
        raise InputError(msg)
    return name


def _beside(database: Database, name: str) -> str:
    return urlunsplit(urlsplit(database.url)._replace(path=f"/{name}"))
