"""Killing the live order path at any of its points, with faults at the exchange, and judging what is left of it.

A process is forked for each life: the first one is killed, its successors reconcile and resolve as the services do. The
exchange lives in this process, in a thread, with the clock that all of them share. A point is the end of a statement,
a commit among them, and the moment before and after each HTTP request.
"""

import mmap
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from crash_scripts import BTC, ETH, SCRIPTS, D, Decisions, Life, Script
from psycopg import sql

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.execution.desk import LIVE, Desk
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.caretaker import Caretaker
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.control import Control
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan
from triplegain_pipelines.rehearsal.laws import AccountBooks, broken_laws, exchange_books, read_books
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database

VENUES = ("kraken", "binance", "coinbase")
START = datetime(2026, 1, 7, 12, tzinfo=UTC)
_PREPARED = timedelta(seconds=10)  # after START, so that what was prepared lies in the past
CASH = D(2100)
INSTRUMENTS = (
    Instrument(BTC, D("0.00000001"), D("0.1"), D("0.00005"), D("0.5")),
    Instrument(ETH, D("0.00000001"), D("0.01"), D("0.001"), D("0.5")),
)
PATIENCE = timedelta(seconds=0.5)
_STARTS = 20
_LAST_CALLS = 40
_LONGEST_LIFE = 120  # seconds; a life that hangs is a failure
_KILLED_AGAIN = 0.25  # share of combinations in which the next life is killed too
_FALLS = 0.3  # share in which the price falls before the next life
_OWN = load_settings(Environment(profile="live"), CONFIG)
_QUICK = {"calls_per_second": 1000.0, "trading": {"calls_per_second": 1000.0, "burst": 1000}}


@dataclass(frozen=True, slots=True)
class Aim:
    """A fault for the `number`-th call of a kind that can meet it, counted from 0."""

    kind: FaultKind
    call: CallKind
    number: int

    def __str__(self) -> str:
        """For a message."""
        return f"{self.kind} at {self.call} {self.number}"


class AimedFaults(FaultPlan):
    """The faults that a script always has, and one that is aimed."""

    def __init__(self, always: Sequence[Fault], aim: Aim | None) -> None:
        super().__init__(always)
        self._aim, self._seen = aim, 0

    def _next(self, name: str, kind: CallKind) -> Fault | None:
        if self._aim is not None and kind is self._aim.call:
            self._seen += 1
            if self._seen == self._aim.number + 1:
                return Fault(self._aim.kind)
        return super()._next(name, kind)


_ANYWHERE = (CallKind.SUBMIT, CallKind.CANCEL, CallKind.QUESTION)
_ONLY = {
    FaultKind.PARTIAL_FILL: (CallKind.SUBMIT,),
    FaultKind.FILL_AFTER_CANCEL: (CallKind.CANCEL,),
    FaultKind.LATE_REQUEST: (CallKind.SUBMIT, CallKind.CANCEL),
}
AIMS: tuple[Aim | None, ...] = (
    None,
    *(
        Aim(kind, call, number)
        for kind in FaultKind
        for call in _ONLY.get(kind, _ANYWHERE)
        for number in range(4 if call is CallKind.QUESTION else 3)
    ),
)


@dataclass(frozen=True, slots=True)
class Combination:
    """One way to die.

    `point` counts from 1, `second` is where the next life dies too, and `falls` says whether the price fell through
    every stop before that began.
    """

    venue: str
    script: str
    point: int
    aim: Aim | None
    second: int | None
    falls: bool

    def __str__(self) -> str:
        """For a message."""
        second = f", then at {self.second}" if self.second else ""
        falls = ", the price fell meanwhile" if self.falls else ""
        return f"{self.venue}, {self.script}: killed at {self.point}{second}, fault {self.aim}{falls}"


class Points:
    """Counts the points of this process, and ends it at one of them."""

    def __init__(self, deadly: int | None) -> None:
        self._deadly = deadly
        self._shared = mmap.mmap(-1, 8)

    @property
    def are_deadly(self) -> bool:
        """Whether one of them ends the process."""
        return self._deadly is not None

    @property
    def passed(self) -> int:
        """How many were passed, by whichever process."""
        return int(struct.unpack_from("=q", self._shared)[0])

    def reach(self) -> None:
        """A point is reached."""
        struct.pack_into("=q", self._shared, 0, self.passed + 1)
        if self.passed == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count from now on. Only ever in a process that ends soon."""
        import requests.adapters

        wait, send = psycopg.Connection.wait, requests.adapters.HTTPAdapter.send

        def waited(connection: Any, *arguments: Any, **named: Any) -> Any:
            try:
                return wait(connection, *arguments, **named)
            finally:
                self.reach()

        def sent(adapter: Any, *arguments: Any, **named: Any) -> Any:
            self.reach()
            try:
                return send(adapter, *arguments, **named)
            finally:
                self.reach()

        psycopg.Connection.wait = waited  # type: ignore[method-assign]
        requests.adapters.HTTPAdapter.send = sent  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a combination ended: what broke, faults met by kind, points of each life, and how many were killed."""

    broken: tuple[str, ...]
    faults: Mapping[FaultKind, int]
    points: tuple[int, ...]
    killed: int


@dataclass(frozen=True, slots=True)
class _Place:
    """What the lives of a combination share: the time, and the file of the emergency stop."""

    clock: ShiftableClock
    emergency: Path


@dataclass
class CrashSite:
    """Where combinations are tried, one after another: a database of its own, and a folder.

    Each begins with the same books, which are made once for each venue and then copied back.
    """

    database: Database
    folder: Path
    _decisions: dict[str, Decisions] = field(default_factory=dict)

    def try_out(self, combination: Combination, *, deadly: bool = True) -> Ended:
        """Try one combination; where it is not `deadly` nobody is killed, and the points are counted only."""
        venue, script = combination.venue, SCRIPTS[combination.script]
        if venue not in self._decisions:
            self._prepare(venue)
        self._restore(venue, script)
        place = _Place(ShiftableClock(START + _PREPARED), self.folder / "EMERGENCY_STOP")
        place.emergency.unlink(missing_ok=True)
        faults = AimedFaults(script.always, combination.aim)
        again = [] if combination.second is None else [(combination.second, _recover)]
        lives = [(combination.point, script.play), *again, (None, _recover)]
        counted, killed, problems = [], 0, []
        with _exchange(place.clock, venue, faults) as server:
            for number, (point, play) in enumerate(lives):
                points = Points(point if deadly else None)
                ended = self._live(server, place, points, play)
                counted.append(points.passed)
                killed += ended == -signal.SIGKILL
                if ended != 0 and not (ended == -signal.SIGKILL and points.are_deadly):
                    problems.append(f"life {number + 1} ended with {ended}: {self._said()}")
                if number == 0 and combination.falls:
                    server.exchange.set_price(BTC, D(57000), D(57001))
                    server.exchange.set_price(ETH, D(2800), D("2800.1"))
            problems += map(str, broken_laws(self._books(), exchange_books(server.exchange)))
            if problems:
                problems.append(f"the last calls: {', '.join(call.name for call in server.calls[-_LAST_CALLS:])}")
        return Ended(tuple(problems), faults.counts, tuple(counted), killed)

    def _books(self) -> AccountBooks:
        database = Database(self.database.url)  # closed again: no connection may be open when a process is forked
        instruments = {instrument.symbol: instrument for instrument in INSTRUMENTS}
        try:
            return read_books(database, LIVE, floor.ACCOUNT, instruments, stops_rest=True)
        finally:
            database.close()

    def _live(self, server: LoopbackServer, place: "_Place", points: Points, play: Callable[[Life], None]) -> int:
        """One life in a process of its own; 0, or how it ended."""

        def whole_life() -> None:
            desk = _desk(Database(self.database.url), server, place)
            life = Life(desk, Control(server.url), Caretaker(desk, place.clock), self._decisions[server.venue])
            points.watch()
            play(life)

        return in_child(whole_life, self.folder / "last_words")

    def _said(self) -> str:
        words = self.folder / "last_words"
        return words.read_text() if words.exists() else "without a word"

    def _prepare(self, venue: str) -> None:
        """Open the books and queue decisions, once, and keep a copy of every row."""
        clock = ShiftableClock(START)
        with _exchange(clock, venue, FaultPlan()) as server:
            database = Database(self.database.url)
            _empty(database)
            desk = _desk(database, server, _Place(clock, self.folder / "none"))
            floor.open_books(desk, CASH, "USDT")
            floor.make_ready(desk)
            self._decisions[venue] = {
                (symbol, action): floor.queue_scripted(desk, symbol, action).decision_id
                for symbol in (BTC, ETH)
                for action in (Action.BUY, Action.CLOSE)
            }
            with database.connection() as connection:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"saved_{venue}")))
                for schema, table in _tables(connection):
                    any_row = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_name(schema, table))
                    if connection.execute(any_row).fetchone():
                        copy = _name(f"saved_{venue}", f"{schema}.{table}")
                        connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, _name(schema, table)))
            database.close()

    def _restore(self, venue: str, script: Script) -> None:
        wanted = [self._decisions[venue][one] for one in script.decisions]
        with psycopg.connect(self.database.url) as connection:
            connection.execute("SET session_replication_role = replica")
            saved = {name for _, name in _tables(connection, f"saved_{venue}")}
            for schema, table in _tables(connection):
                connection.execute(sql.SQL("DELETE FROM {}").format(_name(schema, table)))
                if f"{schema}.{table}" in saved:
                    copy = _name(f"saved_{venue}", f"{schema}.{table}")
                    put_back = "INSERT INTO {} OVERRIDING SYSTEM VALUE TABLE {}"
                    connection.execute(sql.SQL(put_back).format(_name(schema, table), copy))
            connection.execute("DELETE FROM live_trading.outbox WHERE decision_id <> ALL (%s)", [wanted])


def _desk(database: Database, server: LoopbackServer, place: _Place) -> Desk:
    """A desk at the exchange, quick to ask and quick to give up."""
    venue = type(_OWN.venues.of(server.venue)).model_validate({**_OWN.venues.of(server.venue).model_dump(), **_QUICK})
    live = _OWN.profile.live
    assert live is not None
    quick = live.model_copy(update={"expiry_seconds": 2})
    for _ in range(_STARTS):
        # On a busy machine even an exchange on loopback may answer too late; services try again too.
        with suppress(TransientError):
            desk = floor.loopback_desk(database, server, venue, quick, _OWN.risk, place.clock, PATIENCE)
            return replace(desk, emergency_file=place.emergency)
    msg = "the exchange on loopback does not answer"
    raise AssertionError(msg)


def _empty(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        for schema, table in _tables(connection):
            connection.execute(sql.SQL("DELETE FROM {}").format(_name(schema, table)))


def _tables(connection: psycopg.Connection, only: str = "") -> list[tuple[str, str]]:
    """The tables that trading writes to; what is fixed stays."""
    schemas = [only] if only else ["live_trading", "ops", "research"]
    rows = connection.execute(
        """SELECT table_schema, table_name FROM information_schema.tables
           WHERE table_schema = ANY (%s) AND table_type = 'BASE TABLE' AND table_name <> 'order_transitions'
           ORDER BY 1, 2""",
        [schemas],
    ).fetchall()
    return [(schema, table) for schema, table in rows]


def _name(schema: str, table: str) -> sql.Identifier:
    return sql.Identifier(schema, table)


def _recover(life: Life) -> None:
    """What happens after a start: reconcile, then everything that services do, until nothing is open."""
    life.caretaker.start()
    calm = life.caretaker.settle(life.control.repeat_prices)
    life.caretaker.pass_time()
    life.control.settle()
    assert life.caretaker.settle(life.control.repeat_prices), life.caretaker.tally
    assert calm, life.caretaker.tally


@contextmanager
def _exchange(clock: ShiftableClock, venue: str, faults: FaultPlan) -> Iterator[LoopbackServer]:
    exchange = LoopbackExchange(INSTRUMENTS, {"USDT": CASH}, D("0.004"), clock)
    with LoopbackServer(exchange, venue, faults) as server:
        exchange.set_price(BTC, D(60000), D(60001))
        exchange.set_price(ETH, D(3000), D("3000.1"))
        yield server


def in_child(work: Callable[[], None], last_words: Path) -> int:
    """Do it in a process of its own; its exit code, or the negative number of the signal that ended it.

    The trace of an error is written to `last_words`.
    """
    last_words.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.settrace(None)  # nobody collects what coverage sees here
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LONGEST_LIFE)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of the test that was forked may go on here
            last_words.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def combinations_of(
    venue: str, script: str, points: int, recovery: int, number: int, seed: int
) -> Iterator[Combination]:
    """`number` seeded combinations of a script that has so many points, and its recovery as many as `recovery` says.

    No point comes twice as long as there are others. The faults go round through all scripts and venues, so that a run
    of them all meets each.
    """
    pair = VENUES.index(venue) + len(VENUES) * list(SCRIPTS).index(script)
    draw = np.random.default_rng([seed, pair])
    aims = np.random.default_rng(seed).permutation(len(AIMS))
    deadly = draw.permutation(points) + 1
    for place in range(number):
        second = int(draw.integers(1, recovery + 1)) if draw.random() < _KILLED_AGAIN else None
        falls = bool(draw.random() < _FALLS)
        aim = AIMS[aims[(pair * number + place) % len(AIMS)]]
        yield Combination(venue, script, int(deadly[place % points]), aim, second, falls)
