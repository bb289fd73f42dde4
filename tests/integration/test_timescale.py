"""Tables on TimescaleDB: what a migration makes of them, and that no answer changes by it.

Skipped where TRIPLEGAIN_TEST_TIMESCALE_URL names no server, but for what a plain server must do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import polars as pl
import psycopg
import pytest
from candle_frames import START, candle_frame
from psycopg import sql
from servers import NamedServer, Server, fresh_database

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.operations.doctor import State, extension_findings
from triplegain_pipelines.store import database as database_module
from triplegain_pipelines.store.candles import UpsertCount, read_candles, upsert_candles
from triplegain_pipelines.store.chart import chart_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.extensions import (
    PLAIN,
    Extensions,
    create_extensions,
    find_extensions,
    offered_extensions,
)
from triplegain_pipelines.store.hypertables import HYPERTABLES

pytestmark = pytest.mark.integration

SERIES = ("kraken", "BTC/USDT")
M1 = (*SERIES, Timeframe.M1)
DAYS = 20
WINDOW = (START, START + timedelta(days=DAYS))


@pytest.fixture
def timescaled(timescale: NamedServer, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh, migrated database with TimescaleDB, whose jobs run only when a test runs them."""
    with fresh_database(timescale, request.node.nodeid) as database:
        yield database


def test_a_plain_server_stays_plain(plain_postgres: EmbeddedPostgres) -> None:
    """M5: a server without the extensions must migrate, and the doctor must say that nothing is missing."""
    with fresh_database(plain_postgres, "timescale/plain") as database:
        database.migrate()
        with database.connection() as connection:
            assert find_extensions(connection) == PLAIN
            findings = extension_findings(PLAIN, offered_extensions(connection))
    assert {finding.state for finding in findings} == {State.GOOD}
    assert all("not on this server" in finding.detail for finding in findings)


def test_the_session_may_unpack_as_many_rows_as_it_must(database: Database) -> None:
    """M5: by default a correction of more than 100,000 packed candles fails; an unknown name must harm no server."""
    with database.connection() as connection:
        setting = connection.execute("SHOW timescaledb.max_tuples_decompressed_per_dml_transaction").fetchone()
    assert setting == ("0",)


@pytest.mark.parametrize(
    ("found", "offered", "words"),
    [
        (PLAIN, {"timescaledb": "2.29.2"}, "did not let us"),
        (Extensions("2.29.2"), {}, "still plain"),
        (Extensions("2.19.3", aggregates=True), {}, "older than 2.20"),
        (Extensions("2.29.2", license="apache"), {}, "licence is apache"),
    ],
)
def test_the_doctor_notes_what_is_there_and_not_used(found: Extensions, offered: dict[str, str], words: str) -> None:
    """M5: a server that has TimescaleDB and does not use it is slow for no reason that anybody sees."""
    finding = extension_findings(found, offered)[0]
    assert finding.state is State.NOTE
    assert words in finding.detail
    assert finding.mend


def test_the_tables_become_hypertables(timescaled: Database) -> None:
    """M5: found out when migrating; a second migration finds it done."""
    timescaled.migrate()
    with timescaled.connection() as connection:
        found = find_extensions(connection)
        tables = connection.execute(
            "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'market'"
        ).fetchall()
        jobs = connection.execute(
            "SELECT proc_name, count(*)::integer FROM timescaledb_information.jobs WHERE job_id >= 1000 GROUP BY 1"
        ).fetchall()
        dropped = connection.execute(
            "SELECT hypertable_name FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
        ).fetchall()
        findings = extension_findings(found, offered_extensions(connection))
    assert found.aggregates
    assert sorted(name for (name,) in tables) == sorted(table.table for table in HYPERTABLES)
    assert dict(jobs) == {
        "policy_compression": len(HYPERTABLES),
        "policy_refresh_continuous_aggregate": len(ROLLUP_TIMEFRAMES),
        "policy_retention": 1,
    }
    assert dropped == [("top_of_book",)], "evidence must never be dropped"
    assert findings[0].state is State.GOOD


def test_a_server_that_gains_the_extension_keeps_its_rows(
    timescale: NamedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M5: the change from plain tables happens on a database full of candles."""
    with fresh_database(timescale, "timescale/gain", migrated=False) as database:
        with monkeypatch.context() as without:
            without.setattr(database_module, "create_extensions", lambda _connect: None)
            database.migrate()
        before = candle_frame(list(range(0, DAYS * 1440, 7)))
        with database.connection() as connection:
            assert find_extensions(connection).timescaledb is None
            upsert_candles(connection, *M1, before, "test")
        database.migrate()
        with database.connection() as connection:
            assert find_extensions(connection).aggregates
            assert read_candles(connection, *M1, *WINDOW).equals(before)
            assert upsert_candles(connection, *M1, before, "test").identical == before.height


def test_what_is_not_permitted_is_passed_over(postgres: Server) -> None:
    """M5: a role that may not make extensions can still migrate and work."""
    with fresh_database(postgres, "timescale/refused", migrated=False) as database:

        @contextmanager
        def as_a_guest() -> Iterator[psycopg.Connection]:
            with database.autocommit() as connection:
                connection.execute("SET ROLE pg_monitor")
                yield connection

        create_extensions(as_a_guest)
        with database.connection() as connection:
            assert find_extensions(connection) == Extensions(license=find_extensions(connection).license)


def test_a_chart_sees_a_correction_that_the_aggregate_has_not(timescaled: Database) -> None:
    """M5: until its next refresh an aggregate tells the old candle; on a plain server the chart tells the new one."""
    with timescaled.connection() as connection:
        upsert_candles(connection, *M1, candle_frame(list(range(DAYS * 1440))), "test")
    _refresh(timescaled)
    corrected = candle_frame([5000], price=90.0).with_columns(volume=pl.lit(7.0))
    late = candle_frame(list(range(-3, 0)))
    with timescaled.connection() as connection:
        assert upsert_candles(connection, *M1, corrected, "late").revised == 1
        assert upsert_candles(connection, *M1, late, "late").new == 3
    hour = START + timedelta(hours=5000 // 60)
    with timescaled.connection() as connection:
        told = connection.execute("SELECT min(low) FROM market.chart_1h WHERE opened_at = %s", (hour,)).fetchone()
        assert told == (99.0,), "the aggregate was refreshed in between: this proves nothing"
        for points in (DAYS * 288, DAYS * 96, DAYS * 24, DAYS * 6, DAYS):
            window = (START - timedelta(days=1), WINDOW[1])
            chart = chart_candles(connection, *SERIES, *window, points)
            assert chart.equals(chart_candles(connection, *SERIES, *window, points, extensions=PLAIN))
            assert chart["low"].min() == 89.0
            assert chart["minutes"].sum() == DAYS * 1440 + 3


def test_a_chart_reads_the_aggregate_where_nothing_changed(timescaled: Database) -> None:
    """M5: reading half a million candles for a chart of a year is what the aggregates are there to save."""
    with timescaled.connection() as connection:
        upsert_candles(connection, *M1, candle_frame(list(range(DAYS * 1440))), "test")
    _refresh(timescaled)
    with timescaled.autocommit() as connection:
        place = connection.execute(
            """SELECT materialization_hypertable_schema, materialization_hypertable_name
               FROM timescaledb_information.continuous_aggregates WHERE view_name = 'chart_1d'"""
        ).fetchone()
        assert place is not None
        mark = sql.SQL("UPDATE {} SET volume = -1").format(sql.Identifier(*place))  # only the aggregate has it
        connection.execute(mark)
    with timescaled.connection() as connection:
        volumes = chart_candles(connection, *SERIES, *WINDOW, DAYS)["volume"].to_list()
    assert volumes[: DAYS - 2] == [-1.0] * (DAYS - 2)


def test_packed_candles_are_read_corrected_and_completed(timescaled: Database) -> None:
    """M4, M5: a venue corrects candles of years ago, and by then they are in the column store."""
    frame = candle_frame([minute for minute in range(DAYS * 1440) if minute != 77])
    with timescaled.connection() as connection:
        upsert_candles(connection, *M1, frame, "test")
    _run_jobs(timescaled)
    with timescaled.connection() as connection:
        packed = connection.execute(
            "SELECT bool_and(is_compressed) FROM timescaledb_information.chunks WHERE hypertable_name = 'candles'"
        ).fetchone()
        assert packed == (True,)
        assert read_candles(connection, *M1, *WINDOW).equals(frame)
        again = pl.concat([candle_frame([76]), candle_frame([77]), candle_frame([78], price=50.0)])
        assert upsert_candles(connection, *M1, again, "late") == UpsertCount(new=1, identical=1, revised=1)
        stored = read_candles(connection, *M1, *WINDOW)
        revisions = connection.execute("SELECT opened_at, close, superseded_by FROM market.candle_revisions").fetchall()
    assert stored.height == DAYS * 1440
    assert stored[76:79].equals(again)
    assert revisions == [(START + timedelta(minutes=78), 100.0, "late")]


def test_the_rules_of_a_table_hold_in_packed_chunks(timescaled: Database) -> None:
    """M3: what the table's checks and its primary key refuse must stay refused."""
    with timescaled.connection() as connection:
        upsert_candles(connection, *M1, candle_frame([0, 1]), "test")
    _run_jobs(timescaled)
    row = "INSERT INTO market.candles VALUES ('kraken', 'BTC/USDT', '1m', %s, 1, %s, 1, 1, 1, NULL, 'test')"
    with timescaled.autocommit() as connection:
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(row, (START, 1))
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(row, (START + timedelta(minutes=2), 0.5))


def test_old_readings_that_were_stored_today_are_kept(timescaled: Database) -> None:
    """M5: a recording of last year, replayed today, must not be gone tomorrow: the age of the chunk counts."""
    with timescaled.connection() as connection:
        connection.execute(
            "INSERT INTO market.top_of_book VALUES ('kraken', 'BTC/USDT', %s, 99, 1, 101, 1, 'test')", (START,)
        )
    _run_jobs(timescaled)
    with timescaled.connection() as connection:
        assert connection.execute("SELECT count(*) FROM market.top_of_book").fetchone() == (1,)


def _refresh(database: Database) -> None:
    with database.autocommit() as connection:
        for timeframe in ROLLUP_TIMEFRAMES:
            connection.execute(f"CALL refresh_continuous_aggregate('market.chart_{timeframe}', NULL, NULL)")


def _run_jobs(database: Database) -> None:
    with database.autocommit() as connection:
        jobs = connection.execute("SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1")
        for (job,) in jobs.fetchall():
            connection.execute(f"CALL run_job({job})")
