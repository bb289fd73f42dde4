"""Sealed data and the forks of it: their rows. Those that are databases are made by `fork_databases`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class SealedData:
    """A row of `research.sealed_data`. `removed_at` is None while the files or the template are there."""

    data_hash: str
    kind: str
    place: str
    size_bytes: int
    sealed_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """A new fork. `trial_id` is None for the one by which a study holds its data; see the migration for the others."""

    fork_id: UUID
    data_hash: str
    study_id: UUID
    trial_id: UUID | None
    holder: str | None
    database_name: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredFork:
    """A fork and its life."""

    fork_id: UUID
    data_hash: str
    study_id: UUID
    trial_id: UUID | None
    database_name: str | None
    state: str
    created_at: datetime
    used_at: datetime | None
    destroyed_at: datetime | None
    expires_at: datetime


def seal(connection: psycopg.Connection, data: SealedData) -> None:
    """Write that the data are there; also where they had been removed."""
    connection.execute(
        """INSERT INTO research.sealed_data (data_hash, kind, place, size_bytes, sealed_at)
           VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (data_hash) DO UPDATE SET sealed_at = excluded.sealed_at, removed_at = NULL
           WHERE sealed_data.removed_at IS NOT NULL""",
        [data.data_hash, data.kind, data.place, data.size_bytes, data.sealed_at],
    )


def lock_sealing(connection: psycopg.Connection) -> None:
    """Let nobody else seal or remove data until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('triplegain.sealing', 0))")


def sealed_places(connection: psycopg.Connection) -> set[str]:
    """The places of all data that are there."""
    return {row[0] for row in connection.execute("SELECT place FROM research.sealed_data WHERE removed_at IS NULL")}


def read_sealed(connection: psycopg.Connection, data_hash: str) -> SealedData | None:
    """The row of these data, or None."""
    with connection.cursor(row_factory=class_row(SealedData)) as cursor:
        return cursor.execute(
            """SELECT data_hash, kind, place, size_bytes, sealed_at, removed_at
               FROM research.sealed_data WHERE data_hash = %s""",
            [data_hash],
        ).fetchone()


def without_forks(connection: psycopg.Connection) -> list[SealedData]:
    """Data that are there and of which no fork lives."""
    with connection.cursor(row_factory=class_row(SealedData)) as cursor:
        return cursor.execute(
            """SELECT data_hash, kind, place, size_bytes, sealed_at, removed_at FROM research.sealed_data d
               WHERE removed_at IS NULL AND NOT EXISTS (
                   SELECT FROM research.forks f
                   WHERE f.data_hash = d.data_hash AND f.state IN ('CREATED', 'USED'))
               ORDER BY sealed_at, data_hash"""
        ).fetchall()


def is_without_forks(connection: psycopg.Connection, data_hash: str) -> bool:
    """Whether the data are there and no fork of them lives. Until the transaction ends none can be made."""
    there = connection.execute(
        "SELECT FROM research.sealed_data WHERE data_hash = %s AND removed_at IS NULL FOR UPDATE", [data_hash]
    ).fetchone()
    living = connection.execute(
        "SELECT FROM research.forks WHERE data_hash = %s AND state IN ('CREATED', 'USED') LIMIT 1", [data_hash]
    ).fetchone()
    return there is not None and living is None


def removed(connection: psycopg.Connection, data_hash: str, at: datetime) -> None:
    """Write that the data are gone."""
    connection.execute(
        "UPDATE research.sealed_data SET removed_at = %s WHERE data_hash = %s AND removed_at IS NULL", [at, data_hash]
    )


def create(connection: psycopg.Connection, forks: Sequence[Fork]) -> None:
    """Write forks, all in one statement.

    Raises:
        InputError: the data that they are forks of were removed.
    """
    hashes = sorted({fork.data_hash for fork in forks})
    # As the foreign key does, and before it: whoever removes the data waits for the end of this transaction.
    there = connection.execute(
        "SELECT data_hash FROM research.sealed_data WHERE data_hash = ANY(%s) AND removed_at IS NULL FOR KEY SHARE",
        [hashes],
    ).fetchall()
    gone = sorted(set(hashes) - {row[0] for row in there})
    if gone:
        msg = f"the sealed data {gone[0][:12]} were removed when their last fork ended; begin the study again to reseal"
        raise InputError(msg)
    connection.execute(
        """INSERT INTO research.forks (fork_id, data_hash, study_id, trial_id, holder, database_name, created_at,
               expires_at)
           SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::uuid[], %s::text[], %s::text[],
               %s::timestamptz[], %s::timestamptz[]) ON CONFLICT (fork_id) DO NOTHING""",
        [
            [fork.fork_id for fork in forks],
            [fork.data_hash for fork in forks],
            [fork.study_id for fork in forks],
            [fork.trial_id for fork in forks],
            [fork.holder for fork in forks],
            [fork.database_name for fork in forks],
            [fork.created_at for fork in forks],
            [fork.expires_at for fork in forks],
        ],
    )


def extend_hold(connection: psycopg.Connection, data_hash: str, study_id: UUID, until: datetime) -> int | None:
    """Let the fork by which a study holds its data live until then.

    Returns:
        None where there is one that lives, else how many there were.
    """
    extended = connection.execute(
        """UPDATE research.forks SET expires_at = greatest(expires_at, %s)
           WHERE study_id = %s AND data_hash = %s AND trial_id IS NULL AND state IN ('CREATED', 'USED')""",
        [until, study_id, data_hash],
    ).rowcount
    if extended:
        return None
    row = connection.execute(
        "SELECT count(*) FROM research.forks WHERE study_id = %s AND data_hash = %s AND trial_id IS NULL",
        [study_id, data_hash],
    ).fetchone()
    return int(row[0]) if row else 0


def used(connection: psycopg.Connection, forks: Sequence[UUID], at: datetime) -> None:
    """Write that trials look at these forks from now on.

    Raises:
        InputError: one of them is no longer there: its time to live has passed.
    """
    changed = connection.execute(
        "UPDATE research.forks SET state = 'USED', used_at = %s WHERE fork_id = ANY(%s) AND state = 'CREATED'",
        [at, list(forks)],
    ).rowcount
    if changed != len(forks):
        msg = f"{len(forks) - changed} of {len(forks)} forks ended before they were used; give forks a longer life"
        raise InputError(msg)


def destroyed(connection: psycopg.Connection, forks: Sequence[UUID], at: datetime) -> None:
    """Write that these forks ended. One that had expired stays expired."""
    connection.execute(
        """UPDATE research.forks SET state = 'DESTROYED', destroyed_at = %s
           WHERE fork_id = ANY(%s) AND state IN ('CREATED', 'USED')""",
        [at, list(forks)],
    )


def living(connection: psycopg.Connection, study_id: UUID | None = None) -> list[StoredFork]:
    """The forks that live, of one study or of all, oldest first."""
    with connection.cursor(row_factory=class_row(StoredFork)) as cursor:
        return cursor.execute(
            """SELECT fork_id, data_hash, study_id, trial_id, database_name, state, created_at, used_at, destroyed_at,
                       expires_at
                FROM research.forks
                WHERE state IN ('CREATED', 'USED') AND (%(study)s::uuid IS NULL OR study_id = %(study)s)
                ORDER BY created_at, fork_id""",
            {"study": study_id},
        ).fetchall()


def lives_by_state(connection: psycopg.Connection, study_id: UUID) -> dict[str, int]:
    """How many forks of a study are in each state."""
    return dict(
        connection.execute(
            "SELECT state, count(*)::int FROM research.forks WHERE study_id = %s GROUP BY state ORDER BY state",
            [study_id],
        ).fetchall()
    )


def expire(connection: psycopg.Connection, now: datetime) -> int:
    """End the forks without a database whose time to live has passed; how many."""
    return connection.execute(
        """UPDATE research.forks SET state = 'EXPIRED', destroyed_at = %(now)s
            WHERE state IN ('CREATED', 'USED') AND expires_at <= %(now)s AND database_name IS NULL""",
        {"now": now},
    ).rowcount


def destroy_left_behind(connection: psycopg.Connection, now: datetime) -> int:
    """End the forks without a database whose worker is gone, which is one whose lock is free; how many.

    The locks are taken in passing until the transaction ends, so that no new worker begins in between.
    """
    return connection.execute(
        """WITH holders AS MATERIALIZED (
                SELECT DISTINCT holder FROM research.forks WHERE state IN ('CREATED', 'USED') AND holder IS NOT NULL),
            gone AS MATERIALIZED (
                SELECT holder FROM holders WHERE pg_try_advisory_xact_lock(hashtextextended(holder, 0)))
            UPDATE research.forks f SET state = 'DESTROYED', destroyed_at = %(now)s FROM gone
            WHERE f.holder = gone.holder AND state IN ('CREATED', 'USED') AND f.database_name IS NULL""",
        {"now": now},
    ).rowcount


def databases_to_drop(connection: psycopg.Connection, now: datetime) -> list[StoredFork]:
    """The forks with a database whose time to live has passed, or whose worker is gone."""
    with connection.cursor(row_factory=class_row(StoredFork)) as cursor:
        return cursor.execute(
            """WITH living AS MATERIALIZED (
                    SELECT * FROM research.forks WHERE state IN ('CREATED', 'USED') AND database_name IS NOT NULL)
                SELECT fork_id, data_hash, study_id, trial_id, database_name, state, created_at, used_at, destroyed_at,
                       expires_at
                FROM living
                WHERE expires_at <= %(now)s
                   OR (holder IS NOT NULL AND pg_try_advisory_xact_lock(hashtextextended(holder, 0)))
                ORDER BY created_at, fork_id""",
            {"now": now},
        ).fetchall()


def ended(connection: psycopg.Connection, fork: StoredFork, now: datetime) -> None:
    """Write that a fork with a database ended: EXPIRED if its time had passed, else DESTROYED."""
    connection.execute(
        """UPDATE research.forks SET state = %s, destroyed_at = %s
           WHERE fork_id = %s AND state IN ('CREATED', 'USED')""",
        ["EXPIRED" if fork.expires_at <= now else "DESTROYED", now, fork.fork_id],
    )


@contextmanager
def holding(connection: psycopg.Connection, holder: str, wait_seconds: float) -> Iterator[None]:
    """Hold the advisory lock of a worker.

    Args:
        connection: on autocommit, and used for nothing else.
        holder: name of the lock.
        wait_seconds: for a worker that was killed a moment ago, whose session the server still has.

    Raises:
        UnavailableError: another worker holds it.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{int(wait_seconds * 1000)}ms"])
    try:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [holder])
    except psycopg.errors.LockNotAvailable as error:
        msg = f"another worker is busy with {holder}; wait until it is done"
        raise UnavailableError(msg) from error
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a session that is gone has let go already
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [holder])
