"""What repair must not conclude, must not forget, and must not spend its calls on."""

from datetime import timedelta

import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, quiet, scaled, with_values
from repair_cases import BTC, ETH, NOW, Repairs, quick_settings, without
from rollup_checks import rolled_up
from venues.binance import BinanceServer
from venues.coinbase import CoinbaseServer
from venues.kraken import KrakenServer

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.trades import TRADE_COLUMNS
from triplegain_pipelines.store.candles import read_candles
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

DAY = quiet(720)
OTHER = quiet(720, seed=8)
LONG = quiet(4000)
LATE = START + timedelta(minutes=4000, seconds=30)


def test_a_venue_that_is_late_was_not_down(database: Database) -> None:
    """M4: a gap is named once for all; the newest minutes of a venue in trouble come when it has caught up."""
    with BinanceServer({BTC: DAY.head(715)}, now=lambda: NOW) as server:
        repairs = Repairs(database, "binance", {"binance": server.url})
        repairs.deliver(DAY.head(700))
        summary = repairs.run()
        assert (summary.repaired, summary.outage, summary.still_missing) == (15, 0, 5)
        assert repairs.gaps()[-1] == (715, 719, "missing")
        server.tape.add({BTC: DAY}, {})
        assert repairs.run().repaired == 5
        assert repairs.usable().equals(DAY)


@pytest.mark.parametrize("given", [DAY.head(450), DAY.slice(503), DAY.clear()])
def test_an_answer_that_was_cut_short_names_nothing(database: Database, given: pl.DataFrame) -> None:
    """M4, rule 4: an answer without candles that the venue gave before is no answer about the others."""
    with BinanceServer({BTC: given}, now=lambda: NOW) as server:
        repairs = Repairs(database, "binance", {"binance": server.url})
        repairs.deliver(without(DAY, 500, 501))
        assert (repairs.run().outage, repairs.gaps()) == (0, [(500, 501, "missing")])
        server.tape.add({BTC: DAY}, {})
        assert repairs.run().repaired == 2


def test_a_minute_of_which_a_candle_came_off_the_grid_is_not_an_empty_one(database: Database) -> None:
    """M4: a candle that is seven seconds late is no proof that nobody traded in its minute."""
    shifted = DAY.with_columns(
        opened_at=pl.when(pl.int_range(pl.len()) == 500)
        .then(pl.col("opened_at") + timedelta(seconds=7))
        .otherwise("opened_at")
    )
    with BinanceServer({BTC: shifted}, now=lambda: NOW) as server:
        repairs = Repairs(database, "binance", {"binance": server.url})
        repairs.deliver(without(DAY, 500))
        assert (repairs.run().outage, repairs.gaps()) == (0, [(500, 500, "missing")])


def test_a_hole_over_midnight_that_nobody_recorded_is_found(database: Database) -> None:
    """M4: the service was down from one day to the next, and nothing looked at either day's gaps meanwhile."""
    with BinanceServer({BTC: LONG}, now=lambda: LATE) as server:
        repairs = Repairs(database, "binance", {"binance": server.url}, clock=ReplayClock(LATE))
        repairs.deliver(without(LONG.head(3900), *range(1380, 1500)))
        assert repairs.gaps() == []
        summary = repairs.run()
        assert (summary.repaired, summary.still_missing, summary.failures) == (220, 0, ())
        with database.connection() as connection:
            stored = read_candles(connection, "binance", BTC, Timeframe.M1, START, LATE)
    assert stored.equals(LONG)


def test_gaps_leave_calls_for_held_candles(database: Database) -> None:
    """M4: with two hundred symbols the gaps alone would use every call up, and held candles would wait for ever."""
    holes = [100, 1100, 2100, 3100]
    with BinanceServer({BTC: LONG}, now=lambda: LATE) as server:
        repairs = Repairs(database, "binance", {"binance": server.url}, clock=ReplayClock(LATE))
        assert len(repairs.deliver(scaled(without(LONG, *holes), 50, 1.2)).held) == 1
        summary = repairs.run(most_calls=2)
        assert (summary.calls, summary.corrected, summary.repaired) == (2, 1, 1)


def test_every_symbol_has_its_turn(database: Database) -> None:
    """M4: where calls run short, the last symbol of the list would never be repaired."""
    frames, clock = {BTC: LONG, ETH: quiet(4000, seed=8)}, ReplayClock(LATE)
    with BinanceServer(frames, now=clock.now) as server:
        repairs = Repairs(database, "binance", {"binance": server.url}, clock=clock)
        for symbol, frame in frames.items():
            repairs.deliver(without(frame.head(3950), 100, 1500, 3000), symbol)
        repaired = []
        for _ in range(2):
            repairs.run(BTC, ETH, most_calls=1)
            with database.connection() as connection:
                rows = connection.execute("SELECT DISTINCT symbol FROM market.candle_gaps WHERE kind = 'repaired'")
                repaired.append({symbol for (symbol,) in rows})
            clock.advance_to(clock.now() + timedelta(minutes=15))
    assert [len(symbols) for symbols in repaired] == [1, 2]


def test_a_candle_held_long_ago_is_settled_too(database: Database) -> None:
    """M4: what a back-fill of last year doubts is older than the gaps that are looked at, and would stay held."""
    with BinanceServer({BTC: LONG}, now=lambda: LATE) as server:
        repairs = Repairs(database, "binance", {"binance": server.url}, clock=ReplayClock(LATE))
        repairs.deliver(scaled(LONG, 400, 1.2))
        summary = repairs.run(since=START + 3000 * MINUTE)
        assert (summary.corrected, summary.still_held) == (1, 0)


def test_no_call_is_made_for_what_a_venue_has_no_more(database: Database) -> None:
    """M1: fourteen calls a symbol every quarter of an hour for minutes that Kraken cannot give, and none for the rest.

    A crash that old was held when its history came, and stays no longer than the candles after it need to confirm it.
    """
    crash = scaled(LONG, 400, 0.85, to_the_end=True)
    settings = quick_settings()
    no_trades = settings.venues.of("kraken").model_copy(update={"trades": None})
    venues = settings.venues.model_copy(update={"venues": {"kraken": no_trades}})
    settings = settings.model_copy(update={"venues": venues})
    with KrakenServer({BTC: crash}, now=lambda: LATE) as server:
        repairs = Repairs(database, "kraken", {"kraken": server.url}, settings, clock=ReplayClock(LATE))
        assert len(repairs.deliver(without(crash, 100, 900, 1700, 3900)).held) == 3
        summary = repairs.run()
    assert (summary.calls, summary.repaired, summary.still_missing) == (1, 1, 3)
    assert (summary.confirmed, summary.still_held) == (3, 0)


def test_minutes_without_a_trade_do_not_confirm_a_wrong_tick(database: Database) -> None:
    """M4: a venue that publishes a candle for an empty minute repeats the wrong price in it, again and again."""
    wrong = _echoed(DAY, 400, 1.2, 20)
    with KrakenServer({BTC: wrong}, now=lambda: NOW) as server:
        repairs = Repairs(database, "kraken", {"kraken": server.url})
        for minute in (400, 401, 402, 410, 421):
            repairs.deliver(wrong.head(minute))
            assert repairs.usable().equals(DAY.head(min(minute, 400))), minute
        repairs.deliver(wrong)
        assert repairs.run().confirmed == 0
        assert repairs.usable().equals(without(DAY, *range(400, 421)))


def test_what_an_answer_of_the_backup_confirms_is_in_the_rollups(database: Database) -> None:
    """M4: a confirmed candle that its hour does not know would leave decisions with two prices."""
    spike = scaled(DAY, 400, 1.2)
    with (
        BinanceServer({BTC: spike}, now=lambda: NOW) as server,
        CoinbaseServer({BTC: scaled(OTHER, 400, 1.2)}, now=lambda: NOW) as backup,
    ):
        repairs = Repairs(database, "binance", {"binance": server.url, "coinbase": backup.url})
        repairs.settings = quick_settings("coinbase")
        repairs.deliver(spike)
        assert not rolled_up(database, "binance", BTC, spike)
        assert repairs.run().confirmed == 1
        assert rolled_up(database, "binance", BTC, spike)


def _echoed(frame: pl.DataFrame, row: int, factor: float, minutes: int) -> pl.DataFrame:
    """A wrong tick and so many minutes after it in which nobody trades: candles at its price, without volume."""
    wrong = scaled(frame, row, factor)
    price = wrong["close"][row]
    for number in range(row + 1, row + 1 + minutes):
        wrong = with_values(wrong, number, open=price, high=price, low=price, close=price, volume=0.0)
    return wrong


def test_what_lies_beyond_the_reach_of_candles_is_built_of_trades(database: Database) -> None:
    """Trap 17: after a day without Kraken its candles do not reach back, and the hole would stay for good."""
    hole = range(500, 520)
    traded = [minute for minute in (*hole, 520, 521) if minute % 2 == 0]
    trades = pl.DataFrame(
        {
            "trade_id": [str(minute) for minute in traded],
            "traded_at": [START + minute * MINUTE + timedelta(seconds=20) for minute in traded],
            "price": [100.0 + minute / 100 for minute in traded],
            "quantity": [0.1] * len(traded),
            "side": ["buy"] * len(traded),
        },
        schema=dict(TRADE_COLUMNS),
    )
    with KrakenServer({BTC: LONG}, {BTC: trades}, now=lambda: LATE) as server:
        repairs = Repairs(database, "kraken", {"kraken": server.url}, clock=ReplayClock(LATE))
        repairs.deliver(without(LONG, *hole))
        summary = repairs.run()
    assert (summary.repaired, summary.no_trades, summary.still_missing) == (10, 10, 0)
    assert [gap for gap in repairs.gaps() if gap[2] == "missing"] == []
    with database.connection() as connection:
        built = read_candles(connection, "kraken", BTC, Timeframe.M1, START + 500 * MINUTE, START + 520 * MINUTE)
    assert built["close"].to_list() == [100.0 + minute / 100 for minute in hole if minute % 2 == 0]
