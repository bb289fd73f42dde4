"""Candles, revisions, gaps, roll-ups and headlines in PostgreSQL."""

from datetime import datetime, timedelta
from threading import Thread

import numpy as np
import polars as pl
import psycopg
import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.store.candles import (
    Coverage,
    UpsertCount,
    coverage,
    read_candles,
    read_candles_as_known,
    read_gaps,
    read_rollups,
    stored_range,
    upsert_candles,
    upsert_rollups,
)
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gaps import record_gaps
from triplegain_pipelines.store.headlines import read_headlines, upsert_headlines

pytestmark = pytest.mark.integration

SERIES = ("kraken", "BTC/USDT", Timeframe.M1)
DAY = (START, START + timedelta(days=1))


def _minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_every_float_comes_back_bit_for_bit(connection: psycopg.Connection) -> None:
    """Every hash of a snapshot rests on this: what is read is what was published."""
    draw = np.random.default_rng(3)
    price = 10 ** draw.uniform(-8, 6, 1000)
    frame = candle_frame(list(range(1000))).with_columns(
        open=price, high=price, low=price, close=price, volume=10 ** draw.uniform(-8, 9, 1000)
    )
    assert upsert_candles(connection, *SERIES, frame, "test") == UpsertCount(1000, 0, 0)
    back = read_candles(connection, *SERIES, *DAY)
    assert back.equals(frame)
    validate("candles", back)


def test_reading_is_by_series_and_half_open(connection: psycopg.Connection) -> None:
    """A day's partition must not hold the first candle of the next, nor another venue's."""
    upsert_candles(connection, *SERIES, candle_frame([0, 1, 2]), "test")
    upsert_candles(connection, "binance", "BTC/USDT", Timeframe.M1, candle_frame([0, 1]), "test")
    upsert_candles(connection, "kraken", "BTC/USDT", Timeframe.M5, candle_frame([0, 5]), "test")
    assert read_candles(connection, *SERIES, _minute(1), _minute(2)).equals(candle_frame([1]))
    empty = read_candles(connection, "kraken", "XRP/USDT", Timeframe.M1, *DAY)
    assert empty.equals(candle_frame([]))
    assert stored_range(connection, *SERIES) == (_minute(0), _minute(2))
    assert stored_range(connection, "kraken", "XRP/USDT", Timeframe.M1) is None
    assert coverage(connection) == [
        Coverage("binance", "BTC/USDT", "1m", 2, _minute(0), _minute(1)),
        Coverage("kraken", "BTC/USDT", "1m", 3, _minute(0), _minute(2)),
        Coverage("kraken", "BTC/USDT", "5m", 2, _minute(0), _minute(5)),
    ]


def test_a_late_correction_keeps_what_was_believed_before(connection: psycopg.Connection) -> None:
    """M4, trap 16: without the old row a past decision could not be explained."""
    upsert_candles(connection, *SERIES, candle_frame([0, 1]), "rest")
    corrected = candle_frame([1, 2]).with_columns(volume=pl.Series([7.0, 1.0]))
    assert upsert_candles(connection, *SERIES, corrected, "archive:1") == UpsertCount(new=1, identical=0, revised=1)
    assert upsert_candles(connection, *SERIES, corrected, "archive:2") == UpsertCount(new=0, identical=2, revised=0)
    assert read_candles(connection, *SERIES, *DAY)["volume"].to_list() == [1.0, 7.0, 1.0]
    revisions = connection.execute(
        "SELECT opened_at, volume, source, superseded_by FROM market.candle_revisions"
    ).fetchall()
    assert revisions == [(_minute(1), 1.0, "rest", "archive:1")]
    sources = connection.execute("SELECT source FROM market.candles ORDER BY opened_at").fetchall()
    assert sources == [("rest",), ("archive:1",), ("archive:1",)]


def test_a_delivery_without_trade_counts_does_not_erase_them(connection: psycopg.Connection) -> None:
    """M4: REST history knows no number of trades; fetching it again over an archive is no correction."""
    counted = candle_frame([0]).with_columns(trades=pl.lit(5, pl.Int32))
    upsert_candles(connection, *SERIES, counted, "archive")
    assert upsert_candles(connection, *SERIES, candle_frame([0]), "rest") == UpsertCount(0, 1, 0)
    assert read_candles(connection, *SERIES, *DAY)["trades"].to_list() == [5]
    # With other values it is another candle, whose number nobody told.
    assert upsert_candles(connection, *SERIES, candle_frame([0], price=99.0), "rest").revised == 1
    assert read_candles(connection, *SERIES, *DAY)["trades"].to_list() == [None]
    assert connection.execute("SELECT trades FROM market.candle_revisions").fetchall() == [(5,)]


def test_two_writers_of_one_series_wait_for_each_other(database: Database) -> None:
    """M4: a correction that comes while the first delivery is being stored must still leave its revision."""
    counts: list[UpsertCount] = []

    def correct() -> None:
        with database.connection() as connection:
            counts.append(upsert_candles(connection, *SERIES, candle_frame([0, 1], price=200.0), "second"))

    with database.connection() as first, database.autocommit() as observer:
        upsert_candles(first, *SERIES, candle_frame([0]), "first")
        second = Thread(target=correct)
        second.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while second.is_alive() and observer.execute(waits).fetchone() == (0,):
            pass
    second.join()
    assert counts == [UpsertCount(new=1, identical=0, revised=1)]


def test_one_delivery_may_hold_new_known_and_corrected_candles(connection: psycopg.Connection) -> None:
    """M4: each is counted for what it is, and only a corrected one leaves a revision; some know their trades."""
    first = candle_frame([0, 1, 2, 5]).with_columns(trades=pl.Series([3, None, 4, None], dtype=pl.Int32))
    assert upsert_candles(connection, *SERIES, first, "a") == UpsertCount(4, 0, 0)
    assert read_candles(connection, *SERIES, *DAY).equals(first)
    second = candle_frame([1, 2, 3, 4, 5]).with_columns(
        volume=pl.Series([1.0, 1.0, 1.0, 1.0, np.nextafter(1.0, 2.0)]),
        trades=pl.Series([9, None, 5, None, None], dtype=pl.Int32),
    )
    assert upsert_candles(connection, *SERIES, second, "b") == UpsertCount(new=2, identical=1, revised=2)
    assert upsert_candles(connection, *SERIES, candle_frame([]), "c") == UpsertCount(0, 0, 0)
    stored = read_candles(connection, *SERIES, *DAY)
    assert stored["trades"].to_list() == [3, 9, 4, 5, None, None]
    assert stored["volume"][5] == np.nextafter(1.0, 2.0)
    revised = connection.execute("SELECT opened_at, trades FROM market.candle_revisions ORDER BY 1").fetchall()
    assert revised == [(_minute(1), None), (_minute(5), None)]


def _recorded_at(database: Database) -> datetime:
    with database.connection() as connection:
        [(moment,)] = connection.execute("SELECT max(recorded_at) FROM market.candles").fetchall()
    return moment


def test_what_was_known_at_a_time_does_not_change_later(database: Database) -> None:
    """M4, trap 16: two corrections later a past decision must still be shown what it saw, and no later candle."""
    moments, beliefs = [], [candle_frame([0, 1]), candle_frame([1, 2], price=200.0), candle_frame([1], price=300.0)]
    for number, frame in enumerate(beliefs):
        with database.connection() as connection:
            upsert_candles(connection, *SERIES, frame, f"delivery {number}")
        moments.append(_recorded_at(database))
    tick = timedelta(microseconds=1)
    with database.connection() as connection:

        def known(moment: datetime) -> list[tuple[object, ...]]:
            return read_candles_as_known(connection, *SERIES, *DAY, moment).select("opened_at", "close").rows()

        assert known(moments[0] - tick) == []
        first = [(_minute(0), 100.0), (_minute(1), 100.0)]
        second = [(_minute(0), 100.0), (_minute(1), 200.0), (_minute(2), 200.0)]
        third = [(_minute(0), 100.0), (_minute(1), 300.0), (_minute(2), 200.0)]
        assert known(moments[0]) == known(moments[1] - tick) == first
        assert known(moments[1]) == known(moments[2] - tick) == second
        assert known(moments[2]) == third
        now = read_candles_as_known(connection, *SERIES, *DAY, moments[2])
        assert now.equals(read_candles(connection, *SERIES, *DAY))


def test_a_writer_that_began_first_and_wrote_last_leaves_one_value_a_time(database: Database) -> None:
    """M4: the start of a transaction is no time of recording: candles would overlap in what was known."""
    with database.connection() as early:
        early.execute("SELECT now()")  # the transaction has begun
        with database.connection() as late:
            upsert_candles(late, *SERIES, candle_frame([0]), "late")
        between = _recorded_at(database)
        assert upsert_candles(early, *SERIES, candle_frame([0], price=200.0), "early").revised == 1
    with database.connection() as connection:
        assert read_candles_as_known(connection, *SERIES, *DAY, between)["close"].to_list() == [100.0]
        after = _recorded_at(database)
        assert read_candles_as_known(connection, *SERIES, *DAY, after)["close"].to_list() == [200.0]


def _gaps(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return read_gaps(connection, *SERIES, *DAY).rows()


def _store_and_find(connection: psycopg.Connection, minutes: list[int], start: int, end: int) -> None:
    upsert_candles(connection, *SERIES, candle_frame(minutes), "test")
    stored = read_candles(connection, *SERIES, _minute(start), _minute(end))
    record_gaps(connection, *SERIES, _minute(start), _minute(end), find_gaps(stored["opened_at"], Timeframe.M1))


def test_a_filled_gap_is_marked_and_kept(connection: psycopg.Connection) -> None:
    """M4: that candles came late is itself a fact about the data."""
    _store_and_find(connection, [0, 3, 5], 0, 6)
    assert _gaps(connection) == [(_minute(1), _minute(2), 2, "missing"), (_minute(4), _minute(4), 1, "missing")]
    _store_and_find(connection, [0, 3, 5], 0, 6)
    assert len(_gaps(connection)) == 2
    _store_and_find(connection, [4], 0, 6)
    assert _gaps(connection) == [(_minute(1), _minute(2), 2, "missing"), (_minute(4), _minute(4), 1, "repaired")]


def test_a_gap_filled_in_its_middle_becomes_two(connection: psycopg.Connection) -> None:
    """M4: half a repair must not hide the other half."""
    _store_and_find(connection, [0, 9], 0, 10)
    _store_and_find(connection, [4], 4, 5)
    repaired = (_minute(4), _minute(4), 1, "repaired")
    rest = (_minute(5), _minute(8), 4, "missing")
    assert _gaps(connection) == [(_minute(1), _minute(3), 3, "missing"), repaired, rest]
    _store_and_find(connection, [1, 2], 0, 4)
    early = (_minute(1), _minute(2), 2, "repaired")
    assert _gaps(connection) == [early, (_minute(3), _minute(3), 1, "missing"), repaired, rest]


def test_a_gap_over_the_windows_end_stays_one_row(connection: psycopg.Connection) -> None:
    """M4: an outage over midnight, seen by two daily partitions, is one outage and never repaired by looking."""
    upsert_candles(connection, *SERIES, candle_frame([0, 9]), "test")
    for start, end in ((0, 5), (5, 10)):
        window = (_minute(start), _minute(end))
        stored = read_candles(connection, *SERIES, *window)["opened_at"]
        record_gaps(connection, *SERIES, *window, find_gaps(stored, Timeframe.M1, *window))
    assert [row for row in _gaps(connection) if row[3] == "missing"] == [(_minute(1), _minute(8), 8, "missing")]
    _store_and_find(connection, [], 5, 10)
    assert [row for row in _gaps(connection) if row[3] == "missing"] == [(_minute(1), _minute(8), 8, "missing")]


def test_what_a_person_said_of_a_gap_stays(connection: psycopg.Connection) -> None:
    """M4: a gap known as an outage must not turn into an unexplained one at the next look."""
    _store_and_find(connection, [0, 3], 0, 4)
    connection.execute("UPDATE market.candle_gaps SET kind = 'outage'")
    _store_and_find(connection, [2], 0, 4)
    assert _gaps(connection) == [(_minute(1), _minute(1), 1, "outage"), (_minute(2), _minute(2), 1, "repaired")]


def test_rollups_are_stored_once_and_changed_only_by_change(connection: psycopg.Connection) -> None:
    """A rerun that changes nothing must write nothing."""
    rolled = roll_up(candle_frame(list(range(12))), Timeframe.M5)
    key = ("kraken", "BTC/USDT", Timeframe.M5)
    assert upsert_rollups(connection, *key, rolled) == 3
    assert upsert_rollups(connection, *key, rolled) == 0
    full = roll_up(candle_frame(list(range(15))), Timeframe.M5)
    assert upsert_rollups(connection, *key, full) == 1
    back = read_rollups(connection, *key, *DAY)
    assert back.equals(full)
    validate("rollups", back)
    assert read_rollups(connection, *key, _minute(5), _minute(10)).height == 1


def test_headlines_count_from_the_first_sighting(connection: psycopg.Connection) -> None:
    """DESIGN §2: a headline seen again later must not lose, or gain, its moment."""
    first = Headline("a", "wire", "Up", None, _minute(5))
    second = Headline("b", "wire", "Down", _minute(4), _minute(9))
    assert upsert_headlines(connection, [second, first]) == 2
    assert upsert_headlines(connection, [Headline("a", "wire", "Up!", None, _minute(30))]) == 0
    assert upsert_headlines(connection, []) == 0
    assert read_headlines(connection, _minute(0), _minute(60)) == [first, second]
    assert read_headlines(connection, _minute(5), _minute(9)) == [second]
    assert read_headlines(connection, _minute(0), _minute(5)) == [first]
