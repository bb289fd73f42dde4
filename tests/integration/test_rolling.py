"""Roll-ups agree with the candles that decisions may see at every commit, whoever changed the candles."""

from datetime import timedelta
from threading import Event, Thread

import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, quiet, same_as, scaled, with_values
from repair_cases import BTC, Repairs, without
from rollup_checks import rolled_up

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.intake import take_in_minutes
from triplegain_pipelines.operations.rolling import roll_up_days
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

TWO_DAYS = quiet(2 * 1440)
END = START + timedelta(days=2)


@pytest.fixture
def repairs(database: Database) -> Repairs:
    """A store at the end of two days."""
    return Repairs(database, "binance", {}, clock=ReplayClock(END))


def test_candles_and_their_rollups_are_one_transaction(repairs: Repairs) -> None:
    """M4: a process that dies between the two would leave the roll-ups of an earlier day wrong for good."""
    repairs.deliver(without(TWO_DAYS, *range(700, 760)))
    assert rolled_up(repairs.database, "binance", BTC, without(TWO_DAYS, *range(700, 760)))
    repairs.deliver(TWO_DAYS.slice(690, 80))  # the hole is filled a day later
    assert rolled_up(repairs.database, "binance", BTC, TWO_DAYS)
    corrected = with_values(TWO_DAYS, 100, volume=7.5)
    repairs.deliver(corrected.slice(100, 1))
    assert rolled_up(repairs.database, "binance", BTC, corrected)


def test_a_doubt_that_reaches_back_over_midnight_takes_yesterdays_rollups_with_it(repairs: Repairs) -> None:
    """M4: the fifth equal candle comes after midnight and holds candles before it, whose day is rolled up already."""
    quality = repairs.settings.market.quality.model_copy(update={"stuck_candles": 5})
    market = repairs.settings.market.model_copy(update={"quality": quality})
    repairs.settings = repairs.settings.model_copy(update={"market": market})
    stuck = same_as(TWO_DAYS, 1437, 4)
    repairs.deliver(stuck.head(1441))
    assert rolled_up(repairs.database, "binance", BTC, stuck.head(1441))
    assert len(repairs.deliver(stuck.slice(1441)).held) == 4
    assert rolled_up(repairs.database, "binance", BTC, without(stuck, 1438, 1439, 1440, 1441))


def test_what_the_venue_says_to_a_doubt_of_other_values_is_rolled_up(repairs: Repairs) -> None:
    """M4: an import had replaced the doubted candle, so the venue's answer changed nothing but ended the doubt."""
    frame = TWO_DAYS.head(10)
    repairs.deliver(scaled(frame, 9, 1.2))
    with repairs.database.connection() as connection:
        upsert_candles(connection, "binance", BTC, Timeframe.M1, frame, "archive")
    again = frame.slice(9).select(pl.lit(BTC).alias("symbol"), pl.all())
    with repairs.database.connection() as connection:
        taken = take_in_minutes(
            connection, "binance", again, "stream", closed_before=END, settings=repairs.settings, at=END
        )
    assert (taken.count.identical, taken.settled) == (1, 1)
    assert rolled_up(repairs.database, "binance", BTC, frame)


def test_minutes_of_an_hour_come_at_once_into_every_bucket(repairs: Repairs) -> None:
    """M3: after an outage of the database an hour comes in one piece; no bucket of it may be left as it was."""
    frame = TWO_DAYS.slice(1400, 100)
    rows = frame.select(pl.lit(BTC).alias("symbol"), pl.all())
    with repairs.database.connection() as connection:
        take_in_minutes(connection, "binance", rows, "stream", closed_before=END, settings=repairs.settings, at=END)
    assert rolled_up(repairs.database, "binance", BTC, frame)


def test_a_day_is_not_rolled_up_of_what_a_writer_is_about_to_change(repairs: Repairs) -> None:
    """M4: read before a minute is stored and written after it, a day's roll-ups would be without the minute."""
    repairs.deliver(TWO_DAYS.head(100))
    began, done = Event(), Event()

    def roll_up() -> None:
        began.set()
        roll_up_days(repairs.database, "binance", BTC, START, START + timedelta(days=1))
        done.set()

    thread = Thread(target=roll_up)
    with repairs.database.connection() as connection:
        rows = TWO_DAYS.slice(100, 1).select(pl.lit(BTC).alias("symbol"), pl.all())
        moment = START + 101 * MINUTE
        take_in_minutes(
            connection, "binance", rows, "stream", closed_before=moment, settings=repairs.settings, at=moment
        )
        thread.start()
        began.wait(5)
        assert not done.wait(0.5), "it must wait for the writer"
    thread.join(10)
    assert rolled_up(repairs.database, "binance", BTC, TWO_DAYS.head(101))
