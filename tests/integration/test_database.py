"""The embedded server, the migrations and bulk traffic."""

from datetime import UTC, datetime

import polars as pl
import psycopg
import pytest

from triplegain_pipelines.domain.errors import UnavailableError
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
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]


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
    connection.execute("INSERT INTO market.headlines SELECT * FROM staged_headlines")
    back = copy_out(connection, "SELECT * FROM market.headlines ORDER BY headline_id", None, frame.schema)
    assert back.equals(frame)
