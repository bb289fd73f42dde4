"""The guard: marks the account to market, evaluates the breakers and proves with a heartbeat that it did.

The breaker sensor calls `guard` in its tick; a replay marks every minute in memory with the same `mark`. A failed
price or query leaves the heartbeat to grow old, and then no new risk is taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Candle
from triplegain_pipelines.domain.reasons import Reason
from triplegain_pipelines.domain.risk import BreakerStates
from triplegain_pipelines.execution.books import Books, change_breakers, load_books
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.fence import current_prices, expired
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.execution.steps import refuse
from triplegain_pipelines.portfolio.valuation import value
from triplegain_pipelines.risk.breakers import BreakerChange, evaluate_breakers
from triplegain_pipelines.risk.state import marked
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import breakers, equity, outbox, risk_state
from triplegain_pipelines.store.equity import EquityMark
from triplegain_pipelines.store.outbox import OutboxStatus

_MARK_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Marking:
    """The books after a mark, the mark itself, and the breakers that changed because of it."""

    books: Books
    mark: EquityMark
    changes: tuple[BreakerChange, ...]


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What a tick of the guard found."""

    equity: Decimal
    drawdown: Decimal
    daily_loss: Decimal
    breakers: BreakerStates
    changes: tuple[BreakerChange, ...]


def mark(
    books: Books, prices: Mapping[str, Decimal], window: Sequence[Decimal], limits: RiskLimits, at: datetime
) -> Marking:
    """Mark the books at `prices` and evaluate the breakers.

    Args:
        books: as they stand.
        prices: of every symbol held, in quote currency.
        window: equity marks of the last `rapid_loss.window_minutes` before this one, oldest first.
        limits: thresholds of the breakers and the drawdown ladder.
        at: the moment of the mark, UTC.

    Raises:
        UnavailableError: a position has no price.
    """
    worth = value(books.cash, books.positions, prices)
    books = replace(books, risk=marked(books.risk, worth.equity, at, limits.drawdown_ladder))
    changes = evaluate_breakers(books.breakers, books.portfolio(prices, at), [*window, worth.equity], limits, at)
    made = EquityMark(at, worth.cash, worth.positions_value, worth.equity, books.risk.peak_equity, worth.marks)
    return Marking(books.with_changes(changes), made, changes)


def guard(desk: Desk) -> GuardReport:
    """Mark the account now, latch what the breakers call for, and beat.

    Raises:
        UnavailableError: the database, or a current price of a position, is not there; no heartbeat is written then.
    """
    with account_transaction(desk, None) as transaction:
        connection, at = transaction.connection, transaction.at
        books = load_books(transaction)
        held = [position.symbol for position in books.positions]
        prices = current_prices(desk, held, at, at + _MARK_EVERY)
        if isinstance(prices, Reason):
            raise UnavailableError(prices.sentence())
        window = timedelta(minutes=desk.limits.breakers.rapid_loss.window_minutes)
        earlier = equity.since(connection, desk.schema, desk.account, at - window)
        marking = mark(books, prices, [worth for _, worth in earlier], desk.limits, at)
        newest = equity.newest(connection, desk.schema, desk.account)
        if newest is None or at - newest[0] >= _MARK_EVERY:
            equity.insert(connection, desk.schema, desk.account, [marking.mark])
        risk_state.write(connection, desk.schema, desk.account, marking.books.risk)
        change_breakers(transaction, marking.changes, "guard")
        breakers.beat(connection, desk.account, at)
        _expire_overdue(transaction)
    portfolio = marking.books.portfolio(prices, at)
    return GuardReport(
        portfolio.equity, portfolio.drawdown, portfolio.daily_loss, marking.books.breakers, marking.changes
    )


def walk(desk: Desk, venue: PaperVenue, candles: Iterable[Candle]) -> int:
    """Show closed 1-minute candles to the paper venue, oldest first, and settle after each; how many orders changed.

    Candles that were shown before change nothing. The claim of a running order path stays valid. First the books are
    brought in line with the venue, and every position gets its stop and target: a process may have died in between.

    Raises:
        AccountBusyError: an order path is open for the account; come back at the next tick.
    """
    changed = 0
    with OrderPath(desk) as path:
        token = path.newest_token()
        path.mend(token)
        for candle in candles:
            touched = venue.match(desk.account, candle)
            path.settle_changes(token, touched)
            changed += len(touched)
    return changed


def _expire_overdue(transaction: AccountTransaction) -> None:
    """End the decisions that nobody acted on while they were valid, so that none waits for ever unseen."""
    for row in outbox.waiting(transaction.connection, transaction.schema, transaction.account):
        if row.status is OutboxStatus.PENDING and transaction.at > row.valid_until:
            refuse(transaction, row.decision_id, expired(row.valid_until, transaction.at))
