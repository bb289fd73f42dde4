"""Changes that are gathered are there whenever somebody looks, and gone where their transaction is given up."""

from datetime import UTC, datetime

import psycopg
import pytest

from triplegain_pipelines.domain.errors import StaleFenceError
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gathered import Change, ask_apart, write

pytestmark = pytest.mark.integration

EARLY, LATE = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)


def beaten(name: str, at: datetime = EARLY, part: str = "") -> Change:
    part = part or f"made_{name}"
    text = " AS (INSERT INTO ops.heartbeats (name, account, beat_at) VALUES (%s, 'test', %s))"
    return Change((part + text).encode(), [name, at], frozenset([part, name]))


def moved(name: str, to: datetime) -> Change:
    def require_one(found: int) -> None:
        if found != 1:
            raise StaleFenceError(name)

    text = "moved AS (UPDATE ops.heartbeats SET beat_at = %s WHERE name = %s AND account = 'test' RETURNING name)"
    counted = b"(SELECT count(*) FROM moved)"
    return Change(text.encode(), [to, name], frozenset(["moved", name]), counted, require_one)


def write_all(connection: psycopg.Connection, first: Change, last: Change | None) -> None:
    """Both changes, or one and a failure."""
    write(connection, first)
    if last is None:
        raise StaleFenceError
    write(connection, last)


def beats(connection: psycopg.Connection) -> dict[str, datetime]:
    return dict(connection.execute("SELECT name, beat_at FROM ops.heartbeats WHERE account = 'test'").fetchall())


@pytest.mark.parametrize("pooled", [True, False])
def test_what_was_written_is_seen(database: Database, *, pooled: bool) -> None:
    """X3: a transaction that read less than it had written would decide on books of the past."""
    with database.connection() if pooled else psycopg.connect(database.url) as connection:
        write(connection, beaten("one"))
        write(connection, beaten("two", LATE))
        assert beats(connection) == {"one": EARLY, "two": LATE}
        write(connection, beaten("three"))
    with database.connection() as connection:
        assert set(beats(connection)) == {"one", "two", "three"}


def test_a_change_finds_what_the_one_before_it_did(database: Database) -> None:
    """X3: parts of one statement do not see each other; a row that is made and moved would stay as it was made."""
    with database.connection() as connection:
        write(connection, beaten("one"))
        write(connection, moved("one", LATE))
        write(connection, beaten("two", part="made_one"))  # a name twice in one statement is an error
        write(connection, beaten("three", part="made_one"))
    with database.connection() as connection:
        assert beats(connection) == {"one": LATE, "two": EARLY, "three": EARLY}


def test_nothing_outlives_its_transaction(database: Database) -> None:
    """X3: what one transaction gave up must not be written by the next one on the same connection."""
    for last in (None, moved("nobody", LATE)):
        with pytest.raises(StaleFenceError), database.connection() as connection:
            write_all(connection, beaten("one"), last)
    with database.connection() as connection:
        assert beats(connection) == {}
        write(connection, beaten("kept"))
        with pytest.raises(StaleFenceError), connection.transaction():
            write_all(connection, beaten("given up"), None)
        with connection.transaction():
            write(connection, beaten("inner"))
    with database.connection() as connection:
        assert set(beats(connection)) == {"kept", "inner"}


def test_outside_of_a_transaction_a_change_is_written_at_once(database: Database) -> None:
    """X3: nothing would ever write it."""
    with database.statements() as connection:
        write(connection, beaten("one"))
        with database.connection() as other:
            assert beats(other) == {"one": EARLY}


def test_what_is_asked_apart_leaves_changes_gathered(database: Database) -> None:
    """X3: what is asked apart sees the parts that it says it reads, and those alone."""
    question = b"SELECT count(*) FROM ops.heartbeats WHERE account = %(account)s"
    with database.connection() as connection:
        write(connection, beaten("one"))
        for parts, seen in (("made_two", 0), ("made_one", 1)):
            answer = ask_apart(connection, question, {"account": "test"}, frozenset([parts]))
            assert answer.fetchone() == (seen,)
