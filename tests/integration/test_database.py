"""The embedded server, the migrations and bulk traffic."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ProgrammingError

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.store import migrations
from triplegain_pipelines.store.bulk import copy_out, stage
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


def test_paper_and_live_tables_are_the_same_to_the_last_column(connection: psycopg.Connection) -> None:
    """X1: a column that exists on paper only would be met for the first time with real money."""
    query = """SELECT table_name, column_name, data_type, is_nullable, column_default IS NULL
               FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
    paper = connection.execute(query, ("paper_trading",)).fetchall()
    assert len(paper) > 100
    assert paper == connection.execute(query, ("live_trading",)).fetchall()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    """A second start must not fail on, or repeat, what the first one made."""
    database.migrate()
    with database.connection() as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0008",)]


def test_an_older_schema_is_seen_to_be_older(database: Database) -> None:
    """Whether there is anything to do is told by the names of the files: a revision under another name never came."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    names = {revision.revision: Path(revision.path).name for revision in scripts.walk_revisions()}
    assert all(name.startswith(f"r{number}_") for number, name in names.items())
    assert scripts.get_current_head() == max(names)
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(ProgrammingError, match="already exists"):
        database.migrate()


def test_an_error_rolls_the_transaction_back(database: Database) -> None:
    """Half of a step must never stay behind."""

    def fail_halfway() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO ops.heartbeats VALUES ('breakers', 'demo', now())")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM ops.heartbeats").fetchone() == (0,)


def test_an_unreachable_server_is_unavailable_not_empty() -> None:
    """DESIGN rule 4: a failed query must never read as an empty answer."""
    nowhere = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1/none") as caught:
        nowhere.check()
    assert "secret" not in str(caught.value)


def end_session(database: Database, connection: psycopg.Connection) -> None:
    """Write a row over `connection`, and let the server end its session then."""
    connection.execute("INSERT INTO ops.heartbeats VALUES ('breakers', 'demo', now())")
    with database.autocommit() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])


def test_a_server_that_ends_a_session_is_unavailable(database: Database) -> None:
    """Rule 4: a database that dies in the middle of a transaction must not kill a service that would try again."""

    def work(connection: psycopg.Connection) -> None:
        end_session(database, connection)
        connection.execute("SELECT 1")

    for opened in (database.connection, database.autocommit):
        with pytest.raises(UnavailableError, match="broke off") as caught, opened() as connection:
            work(connection)
        assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    with database.connection() as connection:
        # Of a transaction nothing stays; each statement of its own does.
        assert connection.execute("SELECT count(*) FROM ops.heartbeats").fetchone() == (1,)


def test_a_commit_that_fails_is_unavailable(database: Database) -> None:
    """Rule 4: whether a transaction was committed is not known when the session ends before the answer."""
    with pytest.raises(UnavailableError), database.connection() as connection:
        end_session(database, connection)


@pytest.mark.parametrize(("code", "cause"), [("25006", "only reads"), ("53100", "is full"), ("53200", "no memory")])
def test_a_server_that_cannot_write_now_is_unavailable(database: Database, code: str, cause: str) -> None:
    """Issue 4, point 7: a full disk and a standby pass; they must stop new risk, not end the process as a bug."""
    broken = f"DO $$ BEGIN RAISE EXCEPTION 'this server {cause}' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(UnavailableError, match=cause), database.connection() as connection:
        connection.execute(broken.encode())


def test_a_database_that_only_lets_read_is_unavailable_until_it_lets_write(database: Database) -> None:
    """Issue 4, point 7: recovery without hands when it is back."""
    with database.autocommit() as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on".encode())
    fresh = Database(database.url)
    with pytest.raises(UnavailableError, match="read-only"), fresh.connection() as connection:
        connection.execute("DELETE FROM ops.heartbeats")
    with fresh.connection() as connection:
        connection.execute("SET LOCAL transaction_read_only = off")
        connection.execute("DELETE FROM ops.heartbeats")
    fresh.close()


def test_a_frame_survives_the_way_in_and_out(connection: psycopg.Connection) -> None:
    """A float or a time that changes on its way through the database breaks every hash built on it."""
    frame = pl.DataFrame(
        {
            "headline_id": ["a", "b"],
            "source": ["wire", 'quote " and, comma'],
            "title": ["first", "line\nbreak"],
            "published_at": [None, datetime(2024, 8, 5, 1, 2, 3, 4, tzinfo=UTC)],
            "first_seen_at": [datetime(2024, 8, 5, tzinfo=UTC), datetime(2024, 8, 5, 12, tzinfo=UTC)],
        },
        schema_overrides={"published_at": pl.Datetime("us", "UTC"), "first_seen_at": pl.Datetime("us", "UTC")},
    )
    staged = stage(connection, frame, ("market", "headlines"))
    assert staged == "staged_headlines"
    columns = "headline_id, source, title, published_at, first_seen_at"
    connection.execute(f"INSERT INTO market.headlines ({columns}) SELECT {columns} FROM staged_headlines")  # noqa: S608
    back = copy_out(connection, f"SELECT {columns} FROM market.headlines ORDER BY headline_id", None, frame.schema)  # noqa: S608
    assert back.equals(frame)
