"""A process that is told to end in the middle of what it does, and the live desk that it and its successors trade on.

The exchange stands in the process of the test, so it outlives the one that is ended and can be compared with the books.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, VenueOrder
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.caretaker import Caretaker
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import Fault, FaultPlan
from triplegain_pipelines.rehearsal.laws import broken_laws, exchange_books, read_books
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database

BTC = "BTC/USDT"
_CASH = Decimal(2100)
_BTC = Instrument(BTC, Decimal("0.00000001"), Decimal("0.1"), Decimal("0.00005"), Decimal("0.5"))
_OWN = load_settings(Environment(profile="live"), CONFIG)
_QUICK = {"calls_per_second": 1000.0, "trading": {"calls_per_second": 1000.0, "burst": 1000}}
_LONGEST = 60.0  # seconds of anything here
_TRIES = 5


class Moment(StrEnum):
    """Where a broker stands still."""

    BEFORE_SENDING = "committed, and not sent"
    AFTER_ANSWER = "answered, and not recorded"
    BEFORE_CANCEL = "cancellation committed, and not sent"
    AFTER_CANCEL = "cancelled, and not recorded"


@dataclass
class HeldBroker:
    """Passes everything on, and calls `hold` at one moment of the first order or cancellation."""

    behind: Broker
    moment: Moment
    hold: Callable[[], None]

    def submit(self, intent: Intent, sent_at: Any, expires_at: Any) -> VenueOrder:
        """Send, and stand still before or after."""
        self._reach(Moment.BEFORE_SENDING)
        answer = self.behind.submit(intent, sent_at, expires_at)
        self._reach(Moment.AFTER_ANSWER)
        return answer

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Cancel, and stand still before or after."""
        self._reach(Moment.BEFORE_CANCEL)
        answer = self.behind.cancel(order)
        self._reach(Moment.AFTER_CANCEL)
        return answer

    def __getattr__(self, name: str) -> Any:
        """The rest is the venue's."""
        return getattr(self.behind, name)

    def _reach(self, moment: Moment) -> None:
        if moment is self.moment:
            self.hold()


@dataclass
class LiveFloor:
    """A live account at an exchange on loopback."""

    database: Database
    server: LoopbackServer
    clock: ShiftableClock
    faults: FaultPlan
    expiry: int = 5
    patience: timedelta | None = None
    _desks: list[Desk] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        """The desk of this process."""
        if not self._desks:
            self._desks.append(self.desk_on(self.database))
        return self._desks[0]

    def desk_on(self, database: Database) -> Desk:
        """A desk as any process of the account has one."""
        described = _OWN.venues.of(self.server.venue)
        venue = type(described).model_validate({**described.model_dump(), **_QUICK})
        assert _OWN.profile.live is not None
        live = _OWN.profile.live.model_copy(update={"expiry_seconds": self.expiry})
        return floor.loopback_desk(database, self.server, venue, live, _OWN.risk, self.clock, self.patience)

    def price(self, bid: int) -> None:
        """Move the price of BTC."""
        self.server.exchange.set_price(BTC, Decimal(bid), Decimal(bid + 1))

    def queue(self, action: Action = Action.BUY) -> UUID:
        """Queue a decision that nothing speaks against."""
        floor.make_ready(self.desk)
        return floor.queue_scripted(self.desk, BTC, action).decision_id

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of any query; `orders` and the like are looked for in live_trading."""
        with self.database.connection() as connection:
            connection.execute("SET LOCAL search_path TO live_trading, ops, public")
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def calls(self, name: str) -> int:
        """How many calls of this name the exchange has met."""
        return sum(call.name == name for call in list(self.server.calls))

    def unrecorded(self) -> set[str]:
        """Orders at the exchange of which the books do not say that they were sent."""
        told = {str(row[0]) for row in self.rows("SELECT client_order_id FROM orders WHERE submitted_at IS NOT NULL")}
        return {order.request.client_id or "" for order in self.server.exchange.orders} - told

    def recover(self) -> None:
        """What the next process does: reconcile, resolve, mend, act on what waits; and all laws hold then.

        What a busy machine sends too late is not executed, for certain; it is tried again, as services do.
        """
        caretaker = Caretaker(self.desk, self.clock)
        caretaker.start()
        for _ in range(_TRIES):
            assert caretaker.settle(lambda: None), caretaker.tally  # the price stands still
            assert not caretaker.tally.troubles, caretaker.tally
            waiting = self.rows("SELECT 1 FROM outbox WHERE status IN ('PENDING', 'CLAIMED')")
            if not waiting and not caretaker.watch.without(Leg.STOP):
                break
        self.require_right_books()

    def require_right_books(self) -> None:
        """No law between books and exchange is broken."""
        desk = self.desk
        books = read_books(self.database, desk.schema, desk.account, desk.instruments, stops_rest=True)
        broken = list(map(str, broken_laws(books, exchange_books(self.server.exchange))))
        assert not broken, broken


@contextmanager
def live_floor(
    database: Database, *faults: Fault, expiry: int = 5, patience: timedelta | None = None, venue: str = "kraken"
) -> Iterator[LiveFloor]:
    """Open and armed books, and the exchange at work."""
    clock, plan = ShiftableClock(), FaultPlan(faults)
    exchange = LoopbackExchange([_BTC], {"USDT": _CASH}, Decimal("0.004"), clock)
    with LoopbackServer(exchange, venue, plan) as server:
        made = LiveFloor(database, server, clock, plan, expiry, patience)
        made.price(60_000)
        floor.open_books(made.desk, _CASH, "USDT")
        floor.make_ready(made.desk)
        yield made


@dataclass
class Child:
    """A forked process."""

    pid: int
    _told: int

    def reached(self) -> None:
        """Wait until it says that it is in the middle."""
        word = os.read(self._told, 1)
        assert word == b"!", "it ended before it was in the middle"

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send the signal; its exit code, and the seconds it took to end."""
        started = monotonic_seconds()
        os.kill(self.pid, number)
        return self.wait(), monotonic_seconds() - started

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        deadline = monotonic_seconds() + _LONGEST
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            assert monotonic_seconds() < deadline, "it does not end"
            time.sleep(0.02)


@contextmanager
def forked(work: Callable[[Callable[[], None]], int | None]) -> Iterator[Child]:
    """Do `work` in a process of its own, which ends like a command does: by its exits, and with its threads.

    `work` is given a function by which it says that it is in the middle; it returns an exit code.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            sys.settrace(None)
            signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # as the command does
            code = work(lambda: os.write(writing, b"!")) or 0  # type: ignore[func-returns-value]
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:  # noqa: BLE001 - it is told, and nothing of this process goes on
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                threading._shutdown()  # type: ignore[attr-defined] # what the end of an interpreter waits for
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    child = Child(pid, reading)
    try:
        yield child
    finally:
        os.close(reading)
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def stand_still() -> None:
    """Until a signal says otherwise."""
    time.sleep(_LONGEST)
