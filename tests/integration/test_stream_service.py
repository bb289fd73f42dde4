"""The stream service as a process, at loopback venues over a network that fails: what it shows, and how it leaves."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from faulty_network import FaultyNetwork
from live_market import LiveMarket, LiveVenue
from scaled_clock import ScaledClock
from services_of_home import eventually
from stream_process import Plan, StreamProcess

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.quality import Settlement
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.operations.data_state import DataState, data_state
from triplegain_pipelines.services.parts import service_parts
from triplegain_pipelines.services.stream import serve
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import decision_candles, decision_rollups
from triplegain_pipelines.store.server import DatabaseUrls

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SYMBOLS = ("BTC/USDT", "ETH/USDT")
OPENED = datetime(2026, 3, 1, 12, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HISTORY = timedelta(hours=11)
SPEED = 60.0
FACTORS = {"kraken": 1.0, "binance": 1.002}
FAILOVER = {"unhealthy_seconds": 180, "quiet_minutes": 4, "basis_minutes": 60}


@dataclass
class Floor:
    """A running service, and all around it."""

    database: Database
    service: StreamProcess
    clock: ScaledClock
    markets: Mapping[str, LiveMarket]
    venues: Mapping[str, LiveVenue]
    networks: Mapping[str, FaultyNetwork]
    plan: Plan

    def state(self) -> DataState:
        """What `triplegain data` shows."""
        self.service.require_alive()
        return data_state(self.database, self.plan.settings(), self.clock)

    def connected(self) -> dict[str, bool]:
        """The channels by name."""
        told: dict[str, bool] = self.state().document()["websocket_connected"]
        return told

    def alerts(self) -> set[tuple[str, str]]:
        """Kind and subject of what is wrong now."""
        return {(alert.kind, alert.subject) for alert in self.state().alerts}

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The answer of a query."""
        with self.database.connection() as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def silences(self) -> set[str | None]:
        """How the silences that were found have ended; None: not yet."""
        return {row[0] for row in self.rows("SELECT settlement FROM market.data_findings WHERE code = 'SILENT_FEED'")}

    def newest(self, venue: str, source: str) -> datetime | None:
        """Opening time of the newest candle that came from there in this way."""
        query = "SELECT max(opened_at) FROM market.candles WHERE venue = %s AND source = %s"
        found: datetime | None = self.rows(query, venue, source)[0][0]
        return found


@contextmanager
def running(database: Database, folder: Path, *names: str) -> Iterator[Floor]:
    """The service at the venues of these names, the main venue first."""
    begin, length = OPENED - HISTORY - 10 * MINUTE, 11 * 60 + 240
    markets = {name: LiveMarket(2, SYMBOLS, begin, length, FACTORS[name]) for name in names}
    with ExitStack() as opened:
        clock = ScaledClock.starting(OPENED, SPEED)
        venues = {name: opened.enter_context(LiveVenue(name, markets[name], clock)) for name in names}
        networks = {name: opened.enter_context(FaultyNetwork(venues[name].port)) for name in names}
        ports = {name: network.port for name, network in networks.items()}
        plan = Plan(database.url, SYMBOLS, ports, clock, FAILOVER)
        service = opened.enter_context(StreamProcess(plan, folder / "service.log"))
        yield Floor(database, service, clock, markets, venues, networks, plan)


def test_what_is_disconnected_is_seen_and_fetched_meanwhile(database: Database, tmp_path: Path) -> None:
    """M2: a stream that is down must show, its minutes must come all the same, and it must come back by itself."""
    with running(database, tmp_path, "kraken") as floor:
        both = {"kraken/prices": True, "kraken/book": True}
        eventually(lambda: floor.connected() == both, "both channels", 30)
        eventually(lambda: floor.newest("kraken", "stream"), "a minute from the stream", 30)
        eventually(lambda: floor.rows("SELECT FROM market.top_of_book"), "best prices", 10)
        assert ("stream_down", "kraken/prices") not in floor.alerts()

        server = floor.venues["kraken"].server
        server.refused = dict.fromkeys(SYMBOLS, "maintenance")  # REST works on
        server.cut()
        eventually(lambda: not any(floor.connected().values()), "both channels down", 20)
        eventually(lambda: ("stream_down", "kraken/prices") in floor.alerts(), "the alert", 20)
        newest = floor.newest("kraken", "rest")
        assert newest is not None
        eventually(lambda: (floor.newest("kraken", "rest") or newest) > newest + MINUTE, "minutes by REST", 20)
        assert max(floor.state().document()["data_age_seconds"].values()) < 300

        server.refused = {}
        eventually(lambda: floor.connected() == both, "both channels again", 20)
        eventually(lambda: ("stream_down", "kraken/prices") not in floor.alerts(), "the end of the alert", 20)
        states = {one.endpoint: one for one in floor.state().streams}
        assert states["kraken/prices"].reconnects >= 1

        code, seconds = floor.service.stop(signal.SIGINT)
        assert (code, seconds < 10) == (0, True), floor.service.tail()
        server.wait_until_left()
    frozen = data_state(database, floor.plan.settings(), floor.clock)
    eventually(
        lambda: (
            not any(data_state(database, floor.plan.settings(), floor.clock).document()["websocket_connected"].values())
        ),
        f"nobody beats any more: {frozen.streams}",
        10,
    )


def test_it_stops_in_time_while_the_network_swallows_everything(database: Database, tmp_path: Path) -> None:
    """I2: a venue that does not answer a goodbye must not hold the service; nothing is half written then."""
    with running(database, tmp_path, "kraken", "binance") as floor:
        eventually(lambda: len(floor.connected()) == 4 and all(floor.connected().values()), "all channels", 30)
        for network in floor.networks.values():
            network.swallow()
        eventually(lambda: not any(floor.connected().values()), "a silent feed is noticed", 20)
        eventually(lambda: floor.silences() == {None}, "the silences are findings", 20)
        for network in floor.networks.values():
            network.heal()
        eventually(lambda: floor.silences() == {Settlement.OVER}, "they are over", 40)
        for network in floor.networks.values():
            network.swallow()
        code, seconds = floor.service.stop()
        assert (code, seconds < 10) == (0, True), floor.service.tail()


def test_a_dead_main_venue_is_left_and_taken_again(database: Database, tmp_path: Path) -> None:
    """M7: data come from the backup, with alert and basis, and back again; no candle is a mixture of the two."""
    with running(database, tmp_path, "kraken", "binance") as floor:
        eventually(lambda: all(floor.newest(venue, "stream") for venue in FACTORS), "minutes from both", 40)
        floor.networks["kraken"].refuse()
        eventually(lambda: floor.state().source == "binance", "the backup", 40)
        assert ("venue_failover", "kraken") in floor.alerts()
        floor.networks["kraken"].heal()
        eventually(lambda: floor.state().source == "kraken", "the main venue again", 60)
        assert ("venue_failover", "kraken") not in floor.alerts()
        left, taken = check_switches(floor)
        end = taken + 5 * MINUTE
        eventually(lambda: floor.clock.now() > end + 3 * MINUTE, "the last of the market's revisions", 20)
        with suppress(AssertionError):
            eventually(lambda: not mixtures(floor, left, taken), "candles of one venue each", 20)
        assert mixtures(floor, left, taken) == []
        assert floor.service.stop()[0] == 0, floor.service.tail()


def check_switches(floor: Floor) -> tuple[datetime, datetime]:
    """When the main venue was left and when it was taken again; the basis is that of the two markets."""
    switches = floor.rows(
        "SELECT from_venue, to_venue, switched_at, basis FROM market.source_switches ORDER BY sequence"
    )
    assert [row[:2] for row in switches] == [("kraken", "binance"), ("binance", "kraken")]
    (_, _, left, basis), (_, _, taken, basis_back) = switches
    assert basis == pytest.approx(dict.fromkeys(SYMBOLS, 0.002), abs=1e-4)
    assert basis_back == pytest.approx(dict.fromkeys(SYMBOLS, -0.002), abs=1e-4)
    return left, taken


def mixtures(floor: Floor, left: datetime, taken: datetime) -> list[str]:
    """Of the candles that decisions see, those that are not the whole candle of the venue that was the source then."""
    start, end = OPENED - HISTORY + 5 * MINUTE, taken + 5 * MINUTE
    found = []
    for symbol in SYMBOLS:
        minutes = {name: market.frame(symbol, start, end) for name, market in floor.markets.items()}
        with floor.database.connection() as connection:
            seen = decision_candles(connection, "kraken", symbol, start, end).drop("trades")
        wanted = _of_source(minutes, MINUTE, left, taken)
        found += [f"{symbol} {row[0]}" for row in seen.join(wanted, on=wanted.columns, how="anti").iter_rows()]
        found += [f"{symbol} {row[0]}" for row in wanted.join(seen, on=wanted.columns, how="anti").iter_rows()]
        for timeframe in (Timeframe.M5, Timeframe.H1):
            rolled = {name: roll_up(market.candles[symbol], timeframe) for name, market in floor.markets.items()}
            wanted = _of_source(rolled, timeframe.duration, left, taken).filter(
                pl.col("opened_at") >= start, pl.col("opened_at") + timeframe.duration <= end
            )
            with floor.database.connection() as connection:
                made = decision_rollups(connection, "kraken", symbol, timeframe, start, end)
            lacks = wanted.join(made, on=wanted.columns, how="anti")
            found += [f"{symbol} {timeframe} {row[0]}" for row in lacks.iter_rows()]
    return found


def _of_source(
    venues: Mapping[str, pl.DataFrame], duration: timedelta, left: datetime, taken: datetime
) -> pl.DataFrame:
    """Of each candle the one of the venue that was the source when it closed."""
    closed = pl.col("opened_at") + duration
    away = (closed > left) & (closed <= taken)
    frames = [venues["kraken"].filter(~away), venues["binance"].filter(away)]
    return pl.concat(frames).sort("opened_at")


def test_an_unexpected_error_ends_the_process(database: Database, tmp_path: Path) -> None:
    """O9: a task that died alone would leave a service that beats and does nothing; the supervisor starts it again."""
    with running(database, tmp_path, "kraken") as floor:
        eventually(floor.connected, "the first beat", 30)
        with database.autocommit() as connection:
            connection.execute("ALTER TABLE market.streams RENAME TO streams_elsewhere")
        process = psutil.Process(floor.service.pid)
        eventually(lambda: process.status() == psutil.STATUS_ZOMBIE, "its end", 15)
        assert floor.service.stop()[0] == 1
        assert "UndefinedTable" in floor.service.tail()


def test_the_service_belongs_to_profiles_with_a_real_venue(tmp_path: Path, database: Database) -> None:
    """O9: a part that cannot run would be started again for ever; one that is left out collects nothing."""
    urls = DatabaseUrls("postgresql://a", "postgresql://b", "postgresql://c")

    def parts(profile: str) -> dict[str, bool]:
        own = load_settings(Environment(profile=profile, home=tmp_path))
        return {part.name: part.restarts for part in service_parts(own, urls)}

    assert parts("paper")["stream"] is True
    assert "stream" not in parts("demo")
    with pytest.raises(InputError, match="TRIPLEGAIN_PROFILE=paper"):
        serve(database, load_settings(Environment(profile="demo", home=tmp_path)))
