"""A live account at Kraken on loopback, with processes that live, die and come back, and the laws of its books."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from forked import At, die, ended, fork, when_called

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.desk import LIVE, Desk
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.reconciliation import HALT_ALERT
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.caretaker import Caretaker
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan
from triplegain_pipelines.rehearsal.laws import broken_laws, exchange_books, read_books
from triplegain_pipelines.rehearsal.orders import ExchangeOrder
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.settings.venues import TradingAccess
from triplegain_pipelines.store import orders, positions, trading_modes
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxStatus

D = Decimal
BTC, ETH = "BTC/USDT", "ETH/USDT"
START = datetime(2026, 1, 7, 12, tzinfo=UTC)
CASH = D(2100)
FEE = D("0.004")
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
INSTRUMENTS = (
    Instrument(BTC, D("0.00000001"), D("0.1"), D("0.00005"), D("0.5")),
    Instrument(ETH, D("0.00000001"), D("0.01"), D("0.001"), D("0.5")),
)
OWN = load_settings(Environment(profile="live"), CONFIG)
_ACCESS = TradingAccess(calls_per_second=1000.0, burst=1000)


Asked = tuple[str, Action]
"""A symbol, and what is to be done in it."""


@dataclass
class Site:
    """The account, its venue, and the time of both.

    `patience` is how long an answer of the venue is waited for, `expiry` how long the venue takes an order that was
    sent.
    """

    database: Database
    clock: ShiftableClock
    exchange: LoopbackExchange
    server: LoopbackServer
    limits: RiskLimits
    patience: timedelta = timedelta(seconds=5)
    expiry: timedelta = timedelta(seconds=5)
    venue: str = field(init=False)

    def __post_init__(self) -> None:
        self.venue = self.server.venue

    def desk(self, database: Database | None = None) -> Desk:
        """A desk of the account, with a client of its own."""
        live = OWN.profile.live
        assert live is not None
        venue = OWN.venues.of(self.venue).model_copy(update={"calls_per_second": 1000.0, "trading": _ACCESS})
        quick = live.model_copy(update={"expiry_seconds": int(self.expiry / SECOND)})
        return floor.loopback_desk(
            database or self.database, self.server, venue, quick, self.limits, self.clock, self.patience
        )

    def process(self, *asked: Asked, killed: At | None = None) -> int:
        """A process that carries out what is `asked`; its exit code, or `KILLED` where it was killed at that call."""
        return ended(self.start(*asked, at=killed))

    def start(self, *asked: Asked, at: At | None = None, do: Callable[[], object] = die) -> int:
        """A process that carries out what is `asked`, and does `do` at that call; its id.

        What it carries out is decided here: the library for frames cannot be used in a process that was forked.
        """
        decided = [self.decide(*one) for one in asked]

        def life() -> None:
            desk = self.desk(Database(self.database.url))
            if at is not None:
                when_called(at, do)
            for decision_id in decided:
                floor.make_ready(desk)
                with OrderPath(desk, wait=5) as path:
                    path.execute(decision_id)

        return fork(life)

    def decide(self, symbol: str, action: Action, database: Database | None = None) -> UUID:
        """Queue a decision of now; its id."""
        return floor.queue_scripted(self.desk(database), symbol, action).decision_id

    def trade(self, symbol: str, action: Action, database: Database | None = None) -> OutboxStatus:
        """Decide and act in this process; how the decision ended."""
        decision_id, desk = self.decide(symbol, action, database), self.desk(database)
        floor.make_ready(desk)
        with OrderPath(desk, wait=5) as path:
            return path.execute(decision_id)

    def arm(self) -> None:
        """Arm the account again, because the day is over."""
        floor.arm(self.desk())

    def restart(self, database: Database | None = None) -> Caretaker:
        """What services do after a start, until nothing is open."""
        caretaker = Caretaker(self.desk(database), self.clock)
        caretaker.start()
        assert caretaker.settle(_nothing), caretaker.tally
        return caretaker

    def fill_in_parts(self) -> None:
        """Let the next order be filled by half at first, and by the rest at the next price."""
        self.server.faults = FaultPlan([Fault(FaultKind.PARTIAL_FILL, CallKind.SUBMIT)])

    def price(self, symbol: str, bid: str, ask: str) -> None:
        """Set the best prices."""
        self.exchange.set_price(symbol, D(bid), D(ask))

    def rows(self, query: str, database: Database | None = None) -> list[tuple[Any, ...]]:
        """Rows of any query; `orders` and the like are looked for in live_trading."""
        with (database or self.database).connection() as connection:
            connection.execute("SET LOCAL search_path TO live_trading, ops, public")
            return connection.execute(query.encode()).fetchall()

    def orders(self) -> list[Order]:
        """Every order of the books."""
        with self.database.connection() as connection:
            return orders.every(connection, LIVE, floor.ACCOUNT)

    def held(self) -> dict[str, Decimal]:
        """What is held by symbol, by the books."""
        with self.database.connection() as connection:
            return {one.symbol: one.quantity for one in positions.read_all(connection, LIVE, floor.ACCOUNT)}

    def mode(self, database: Database | None = None) -> TradingMode:
        """The account's mode."""
        with (database or self.database).connection() as connection:
            return trading_modes.read(connection, floor.ACCOUNT)

    def halted(self, database: Database | None = None) -> list[str]:
        """What the alert that calls a person says, if it is up."""
        with (database or self.database).connection() as connection:
            return [alert.text for alert in open_alerts(connection) if alert.kind == HALT_ALERT]

    def resting(self, symbol: str = BTC) -> list[ExchangeOrder]:
        """The open orders at the exchange."""
        return [order for order in self.exchange.orders if order.open and order.request.symbol == symbol]

    def require_lawful(self) -> None:
        """Books and exchange agree, and nobody has to look."""
        books = read_books(self.database, LIVE, floor.ACCOUNT, self.exchange.instruments, stops_rest=True)
        assert [str(breach) for breach in broken_laws(books, exchange_books(self.exchange))] == []
        assert self.mode() is TradingMode.ACTIVE
        assert self.halted() == []


@contextmanager
def live_site(database: Database, **changes: Any) -> Iterator[Site]:
    """An open and armed account with 2,100 USDT, at 60,000 for a bitcoin."""
    clock = ShiftableClock(START)
    exchange = LoopbackExchange(INSTRUMENTS, {"USDT": CASH}, FEE, clock)
    with LoopbackServer(exchange, changes.pop("venue", "kraken")) as server:
        site = Site(database, clock, exchange, server, changes.pop("limits", OWN.risk), **changes)
        site.price(BTC, "60000", "60001")
        site.price(ETH, "3000", "3000.1")
        desk = site.desk()
        floor.open_books(desk, CASH, "USDT")
        floor.make_ready(desk)
        yield site


def _nothing() -> None:
    """The market stands still."""
