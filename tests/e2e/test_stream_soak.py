"""The stream service through kills of itself, of the database and of the network: nothing lost, doubled or changed.

`make test` runs some minutes of trading with a fixed seed; `make soak` an hour: TRIPLEGAIN_SOAK_MINUTES=60. Another
seed is given by TRIPLEGAIN_SOAK_SEED.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pytest
from faulty_network import FaultyNetwork
from killable_postgres import KillablePostgres, killable_database
from live_market import LiveMarket, LiveVenue
from scaled_clock import ScaledClock
from services_of_home import eventually
from stream_process import Plan, StreamProcess
from venues.loopback import DOUBLED, PASSING_FAULTS, REORDERED, fault_plan

from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.rollups import roll_up_all
from triplegain_pipelines.store.candles import read_candles, read_rollups
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import read_usable_candles
from triplegain_pipelines.store.streams import read_stream_states

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MINUTES = int(os.environ.get("TRIPLEGAIN_SOAK_MINUTES", "8"))
SEED = int(os.environ.get("TRIPLEGAIN_SOAK_SEED", "3"))
SPEED = 30.0  # a minute of the market takes two seconds
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
OPENED = datetime(2026, 3, 1, 23, 40, tzinfo=UTC)  # a day ends in the middle of it
HISTORY = timedelta(hours=11)
MINUTE = Timeframe.M1.duration
KINDS = ("service", "database", "network")
VALUES = ["open", "high", "low", "close", "volume"]
# Every overwritten value and every deleted row, noted by the database itself.
WITNESS = """
    CREATE TABLE witness (
        what text, venue text, symbol text, opened_at timestamptz,
        open float8, high float8, low float8, close float8, volume float8
    );
    CREATE FUNCTION bear_witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO witness VALUES (TG_OP, OLD.venue, OLD.symbol, OLD.opened_at,
            OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE OR DELETE ON market.candles FOR EACH ROW EXECUTE FUNCTION bear_witness();
"""
SILENT_CHANGES = """
    SELECT * FROM witness w WHERE what = 'DELETE' OR NOT EXISTS (
        SELECT FROM market.candle_revisions r
        WHERE (r.venue, r.symbol, r.timeframe, r.opened_at) = (w.venue, w.symbol, '1m', w.opened_at)
            AND (r.open, r.high, r.low, r.close, r.volume) = (w.open, w.high, w.low, w.close, w.volume)
    )
"""


@dataclass
class Trouble:
    """What is done to the service, drawn from a seed: in every round each of three kinds once, in any order."""

    service: StreamProcess
    server: KillablePostgres
    networks: Mapping[str, FaultyNetwork]
    done: Counter[str] = field(default_factory=Counter)

    def make(self, seed: int, is_over: Callable[[], bool]) -> None:
        """Make trouble until it is over, at least two rounds; in the end everything runs again."""
        draw = np.random.default_rng(seed)
        while not is_over() or min(self.done[kind] for kind in KINDS) < 2:
            for kind in draw.permutation(KINDS):
                time.sleep(draw.uniform(0.3, 4))
                self.service.require_alive()
                getattr(self, f"_{kind}")(draw)
                self.done[str(kind)] += 1

    def _service(self, draw: np.random.Generator) -> None:
        self.service.kill()
        time.sleep(draw.uniform(0, 1))
        self.service.start()
        time.sleep(draw.uniform(1, 5))  # some kills come before it has done anything, some after

    def _database(self, draw: np.random.Generator) -> None:
        self.server.kill()
        time.sleep(draw.uniform(0, 2))
        self.server.ensure()

    def _network(self, draw: np.random.Generator) -> None:
        way = str(draw.choice(["cut", "refuse", "swallow"]))
        hit = [network for network in self.networks.values() if draw.random() < 0.7]
        for network in hit or self.networks.values():
            getattr(network, way)()
        time.sleep(draw.uniform(0.2, 3))
        for network in self.networks.values():
            network.heal()
        self.done[way] += 1


@contextmanager
def soaked(folder: Path) -> Iterator[tuple[Trouble, Database, dict[str, LiveMarket], ScaledClock]]:
    """The service at two venues that misbehave, with a database of its own."""
    length = int(HISTORY / MINUTE) + MINUTES + 120
    begin = OPENED - HISTORY - 10 * MINUTE
    markets = {
        "kraken": LiveMarket(SEED, SYMBOLS, begin, length),
        "binance": LiveMarket(SEED + 1, SYMBOLS, begin, length, 1.001),
    }
    with ExitStack() as opened, killable_database(folder / "postgres") as (server, database):
        with database.connection() as connection:
            connection.execute(WITNESS)
        clock = ScaledClock.starting(OPENED, SPEED)
        skews = {"kraken": timedelta(seconds=1.5), "binance": timedelta(seconds=-0.7)}
        networks = {}
        for number, (venue, market) in enumerate(markets.items()):
            live = opened.enter_context(LiveVenue(venue, market, clock, skews[venue]))
            live.server.faults = fault_plan(SEED + number, 400, 0.15, (*PASSING_FAULTS, REORDERED, DOUBLED))
            networks[venue] = opened.enter_context(FaultyNetwork(live.port))
        ports = {venue: network.port for venue, network in networks.items()}
        plan = Plan(server.url("triplegain"), SYMBOLS, ports, clock)
        service = opened.enter_context(StreamProcess(plan, folder / "service.log"))
        yield Trouble(service, server, networks), database, markets, clock


def test_nothing_is_lost_doubled_or_changed_silently(tmp_path: Path) -> None:
    """M2, M4, I2: whatever is killed, the stored candles are the venue's own once it can be reached again."""
    print(f"seed {SEED}, {MINUTES} minutes of trading; TRIPLEGAIN_SOAK_SEED={SEED} repeats it")
    with soaked(tmp_path) as (trouble, before, markets, clock):
        eventually(lambda: followed_by_stream(before), "minutes from every stream", 40)
        trouble.make(SEED, lambda: clock.now() >= OPENED + MINUTES * MINUTE)
        before.close()  # our own connections did not outlive the server either
        end = floor_to(clock.now(), MINUTE) + MINUTE
        eventually(lambda: clock.now() >= end + 3 * MINUTE, "the venue's last revision")
        with closing(Database(before.url)) as database:
            with suppress(AssertionError):
                eventually(lambda: not differences(database, markets, end), "the venue's own candles", 60)
            found = differences(database, markets, end)
            assert found == {}, f"seed {SEED}, {dict(trouble.done)}:\n{trouble.service.tail()}"
            eventually(lambda: all_connected(database), "every stream connected again", 30)
            trouble.service.require_alive()
            code, seconds = trouble.service.stop()
            assert (code, seconds < 10) == (0, True), trouble.service.tail()
            print(f"{dict(trouble.done)}, {told(database)}")
            with database.connection() as connection:
                assert connection.execute(SILENT_CHANGES).fetchall() == []
                check_rollups(connection, end)


def differences(database: Database, markets: Mapping[str, LiveMarket], end: datetime) -> dict[str, str]:
    """By series, what is stored of the minutes up to `end` and differs from what the venue says."""
    found = {}
    with database.connection() as connection:
        for venue, market in markets.items():
            for symbol in market.symbols:
                wanted = market.frame(symbol, OPENED - HISTORY + 5 * MINUTE, end)
                stored = read_candles(connection, venue, symbol, Timeframe.M1, OPENED - HISTORY + 5 * MINUTE, end).drop(
                    "trades"
                )
                if not stored.equals(wanted):
                    lost = wanted.join(stored, on="opened_at", how="anti")
                    other = wanted.join(stored, on=["opened_at", *VALUES], how="anti").height - lost.height
                    first = lost["opened_at"].min()
                    found[f"{venue} {symbol}"] = f"{lost.height} lost from {first}, {other} with other values"
    return found


def followed_by_stream(database: Database) -> bool:
    """Whether every series has a candle that a stream brought."""
    with database.connection() as connection:
        rows = connection.execute("SELECT DISTINCT venue, symbol FROM market.candles WHERE source = 'stream'")
        return len(rows.fetchall()) == 2 * len(SYMBOLS)


def all_connected(database: Database) -> bool:
    """Whether the service tells that every channel stands."""
    with database.connection() as connection:
        states = read_stream_states(connection, ["kraken", "binance"])
    return len(states) == 4 and all(state.connected for state in states)


def told(database: Database) -> dict[str, int]:
    """How many candles came by which way, and how many revisions there are."""
    with database.connection() as connection:
        rows = connection.execute(
            """SELECT source, count(*) FROM market.candles GROUP BY 1
               UNION ALL SELECT 'revisions', count(*) FROM market.candle_revisions
               UNION ALL SELECT 'top of book', count(*) FROM market.top_of_book"""
        ).fetchall()
    return dict(rows)


def check_rollups(connection: psycopg.Connection, end: datetime) -> None:
    """Every longer candle that has closed is made of all of its minutes."""
    day = floor_to(OPENED - HISTORY, timedelta(days=1))
    for venue in ("kraken", "binance"):
        for symbol in SYMBOLS:
            made = roll_up_all(read_usable_candles(connection, venue, symbol, day, end))
            for timeframe, frame in made.items():
                stored = read_rollups(connection, venue, symbol, timeframe, day, end)
                closed = pl.col("opened_at") + timeframe.duration <= end
                assert stored.filter(closed).equals(frame.filter(closed)), f"{venue} {symbol} {timeframe}"
