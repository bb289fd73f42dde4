"""What a review of the order path and the guardian found: each test failed before its fix."""

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from builders import ACCOUNT, BTC, ETH, START, TradingFloor, decision
from guarded_floor import NO_STOPS, GuardedFloor, guarded_floor
from reconciling import D, held, kinds, reconcile, require_right_books, trade
from scripted_venue import ScriptedVenue

from triplegain_pipelines.domain.clock import ReplayClock, SystemClock, monotonic_seconds
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import DataError, InputError
from triplegain_pipelines.domain.orders import Claim, Leg, OrderReference, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.differences import DifferenceKind
from triplegain_pipelines.execution.emergency import StopOrder, carry_out, emergency_file, raise_stop, write_file
from triplegain_pipelines.execution.exits import close_position
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.levels import Due, Tick
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.protection import HELD_ALERT
from triplegain_pipelines.execution.reconciliation import reconcile_account
from triplegain_pipelines.operations.stopping import stop_trading
from triplegain_pipelines.services import guardian
from triplegain_pipelines.services import guardian_duties as duties
from triplegain_pipelines.services.guardian_health import FAILED_ALERT
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.services.guardian_prices import NoTicks
from triplegain_pipelines.services.guardian_watch import Backoff, Call, Watch
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store import alerts, heartbeats, reconciliations
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
QUICK = Rhythm(look=0.05, health=0.1, mend=0.2, timer=0.1, reconcile=HOUR)


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


def newest_state(floor: TradingFloor | GuardedFloor, leg: Leg) -> str:
    query = "SELECT state FROM orders JOIN intents USING (client_order_id) WHERE leg = %s ORDER BY intended_at DESC"
    return floor.rows(query, leg)[0][0]


# Clocks


def watching(floor: GuardedFloor) -> Watch:
    watch = Watch(floor.desk.instruments)
    watch.take(duties.read_account(floor.desk))
    return watch


def tick(price: str, at_seconds: float, symbol: str = BTC) -> Tick:
    return Tick(symbol, Decimal(price), Decimal(price), START + at_seconds * SECOND)


def test_a_guardian_whose_clock_was_set_back_still_hears_prices(database: Database, clock: ReplayClock) -> None:
    """X2: the clock ran an hour ahead and was set right; for an hour no price moves the guardian, and nobody knows.

    An answer that was overtaken by a newer price is left aside all the same.
    """
    floor = guarded_floor(database, clock, NO_STOPS)
    floor.enter()
    watch = watching(floor)
    assert watch.see(tick("10000", 3600)) is None
    called = watch.see(tick("9700", 0))
    assert called is not None
    assert called.due is Due.LEAVE_AT_STOP

    watch = watching(floor)
    watch.see(tick("10000", 8))
    assert watch.see(tick("9700", 1)) is None


def test_a_wait_is_over_where_the_clock_was_set_back() -> None:
    """X2: a duty that failed while the clock ran ahead would not be tried again until that hour comes."""
    wait = Backoff()
    wait.failed(START + HOUR)
    assert wait.is_over(START)
    wait.failed(START)
    assert not wait.is_over(START + SECOND)
    assert wait.is_over(START + 3 * SECOND)


def test_a_stop_that_is_not_filled_is_overdue_where_the_clock_was_set_back(
    database: Database, clock: ReplayClock
) -> None:
    """X2: the level was passed at a time that lies ahead, so a stop that the venue does not fill is never left."""
    floor = guarded_floor(database, clock)
    floor.enter()
    watch = watching(floor)
    watch.see(tick("9700", 3600))
    watch.see(tick("9700", 0))
    called = watch.see(tick("9700", 11))
    assert called is not None
    assert called.due is Due.LEAVE_AT_STOP


def test_misses_count_where_the_clock_was_set_back(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a look-up dated ahead keeps an order that never arrived UNKNOWN for hours, and its position unsellable."""
    venue.lose_request.add(Leg.ENTRY)
    trade(floor)
    assert newest_state(floor, Leg.ENTRY) == "UNKNOWN"
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.orders SET asked_at = %s", [floor.clock.now() + HOUR])
    floor.clock.advance_to(floor.clock.now() + 20 * SECOND)
    for _ in range(3):
        floor.clock.advance_to(floor.clock.now() + 2 * SECOND)
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())
    assert newest_state(floor, Leg.ENTRY) == "LOST"


def test_a_watermark_from_a_clock_that_ran_ahead_hides_no_late_fill(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: compared once with a clock a day ahead, trades are asked for from tomorrow on, and a late fill is missed."""
    trade(floor)
    ahead = floor.clock.now() + timedelta(days=1)
    with floor.database.connection() as connection:
        reconciliations.insert(connection, floor.desk.schema, ACCOUNT, at=ahead, watermark=ahead, differences=[])
        connection.execute("UPDATE paper_trading.orders SET state = 'CANCELED' WHERE state = 'OPEN'")
    stop = venue.stop()
    stop.state = OrderState.CANCELED
    venue.fill(stop)
    stop.state = OrderState.FILLED
    assert DifferenceKind.TRADE_UNBOOKED in kinds(reconcile(floor))
    require_right_books(floor, venue)
    assert held(floor) == 0
    floor.clock.advance_to(floor.clock.now() + 2 * HOUR)
    reconcile(floor)
    assert venue.asked_since[-1] <= floor.clock.now() - HOUR


# One symbol that fails hides no other


def two_bare_positions(database: Database) -> GuardedFloor:
    """Positions without stops, one of them in a symbol that the profile has lost since."""
    floor = guarded_floor(database, SystemClock())
    floor.enter(BTC, protected=False)
    floor.enter(ETH, protected=False)
    floor.desk = replace(floor.desk, instruments={ETH: floor.desk.instruments[ETH]})
    return floor


@pytest.mark.parametrize("by", ["tick", "reconciliation", "guardian"])
def test_a_symbol_that_is_not_traded_any_more_leaves_no_other_position_bare(database: Database, by: str) -> None:
    """X2, R2: the profile lost a symbol that is still held, and no position after it got its stop again, ever."""
    floor = two_bare_positions(database)

    def tick() -> None:
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())

    protecting = {
        "tick": tick,
        "reconciliation": lambda: reconcile_account(floor.desk),
        "guardian": lambda: duties.mend(floor.desk, [BTC, ETH], lambda: False),
    }
    with pytest.raises(InputError, match="does not trade BTC/USDT"):
        protecting[by]()
    assert [symbol for symbol, _, _ in floor.spot.resting()] == [ETH]


def test_positions_that_could_not_be_flattened_get_their_stops_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: the stop was taken back, then the closing broke: while all is being flattened nobody mends the protection."""
    floor = guarded_floor(database, SystemClock())
    floor.enter()

    def broken(*_: object) -> None:
        msg = "an answer that cannot be read"
        raise DataError(msg)

    with monkeypatch.context() as patch:
        patch.setattr("triplegain_pipelines.execution.exits.intend", broken)
        assert not duties.close_all(floor.desk, {})
    assert floor.held() == Decimal("0.1")
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]


def test_a_disputed_entry_does_not_keep_a_stop_from_closing_positions(
    floor: TradingFloor, venue: ScriptedVenue
) -> None:
    """R6: one entry whose answer cannot be booked, and no position is closed by the person at the keyboard."""
    trade(floor)
    disputed_entry(floor, venue)
    raise_stop(floor.database, asked(floor, flatten=True))
    with suppress(DataError):
        carry_out(floor.desk, closing=True, wait=0)
    assert floor.rows("SELECT count(*) FROM positions WHERE symbol = %s", BTC) == [(0,)]


def disputed_entry(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """An entry in ETH of which the venue says more than was asked for."""
    venue.lose_answer.add(Leg.ENTRY)
    answer = venue.lookup

    def too_much(order: OrderReference) -> VenueOrder | None:
        found = answer(order)
        if found is None or order.symbol != ETH:
            return found
        return replace(found, fills=tuple(replace(fill, quantity=fill.quantity * 2) for fill in found.fills))

    venue.lookup = too_much  # type: ignore[method-assign]
    with suppress(DataError):
        trade(floor, ETH, price=1_000.0, atr=10.0)
    assert newest_state(floor, Leg.ENTRY) == "UNKNOWN"


# Work that nobody goes on with


def test_an_exit_that_is_never_sent_does_not_keep_its_position_bare(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, R2: the run died between `check_risk`, which took the stop back, and `submit`, and its decision ran out.

    The exit waits to be sent for ever, counts as what reduces the position, and so no stop is placed beside it.
    """
    trade(floor)
    floor.pass_time(60 * SECOND)
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        assert path.check_risk(made.decision_id, claim.token).goes_on
    assert newest_state(floor, Leg.STOP) == "CANCELED"
    for _ in range(3):
        floor.pass_time(300 * SECOND)
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())
    assert venue.stop().quantity == held(floor)
    assert newest_state(floor, Leg.EXIT) == "LOST"
    ended = floor.rows("SELECT status FROM outbox WHERE decision_id = %s", made.decision_id)
    assert ended == [("EXPIRED",)]
    with OrderPath(floor.desk) as path:  # a run that was only slow sends nothing any more
        path.submit(made.decision_id, claim.token)
    assert Leg.EXIT not in [intent.leg for intent in venue.submissions]


def test_a_run_that_is_still_at_work_is_left_to_it(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the decision has just run out; what its run has written is its own until no run can be left."""
    trade(floor)
    floor.pass_time(60 * SECOND)
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        floor.pass_time(made.valid_until - floor.clock.now() + SECOND)
        assert path.submit(made.decision_id, claim.token).goes_on
        path.settle(made.decision_id, claim.token)
    assert held(floor) == 0
    assert venue.submissions[-1].leg is Leg.EXIT


# The emergency stop says what is


def asked(floor: TradingFloor | GuardedFloor, *, flatten: bool = False) -> StopOrder:
    return StopOrder(None, flatten, "ann", "it smells of smoke", floor.clock.now())


def test_a_stop_does_not_say_that_no_entry_is_left_where_the_venue_is_silent(
    floor: TradingFloor, venue: ScriptedVenue, tmp_path: Path
) -> None:
    """R6: the venue does not answer, an entry may be at work there, and the person is told that none is."""
    venue.lose_answer.add(Leg.ENTRY)
    venue.silent = {"lookup", "cancel"}
    trade(floor)
    assert newest_state(floor, Leg.ENTRY) == "UNKNOWN"

    @contextmanager
    def opened():
        yield floor.database

    heard: list[str] = []
    own = load_settings(Environment(home=tmp_path, profile="demo"))
    assert not stop_trading(own, asked(floor), opened, lambda *_: floor.desk, heard.append)
    assert not any("no entry is unfinished" in line for line in heard)
    assert any("1 entry" in line and "guardian" in line for line in heard)


def test_a_second_stop_that_asks_for_more_is_kept_in_the_file(floor: TradingFloor, tmp_path: Path) -> None:
    """R6: stopped first, then told to flatten while the database is down: only the file can remember that."""
    floor.desk = replace(floor.desk, emergency_file=emergency_file(tmp_path))
    emergency_file(tmp_path).touch()
    assert not duties.read_account(floor.desk).flatten
    write_file(tmp_path, asked(floor, flatten=True))
    assert duties.read_account(floor.desk).flatten
    write_file(tmp_path, asked(floor))
    assert duties.read_account(floor.desk).flatten  # a stop never gets weaker by another one


# Alerts end


def called_at(price: str, floor: GuardedFloor, leg: Leg = Leg.STOP) -> Call:
    (position,) = duties.read_account(floor.desk).held
    at = floor.clock.now()
    due = Due.LEAVE_AT_STOP if leg is Leg.STOP else Due.LEAVE_AT_TARGET
    return Call(BTC, position.decision_id, leg, due, Tick(BTC, D(price), D(price), at), D(price))


@pytest.mark.parametrize("by", ["level", "emergency"])
def test_the_alert_of_a_held_stop_ends_with_its_position(database: Database, clock: ReplayClock, by: str) -> None:
    """A person is told for ever that a stop of a position is held which was closed long ago."""
    floor = guarded_floor(database, clock, NO_STOPS)
    floor.enter()
    assert floor.alerts() == {HELD_ALERT}
    if by == "level":
        assert duties.answer(floor.desk, [called_at("9700", floor)])[BTC].is_over
    else:
        assert duties.close_all(floor.desk, {})
    assert floor.held() == 0
    assert floor.alerts() == set()


@pytest.mark.slow
def test_the_alert_of_a_failed_closing_ends_with_its_position(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guardian could not close a position, another process did, and a person is told for ever that it cannot.

    So it is with what a guardian said that was killed since.
    """
    floor = guarded_floor(database, SystemClock(), NO_STOPS)
    floor.enter()
    floor.prices.prices[BTC] = Decimal(9_700)

    def broken(*_: object) -> None:
        msg = "an answer that cannot be read"
        raise DataError(msg)

    with floor.database.connection() as connection:
        level, at = alerts.AlertLevel.CRITICAL, floor.clock.now()
        alerts.raise_alert(connection, FAILED_ALERT, f"{ACCOUNT}/flatten", level, "it died of it", at)
        alerts.raise_alert(connection, FAILED_ALERT, "another account/flatten", level, "not ours", at)

    async def run() -> None:
        work = asyncio.ensure_future(Guardian(floor.desk, NoTicks(), QUICK).run())
        try:
            with monkeypatch.context() as patch:
                patch.setattr(duties, "close_position", broken)
                await until(lambda: (f"{ACCOUNT}/{BTC}",) in failed(), "the alert")
            await asyncio.to_thread(close_by_hand)
            await until(lambda: failed() == [("another account/flatten",)], "its end")
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    def failed() -> list[tuple]:
        return floor.rows("SELECT subject FROM alerts WHERE kind = %s AND ended_at IS NULL", FAILED_ALERT)

    def close_by_hand() -> None:
        with OrderPath(floor.desk, wait=5) as path:
            close_position(path.desk, path.newest_token(), BTC, ReasonCode.FLATTENED, Decimal(9_700))

    asyncio.run(run())


async def until(look, awaited: str, seconds: float = 15) -> None:
    deadline = monotonic_seconds() + seconds
    while not look():
        assert monotonic_seconds() < deadline, f"waited {seconds} s in vain for {awaited}"
        await asyncio.sleep(0.05)


# Without a guardian


def beat(floor: GuardedFloor) -> None:
    with floor.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.GUARDIAN, ACCOUNT, floor.clock.now())


def test_a_refused_stop_whose_guardian_died_since_leaves(database: Database, clock: ReplayClock) -> None:
    """X2, R2: the venue refused the stop, the guardian held it and died: then nobody holds it at all."""
    floor = guarded_floor(database, clock)
    beat(floor)
    floor.spot.refuse.add(Leg.STOP)
    floor.enter()
    assert floor.held() == Decimal("0.1")
    clock.advance_to(clock.now() + 61 * SECOND)
    with OrderPath(floor.desk) as path:
        path.mend(path.newest_token())
    assert floor.held() == floor.owned() == 0
    assert floor.events("protection_failed") == [(BTC, None)]
    assert floor.alerts() == set()


def test_somebody_is_told_of_a_guardian_that_is_dead_while_it_is_needed(database: Database, clock: ReplayClock) -> None:
    """X2: the guardian watches everybody, and nobody watches it: its targets are held by no one, in silence."""
    floor = guarded_floor(database, clock)
    guard(floor.desk)
    assert floor.alerts() == set()  # nothing is held, so nothing is missed
    floor.enter()
    guard(floor.desk)
    assert floor.alerts() == {"guardian_silent"}
    beat(floor)
    guard(floor.desk)
    assert floor.alerts() == set()


def test_a_symbol_that_the_venue_delists_does_not_take_the_guardian_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2: asked for its rules once a day, the venue knows one symbol no more; the others would lose their guardian."""
    monkeypatch.setattr(guardian, "_RENEWAL_SECONDS", 0.02)
    floor = guarded_floor(database, SystemClock())
    asked_for: list[int] = []

    def delisted() -> None:
        asked_for.append(1)
        msg = "the venue does not trade BTC/USDT"
        raise InputError(msg)

    async def run() -> None:
        watching = asyncio.ensure_future(
            guardian._access_changed(delisted, 0.02, Guardian(floor.desk, NoTicks(), QUICK))  # type: ignore[arg-type]
        )
        await until(lambda: len(asked_for) > 2 or watching.done(), "three questions")
        assert not watching.done()
        watching.cancel()

    asyncio.run(run())
