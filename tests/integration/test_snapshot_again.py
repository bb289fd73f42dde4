"""A snapshot made again of the market data of then: what was altered is found and named, what came later is not."""

from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest
from decided_floor import (
    AS_OF,
    DECIDED_AT,
    MINUTE,
    assert_identical,
    deliver,
    make_decision,
    market_data_step,
    market_minutes,
    minutes_of,
    roll_up,
)

from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading
from triplegain_pipelines.operations.snapshot_again import grace_of
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.fear_greed import upsert_fear_greed
from triplegain_pipelines.store.headlines import upsert_headlines

pytestmark = pytest.mark.integration

SEEN = DECIDED_AT - 5 * MINUTE
LONG_AGO = DECIDED_AT - timedelta(days=9, minutes=7)
HOUR_LONG_AGO = DECIDED_AT - timedelta(days=9)
CANDLES = market_minutes()


def _altered(database: Database, statement: str, opened_at: datetime) -> str:
    deliver(database, CANDLES)
    decided = make_decision(database)
    with database.connection() as connection:
        changed = connection.execute(statement.encode(), {"at": opened_at})
        assert changed.rowcount == 1
    step = market_data_step(database, decided)
    assert not step.identical
    return step.detail


@pytest.mark.parametrize(
    ("statement", "opened_at", "words"),
    [
        (
            "UPDATE market.candles SET close = low WHERE opened_at = %(at)s",
            DECIDED_AT - MINUTE,
            [
                f"the 1m bar of {DECIDED_AT - MINUTE:%Y-%m-%d %H:%M} UTC has a close of",
                "5m, 15m, 1h differ with it",
            ],
        ),
        (
            "UPDATE market.candles SET low = low / 2 WHERE opened_at = %(at)s",
            LONG_AGO,
            ["1h", f"{LONG_AGO - timedelta(minutes=3):%Y-%m-%d %H:%M} UTC give a 5m roll-up with low"],
        ),
        (
            "DELETE FROM market.candles WHERE opened_at = %(at)s",
            SEEN,
            ["1m has 399 bars and had 400", f"{SEEN:%Y-%m-%d %H:%M} UTC give a 5m roll-up with", "minutes 4 and not 5"],
        ),
    ],
)
def test_an_altered_candle_is_found_and_named(
    database: Database, statement: str, opened_at: datetime, words: list[str]
) -> None:
    """D1: a row that was changed past the store leaves no revision; whoever did it must be found out, and where."""
    detail = _altered(database, statement, opened_at)
    assert [word for word in words if word not in detail] == [], detail


def test_bars_that_differ_are_found_without_hashes_and_rollups_too(database: Database) -> None:
    """D1: who alters the roll-ups with the candles, and takes the hashes of the indicators, is found all the same."""
    deliver(database, CANDLES)
    decided = make_decision(database)
    with database.connection() as connection:
        changed = connection.execute("UPDATE market.candles SET open = low WHERE opened_at = %s", (HOUR_LONG_AGO,))
        assert changed.rowcount == 1
        connection.execute("DELETE FROM market.indicators")
    roll_up(database, minutes_of(CANDLES, HOUR_LONG_AGO))
    step = market_data_step(database, decided)
    assert not step.identical
    assert step.detail == "a bar that it was made of and does not show has other values"


def test_a_snapshot_of_another_version_is_not_said_to_differ(database: Database) -> None:
    """D1: other code makes another snapshot of the same data; that is no forgery."""
    deliver(database, CANDLES)
    decided = make_decision(database)
    with database.connection() as connection:
        connection.execute("UPDATE research.snapshots SET code_version = 'snapshot-1+old'")
    step = market_data_step(database, decided)
    assert not step.identical
    assert step.detail.startswith("it was made by snapshot-1+old and cannot be made again by snapshot-")


def _headline(title: str, seen_before: timedelta, *, assumed: bool = False) -> Headline:
    seen_at = AS_OF - seen_before
    return Headline(title, "CoinDesk", title, seen_at, seen_at, first_seen_assumed=assumed)


def _reading(score: int, *, assumed: bool = False) -> FearGreedReading:
    day = AS_OF.replace(hour=0, second=0)
    return FearGreedReading("test", day, score, "fear", day + timedelta(hours=1), first_seen_assumed=assumed)


def _headlines(*headlines: Headline) -> Callable[[psycopg.Connection], object]:
    return lambda connection: upsert_headlines(connection, headlines)


def _index(*readings: FearGreedReading) -> Callable[[psycopg.Connection], object]:
    return lambda connection: upsert_fear_greed(connection, readings)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_headlines(_headline("Seen", timedelta(hours=1))), _headlines(_headline("Later", -timedelta(hours=1)))),
        (
            _headlines(_headline("Seen", timedelta(hours=1)), _headline("Old", timedelta(hours=2), assumed=True)),
            _headlines(_headline("Of an archive", timedelta(hours=3), assumed=True)),
        ),
        (_index(_reading(40)), _index()),
        (_index(), _index(_reading(40, assumed=True))),
    ],
)
def test_news_of_afterwards_change_no_snapshot(
    database: Database,
    before: Callable[[psycopg.Connection], object],
    after: Callable[[psycopg.Connection], object],
) -> None:
    """I2: also not those of an archive that is imported later, whose first sight is assumed."""
    deliver(database, CANDLES)
    with database.connection() as connection:
        before(connection)
    decided = make_decision(database)
    assert_identical(database, decided)
    assert market_data_step(database, decided).detail == ""
    with database.connection() as connection:
        after(connection)
    assert_identical(database, decided)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM market.headlines", "the headline 'Seen' of CoinDesk was there and is not stored"),
        (
            """INSERT INTO market.headlines (headline_id, source, title, first_seen_at)
               SELECT 'new', 'CoinDesk', 'Slipped in', first_seen_at FROM market.headlines""",
            "the headline 'Slipped in' of CoinDesk is there and was not",
        ),
        ("UPDATE market.headlines SET title = 'Forged'", "the headline 'Forged' of CoinDesk is there and was not"),
        ("UPDATE market.headlines SET first_seen_at = first_seen_at - interval '1 hour'", "another age or order"),
        ("UPDATE market.fear_greed SET score = 90", "the fear-and-greed index is {"),
    ],
)
def test_altered_news_are_found_and_named(database: Database, statement: str, words: str) -> None:
    """I2: a headline that nobody had seen then must not be slipped into what a decision rests on."""
    deliver(database, CANDLES)
    with database.connection() as connection:
        upsert_headlines(connection, [_headline("Seen", timedelta(hours=1))])
        upsert_fear_greed(connection, [_reading(40)])
    decided = make_decision(database)
    with database.connection() as connection:
        assert connection.execute(statement.encode()).rowcount == 1
    step = market_data_step(database, decided)
    assert not step.identical
    assert words in step.detail


@pytest.mark.parametrize(("second", "usual", "grace"), [(10, 30, 10), (0, 0, 0), (0, 60, 60), (0, 10, 0), (59, 60, 59)])
def test_the_grace_is_told_by_the_time_of_the_decision(second: int, usual: int, grace: int) -> None:
    """D1: the grace is a setting as well; one that is changed later must not shift the bars of a past decision."""
    as_of = DECIDED_AT + timedelta(seconds=second)
    assert grace_of(as_of, timedelta(seconds=usual)) == timedelta(seconds=grace)
