"""The guardian at work against a spot venue and the real database: levels, stops, outages, and how it leaves."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builders import BTC, ETH
from guarded_floor import NO_STOPS, PAIRS, SPOT, GuardedFloor, guarded_floor
from killable_postgres import killable_database
from stream_following import run as run_stream
from venues.websockets import Sockets

from triplegain_pipelines.domain.clock import SystemClock, monotonic_seconds
from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, VenueOrder
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.levels import Tick
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.market.streams.adapter import VenueStream
from triplegain_pipelines.services import guardian, guardian_prices
from triplegain_pipelines.services import guardian_duties as duties
from triplegain_pipelines.services.guardian import run_until_stopped, serve
from triplegain_pipelines.services.guardian_health import (
    BREAKERS_ALERT,
    DATABASE_ALERT,
    FAILED_ALERT,
    PRICES_ALERT,
    STREAM_ALERT,
    VENUE_ALERT,
)
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.services.guardian_prices import StreamedTicks
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store import breakers, emergency_stops
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.streams import StreamState, write_stream_states

pytestmark = [pytest.mark.integration, pytest.mark.slow]

QUICK = Rhythm(look=0.05, health=0.1, mend=0.2, timer=0.1, reconcile=timedelta(hours=1))
PATIENCE = timedelta(seconds=1)


@dataclass
class Pushed:
    """Prices that a test tells. What it covers holds until the next one."""

    symbols: set[str] = field(default_factory=set)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, seen: Callable[[Tick], None]) -> None:
        """Hand the guardian's ear over."""
        self.seen = seen
        self.ready.set()
        await asyncio.Event().wait()

    def covers(self, symbol: str) -> bool:
        """What was told."""
        return symbol in self.symbols

    def tell(self, price: str, symbol: str = BTC) -> None:
        """A price of now."""
        self.symbols.add(symbol)
        self.seen(Tick(symbol, Decimal(price), Decimal(price), SystemClock().now()))


@dataclass
class Guarded:
    """A running guardian and its ticks."""

    guardian: Guardian
    ticks: Pushed

    async def until(self, look: Callable[[], object], awaited: str, seconds: float = 20) -> None:
        """Wait until `look` says something true, with the guardian at work."""
        deadline = monotonic_seconds() + seconds
        while not look():
            assert monotonic_seconds() < deadline, f"waited {seconds} s in vain for {awaited}"
            await asyncio.sleep(0.02)

    async def knows(self, *symbols: str) -> None:
        """Wait until it knows the positions in `symbols`, and that nothing else is held."""
        await self.until(lambda: set(self.guardian.watch.symbols) == set(symbols), f"positions in {symbols}")

    async def looks(self) -> None:
        """Wait until it has looked at the books twice more."""
        for _ in range(2):
            before = self.guardian.watch.state
            await self.until(lambda seen=before: self.guardian.watch.state is not seen, "another look")


def guarding(floor: GuardedFloor, act: Callable[[Guarded], Awaitable[None]], rhythm: Rhythm = QUICK) -> None:
    """Do `act` while a guardian works."""

    async def run() -> None:
        ticks = Pushed()
        guardian = Guardian(floor.desk, ticks, rhythm)
        guardian.watch.patience = PATIENCE
        work = asyncio.ensure_future(guardian.run())
        acting = asyncio.ensure_future(act(Guarded(guardian, ticks)))
        await ticks.ready.wait()
        await asyncio.wait([work, acting], return_when=asyncio.FIRST_COMPLETED)
        await guardian.leave()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await acting

    asyncio.run(run())


def floor_at(database: Database, traits: VenueTraits = SPOT) -> GuardedFloor:
    return guarded_floor(database, SystemClock(), traits)


@pytest.fixture
def floor(database: Database) -> GuardedFloor:
    return floor_at(database)


@contextmanager
def held_by_another(floor: GuardedFloor) -> Iterator[None]:
    with OrderPath(floor.desk):
        yield


def stop_all(floor: GuardedFloor, *, flatten: bool) -> None:
    with floor.database.connection() as connection:
        emergency_stops.insert(connection, None, flatten=flatten, raised_by="test", why="test", at=floor.clock.now())


@pytest.mark.parametrize(
    ("traits", "price", "reason"),
    [
        (SPOT, "10400", "TARGET_REACHED"),
        (NO_STOPS, "10400", "TARGET_REACHED"),
        (NO_STOPS, "9800", "STOP_REACHED"),
    ],
)
def test_what_cannot_rest_is_done_by_the_guardian(
    database: Database, traits: VenueTraits, price: str, reason: str
) -> None:
    """X2: without it a target is never taken, and a stop that cannot rest is none; it sells once, and all of it."""
    floor = floor_at(database, traits)
    floor.enter()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        guarded.ticks.tell("10399")
        guarded.ticks.tell(price)
        guarded.ticks.tell(price)
        await guarded.until(lambda: floor.held() == 0, "the exit")
        await guarded.looks()

    guarding(floor, act)
    assert floor.owned() == 0
    assert floor.sent(Leg.EXIT) == 1
    assert [why for _, why in floor.events("order_intended") if why] == [reason]


def test_a_stop_that_the_venue_fills_is_found_at_the_next_tick(floor: GuardedFloor) -> None:
    """X3: the fill must be in the books within moments, and not at the next comparison of minutes later."""
    floor.enter()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        await guarded.until(lambda: guarded.guardian.is_settled, "the first comparison")
        guarded.guardian.watch.patience = timedelta(hours=1)  # the second line does not find it for the first
        floor.spot.match(floor.desk.account, floor.candle("9790"))
        guarded.ticks.tell("9790")
        await guarded.until(lambda: floor.held() == 0, "the fill")

    guarding(floor, act)
    assert floor.sent(Leg.EXIT) == 0
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]


def test_a_stop_that_the_venue_does_not_fill_is_taken_back_and_sold(floor: GuardedFloor) -> None:
    """X2: the second line: a venue that sleeps on its stops must not be the only one that holds them."""
    floor.enter()
    began = monotonic_seconds()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        guarded.ticks.tell("9790")
        await guarded.until(lambda: floor.held() == 0, "the exit")

    guarding(floor, act)
    assert monotonic_seconds() - began > PATIENCE.total_seconds()
    assert floor.owned() == 0
    assert {row[:3] for row in floor.orders()} == {
        ("ENTRY", 1, "FILLED"),
        ("STOP", 1, "CANCELED"),
        ("EXIT", 1, "FILLED"),
    }


def test_on_paper_a_tick_reaches_the_stop_before_its_minute_is_stored(database: Database) -> None:
    """X1: a price that touched the stop and came back within the minute was lost to a decision that closed first."""
    floor = floor_at(database, PAIRS)
    floor.enter()
    floor.desk = replace(floor.desk, broker=floor.spot.behind)

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        guarded.ticks.tell("9790")
        guarded.ticks.tell("10000")
        await guarded.until(lambda: floor.held() == 0, "the fill")

    guarding(floor, act)
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]
    assert floor.spot.resting() == []


def test_what_was_called_for_is_looked_at_again_under_the_lock(database: Database) -> None:
    """X3: another process closed the position and a new one was opened meanwhile: the old call must not sell it."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    watch = Guardian(floor.desk, Pushed(), QUICK).watch
    watch.take(duties.read_account(floor.desk))
    called = watch.see(Tick(BTC, Decimal(9_700), Decimal(9_700), floor.clock.now()))
    assert called
    assert duties.answer(floor.desk, [called])[BTC].is_over
    floor.enter(stop="9000")
    assert duties.answer(floor.desk, [called])[BTC].is_over
    assert floor.held() == Decimal("0.1")
    watch.take(duties.read_account(floor.desk))
    same = replace(called, decision_id=watch.state.held[0].decision_id)  # type: ignore[union-attr]
    assert duties.answer(floor.desk, [same])[BTC].is_over
    assert floor.held() == Decimal("0.1")


def test_one_symbol_that_fails_hides_no_other(database: Database) -> None:
    """X2: in a crash all levels are reached at once, and one broken position must not keep the others."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    floor.enter(ETH)

    def break_down(intent: Intent) -> None:
        if intent.symbol == BTC:
            msg = "the adapter cannot read what the venue says"
            raise DataError(msg)

    floor.spot.on_submit = break_down
    lookup = floor.spot.lookup

    def broken(order: OrderReference) -> VenueOrder | None:
        if order.symbol == BTC:
            msg = "the adapter cannot read what the venue says"
            raise DataError(msg)
        return lookup(order)

    floor.spot.lookup = broken  # type: ignore[method-assign]

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC, ETH)
        guarded.ticks.tell("9700", BTC)
        guarded.ticks.tell("9700", ETH)
        await guarded.until(lambda: floor.held(ETH) == 0, "the other exit")
        await guarded.until(lambda: FAILED_ALERT in floor.alerts(), "the alert")

    guarding(floor, act)
    assert floor.held() == Decimal("0.1")


@pytest.mark.parametrize("by_file", [True, False])
def test_the_emergency_stop_flattens(floor: GuardedFloor, tmp_path: Path, *, by_file: bool) -> None:
    """R6: with Dagster dead, a row or a file has to be enough to close everything, once."""
    floor.enter()
    floor.enter(ETH)
    file = tmp_path / "EMERGENCY_STOP"
    floor.desk = replace(floor.desk, emergency_file=file)

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC, ETH)
        if by_file:
            file.write_text(json.dumps({"flatten": True}))
        else:
            stop_all(floor, flatten=True)
        await guarded.until(lambda: floor.held() == floor.held(ETH) == 0, "both exits")
        await guarded.looks()

    guarding(floor, act)
    assert floor.owned() == floor.owned(ETH) == 0
    assert floor.sent(Leg.EXIT) == 2
    assert {why for _, why in floor.events("order_intended") if why} == {"FLATTENED"}


def test_an_emergency_stop_alone_keeps_the_stops_and_takes_no_target(floor: GuardedFloor, tmp_path: Path) -> None:
    """R6: stopped means that nothing is traded; a position without its stop would be worse than trading."""
    file = tmp_path / "EMERGENCY_STOP"
    file.touch()
    floor.enter()
    floor.desk = replace(floor.desk, emergency_file=file)

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        guarded.ticks.tell("10500")
        await guarded.looks()
        assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]
        assert floor.sent(Leg.EXIT) == 0
        guarded.ticks.tell("9790")  # and the venue does not fill it
        await guarded.until(lambda: floor.held() == 0, "the exit at the stop")

    guarding(floor, act)


def test_a_position_without_a_stop_gets_one(floor: GuardedFloor) -> None:
    """Trap 25: the process that entered died before the stop was sent."""

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: guarded.guardian.is_settled, "the first comparison")
        await asyncio.to_thread(floor.enter, protected=False)
        await guarded.until(floor.spot.resting, "the stop")

    guarding(floor, act)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]


def test_an_order_of_unknown_outcome_is_resolved(floor: GuardedFloor) -> None:
    """X3: nobody else may look for an hour, and meanwhile the symbol is blocked and the stop nobody's."""

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: guarded.guardian.is_settled, "the first comparison")
        floor.spot.lose_answer.add("STOP")
        await asyncio.to_thread(floor.enter)
        await guarded.until(lambda: floor.orders()[-1][2] == "OPEN", "the answer")

    guarding(floor, act)
    assert floor.sent(Leg.STOP) == 1


def test_a_level_waits_for_whoever_holds_the_account(database: Database) -> None:
    """Rule 3: beside another process's order an exit could sell twice; it is sent as soon as that one is done."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        with held_by_another(floor):
            guarded.ticks.tell("9700")
            await guarded.looks()
            assert floor.sent(Leg.EXIT) == 0
        await guarded.until(lambda: floor.held() == 0, "the exit")

    guarding(floor, act)
    assert floor.sent(Leg.EXIT) == 1


def test_a_refused_exit_comes_again(database: Database) -> None:
    """X2: a level is still passed when the venue has refused the exit."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    floor.spot.refuse.add("EXIT")

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        guarded.ticks.tell("9700")
        await guarded.until(lambda: floor.sent(Leg.EXIT) == 1, "the exit")
        floor.spot.refuse.clear()
        await guarded.until(lambda: floor.held() == 0, "the second exit")

    guarding(floor, act)
    assert floor.sent(Leg.EXIT) == 2


def test_where_the_stream_is_silent_prices_are_asked_for(database: Database) -> None:
    """M3: a broken stream must not leave the levels unwatched."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    floor.prices.prices[BTC] = Decimal(9_700)

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: floor.held() == 0, "the exit")

    guarding(floor, act)


def test_a_guardian_that_sees_no_price_says_so(database: Database) -> None:
    """Rule 4: levels that nobody can see are not held, and a person has to know."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    floor.prices.prices[BTC] = None

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: PRICES_ALERT in floor.alerts(), "the alert")
        floor.prices.prices[BTC] = Decimal(10_000)
        await guarded.until(lambda: PRICES_ALERT not in floor.alerts(), "its end")

    guarding(floor, act)


def test_a_venue_that_is_away_is_survived_and_told(database: Database) -> None:
    """X2: the exit goes out as soon as the venue is back, and somebody knows that it was away."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        floor.spot.down = True
        await guarded.until(lambda: VENUE_ALERT in floor.alerts(), "the alert")
        floor.spot.down = False
        guarded.ticks.tell("9700")
        await guarded.until(lambda: floor.held() == 0, "the exit")
        await guarded.until(lambda: VENUE_ALERT not in floor.alerts(), "the alert's end")

    guarding(floor, act)


def test_the_timer_is_set_only_while_an_entry_is_alone(floor: GuardedFloor) -> None:
    """The dead-man timer cancels stops too: it must go before one rests, and stay off."""
    floor.enter(protected=False)
    with floor.database.connection() as connection:
        connection.execute("ALTER TABLE paper_trading.orders DISABLE TRIGGER legal")
        connection.execute("UPDATE paper_trading.orders SET state = 'UNKNOWN', filled_quantity = 0")
        connection.execute("DELETE FROM paper_trading.positions")
    floor.spot.down = False

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: timedelta(seconds=60) in floor.spot.timers, "the timer")
        with floor.database.connection() as connection:
            connection.execute("UPDATE paper_trading.orders SET state = 'LOST'")
        await guarded.until(lambda: floor.spot.timers[-1] is None, "its end")
        sent = len(floor.spot.timers)
        await guarded.looks()
        await guarded.looks()
        assert len(floor.spot.timers) == sent  # not asked for over and over

    floor.spot.lookup = lambda _: None  # type: ignore[method-assign] # the venue does not tell of it
    guarding(floor, act)


def test_a_silent_breaker_sensor_and_stream_are_told_of(floor: GuardedFloor) -> None:
    """X2: Dagster's daemon is down, or nobody streams: nothing says so if not the guardian."""
    floor.desk = replace(floor.desk, clock_compared=True)
    now = floor.clock.now

    async def act(guarded: Guarded) -> None:
        await guarded.until(lambda: {BREAKERS_ALERT, STREAM_ALERT} <= floor.alerts(), "both alerts")
        with floor.database.connection() as connection:
            breakers.beat(connection, floor.desk.account, now())
            told = StreamState(
                "test/book",
                floor.desk.market,
                connected=False,
                changed_at=now(),
                last_message_at=None,
                reconnects=0,
                detail="",
                beat_at=now(),
            )
            write_stream_states(connection, [told])
        await guarded.until(lambda: not {BREAKERS_ALERT, STREAM_ALERT} & floor.alerts(), "their end")

    guarding(floor, act)
    assert floor.rows("SELECT count(*) FROM heartbeats WHERE name = 'guardian'") == [(1,)]


def test_a_database_that_is_away_is_survived_and_told(tmp_path: Path) -> None:
    """Rule 3: without it nothing can be written, so nothing is sent; once it is back the exit goes out at once."""
    with killable_database(tmp_path) as (server, database):
        floor = floor_at(database, NO_STOPS)
        floor.enter()

        async def act(guarded: Guarded) -> None:
            await guarded.knows(BTC)
            server.kill()
            guarded.ticks.tell("9700")
            await guarded.until(lambda: guarded.guardian._away_since is not None, "the outage", 40)
            assert floor.sent(Leg.EXIT) == 0
            server.ensure()
            await guarded.until(lambda: _answers(lambda: floor.held() == 0), "the exit", 60)
            await guarded.until(lambda: _answers(lambda: DATABASE_ALERT in floor.alerts()), "the alert", 60)

        guarding(floor, act)
        assert floor.owned() == 0
        assert floor.sent(Leg.EXIT) == 1


async def soon(met: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not met():  # noqa: ASYNC110 - the other side is a thread
            await asyncio.sleep(0.02)


def _answers(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except Exception:  # noqa: BLE001 - the server is not back yet
        return False


def test_a_sigterm_while_an_order_is_sent_leaves_it_recorded(database: Database) -> None:
    """O9: ended in the middle of a submission, the order's fill would be unknown until somebody looks."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()
    floor.prices.prices[BTC] = Decimal(9_700)
    ended: list[float] = []

    def slowly(intent: Intent) -> None:
        if intent.leg is Leg.EXIT:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append(monotonic_seconds())
            time.sleep(1)

    floor.spot.on_submit = slowly

    async def make() -> Guardian:
        return Guardian(floor.desk, Pushed(), QUICK)

    asyncio.run(run_until_stopped(make))
    assert monotonic_seconds() - ended[0] < 8
    assert floor.owned() == floor.held() == 0
    assert floor.rows("SELECT state FROM orders JOIN intents USING (client_order_id) WHERE leg = 'EXIT'") == [
        ("FILLED",)
    ]


def test_serving_waits_for_its_desk_and_ends_when_told(floor: GuardedFloor) -> None:
    """X2: at the start of a machine the database comes up last; the guardian must be there when it is."""
    attempts: list[int] = []

    def make() -> Desk:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            msg = "the database is not up yet"
            raise UnavailableError(msg)
        return floor.desk

    def tell() -> None:
        while not floor.rows("SELECT FROM heartbeats WHERE name = 'guardian'"):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    serve(floor.database, load_settings(Environment(profile="demo")), make)
    teller.join()
    assert len(attempts) == 2


class OtherAccess:
    """Another way to the same venue, which notes that it was taken."""

    def __init__(self, behind: object) -> None:
        self._behind, self.taken = behind, threading.Event()

    def __getattr__(self, name: str) -> Any:
        if name not in {"venue", "traits"}:
            self.taken.set()
        return getattr(self._behind, name)


def test_a_rotated_key_is_taken_up_without_a_restart(floor: GuardedFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """X8: after a rotation the old key is revoked at the venue; a guardian that kept it would guard nothing."""
    monkeypatch.setattr(guardian, "_RENEWAL_SECONDS", 0.05)
    other = OtherAccess(floor.desk.broker)
    rotated = replace(floor.desk, live=True, broker=other)
    made: list[Desk] = []

    def make() -> Desk:
        made.append(rotated if made else replace(floor.desk, live=True))
        return made[-1]

    def tell() -> None:
        assert other.taken.wait(20)
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    serve(floor.database, load_settings(Environment(profile="demo")), make)
    teller.join()
    assert other.taken.is_set()


def test_the_books_of_a_venue_become_ticks_and_a_break_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """M3: best bid and ask through the real streaming client; after a break nothing counts as known any more."""
    rules = load_settings(Environment(profile="paper")).market.stream.model_copy(update={"first_wait_seconds": 0.05})
    seen: list[Tick] = []
    monkeypatch.setattr(guardian_prices, "_SILENT_SECONDS", 3600.0)  # it is the break that is noticed, not the silence

    async def body(server: Sockets, stream: VenueStream) -> None:
        ticks = StreamedTicks(stream, SystemClock(), rules)
        following = asyncio.create_task(ticks.follow(seen.append))
        assert not ticks.covers(BTC)
        await told(server, ticks)
        assert (seen[0].bid, seen[0].ask) == (Decimal("100.1"), Decimal("100.2"))
        server.cut()
        await soon(lambda: not ticks.covers(BTC))
        await told(server, ticks)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    async def told(server: Sockets, ticks: StreamedTicks) -> None:
        await soon(lambda: server.publish_top(BTC, "100.10", "100.20"))
        await soon(lambda: ticks.covers(BTC))

    run_stream("kraken", body)


def test_after_a_sigterm_nothing_new_begins(database: Database) -> None:
    """O9: a price that comes while it leaves is for the next guardian."""
    floor = floor_at(database, NO_STOPS)
    floor.enter()

    async def act(guarded: Guarded) -> None:
        await guarded.knows(BTC)
        await guarded.guardian.leave()
        guarded.ticks.tell("9700")
        await asyncio.sleep(0.3)

    guarding(floor, act)
    assert floor.sent(Leg.EXIT) == 0
