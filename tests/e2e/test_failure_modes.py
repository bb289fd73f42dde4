"""Issue 4, point 7: disk full, database gone, read-only database: no new risk, a clear alert, recovery without hands.

The database fails under a live account at an exchange on loopback, at every step of the order path and under the
services, and comes back under the same processes, which trade an order then. The exchange stays all the time.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from interrupted import BTC, HeldBroker, LiveFloor, Moment, live_floor
from killable_postgres import KillablePostgres, killable_database
from outages import NAME, Full, Gone, OnlyRead, Outage, UsedUp
from structlog.testing import capture_logs

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import StaleFenceError, UnavailableError
from triplegain_pipelines.execution import disk
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.reconciliation import reconcile_account
from triplegain_pipelines.services.guardian_health import DATABASE_ALERT, look_after
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.services.guardian_prices import NoTicks
from triplegain_pipelines.store import database as database_module
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.fences import AccountLock

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WAYS = [Gone, OnlyRead, Full]
HELD = "SELECT 1 FROM positions WHERE symbol = %s"
Way = Callable[[KillablePostgres], Outage]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillablePostgres]:
    """A server of these tests' own, with a migrated database that each of them copies."""
    with killable_database(tmp_path_factory.mktemp("failing")) as (made, database):
        database.close()
        yield made


@pytest.fixture
def floor(server: KillablePostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveFloor]:
    """A live account in a database that may fail; nobody waits as long for it as in trading."""
    monkeypatch.setattr(database_module, "_ATTEMPT_SECONDS", 0.3)
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {NAME} TEMPLATE triplegain".encode())
    database = Database(server.url(NAME))
    with live_floor(database) as made:
        # Only now: the first connection to a copy takes its time on a busy machine.
        monkeypatch.setattr(database_module, "_WAIT_SECONDS", 1.0)
        yield made
    database.close()


def back(outage: Outage, floor: LiveFloor) -> None:
    """The database is back: the same desk resolves what was left, marks the account, and trades."""
    outage.end()
    floor.recover()
    action = Action.CLOSE if floor.rows(HELD, BTC) else Action.BUY
    decision_id = floor.queue(action)
    execute(floor, decision_id)
    assert floor.rows("SELECT status FROM outbox WHERE decision_id = %s", decision_id) == [("DONE",)]
    assert bool(floor.rows(HELD, BTC)) is (action is Action.BUY)
    floor.require_right_books()


def says(outage: Outage, error: BaseException) -> None:
    """The error tells what is wrong and where."""
    assert re.search(outage.says, str(error)), error


@pytest.mark.parametrize(
    ("at", "way"),
    [
        ("claim", OnlyRead),
        *[("lock", way) for way in WAYS],
        (Moment.BEFORE_SENDING, Gone),
        (Moment.BEFORE_SENDING, Full),
        *[(Moment.AFTER_ANSWER, way) for way in WAYS],
        (Moment.BEFORE_CANCEL, OnlyRead),
        (Moment.AFTER_CANCEL, Gone),
        (Moment.AFTER_CANCEL, Full),
    ],
)
def test_an_order_path_without_its_database_sends_nothing_that_is_not_written(
    server: KillablePostgres, floor: LiveFloor, way: Way, at: str
) -> None:
    """X3, rule 3: an order that no book knows of, or one that is forgotten, or a desk that needs a person to go on."""
    outage, closing = way(server), at in {Moment.BEFORE_CANCEL, Moment.AFTER_CANCEL}
    if closing:
        execute(floor, floor.queue())
    decision_id = floor.queue(Action.CLOSE if closing else Action.BUY)
    began: list[bool] = []
    patch = pytest.MonkeyPatch()

    def begin() -> None:
        if not began:
            began.append(True)
            outage.begin()

    desk = floor.desk
    if at == "claim":
        begin()
    elif at == "lock":  # committed, and the lock not yet asked
        asked = AccountLock.require_held
        patch.setattr(AccountLock, "require_held", lambda lock: (begin(), asked(lock)))
    else:
        desk = replace(desk, broker=HeldBroker(desk.broker, Moment(at), begin))
    before = floor.calls("AddOrder")
    with pytest.raises((UnavailableError, StaleFenceError)) as caught, OrderPath(desk) as path:
        path.execute(decision_id)
    patch.undo()
    assert began
    says(outage, caught.value)
    with pytest.raises(UnavailableError):  # no heartbeat either
        guard(floor.desk)
    sent = floor.calls("AddOrder") - before
    assert sent == (0 if at == "claim" or closing or (at == "lock" and way is not Full) else 1)
    back(outage, floor)


@pytest.mark.parametrize("way", WAYS)
def test_the_services_beat_no_more_and_go_on_once_it_is_back(
    server: KillablePostgres, floor: LiveFloor, way: Way
) -> None:
    """R6, X3: an account that nobody watched takes no new risk, until somebody watches it again."""
    outage = way(server)
    reconcile_account(floor.desk)
    decision_id = floor.queue()
    before = beats(floor)
    outage.begin()
    for service in (guard, reconcile_account):
        with pytest.raises((UnavailableError, StaleFenceError)) as caught:
            service(floor.desk)
        says(outage, caught.value)
    floor.clock.advance(timedelta(seconds=floor.desk.limits.heartbeat_seconds))
    outage.end()
    assert beats(floor) == before
    with suppress(UnavailableError):  # a session that only reads is met once, and not a second time
        execute(floor, decision_id)
    execute(floor, decision_id)
    assert floor.rows("SELECT reason_code FROM outbox")[0][0] in {"HEARTBEAT_STALE", "GUARDIAN_MISSING"}
    assert not floor.server.exchange.orders
    back(Nothing(), floor)


def test_a_file_that_cannot_grow_stops_new_risk_only_while_it_cannot(
    server: KillablePostgres, floor: LiveFloor
) -> None:
    """Rule 3: the real thing: what a server says whose quota is used up is not a bug of ours, and it passes."""
    outage, decision_id = UsedUp(server), floor.queue()
    outage.begin()
    try:
        with pytest.raises(UnavailableError) as caught:
            execute(floor, decision_id)
        says(outage, caught.value)
        assert not floor.server.exchange.orders
    finally:
        outage.end()
    floor.queue()
    execute(floor, decision_id)
    assert floor.rows(HELD, BTC)
    back(Nothing(), floor)


def execute(floor: LiveFloor, decision_id: UUID) -> None:
    with OrderPath(floor.desk) as path:
        path.execute(decision_id)


def beats(floor: LiveFloor) -> list[tuple[object, ...]]:
    return floor.rows("SELECT name, beat_at FROM heartbeats ORDER BY name")


@pytest.mark.parametrize("way", WAYS)
def test_the_guardian_lives_through_it_tells_of_it_and_carries_on(
    server: KillablePostgres, floor: LiveFloor, way: Way
) -> None:
    """X2, O9: a guardian that dies with the database, sends what is not written, or is silent about what it missed."""
    outage = way(server)
    execute(floor, floor.queue())
    ((target,),) = floor.rows("SELECT take_profit FROM positions")

    async def run() -> None:
        guardian = Guardian(floor.desk, NoTicks(), Rhythm(look=0.1, health=0.2, mend=1))
        work = asyncio.ensure_future(guardian.run())
        try:
            await soon(lambda: guardian.is_settled, "the guardian to know its account")
            outage.begin()
            floor.price(int(target) + 100)
            await soon(lambda: [one for one in logs if one["event"].startswith("the database is away")], "the log")
            sent = floor.calls("AddOrder")
            await asyncio.sleep(1)
            assert floor.calls("AddOrder") == sent == 2  # the entry and its stop
            outage.end()
            floor.clock.advance(timedelta(minutes=1))  # its waits have grown
            await soon(lambda: not floor.rows(HELD, BTC), "the exit")
            alert = "SELECT text FROM alerts WHERE kind = %s AND ended_at IS NULL"
            await soon(lambda: floor.rows(alert, DATABASE_ALERT), "the alert")
        finally:
            await guardian.leave()
            work.cancel()
            await asyncio.wait([work])

    with capture_logs() as logs:
        asyncio.run(run())
    (told,) = [one for one in logs if one["event"].startswith("the database is away")]
    assert re.search(outage.says, told["error"])
    floor.recover()
    back(Nothing(), floor)


async def soon(met: Callable[[], object], awaited: str) -> None:
    async with asyncio.timeout(30):
        while True:
            with suppress(UnavailableError):
                if await asyncio.to_thread(met):
                    return
            await asyncio.sleep(0.05)
    raise AssertionError(awaited)


class Nothing:
    """No outage at all."""

    says = ""

    def begin(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("low", "too_low"), [(True, False), (True, True), (False, False)])
def test_a_disk_that_fills_up_is_told_of_and_stops_new_risk_first(
    floor: LiveFloor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, low: bool, too_low: bool
) -> None:
    """Point 7: with the last of the room an order would be sent whose fill nobody can book. It can still be closed."""
    monkeypatch.setattr(disk, "LOW", 2**60 if low else 0)
    desk = replace(floor.desk, state=(tmp_path / "not there yet",))
    decision_id = floor.queue()
    look_after(desk, desk.clock.now(), {}, None)
    monkeypatch.setattr(disk, "TOO_LOW", 2**60 if too_low else 0)
    look_after(desk, desk.clock.now(), {}, None)
    alerts = "SELECT kind, level FROM alerts WHERE ended_at IS NULL AND kind LIKE %s ORDER BY kind"
    told = floor.rows(alerts, "disk%")
    assert told == [("disk_full", "critical")] * too_low + [("disk_low", "warning")] * low
    with OrderPath(desk) as path:
        path.execute(decision_id)
    ((reason,),) = floor.rows("SELECT reason_code FROM outbox")
    assert reason == ("DISK_LOW" if too_low else "VENUE_FILLED")
    if not too_low:  # what makes a position smaller stays possible on any disk
        monkeypatch.setattr(disk, "TOO_LOW", 2**60)
        decision_id = floor.queue(Action.CLOSE)
        with OrderPath(desk) as path:
            path.execute(decision_id)
        assert floor.rows(HELD, BTC) == []
    monkeypatch.setattr(disk, "LOW", 0)
    monkeypatch.setattr(disk, "TOO_LOW", 0)
    look_after(desk, desk.clock.now(), {}, None)
    assert floor.rows(alerts, "disk%") == []


def test_a_pool_is_back_as_soon_as_its_server_is(server: KillablePostgres, floor: LiveFloor) -> None:
    """Point 7: a pool that waits twice as long after each failure would stay away for minutes after a long outage."""
    outage = Gone(server)
    outage.begin()
    until = monotonic_seconds() + 5
    while monotonic_seconds() < until:
        with pytest.raises(UnavailableError):
            floor.rows("SELECT 1")
    outage.end()
    started = monotonic_seconds()
    assert floor.rows("SELECT 1") == [(1,)]
    assert monotonic_seconds() - started < 1
