"""The breaker sensor's tick over the simulated market: resting orders are walked, and what died is mended."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from builders import BTC, Killed, MortalDatabase, decision, forget_trading, store_decisions

from sensors.breakers import breaker_sensor
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.matching import draw_seed, first_part
from triplegain_pipelines.execution.operator import switch_breaker
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.desks import current_prices, paper_desk
from triplegain_pipelines.operations.feed import Feed, StoredFeed, choose_feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.watch import Cursor, Tick, Walked, open_session_account, watch
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

_BOUGHT_AT = datetime(2026, 1, 8, 12, 0, 20, tzinfo=UTC)
_TICK = timedelta(seconds=20)
_MINUTE = timedelta(minutes=1)


@dataclass
class Watched:
    """A paper account on the simulated market, its clock, and the cursor of its sensor."""

    database: Database
    session: Session
    clock: ReplayClock
    walked: Cursor = field(default_factory=dict)

    def desk(self, database: Database | None = None) -> Desk:
        """The account's desk, over another pool of connections if one is given."""
        return paper_desk(database or self.database, self.session, self.clock, current_prices(self.session))

    def buy(self, *, whole: bool = True, database: Database | None = None) -> None:
        """Buy bitcoin with its stop 0.1 % away, filled at once or in two parts."""
        desk = self.desk()
        made = decision(BTC, self.clock.now(), account="demo", venue="simulated")
        while self._filled_whole(made) != whole:
            moved = made.as_of + timedelta(microseconds=1)
            made = decision(BTC, moved, account="demo", venue="simulated")
        self.clock.advance_to(made.as_of)
        price = float(desk.prices.quote(BTC, self.clock.now()).price)
        made = replace(made, reference_price=price, atr=price / 2000)
        store_decisions(self.database, [made])
        queue_decisions(desk, [made])
        with OrderPath(self.desk(database)) as path:
            path.execute(made.decision_id)

    def _filled_whole(self, made: Decision) -> bool:
        paper = self.session.settings.profile.paper
        seed = draw_seed(paper.seed, made.decision_id, Leg.ENTRY)
        return first_part(Decimal(1), Instrument(BTC), paper.fill_rate, seed) == 1

    def tick(self, after: timedelta = _TICK, database: Database | None = None, feed: Feed | None = None) -> Tick:
        """One tick of the sensor, so much later."""
        self.clock.advance_to(self.clock.now() + after)
        used = database or self.database
        tick = watch(used, self.session, self.desk(used), feed or choose_feed(self.session), self.walked)
        self.walked = tick.walked
        return tick

    def tick_until(self, holds: Callable[[], object], after: timedelta = _TICK) -> None:
        """Tick until something holds, for three hours at most."""
        end = self.clock.now() + timedelta(hours=3)
        while not holds():
            assert self.clock.now() < end
            self.tick(after)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of any query; `orders` and the like are looked for in paper_trading."""
        with self.database.connection() as connection:
            connection.execute("SET LOCAL search_path TO paper_trading, ops, public")
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def watched(database: Database) -> Watched:
    """The account `demo` on 8 January 2026, opened, with a fresh heartbeat."""
    own = load_settings(Environment(profile="demo"))
    clock = ReplayClock(_BOUGHT_AT)
    session = Session("demo", "simulated", own.profile.symbols, replay=False, settings=own, clock=clock)
    made = Watched(database, session, clock)
    open_session_account(made.desk(), session)
    made.tick(timedelta())
    return made


@pytest.mark.no_cover
@pytest.mark.parametrize("after", [_TICK, timedelta(minutes=7), timedelta(hours=3)])
@pytest.mark.parametrize("remembers", [True, False])
def test_the_first_candle_that_touches_a_resting_order_fills_it(
    watched: Watched, after: timedelta, *, remembers: bool
) -> None:
    """X1: a stop that nobody walks; a tick that comes late, or lost its cursor, and fills at another price."""
    watched.buy()
    levels = watched.rows("SELECT trigger_price FROM intents WHERE trigger_price IS NOT NULL ORDER BY 1")
    (stop,), (target,) = levels

    def closed() -> object:
        watched.walked = watched.walked if remembers else {}
        return watched.rows("SELECT 1 FROM trades")

    watched.tick_until(closed, after)
    minute = _BOUGHT_AT.replace(second=0) + timedelta(minutes=1)
    frame = choose_feed(watched.session).candles(BTC, minute, minute + timedelta(hours=3))
    assert frame is not None
    touched = next(
        row
        for row in frame.iter_rows(named=True)
        if exact_price(row["low"]) <= stop or exact_price(row["high"]) >= target
    )
    lost = exact_price(touched["low"]) <= stop
    ((leg, at, price, equity),) = watched.rows(
        """SELECT exit_leg, closed_at, exit_price, (SELECT sum(amount) FROM balances WHERE currency = 'USDT')
           FROM trades"""
    )
    assert leg == ("STOP" if lost else "TAKE_PROFIT")
    assert touched["opened_at"] <= at <= touched["opened_at"] + timedelta(minutes=1)
    assert price <= (stop if lost else target)
    assert watched.rows("SELECT leg, state FROM orders JOIN intents USING (client_order_id) ORDER BY leg") == [
        ("ENTRY", "FILLED"),
        ("STOP", "FILLED" if lost else "CANCELED"),
        ("TAKE_PROFIT", "CANCELED" if lost else "FILLED"),
    ]
    assert watched.rows("SELECT 2100 + profit FROM trades") == [(equity,)]
    assert watched.rows("SELECT beat_at FROM heartbeats WHERE name = 'breakers'") == [(watched.clock.now(),)]


def test_the_rest_of_a_partial_fill_comes_and_is_protected(watched: Watched) -> None:
    """X1: the tick is all that brings the second part of an order; its stop must grow with it."""
    watched.buy(whole=False)
    assert watched.rows("SELECT o.state FROM orders o JOIN intents USING (client_order_id) WHERE leg = 'ENTRY'") == [
        ("PARTIALLY_FILLED",)
    ]
    query = "SELECT 1 FROM orders JOIN intents USING (client_order_id) WHERE leg = 'ENTRY' AND state = 'FILLED'"
    watched.tick_until(lambda: watched.rows(query))
    assert_sound(watched, "after the second part")


def test_a_candle_that_comes_late_is_still_shown(watched: Watched) -> None:
    """X1: a minute that is repaired after the tick has gone on, with the stop in it: the stop would rest for ever."""
    watched.buy()
    minute = watched.clock.now().replace(second=0)
    watched.tick(timedelta(minutes=1))
    late = StoredFeed()
    for number in range(1, 5):  # the second of these minutes is missing
        if number != 2:
            add_candle(watched, minute + number * _MINUTE, "level")
    watched.tick(timedelta(minutes=5), feed=late)
    assert watched.walked[BTC] == Walked(minute + 4 * _MINUTE, (minute + 2 * _MINUTE,))
    assert watched.tick(feed=late).booked == ()
    add_candle(watched, minute + 2 * _MINUTE, "through the stop")
    tick = watched.tick(feed=late)
    assert watched.rows("SELECT exit_leg FROM trades") == [("STOP",)]
    (filled_at,) = tick.booked
    assert minute + 2 * _MINUTE <= filled_at <= minute + 3 * _MINUTE


def test_a_missing_candle_is_waited_for_an_hour_and_no_longer(watched: Watched) -> None:
    """X1: a cursor that grows with every minute in which nobody traded."""
    watched.buy()
    minute = watched.clock.now().replace(second=0)
    for number in (1, 90):
        add_candle(watched, minute + number * _MINUTE, "level")
    watched.tick(timedelta(minutes=92), feed=StoredFeed())
    waited_for = [minute + number * _MINUTE for number in range(30, 90)]
    assert watched.walked[BTC] == Walked(minute + 90 * _MINUTE, tuple(waited_for))


def test_the_rest_of_an_entry_is_withdrawn_in_the_tick_that_stops_new_risk(watched: Watched) -> None:
    """R6: a breaker opens, and the entry of a minute ago goes on filling at full size."""
    watched.buy(whole=False)
    switch_breaker(watched.desk(), BreakerName.RAPID_LOSS, BreakerState.OPEN, "ann", "look")
    watched.tick(timedelta(seconds=5))
    query = "SELECT o.state, o.reason_code FROM orders o JOIN intents USING (client_order_id) WHERE leg = 'ENTRY'"
    assert watched.rows(query) == [("CANCELED", "BREAKER_CANCELED")]
    assert_sound(watched, "after the withdrawal")


def test_lineage_is_told_of_what_a_tick_books(watched: Watched) -> None:
    """D1: a stop that fills in a tick, and books whose newest materialisation is of the day before."""
    watched.buy()
    watched.tick(timedelta(minutes=1))
    watched.tick_until(lambda: touching(watched))
    watched.clock.advance_to(watched.clock.now() + timedelta(seconds=80))
    told = sensed(watched, json.dumps({BTC: [watched.walked[BTC].newest.isoformat()]}))
    assert watched.rows("SELECT count(*) FROM trades") == [(1,)]
    assert [(event.asset_key.to_user_string(), event.partition) for event in told.asset_events] == [
        (name, "2026-01-08") for name in ("orders", "fills", "positions", "equity")
    ]
    after = sensed(watched, told.cursor)
    assert (after.asset_events, after.cursor) == ([], "{}")


@pytest.mark.parametrize(
    "cursor", [None, "", "[]", '{"BTC/USDT": "2026-01-08T12:00:00+00:00"}', '{"BTC/USDT": []}', "{"]
)
def test_a_cursor_that_cannot_be_read_costs_work_only(watched: Watched, cursor: str | None) -> None:
    """Rule 3: a cursor of an older version, or half of one, that stops the sensor for good."""
    watched.buy()
    watched.clock.advance_to(watched.clock.now() + timedelta(minutes=2))
    written = sensed(watched, cursor).cursor
    assert list(json.loads(written or "")) == [BTC]
    assert "all breakers closed" in str(sensed(watched, written).skip_reason)


def sensed(watched: Watched, cursor: str | None) -> dg.SensorResult:
    """What the sensor itself answers."""
    resources = {
        "database": watched.database,
        "session": watched.session,
        "desk": watched.desk(),
        "feed": choose_feed(watched.session),
    }
    result = breaker_sensor(dg.build_sensor_context(cursor=cursor, resources=resources))
    assert isinstance(result, dg.SensorResult)
    return result


def add_candle(watched: Watched, opened_at: datetime, kind: str) -> None:
    """A candle between stop and target, or one that goes through the stop, as a repair would store it."""
    levels = [level for (level,) in watched.rows("SELECT trigger_price FROM intents WHERE trigger_price IS NOT NULL")]
    middle = (min(levels) + max(levels)) / 2
    low = min(levels) * Decimal("0.999") if kind == "through the stop" else middle
    with watched.database.connection() as connection:
        connection.execute(
            """INSERT INTO market.candles (venue, symbol, timeframe, opened_at, open, high, low, close, volume, source)
               VALUES ('simulated', %s, '1m', %s, %s, %s, %s, %s, 1, 'test')
               ON CONFLICT (venue, symbol, timeframe, opened_at) DO UPDATE SET open = excluded.open,
                   high = excluded.high, low = excluded.low, close = excluded.close""",
            [BTC, opened_at, middle, middle, low, middle],
        )


def test_a_run_that_died_anywhere_is_mended_by_the_next_tick(watched: Watched) -> None:
    """X3: with the daemon nobody starts a dead run again. What it bought must be in the books, and protected."""
    commits = 1
    while dies(watched, commits, lambda mortal: watched.buy(database=mortal)):
        watched.tick(timedelta(seconds=5))
        assert_sound(watched, f"killed after commit {commits}")
        start_again(watched)
        commits += 1
    assert commits > 8


@pytest.mark.no_cover
def test_a_tick_that_died_anywhere_is_mended_by_the_next(watched: Watched) -> None:
    """X3: a stop that the venue filled while the tick died must reach the books, or the account trades with a ghost."""
    commits, died = 1, True
    while died:
        watched.buy()
        watched.tick(timedelta(minutes=1))  # the minute in which it was bought is not walked
        watched.tick_until(lambda: touching(watched))
        died = dies(watched, commits, lambda mortal: watched.tick(timedelta(seconds=80), mortal))
        watched.tick(timedelta(minutes=1))
        assert_sound(watched, f"killed after commit {commits}")
        assert watched.rows("SELECT count(*) FROM trades") == [(1,)], f"killed after commit {commits}"
        start_again(watched)
        commits += 1
    assert commits > 8


def touching(watched: Watched) -> bool:
    """Whether the next candle to close touches the stop or the target."""
    levels = [level for (level,) in watched.rows("SELECT trigger_price FROM intents WHERE trigger_price IS NOT NULL")]
    minute = watched.clock.now().replace(second=0)
    frame = choose_feed(watched.session).candles(BTC, minute, minute + timedelta(minutes=1))
    assert frame is not None
    (row,) = frame.iter_rows(named=True)
    return exact_price(row["low"]) <= min(levels) or exact_price(row["high"]) >= max(levels)


def dies(watched: Watched, commits: int, act: Callable[[Database], None]) -> bool:
    """Whether somebody who dies after so many commits did not come to the end of `act`."""
    mortal = MortalDatabase(watched.database.url, commits)
    try:
        act(mortal)
    except Killed:
        return True
    finally:
        mortal.close()
    return False


def start_again(watched: Watched) -> None:
    """An account that was never used, at a time that was never reached."""
    forget_trading(watched.database)
    watched.walked = {}
    open_session_account(watched.desk(), watched.session)
    watched.tick()


def assert_sound(watched: Watched, where: str) -> None:
    """Books and venue agree, and every position has exactly one stop for all of it."""
    laws = {
        "a fill is missing": "SELECT trade_id FROM paper_venue.fills EXCEPT SELECT trade_id FROM fills",
        "an order differs": """SELECT 1 FROM orders o JOIN paper_venue.orders v USING (client_order_id)
            WHERE o.state <> v.state""",
        "an order is unknown": """SELECT client_order_id FROM paper_venue.orders
            EXCEPT SELECT client_order_id FROM orders""",
        "a position is bare": """SELECT symbol FROM positions p WHERE quantity IS DISTINCT FROM
            (SELECT sum(i.quantity - o.filled_quantity) FROM orders o JOIN intents i USING (client_order_id)
             WHERE i.symbol = p.symbol AND i.leg = 'STOP' AND o.state = 'OPEN')""",
    }
    for law, query in laws.items():
        assert watched.rows(query) == [], f"{law}, {where}"
