"""Repair against venues on loopback: gaps filled or named, doubts confirmed or corrected, revisions recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, quiet, same_as, scaled, with_values
from repair_cases import BTC, ETH, NOW, Repairs, minute_of, quick_settings, without
from venues.binance import BinanceServer
from venues.coinbase import CoinbaseServer
from venues.kraken import KrakenServer
from venues.loopback import LoopbackServer

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.venues.clock import ClockReading
from triplegain_pipelines.operations.intake import take_in_minutes
from triplegain_pipelines.operations.repair import record_clock
from triplegain_pipelines.store.candles import read_rollups
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import clock_trusted

pytestmark = pytest.mark.integration

DAY = quiet(720)
OTHER = quiet(720, seed=8)


@contextmanager
def _binance(database: Database, **candles: pl.DataFrame) -> Iterator[tuple[Repairs, LoopbackServer]]:
    served = {BTC: candles.get("btc", DAY), **({ETH: candles["eth"]} if "eth" in candles else {})}
    with BinanceServer(served, now=lambda: NOW) as server:
        yield Repairs(database, "binance", {"binance": server.url}), server


def test_what_the_venue_has_is_filled_and_what_it_has_not_is_named(database: Database) -> None:
    """M4: a gap must be repaired where possible, and explained where not; Binance leaves no minute out."""
    with _binance(database, btc=without(DAY, 500, 501)) as (repairs, server):
        repairs.deliver(without(DAY, 10, 11, 12, 300, 500, 501, 718, 719))
        summary = repairs.run()
        assert (summary.repaired, summary.outage, summary.no_trades, summary.still_missing) == (6, 2, 0, 0)
        assert repairs.usable().equals(without(DAY, 500, 501))
        assert [gap for gap in repairs.gaps() if gap[2] != "repaired"] == [(500, 501, "outage")]
        assert not summary.failures
        # Nothing is left to ask about, and nothing changes.
        asked, gaps = len(server.calls), repairs.gaps()
        again = repairs.run()
        assert (again.repaired, again.outage, again.calls, again.days_rolled_up) == (0, 0, 0, 0)
        assert (len(server.calls), repairs.gaps()) == (asked, gaps)


def test_repaired_days_have_the_rollups_of_the_whole_day(database: Database) -> None:
    """M4: an hour rolled up before its gap was filled would stay wrong for ever."""
    with _binance(database) as (repairs, _):
        repairs.deliver(without(DAY, *range(55, 130)))
        assert repairs.run().days_rolled_up == 1
        for timeframe in ROLLUP_TIMEFRAMES:
            with database.connection() as connection:
                stored = read_rollups(connection, "binance", BTC, timeframe, START, NOW)
            assert stored.equals(roll_up(DAY, timeframe)), timeframe


def test_no_trade_and_outage_are_told_apart_by_the_other_symbols(database: Database) -> None:
    """M4: Coinbase publishes nothing for a minute without a trade; only when all are silent the venue was down."""
    with CoinbaseServer({BTC: without(DAY, 20, 30), ETH: without(OTHER, 30)}, now=lambda: NOW) as server:
        repairs = Repairs(database, "coinbase", {"coinbase": server.url})
        repairs.deliver(without(DAY, 20, 30))
        repairs.deliver(without(OTHER, 30), ETH)
        summary = repairs.run(BTC, ETH)
    assert (summary.no_trades, summary.outage) == (1, 2)
    assert repairs.gaps() == [(20, 20, "no_trades"), (30, 30, "outage")]
    assert repairs.gaps(ETH) == [(30, 30, "outage")]


def test_nothing_is_said_of_a_minute_while_another_symbol_has_not_been_asked(database: Database) -> None:
    """M4, rule 4: a failed question about one symbol must not turn the other's quiet minute into an outage."""
    with CoinbaseServer({BTC: without(DAY, 30), ETH: OTHER}, now=lambda: NOW) as server:
        repairs = Repairs(database, "coinbase", {"coinbase": server.url})
        repairs.deliver(without(DAY, 30))
        repairs.deliver(without(OTHER, 30), ETH)
        server.faults.extend([None, server.refusal()])
        summary = repairs.run(BTC, ETH)
        assert (summary.no_trades, summary.outage, summary.still_missing, len(summary.failures)) == (0, 0, 2, 1)
        assert repairs.gaps() == [(30, 30, "missing")]
        again = repairs.run(BTC, ETH)
        assert (again.no_trades, again.repaired, again.still_missing) == (1, 1, 0)


def test_a_rollup_whose_last_minute_is_held_goes(database: Database) -> None:
    """M4: a bucket of nothing but a doubted candle would show decisions its price."""
    lone = without(DAY, 401, 402, 403, 404)
    repairs = Repairs(database, "binance", {})
    repairs.deliver(lone)
    assert _bucket(database, 400) == roll_up(DAY.slice(400, 1), Timeframe.M5).rows()
    assert len(repairs.deliver(scaled(lone, 400, 1.2)).held) == 1
    assert _bucket(database, 400) == []


def test_what_a_venue_no_longer_gives_stays_missing(database: Database) -> None:
    """M4, trap 17: Kraken gives its newest 720 candles; of an older minute it has said nothing."""
    long = quiet(1000)
    now = START + timedelta(minutes=1000, seconds=30)
    with KrakenServer({BTC: without(long, 600)}, now=lambda: now) as server:
        repairs = Repairs(database, "kraken", {"kraken": server.url})
        repairs.clock.advance_to(now)
        repairs.deliver(without(long, 100, 600, 601))
        summary = repairs.run()
    assert (summary.repaired, summary.outage, summary.still_missing) == (1, 1, 1)
    assert repairs.gaps() == [(100, 100, "missing"), (600, 600, "outage"), (601, 601, "repaired")]


def test_a_minute_whose_candle_is_refused_again_is_not_an_empty_one(database: Database) -> None:
    """M4: a crossed candle is no proof that nobody traded; the gap stays, and so does the question."""
    crossed = with_values(DAY, 50, high=1.0)
    with _binance(database, btc=crossed) as (repairs, server):
        repairs.deliver(crossed)
        assert repairs.run().still_missing == 1
        assert repairs.gaps() == [(50, 50, "missing")]
        assert repairs.endings() == [("CROSSED", 50, None)]
        server.tape.add({BTC: DAY}, {})
        assert repairs.run().repaired == 1
        assert repairs.endings() == [("CROSSED", 50, "corrected")]


def test_a_wrong_tick_that_the_venue_took_back_is_corrected(database: Database) -> None:
    """M4: held until the venue has other values; then those, and the wrong ones kept as a revision."""
    with _binance(database) as (repairs, _):
        assert [one.at for one in repairs.deliver(scaled(DAY, 400, 1.2)).held] == [START + 400 * MINUTE]
        assert repairs.usable().equals(without(DAY, 400))
        summary = repairs.run()
        assert (summary.corrected, summary.confirmed, summary.still_held) == (1, 0, 0)
        assert repairs.usable().equals(DAY)
        assert repairs.endings() == [("OUTLIER", 400, "corrected"), ("REVISED", 400, None)]
        with database.connection() as connection:
            kept = connection.execute("SELECT close, source FROM market.candle_revisions").fetchall()
        assert kept == [(scaled(DAY, 400, 1.2)["close"][400], "stream")]


def test_a_wrong_tick_that_the_venue_repeats_stays_held(database: Database) -> None:
    """M4: a venue repeats its own mistakes; the price did not stay there, so nobody may decide by it."""
    for number, wrong in enumerate((scaled(DAY, 400, 1.2), with_values(DAY, 400, low=70.0))):
        with _binance(database, btc=wrong) as (repairs, _):
            repairs.deliver(wrong)
            summary = repairs.run()
            assert (summary.corrected, summary.confirmed, summary.still_held) == (0, 0, 1), number
            assert repairs.usable().equals(without(DAY, 400))


def test_a_real_crash_is_confirmed_by_the_candles_that_follow(database: Database) -> None:
    """M4: a crash that is held for good would leave decisions blind to it."""
    crash = scaled(DAY, 400, 0.85, to_the_end=True)
    with _binance(database, btc=crash) as (repairs, _):
        assert len(repairs.deliver(crash.head(405)).held) == 3
        repairs.deliver(crash.slice(405))
        summary = repairs.run()
        assert (summary.confirmed, summary.still_held) == (3, 0)
        assert repairs.usable().equals(crash)
        assert {ending for _, _, ending in repairs.endings()} == {"confirmed"}


def test_the_newest_jump_waits_for_what_follows(database: Database) -> None:
    """M4: two candles are too few to tell a crash from a wrong tick."""
    crash = scaled(DAY, 717, 0.85, to_the_end=True)
    with _binance(database, btc=crash) as (repairs, _):
        repairs.deliver(crash)
        assert repairs.run().still_held == 3


@pytest.mark.parametrize(("factor", "confirmed"), [(1.2, 1), (1.15, 1), (1.08, 0), (1.0, 0), (0.8, 0)])
def test_the_backup_venue_decides_about_a_spike(database: Database, factor: float, confirmed: int) -> None:
    """M4: a spike that another venue saw was real; within half of the move, and in the same direction."""
    spike = scaled(DAY, 400, 1.2)
    with (
        _binance(database, btc=spike) as (repairs, server),
        CoinbaseServer({BTC: scaled(OTHER, 400, factor)}, now=lambda: NOW) as backup,
    ):
        repairs.urls = {"binance": server.url, "coinbase": backup.url}
        repairs.settings = quick_settings("coinbase")
        repairs.deliver(spike)
        summary = repairs.run()
    assert (summary.confirmed, summary.still_held, summary.failures) == (confirmed, 1 - confirmed, ())


def test_a_backup_that_fails_confirms_nothing_and_says_so(database: Database) -> None:
    """Rule 4: no answer from the backup venue is not its consent."""
    spike = scaled(DAY, 400, 1.2)
    with (
        _binance(database, btc=spike) as (repairs, server),
        CoinbaseServer({BTC: spike}, now=lambda: NOW) as backup,
    ):
        backup.faults.append(backup.refusal())
        repairs.urls = {"binance": server.url, "coinbase": backup.url}
        repairs.settings = quick_settings("coinbase")
        repairs.deliver(spike)
        summary = repairs.run()
        assert (summary.confirmed, summary.still_held) == (0, 1)
        (failure,) = summary.failures
        assert failure.startswith("BTC/USDT: backup venue: coinbase")
        # The next run goes on where this one could not.
        assert repairs.run().confirmed == 1


def test_a_stuck_feed_is_corrected_or_confirmed(database: Database) -> None:
    """M4: the stream stood and the market did not; where the venue itself says the same again, it is so."""
    stuck = same_as(DAY, 300, 5)
    with _binance(database) as (repairs, _):
        assert len(repairs.deliver(stuck).held) == 5
        summary = repairs.run()
        assert (summary.corrected, summary.still_held) == (5, 0)
        assert repairs.usable().equals(DAY)


def test_a_stuck_feed_that_the_venue_stands_by_is_confirmed(database: Database) -> None:
    """M4: a market that really stood still must not be held for good."""
    stuck = same_as(DAY, 300, 5)
    with _binance(database, btc=stuck) as (repairs, _):
        repairs.deliver(stuck)
        summary = repairs.run()
        assert (summary.confirmed, summary.still_held) == (5, 0)
        assert repairs.usable().equals(stuck)


def test_one_symbols_failure_leaves_the_others_to_be_repaired(database: Database) -> None:
    """M4, rule 4: a refused call is written down, concludes nothing, and stops nobody else."""
    with _binance(database, eth=OTHER) as (repairs, server):
        repairs.deliver(without(DAY, 10))
        repairs.deliver(without(OTHER, 10), ETH)
        server.faults.append(server.refusal())
        summary = repairs.run(BTC, ETH)
        assert (summary.repaired, summary.outage, summary.still_missing) == (1, 0, 1)
        assert len(summary.failures) == 1
        assert summary.failures[0].startswith("BTC/USDT: gaps: binance")
        assert repairs.gaps() == [(10, 10, "missing")]
        assert repairs.run(BTC, ETH).repaired == 1


def test_the_newest_gaps_come_first_and_calls_are_counted(database: Database) -> None:
    """M1: the repair must leave the venue's calls to prices; what decisions need most is repaired first."""
    long = quiet(4000)
    now = START + timedelta(minutes=4000, seconds=30)
    with BinanceServer({BTC: long}, now=lambda: now) as server:
        repairs = Repairs(database, "binance", {"binance": server.url})
        repairs.clock.advance_to(now)
        repairs.deliver(without(long, 100, 2000, 3900))
        summary = repairs.run(most_calls=2)
        assert (summary.calls, summary.repaired, summary.still_missing) == (2, 2, 1)
        assert server.calls.count("klines") == 2
        assert "2 calls have been made" in summary.failures[0]
        with database.connection() as connection:
            left = connection.execute("SELECT starts_at FROM market.candle_gaps WHERE kind = 'missing'").fetchall()
        assert [minute_of(first) for (first,) in left] == [100]


def test_nothing_is_final_before_its_time(database: Database) -> None:
    """M4, trap 16: a candle that closed five seconds ago may still change, so nothing is concluded from it."""
    now = START + timedelta(minutes=700, seconds=5)
    with BinanceServer({BTC: without(DAY, 699)}, now=lambda: now) as server:
        repairs = Repairs(database, "binance", {"binance": server.url})
        repairs.clock = type(repairs.clock)(now)
        repairs.deliver(DAY.head(690))
        assert repairs.run().outage == 0
        assert repairs.gaps() == [(690, 698, "repaired")]


def _bucket(database: Database, minute: int) -> list[tuple[object, ...]]:
    with database.connection() as connection:
        at = START + minute * MINUTE
        return read_rollups(connection, "binance", BTC, Timeframe.M5, at, at + 5 * MINUTE).rows()


def test_minutes_of_many_symbols_with_their_rollups(database: Database) -> None:
    """M4: a held minute must not reach a decision through an hour that was rolled up from it."""
    wrong = scaled(DAY, 400, 1.2)
    with _binance(database) as (repairs, _):
        repairs.deliver(DAY.head(396))
        for minute in range(396, 402):
            both = [(BTC, wrong), (ETH, OTHER)]
            rows = [frame.slice(minute, 1).select(pl.lit(name).alias("symbol"), pl.all()) for name, frame in both]
            with database.connection() as connection:
                result = take_in_minutes(
                    connection,
                    "binance",
                    pl.concat(rows),
                    "stream",
                    closed_before=NOW,
                    settings=repairs.settings,
                    at=NOW,
                )
            assert len(result.held) == (minute == 400)
            assert result.count.new == 2
            if minute == 400:
                assert _bucket(database, 400) == []
        assert _bucket(database, 400) == roll_up(DAY.slice(401, 1), Timeframe.M5).rows()
        repairs.run()
        assert _bucket(database, 400) == roll_up(DAY, Timeframe.M5).slice(80, 1).rows()


def test_the_clock_is_one_finding_while_it_is_off(database: Database) -> None:
    """M4, trap 14: a clock that is off is told once, with how far, and it ends when the clocks agree."""
    repairs = Repairs(database, "binance", {})

    def read(seconds: float) -> bool:
        repairs.clock.advance_to(repairs.clock.now() + MINUTE)
        reading = ClockReading(timedelta(seconds=seconds), timedelta(milliseconds=40), timedelta(milliseconds=20))
        record_clock(database, repairs.settings, "binance", reading, clock=repairs.clock)
        with database.connection() as connection:
            return clock_trusted(connection, "binance", repairs.clock.now())

    assert read(0.4)
    assert repairs.findings(None) == []
    assert read(-0.7)
    assert not read(-3.0)
    assert not read(1.0)
    (finding,) = repairs.findings(None)
    assert (finding.finding.detail["offset_seconds"], finding.finding.detail["largest_seconds"]) == (1.0, 3.0)
    assert finding.finding.at == NOW + 2 * MINUTE
    assert read(0.6)
    assert read(0.0)
    (finding,) = repairs.findings(None)
    assert finding.settlement is not None
    assert finding.settlement.value == "over"
    assert not read(2.0)
    assert len(repairs.findings(None)) == 2
