"""The newest minutes of a venue, with the real database and the real REST client against a loopback venue."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from live_market import LiveMarket
from scaled_clock import ScaledClock
from stream_process import Plan
from venues.kraken import KrakenServer
from venues.loopback import BLOCKED, CUT_OFF

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.quality import GapKind
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.market.trades import MinuteCandle
from triplegain_pipelines.operations.live_minutes import LiveMinutes, last_closed
from triplegain_pipelines.store.candles import read_candles, upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gaps import first_unexplained, record_gaps, settle_gaps

pytestmark = pytest.mark.integration

BTC, ETH = "BTC/USDT", "ETH/USDT"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HISTORY = timedelta(hours=11)
SETTINGS = Plan("", (BTC, ETH), {"kraken": 0}, ScaledClock(NOON, NOON, 1.0)).settings()
CONFIRM_AFTER = SETTINGS.market.stream.confirm_after
MARKET = LiveMarket(5, (BTC, ETH), NOON - HISTORY - 10 * MINUTE, 11 * 60 + 60)
VALUES = ["opened_at", "open", "high", "low", "close", "volume"]


@dataclass
class Floor:
    """A venue, a clock and a database; `minutes` is of a service that just started."""

    database: Database
    server: KrakenServer
    clock: ReplayClock
    minutes: LiveMinutes

    def restart(self) -> None:
        """A new process, which knows nothing."""
        self.minutes = LiveMinutes(self.database, SETTINGS, "kraken", (BTC, ETH), self.clock, base_url=self.server.url)
        self.minutes.load()

    def catch_up(self) -> None:
        """Ask until there is nothing to ask for."""
        while (symbol := self.minutes.next_question()) is not None:
            assert self.minutes.ask(symbol)
        self.server.calls.clear()

    def stored(self, symbol: str = BTC) -> pl.DataFrame:
        """What is stored."""
        with self.database.connection() as connection:
            frame = read_candles(connection, "kraken", symbol, Timeframe.M1, NOON - 2 * HISTORY, NOON + HISTORY)
        return frame.select(VALUES)

    def revisions(self) -> list[tuple[datetime, float]]:
        """Opening time and former close of everything that was overwritten."""
        with self.database.connection() as connection:
            return connection.execute(
                "SELECT opened_at, close FROM market.candle_revisions ORDER BY opened_at, superseded_at"
            ).fetchall()


@pytest.fixture
def floor(database: Database) -> Iterator[Floor]:
    """At noon and eleven seconds, nothing stored."""
    clock = ReplayClock(NOON + timedelta(seconds=11))
    frames = {symbol: MARKET.candles[symbol] for symbol in MARKET.symbols}
    with KrakenServer(frames, now=clock.now) as server:
        made = Floor(database, server, clock, None)  # type: ignore[arg-type]
        made.restart()
        yield made


def streamed(minute: datetime, symbol: str = BTC, **changes: float) -> MinuteCandle:
    """The candle as a stream brings it, which is the venue's own unless it is changed."""
    row = MARKET.candles[symbol].filter(pl.col("opened_at") == minute).row(0, named=True)
    return MinuteCandle(**{**row, **changes})


def test_a_start_asks_for_what_is_missing_and_no_more(floor: Floor) -> None:
    """M2: a hole that a restart forgets stays for ever; what a venue cannot give any more is not asked for."""
    assert floor.minutes.behind == HISTORY
    floor.catch_up()
    for symbol in (BTC, ETH):
        assert floor.stored(symbol).equals(MARKET.frame(symbol, NOON - HISTORY - 5 * MINUTE, NOON))
    assert floor.minutes.behind == timedelta(0)
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    assert floor.minutes.next_question() == BTC
    assert floor.minutes.behind == MINUTE


def test_what_the_stream_brought_is_asked_for_later_only(floor: Floor) -> None:
    """M2: a call a minute for each symbol would use the venue's limit up; none at all would trust the stream."""
    floor.catch_up()
    for number in range(3):
        floor.clock.advance_to(floor.clock.now() + MINUTE)
        minute = NOON + number * MINUTE
        floor.minutes.store({symbol: [streamed(minute, symbol)] for symbol in (BTC, ETH)}, minute + MINUTE)
        assert (floor.minutes.next_question() is None) == (number < 2)
    assert CONFIRM_AFTER == 3 * MINUTE
    assert floor.server.calls == []
    floor.catch_up()
    assert floor.stored().equals(MARKET.frame(BTC, NOON - HISTORY - 5 * MINUTE, NOON + 3 * MINUTE))
    assert floor.revisions() == []


def test_where_rest_differs_from_the_stream_there_is_a_revision(floor: Floor) -> None:
    """M4: a wrong minute must not stay, and must not change without a trace."""
    floor.catch_up()
    wrong = streamed(NOON, volume=0.25, close=streamed(NOON).open)
    floor.minutes.store({BTC: [wrong]}, NOON + MINUTE)
    floor.clock.advance_to(floor.clock.now() + 3 * MINUTE)
    floor.catch_up()
    assert floor.stored().equals(MARKET.frame(BTC, NOON - HISTORY - 5 * MINUTE, NOON + 3 * MINUTE))
    assert floor.revisions() == [(NOON, wrong.close)]


def test_a_killed_service_leaves_nothing_unconfirmed(floor: Floor) -> None:
    """M2: a stream's minutes that nobody confirmed look confirmed to the next process, unless it asks again."""
    floor.catch_up()
    wrong = streamed(NOON, volume=0.25)
    floor.minutes.store({BTC: [wrong]}, NOON + MINUTE)
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    floor.restart()
    floor.catch_up()
    assert floor.stored().equals(MARKET.frame(BTC, NOON - HISTORY - 5 * MINUTE, NOON + MINUTE))
    assert len(floor.revisions()) == 1


def test_a_distrusted_minute_is_asked_for_at_once(floor: Floor) -> None:
    """M2: a late trade makes a stored candle wrong; M7: a new source lacks minutes of its open buckets."""
    floor.catch_up()
    floor.minutes.store({BTC: [streamed(NOON, volume=0.25)]}, NOON + MINUTE)
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    floor.minutes.store({ETH: [streamed(NOON, ETH)]}, NOON + MINUTE)
    assert floor.minutes.next_question() is None
    floor.minutes.distrust(BTC, NOON)
    assert floor.minutes.next_question() == BTC
    floor.catch_up()
    assert floor.stored().equals(MARKET.frame(BTC, NOON - HISTORY - 5 * MINUTE, NOON + MINUTE))


def test_a_venue_that_fails_is_not_an_empty_market(floor: Floor) -> None:
    """Rule 4: what was not answered is still asked for, and one symbol does not keep the others waiting."""
    floor.catch_up()
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    floor.server.faults.extend([BLOCKED, CUT_OFF, BLOCKED, CUT_OFF])
    with pytest.raises(TransientError):
        floor.minutes.ask(BTC)
    assert floor.minutes.behind == MINUTE
    assert floor.minutes.next_question() == BTC
    assert floor.minutes.next_question({BTC}) == ETH
    floor.catch_up()
    assert floor.minutes.behind == timedelta(0)


def test_a_venue_whose_newest_candles_are_late_is_asked_again(floor: Floor) -> None:
    """M2: an answer without the newest minutes is no answer about them."""
    floor.catch_up()
    held_back = floor.server.tape.candles[BTC]
    cut = next(place for place, row in enumerate(held_back) if row.time == int((NOON - MINUTE).timestamp()))
    floor.server.tape.candles[BTC] = held_back[: cut + 1]
    floor.clock.advance_to(floor.clock.now() + 2 * MINUTE)
    assert not floor.minutes.ask(BTC)
    floor.server.tape.candles[BTC] = held_back
    floor.catch_up()
    assert floor.stored().equals(MARKET.frame(BTC, NOON - HISTORY - 5 * MINUTE, NOON + 2 * MINUTE))


def test_the_first_minute_that_nobody_explained(database: Database) -> None:
    """M3: a start that takes an explained gap for a hole asks for it for ever; one that misses a hole loses it."""
    frame = MARKET.candles[BTC].filter(pl.col("opened_at").is_between(NOON, NOON + 9 * MINUTE))
    holes = frame.filter(~pl.col("opened_at").is_in([NOON + number * MINUTE for number in (2, 3, 6)]))
    place = ("kraken", BTC, Timeframe.M1)
    end = NOON + 10 * MINUTE

    with database.connection() as connection:

        def first(start: datetime = NOON, stop: datetime = end) -> datetime | None:
            return first_unexplained(connection, *place, start, stop)

        assert first() == NOON
        upsert_candles(connection, *place, holes, "rest")
        assert (first(), first(NOON + 4 * MINUTE), first(stop=NOON + 2 * MINUTE)) == (
            NOON + 2 * MINUTE,
            NOON + 6 * MINUTE,
            None,
        )
        record_gaps(connection, *place, NOON, end, find_gaps(holes["opened_at"], Timeframe.M1, NOON, end))
        assert first() == NOON + 2 * MINUTE
        settle_gaps(connection, *place, NOON + 2 * MINUTE, NOON + 4 * MINUTE, GapKind.NO_TRADES, NOON)
        assert first() == NOON + 6 * MINUTE
        settle_gaps(connection, *place, NOON + 6 * MINUTE, NOON + 7 * MINUTE, GapKind.OUTAGE, NOON)
        assert first() is None
        assert first(stop=end + MINUTE) == end


def test_a_minute_has_closed_when_its_last_trades_are_there() -> None:
    """M2: trades of a minute arrive a moment after its end."""
    assert last_closed(NOON + timedelta(seconds=1), timedelta(seconds=2)) == NOON - MINUTE
    assert last_closed(NOON + timedelta(seconds=2), timedelta(seconds=2)) == NOON
