"""One tick over a paper account: new candles to the paper venue, the account marked, the breakers evaluated."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from triplegain_pipelines.domain.market import Candle, exact_price
from triplegain_pipelines.domain.orders import OrderState
from triplegain_pipelines.execution.account import open_account
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.guard import GuardReport, guard, walk
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.operations.feed import Feed, collect
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.series import decision_candles

_MINUTE = timedelta(minutes=1)
Walked = Mapping[str, datetime]
"""Opening time of the newest candle that the paper venue was shown, by symbol."""


def open_session_account(desk: Desk, session: Session) -> None:
    """Open the session's account unless it is open."""
    open_account(
        desk,
        session.starting_cash,
        session.clock.now(),
        currency=session.currency,
        simulated=session.simulated,
    )


def watch(database: Database, session: Session, desk: Desk, feed: Feed, walked: Walked) -> tuple[GuardReport, Walked]:
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
    resting = [order for order in sent if order.intent.trigger_price or order.state is OrderState.PARTIALLY_FILLED]
    starts = {symbol: _unseen(symbol, resting, walked) for symbol in sorted({order.intent.symbol for order in resting})}
    candles = [candle for symbol, start in starts.items() for candle in _closed(database, session, feed, symbol, start)]
    # What a run that died has left: nobody starts it again, and the next decision may come in an hour.
    left = any(order.is_unresolved for order in sent) or {position.symbol for position in held} - set(starts)
    if (candles or left) and isinstance(desk.broker, PaperVenue):
        walk(desk, desk.broker, sorted(candles, key=lambda candle: (candle.opened_at, candle.symbol)))
    seen = {candle.symbol: candle.opened_at for candle in sorted(candles, key=lambda candle: candle.opened_at)}
    still = {symbol: at for symbol, at in walked.items() if symbol in starts}
    return guard(desk), {**still, **seen}


def _unseen(symbol: str, resting: list[Order], walked: Walked) -> datetime:
    came_to_rest = [order.submitted_at for order in resting if order.intent.symbol == symbol and order.submitted_at]
    earliest = min(came_to_rest)
    return max(earliest, walked[symbol] + _MINUTE) if symbol in walked else earliest


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
