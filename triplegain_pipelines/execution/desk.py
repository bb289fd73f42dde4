"""The desk: everything the order path needs to trade for one account, and the transaction in which it writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError, StaleFenceError
from triplegain_pipelines.domain.market import Instrument, PriceSource
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import accounts, events
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import Event, EventKind
from triplegain_pipelines.store.fences import AccountLock

PAPER = "paper_trading"
LIVE = "live_trading"


@dataclass(frozen=True, slots=True)
class Desk:
    """One account's clock, prices and broker, with the limits it trades under.

    `market` is the venue whose market it trades, `schema` is `paper_trading` unless somebody says otherwise, `fee_rate`
    the venue's fee as a fraction, and `live` whether real money is traded. `clock_compared` says that the market has a
    clock of its own, with which ours must have been compared lately. `config_hash` is that of the settings which an
    arming must have been given for. `durable` is off only where the venue is in the
    same database and all of it can be made again: a replay, whose commits need not wait for the disk. Where the file
    `emergency_file` exists, all trading is stopped, as it is by a row of `ops.emergency_stops`. `state` are the
    folders on whose disks there must be room. `lock` is set on the desk that an `OrderPath` works with, and without it
    nothing can be sent.
    """

    database: Database
    account: str
    market: str
    clock: Clock
    prices: PriceSource
    broker: Broker
    limits: RiskLimits
    fee_rate: Decimal
    instruments: Mapping[str, Instrument]
    schema: str = PAPER
    live: bool = False
    clock_compared: bool = False
    config_hash: str = ""
    durable: bool = True
    emergency_file: Path | None = None
    state: tuple[Path, ...] = ()
    lock: AccountLock | None = None

    def require_lock(self) -> None:
        """Make sure that the account's lock is held, which is asked right before anything is sent.

        Raises:
            StaleFenceError: it is not.
        """
        if self.lock is None:
            msg = f"nothing is sent for {self.account!r} without its lock; open an OrderPath and use its desk"
            raise StaleFenceError(msg)
        self.lock.require_held()

    def instrument(self, symbol: str) -> Instrument:
        """The steps and minimums of `symbol`.

        Raises:
            InputError: the desk does not trade it.
        """
        try:
            return self.instruments[symbol]
        except KeyError:
            msg = f"the account {self.account!r} does not trade {symbol}; its symbols are {', '.join(self.instruments)}"
            raise InputError(msg) from None


@dataclass(slots=True)
class AccountTransaction:
    """An open transaction that holds the account's row. Events noted in it are written at its end.

    `mode` is what the account may do at all, over all breakers; `stopped` says that an emergency stop is in force, in
    the database or as a file, and then the mode is HALTED. `sequence` is that of the account's newest event before it,
    `newest_token` the fence's.
    """

    connection: psycopg.Connection
    desk: Desk
    currency: str
    token: int
    at: datetime
    mode: TradingMode
    stopped: bool
    sequence: int
    newest_token: int
    noted: list[Event] = field(default_factory=list)

    @property
    def schema(self) -> str:
        """The schema of the trading tables."""
        return self.desk.schema

    @property
    def account(self) -> str:
        """The account."""
        return self.desk.account

    @property
    def newest_event(self) -> int:
        """The sequence of the account's newest event, with those noted by now."""
        return self.sequence + len(self.noted)

    def note(self, kind: EventKind, **payload: object) -> None:
        """Add an event to the account's trail."""
        self.noted.append(Event(kind, self.at, payload))


@contextmanager
def account_transaction(desk: Desk, token: int | None) -> Iterator[AccountTransaction]:
    """One transaction on the account's books, alone on them and at the desk's present time.

    Args:
        desk: the account's desk.
        token: the fence's token, compared before anything is read. None is for what sends no order: marking the
            account to market, and claiming it.

    Raises:
        StaleFenceError: a newer holder has the account.
    """
    with desk.database.connection() as connection:
        books = accounts.take_books(connection, desk.schema, desk.account, durable=desk.durable)
        if token is not None and token != books.token:
            msg = (
                f"token {token} of the account {desk.account!r} is stale: {books.holder} has taken {books.token}; "
                "stop, and let the newer holder go on"
            )
            raise StaleFenceError(msg)
        stopped = books.stopped or (desk.emergency_file is not None and desk.emergency_file.exists())
        mode = TradingMode.HALTED if stopped else books.mode
        transaction = AccountTransaction(
            connection,
            desk,
            books.currency,
            token or 0,
            desk.clock.now(),
            mode,
            stopped,
            books.end.sequence,
            books.token,
        )
        yield transaction
        events.append(connection, desk.schema, desk.account, transaction.noted, books.end)
