"""The guard: marks the account to market, evaluates the breakers and proves with a heartbeat that it did.

The breaker sensor calls `guard` in its tick; a replay marks every minute in memory with the same `mark`. A failed
price or query leaves the heartbeat to grow old, and then no new risk is taken.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Candle
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import BreakerStates, TradingMode
from triplegain_pipelines.execution.books import Books, change_breakers, load_books
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.fence import current_prices, guardian_watches, open_breaker
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.execution.steps import end_overdue
from triplegain_pipelines.execution.surroundings import Surroundings, look_around
from triplegain_pipelines.portfolio.valuation import value
from triplegain_pipelines.risk.breakers import BreakerChange, BreakerEvidence, evaluate_breakers
from triplegain_pipelines.risk.modes import no_new_risk
from triplegain_pipelines.risk.state import marked
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import booked_fills, breakers, equity, orders, positions, risk_state
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.equity import EquityMark

GUARDIAN_ALERT = "guardian_silent"
_MARK_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Marking:
    """The books after a mark, the mark itself, and the breakers that changed because of it."""

    books: Books
    mark: EquityMark
    changes: tuple[BreakerChange, ...]


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What a tick of the guard found.

    `refused` is why no new risk may be taken, if that is so, and `entries` whether an entry is unfinished all the same.
    """

    equity: Decimal
    drawdown: Decimal
    daily_loss: Decimal
    mode: TradingMode
    breakers: BreakerStates
    changes: tuple[BreakerChange, ...]
    refused: Reason | None
    entries: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """How many orders changed under the account's lock, and when the fills happened that were booked."""

    changed: int
    booked: tuple[datetime, ...]


def mark(
    books: Books,
    prices: Mapping[str, Decimal],
    window: Sequence[Decimal],
    around: Surroundings,
    limits: RiskLimits,
    at: datetime,
) -> Marking:
    """Mark the books at `prices` and evaluate the breakers.

    Args:
        books: as they stand.
        prices: of every symbol held, in quote currency.
        window: equity marks of the last `rapid_loss.window_minutes` before this one, oldest first.
        around: what the breakers look at beside the account.
        limits: thresholds of the breakers and the drawdown ladder.
        at: the moment of the mark, UTC.

    Raises:
        UnavailableError: a position has no price.
    """
    worth = value(books.cash, books.positions, prices)
    books = replace(books, risk=marked(books.risk, worth.equity, at, limits.drawdown_ladder))
    evidence = BreakerEvidence(
        portfolio=books.portfolio(prices, at),
        window=[*window, worth.equity],
        strategies=around.strategies,
        percentile=around.percentile,
        data_age=around.data_age,
        crossed=around.crossed,
        errors=around.errors,
    )
    changes = evaluate_breakers(books.breakers, evidence, limits, at)
    made = EquityMark(at, worth.cash, worth.positions_value, worth.equity, books.risk.peak_equity, worth.marks)
    return Marking(books.with_changes(changes), made, changes)


def guard(desk: Desk) -> GuardReport:
    """Mark the account now, latch what the breakers call for, and beat.

    Raises:
        UnavailableError: the database, or a current price of a position, is not there; no heartbeat is written then.
    """
    quoted = _quoted(desk)
    with account_transaction(desk, None) as transaction:
        connection, at = transaction.connection, transaction.at
        books = load_books(transaction)
        held = [position.symbol for position in books.positions]
        prices = {symbol: quoted[symbol] for symbol in held if symbol in quoted}
        if len(prices) < len(held):
            msg = f"a position of {desk.account} was opened while prices were asked for; the next tick marks it"
            raise UnavailableError(msg)
        window = timedelta(minutes=desk.limits.breakers.rapid_loss.window_minutes)
        earlier = equity.since(connection, desk.schema, desk.account, at - window)
        around = look_around(transaction, held, books.breakers)
        marking = mark(books, prices, [worth for _, worth in earlier], around, desk.limits, at)
        newest = equity.newest(connection, desk.schema, desk.account)
        if newest is None or at - newest[0] >= _MARK_EVERY:
            equity.insert(connection, desk.schema, desk.account, [marking.mark])
        risk_state.write(connection, desk.schema, desk.account, marking.books.risk)
        change_breakers(transaction, marking.changes, "guard")
        breakers.beat(connection, desk.account, at)
        _watch_guardian(transaction, needed=bool(held))
        end_overdue(transaction)
        return _report(transaction, marking, prices)


def _quoted(desk: Desk) -> dict[str, Decimal]:
    """Prices of what is held, asked for before the books are taken: a slow venue must not keep an exit from them."""
    with desk.database.connection() as connection:
        held = [position.symbol for position in positions.read_all(connection, desk.schema, desk.account)]
    at = desk.clock.now()
    prices = current_prices(desk, held, at, at + _MARK_EVERY)
    if isinstance(prices, Reason):
        raise UnavailableError(prices.sentence())
    return prices


def walk(desk: Desk, venue: PaperVenue | None, candles: Iterable[Candle]) -> Settled:
    """Bring the books in line with the venue, and show closed 1-minute candles to a paper venue, oldest first.

    Candles that were shown before change nothing. The claim of a running order path stays valid. A process may have
    died in between, so every order that was sent is followed, and every position gets its stop and target.

    Args:
        desk: the account's desk.
        venue: the paper venue; None where a real one matches orders by itself.
        candles: in the order in which they closed.

    Raises:
        AccountBusyError: an order path is open for the account; come back at the next tick.
    """
    changed = 0
    with _locked(desk) as (path, booked):
        token = path.newest_token()
        path.mend(token)
        # Each candle is shown when what the one before it did is in the books.
        for touched in (venue.match(desk.account, candle) for candle in candles) if venue else ():
            path.settle_changes(token, touched)
            changed += len(touched)
    return Settled(changed, tuple(booked))


def withdraw(desk: Desk) -> Settled:
    """Cancel what is left of unfinished entries, because new risk is not allowed any more.

    Raises:
        AccountBusyError: an order path is open for the account, and asks for itself before it sends; come back.
    """
    with _locked(desk) as (path, booked):
        path.withdraw_entries(path.newest_token(), ReasonCode.BREAKER_CANCELED)
    return Settled(0, tuple(booked))


@contextmanager
def _locked(desk: Desk) -> Iterator[tuple[OrderPath, list[datetime]]]:
    """The order path under the account's lock, and the fills booked inside, which are known at the end."""
    booked: list[datetime] = []
    with OrderPath(desk) as path:
        with desk.database.connection() as connection:
            before = booked_fills.newest_event(connection, desk.schema, desk.account)
        yield path, booked
        with desk.database.connection() as connection:
            booked += booked_fills.booked_after(connection, desk.schema, desk.account, before)


def _report(transaction: AccountTransaction, marking: Marking, prices: Mapping[str, Decimal]) -> GuardReport:
    portfolio, states = marking.books.portfolio(prices, transaction.at), marking.books.breakers
    alive = orders.alive(transaction.connection, transaction.schema, transaction.account)
    return GuardReport(
        equity=portfolio.equity,
        drawdown=portfolio.drawdown,
        daily_loss=portfolio.daily_loss,
        mode=transaction.mode,
        breakers=states,
        changes=marking.changes,
        refused=no_new_risk(transaction.mode, stopped=transaction.stopped) or open_breaker(states),
        entries=any(order.intent.leg is Leg.ENTRY for order in alive),
    )


def _watch_guardian(transaction: AccountTransaction, *, needed: bool) -> None:
    """Tell a person where nobody holds what cannot rest at the venue. The guardian looks after the guard likewise."""
    connection, account, at = transaction.connection, transaction.account, transaction.at
    if not needed or transaction.desk.broker.traits.holds_pairs or guardian_watches(transaction):
        end_alert(connection, GUARDIAN_ALERT, account, at)
        return
    text = f"no guardian looks after {account}: targets, and stops that do not rest at the venue, are held by nobody"
    raise_alert(connection, GUARDIAN_ALERT, account, AlertLevel.CRITICAL, text, at)
