"""Frames through PostgreSQL's binary COPY, there and back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.store.binary_copy import Block, copy_in_binary, copy_out_binary

pytestmark = pytest.mark.integration

TIME = pl.Datetime("us", "UTC")
SCHEMA = {"at": TIME, "price": pl.Float64(), "count": pl.Int32(), "total": pl.Int64()}
_ROWS = st.lists(
    st.tuples(
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        st.floats(allow_nan=False),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=30,
)


@pytest.fixture
def table(connection: psycopg.Connection) -> psycopg.Connection:
    """A connection with an empty table for the rows."""
    connection.execute(
        """CREATE TABLE market.copied
               (name text, known timestamptz, at timestamptz, price float8, count int4, total int8)"""
    )
    return connection


def _sorted(rows: list[tuple[Any, ...]]) -> list[str]:
    """The rows in an order of their own, every bit of them printed: 0.0 is not -0.0 here."""
    return sorted(repr((at.isoformat(), *values)) for at, *values in rows)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9))
def test_every_value_comes_back_as_it_was(table: psycopg.Connection, rows: list[tuple[Any, ...]], name: str) -> None:
    """M4: a bit of a price or a microsecond of a time lost on the way would be a change that nobody made."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    known = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    table.execute("TRUNCATE market.copied")
    copy_in_binary(table, ("market", "copied"), [Block({"name": name, "known": known}, frame)])
    stored = table.execute("SELECT at, price, count, total FROM market.copied").fetchall()
    assert _sorted(stored) == _sorted(frame.rows())
    constants = table.execute("SELECT DISTINCT name, known FROM market.copied").fetchall()
    assert constants == ([(name, known)] if rows else [])
    back = copy_out_binary(
        table, "SELECT at, price, coalesce(count, 0), coalesce(total, 0) FROM market.copied", None, SCHEMA
    )
    assert back.schema == SCHEMA
    assert _sorted(back.rows()) == _sorted(frame.with_columns(pl.col("count", "total").fill_null(0)).rows())


def test_more_rows_than_one_piece_keep_their_order(table: psycopg.Connection) -> None:
    """M4: a million rows go in pieces; none may be lost or doubled at a border."""
    count = 120_001
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = pl.datetime_range(start, start + timedelta(minutes=count - 1), "1m", eager=True, time_unit="us")
    frame = pl.DataFrame({"at": times, "price": range(count)}, schema={"at": TIME, "price": pl.Float64()})
    blocks = [Block({"name": "a"}, frame[:60_000]), Block({"name": "b"}, frame[60_000:])]
    copy_in_binary(table, ("market", "copied"), blocks)
    back = copy_out_binary(table, "SELECT at, price FROM market.copied ORDER BY at", None, dict(frame.schema))
    assert back.equals(frame)
    assert table.execute("SELECT count(*) FROM market.copied WHERE name = 'b'").fetchone() == (60_001,)


def test_a_null_or_another_type_is_an_error(table: psycopg.Connection) -> None:
    """M4: rows of another width, read as if they were not, would be prices out of thin air."""
    query = "SELECT at, price, count, total FROM market.copied"
    insert = "INSERT INTO market.copied (at, price, count, total) VALUES (now(), %s, %s, %s)"
    for rows in ([(None, 1, 1)], [(1, 1, 1), (1, None, 1)], [(1, 1, 1), (None, 1, 1), (1, 1, 1)]):
        table.execute("TRUNCATE market.copied")
        for row in rows:
            table.execute(insert, row)
        with pytest.raises(DataError, match="holds a null"):
            copy_out_binary(table, query, None, SCHEMA)
    # As wide as asked for, but in another order.
    table.execute("TRUNCATE market.copied")
    table.execute(insert, (1, 1, 1))
    with pytest.raises(DataError, match="not at, price, count, total"):
        copy_out_binary(table, "SELECT count, at, price, total FROM market.copied", None, SCHEMA)
    with pytest.raises(TypeError, match="cannot go through binary COPY"):
        copy_out_binary(table, "SELECT name FROM market.copied", None, {"name": pl.String()})


def test_blocks_must_agree(table: psycopg.Connection) -> None:
    """M4: a block with its columns in another order would write prices into other columns."""
    frame = pl.DataFrame({"price": [1.0], "total": [1]})
    blocks = [Block({"name": "a"}, frame), Block({"name": "a"}, frame.select("total", "price"))]
    with pytest.raises(ValueError, match="must have the columns name, price, total"), table.transaction():
        copy_in_binary(table, ("market", "copied"), blocks)
    copy_in_binary(table, ("market", "copied"), [])
    assert table.execute("SELECT count(*) FROM market.copied").fetchone() == (0,)
