"""One tick over an account: new candles to the paper venue, the account marked, the breakers evaluated.

Where new risk is not allowed any more, what is left of unfinished entries is withdrawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Candle, exact_price
from triplegain_pipelines.domain.orders import OrderState
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution.account import open_account
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.guard import GuardReport, guard, walk, withdraw
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.operations.feed import Feed, collect
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import accounts, orders, positions
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.series import decision_candles

_INSTANT = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_WAITED_FOR = timedelta(hours=1)
"""How long a candle may come late and still be shown."""


@dataclass(frozen=True, slots=True)
class Walked:
    """Opening time of the newest candle of a symbol that the venue was shown, and those before it that were missing."""

    newest: datetime
    missing: tuple[datetime, ...] = ()


Cursor = Mapping[str, Walked]
"""How far each symbol with a resting order was walked."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick found, how far it walked, and when the fills happened that it booked."""

    report: GuardReport
    walked: Cursor
    booked: tuple[datetime, ...]


def open_session_account(desk: Desk, session: Session) -> None:
    """Open the session's account unless it is open: on paper with the profile's cash, live with what the venue has.

    Raises:
        UnavailableError: the venue does not tell what the account has.
        InputError: it has no money there.
    """
    with desk.database.connection() as connection:
        if accounts.is_open(connection, desk.schema, desk.account):
            return
    cash = _cash_at_venue(desk, session.currency) if session.live else session.starting_cash
    open_account(desk, cash, session.clock.now(), currency=session.currency, simulated=session.simulated)


def _cash_at_venue(desk: Desk, currency: str) -> Decimal:
    owned = (desk.broker.balances() or {}).get(currency, Decimal(0))
    if owned <= 0:
        msg = f"the account {desk.account} has no {currency} at {desk.broker.venue}; pay some in before it trades there"
        raise InputError(msg)
    return owned


def watch(database: Database, session: Session, desk: Desk, feed: Feed, walked: Cursor) -> Tick:
    """Let resting orders meet the candles that closed since, mend what a dead run left, mark and guard the account.

    Args:
        database: candles and books.
        session: the account and its market.
        desk: the account's desk.
        feed: asked for new candles only where that costs nothing: the simulated market.
        walked: from the tick before; what is missing is walked from the time an order came to rest.

    Raises:
        UnavailableError: a query or price failed; no heartbeat is written then, and no new risk is taken.
        AccountBusyError: an order path is open; the next tick goes on.
    """
    with database.connection() as connection:
        sent = [order for order in orders.alive(connection, desk.schema, desk.account) if order.submitted_at]
        held = positions.read_all(connection, desk.schema, desk.account)
    venue = desk.broker if isinstance(desk.broker, PaperVenue) else None
    resting = [order for order in sent if order.intent.trigger_price or order.state is OrderState.PARTIALLY_FILLED]
    rested = _rested_since(resting) if venue else {}
    shown = {symbol: _unseen(database, session, feed, symbol, at, walked.get(symbol)) for symbol, at in rested.items()}
    candles = [candle for found, _ in shown.values() for candle in found]
    # What a run that died has left: nobody starts it again, and the next decision may come in an hour.
    left = any(order.is_unresolved for order in sent) or {position.symbol for position in held} - set(rested)
    booked: tuple[datetime, ...] = ()
    if candles or left:
        booked = walk(desk, venue, sorted(candles, key=lambda candle: (candle.opened_at, candle.symbol))).booked
    report = guard(desk)
    if report.refused is not None and report.entries:
        booked += withdraw(desk).booked
    return Tick(report, {symbol: after for symbol, (_, after) in shown.items() if after}, booked)


def _rested_since(resting: Sequence[Order]) -> dict[str, datetime]:
    """By symbol, when its first resting order was handed to the venue."""
    symbols = sorted({order.intent.symbol for order in resting})
    return {
        symbol: min(order.submitted_at for order in resting if order.intent.symbol == symbol and order.submitted_at)
        for symbol in symbols
    }


def _unseen(
    database: Database, session: Session, feed: Feed, symbol: str, rested: datetime, before: Walked | None
) -> tuple[list[Candle], Walked | None]:
    """The closed candles since `rested` that the venue was not shown, late ones too, and how far it is walked then."""

    def was_shown(minute: datetime) -> bool:
        return before is not None and minute <= before.newest and minute not in before.missing

    awaited = [minute for minute in before.missing if minute >= rested] if before else []
    start = min([*awaited, max(rested, before.newest + _MINUTE)]) if before else rested
    closed = _closed(database, session, feed, symbol, start)
    new = [candle for candle in closed if not was_shown(candle.opened_at)]
    if not new:
        return [], before
    came = {candle.opened_at for candle in new}
    newest = max(came | ({before.newest} if before else set()))
    first = max(floor_to(rested - _INSTANT, _MINUTE) + _MINUTE, newest - _WAITED_FOR)
    minutes = [first + number * _MINUTE for number in range(max(0, (newest - first) // _MINUTE))]
    missing = tuple(minute for minute in minutes if minute not in came and not was_shown(minute))
    return new, Walked(newest, missing)


def _closed(database: Database, session: Session, feed: Feed, symbol: str, start: datetime) -> list[Candle]:
    now = session.clock.now()
    if session.simulated:
        collect(database, session, feed, symbol, start, now)
    with database.connection() as connection:
        frame = decision_candles(connection, session.venue, symbol, start, now)
    return [
        Candle(symbol, row["opened_at"], *(exact_price(row[name]) for name in ("open", "high", "low", "close")))
        for row in frame.iter_rows(named=True)
    ]
