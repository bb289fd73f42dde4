"""Keys of venues as they are stored: sealed, one in force for each use. What is retired keeps its row and no secret."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.secrets import Permissions, Purpose


@dataclass(frozen=True, slots=True)
class Use:
    """What a key is used for. One key is in force for each use."""

    environment: str
    venue: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A sealed key that is to be stored; without `checked_at` its permissions were not read from the venue."""

    use: Use
    sealed: bytes = field(repr=False)
    fingerprint: str
    permissions: Permissions | None
    stored_at: datetime
    stored_by: str
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored key. Only who has the master key can tell the key from it."""

    credential_id: int
    use: Use
    sealed: bytes = field(repr=False)
    fingerprint: str
    permissions: Permissions | None
    stored_at: datetime
    stored_by: str
    checked_at: datetime | None
    retired_at: datetime | None


_READ = """SELECT credential_id, environment, venue, purpose, sealed, fingerprint, permissions, stored_at, stored_by,
       checked_at, retired_at
    FROM ops.credentials """


def lock(connection: psycopg.Connection) -> None:
    """Let nobody else store or seal until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('triplegain.credentials', 0))")


def insert(connection: psycopg.Connection, new: NewCredential) -> int:
    """Store a sealed key, and return its id."""
    row = connection.execute(
        """INSERT INTO ops.credentials (environment, venue, purpose, sealed, fingerprint, permissions, stored_at,
               stored_by, checked_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING credential_id""",
        [
            new.use.environment,
            new.use.venue,
            new.use.purpose,
            new.sealed,
            new.fingerprint,
            _document(new.permissions),
            new.stored_at,
            new.stored_by,
            new.checked_at,
        ],
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    return int(row[0])


def in_force(connection: psycopg.Connection, use: Use) -> Credential | None:
    """The key in force for a use, or None."""
    row = connection.execute(
        _READ + "WHERE (environment, venue, purpose) = (%s, %s, %s) AND retired_at IS NULL",
        [use.environment, use.venue, use.purpose],
    ).fetchone()
    return _credential(row) if row else None


def all_in_force(connection: psycopg.Connection) -> list[Credential]:
    """Every key in force, of all environments."""
    rows = connection.execute(_READ + "WHERE retired_at IS NULL ORDER BY environment, venue, purpose").fetchall()
    return [_credential(row) for row in rows]


def seal_again(connection: psycopg.Connection, sealed: Mapping[int, bytes]) -> None:
    """Put newly sealed content in the place of the old."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE ops.credentials SET sealed = %s WHERE credential_id = %s AND retired_at IS NULL",
            [(content, credential_id) for credential_id, content in sealed.items()],
        )


def retire(connection: psycopg.Connection, credential_id: int, at: datetime) -> None:
    """Take a key out of force, and forget what was sealed."""
    connection.execute(
        "UPDATE ops.credentials SET retired_at = %s, sealed = '' WHERE credential_id = %s AND retired_at IS NULL",
        [at, credential_id],
    )


def keep_check(
    connection: psycopg.Connection, credential_id: int, permissions: Permissions, checked_at: datetime
) -> None:
    """Keep what the venue said that a key may do."""
    connection.execute(
        "UPDATE ops.credentials SET permissions = %s, checked_at = %s WHERE credential_id = %s",
        [_document(permissions), checked_at, credential_id],
    )


def _document(permissions: Permissions | None) -> Jsonb | None:
    return None if permissions is None else Jsonb(asdict(permissions))


def _credential(row: TupleRow) -> Credential:
    number, environment, venue, purpose, sealed, fingerprint, permissions, stored_at, stored_by, checked, retired = row
    return Credential(
        number,
        Use(environment, venue, Purpose(purpose)),
        bytes(sealed),
        fingerprint,
        None if permissions is None else Permissions(**permissions),
        stored_at,
        stored_by,
        checked,
        retired,
    )
