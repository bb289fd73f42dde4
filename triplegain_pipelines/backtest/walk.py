"""A replay's walk through time: decisions acted on, resting orders matched, the account marked, minute by minute.

What can be worked out in memory is; the database is written when something happens. The order of events in a minute is
fixed: the candle that closes at `t` is shown to the venue, its fills are booked, the account is marked at `t`, and
then the decisions of `t` are acted on. A decision is acted on at the first whole minute at or after its `as_of`, at
the price with which the next candle opens: nothing is known before it could have been.

A killed walk goes on where it was. Everything before `walked_until` is in the database; what happens at it may be half
done, and doing it again changes only what is missing.

The breakers see what they see in paper trading, as far as history tells it (`recorded`).
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.backtest.minutes import MINUTE, CandlePrices, Minutes
from triplegain_pipelines.backtest.recorded import RecordedSurroundings
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.orders import OrderType, Side
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution.account import open_account, queue_in
from triplegain_pipelines.execution.books import Books, change_breakers, load_books
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.execution.guard import mark
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue, costs_of
from triplegain_pipelines.risk.breakers import BreakerChange
from triplegain_pipelines.settings.profile import PaperSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import anomalies, breakers, equity, orders, replays, risk_state
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.equity import EquityMark
from triplegain_pipelines.store.fences import TAKEOVER_SECONDS
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.replays import Replay


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """What a walk needs: the replay, its candles by symbol and its decisions, the money and the limits.

    `validity` is how long after a decision a price may still come. Candle frames are sorted by `opened_at` and hold
    1-minute candles from `replay.starts_at` on; those after `replay.ends_at` are never looked at.
    """

    replay: Replay
    currency: str
    simulated: bool
    candles: Mapping[str, pl.DataFrame]
    decisions: Sequence[Decision]
    paper: PaperSettings
    limits: RiskLimits
    instruments: Mapping[str, Instrument]
    validity: timedelta


def walk_history(database: Database, plan: WalkPlan, on_progress: Callable[[datetime], None] | None = None) -> Desk:
    """Walk the replay to its end, from its start or from where an earlier walk was killed.

    Returns the desk of the account. A walk that is done already does nothing.

    Raises:
        AccountBusyError: another process walks the same replay.
    """
    replay = plan.replay
    with database.connection() as connection:
        replays.insert(connection, replay)
    clock = ReplayClock(replay.starts_at)
    minutes = {
        symbol: Minutes.of(symbol, frame.filter(pl.col("opened_at") < replay.ends_at))
        for symbol, frame in sorted(plan.candles.items())
    }
    prices = CandlePrices(minutes, plan.validity)
    venue = PaperVenue(database, replay.account, prices, clock, plan.instruments, costs_of(plan.paper))
    desk = Desk(
        database=database,
        account=replay.account,
        market=replay.venue,
        clock=clock,
        prices=prices,
        broker=venue,
        limits=plan.limits,
        fee_rate=costs_of(plan.paper).fee,
        instruments=plan.instruments,
        durable=False,
    )
    open_account(
        desk,
        plan.paper.starting_cash,
        replay.starts_at,
        currency=plan.currency,
        simulated=plan.simulated,
    )
    with OrderPath(desk, wait=TAKEOVER_SECONDS) as path:
        _Walk(desk, clock, path, venue, minutes, plan).run(on_progress or (lambda _: None))
    return desk


def acted_on_at(as_of: datetime) -> datetime:
    """The first whole minute at or after `as_of`."""
    return floor_to(as_of + MINUTE - timedelta(microseconds=1), MINUTE)


class _Walk:
    """The state of a walk between two moments at which the database is written."""

    def __init__(
        self,
        desk: Desk,
        clock: ReplayClock,
        path: OrderPath,
        venue: PaperVenue,
        minutes: Mapping[str, Minutes],
        plan: WalkPlan,
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._path = path
        self._venue = venue
        self._minutes = minutes
        self._replay = plan.replay
        self._rules = plan.limits.breakers
        self._window = timedelta(minutes=self._rules.rapid_loss.window_minutes)
        due = sorted(plan.decisions, key=lambda made: (acted_on_at(made.as_of), made.as_of, made.symbol))
        self._due = {at: list(made) for at, made in groupby(due, key=lambda made: acted_on_at(made.as_of))}
        self._at = plan.replay.starts_at
        self._token = 0
        self._books: Books
        self._working: list[Order] = []
        self._recent: deque[tuple[datetime, Decimal]] = deque()
        self._marks: list[EquityMark] = []
        self._changes: list[BreakerChange] = []
        self._failed: list[datetime] = []
        self._around: RecordedSurroundings

    def run(self, on_progress: Callable[[datetime], None]) -> None:
        """Walk to the end."""
        end = self._replay.ends_at
        if self._is_done():
            return
        self._resume()
        for at in [*sorted(at for at in self._due if self._at <= at < end), end]:
            while self._at < at:
                self._walk_until(self._next_touch(at) or at)
            self._act(self._due.get(at, ()) if at < end else ())
            on_progress(at)

    def _is_done(self) -> bool:
        """Whether the last mark is written, which is the last thing a walk does."""
        with self._desk.database.connection() as connection:
            newest = equity.newest(connection, self._desk.schema, self._desk.account)
        return newest is not None and newest[0] >= self._replay.ends_at

    def _resume(self) -> None:
        """Finish what a killed walk left half done at the moment it had reached."""
        replay, database = self._replay, self._desk.database
        self._around = RecordedSurroundings(database, replay, self._minutes, self._desk.limits.breakers)
        with database.connection() as connection:
            reached = replays.read(connection, replay.account).walked_until
        if reached is None:
            self._token = self._path.reconcile()
            self._reload()
            return
        self._at = reached
        decided = [at for at in self._due if at <= reached]
        if decided:
            self._around.decide(max(decided))
        self._clock.advance_to(reached)
        self._match()
        self._token = self._path.reconcile([made.decision_id for made in self._due.get(reached, ())])
        self._reload()
        if self._recent[-1][0] < reached:
            self._mark()

    def _walk_until(self, at: datetime) -> None:
        """Mark each minute before `at` while there is a position; at `at`, show the venue what closed and mark."""
        if self._books.positions:
            while self._at + MINUTE < at:
                self._at += MINUTE
                self._mark()
        self._at = at
        if not self._working and not self._books.positions:
            return
        if self._touches(at):
            self._flush(())
            self._clock.advance_to(at)
            self._path.settle_changes(self._token, self._match())
            self._reload()
        self._mark()

    def _act(self, decisions: Sequence[Decision]) -> None:
        """Mark, write everything down, and act on the decisions of this minute in the order of their symbols."""
        if self._recent[-1][0] < self._at:
            self._mark()
        self._clock.advance_to(self._at)
        self._flush(decisions)
        acting = [made for made in decisions if made.action is not Action.HOLD]
        for made in acting:
            self._path.execute(made.decision_id)
        if acting:
            self._token = self._path.newest_token()
            self._reload()

    def _next_touch(self, before: datetime) -> datetime | None:
        """When the first candle closes that reaches a working order, if that is before `before`."""
        closes = [at for order in self._working if (at := self._first_touch(order, before)) is not None]
        return min(closes, default=None)

    def _first_touch(self, order: Order, before: datetime) -> datetime | None:
        series = self._minutes[order.intent.symbol]
        start, stop = series.position(self._at), series.position(before)
        hits = np.flatnonzero(_reaches(order, series, start, stop))
        return series.opened_at(start + int(hits[0])) + MINUTE if hits.size else None

    def _touches(self, at: datetime) -> bool:
        return any(
            _reaches(order, series, series.position(at - MINUTE), series.position(at)).any()
            for order in self._working
            for series in (self._minutes[order.intent.symbol],)
        )

    def _match(self) -> list[UUID]:
        """Show the candles that close now to the venue, by symbol; the orders that changed."""
        candles = [series.candle_at(self._at - MINUTE) for series in self._minutes.values()]
        return [changed for candle in candles if candle for changed in self._venue.match(self._desk.account, candle)]

    def _mark(self) -> None:
        """Mark the account at the newest closes, in memory."""
        if self._at in self._due:
            self._around.decide(self._at)
        while self._recent and self._recent[0][0] < self._at - self._window:
            self._recent.popleft()
        window = [worth for _, worth in self._recent]
        around = self._around.at(self._at, self._failed)
        marking = mark(self._books, self._closes(), window, around, self._desk.limits, self._at)
        self._books = marking.books
        self._recent.append((self._at, marking.mark.equity))
        self._marks.append(marking.mark)
        self._changes += marking.changes

    def _closes(self) -> dict[str, Decimal]:
        """The newest close of each symbol held; where candles are missing, the last there was."""
        closes = {}
        for held in self._books.positions:
            series = self._minutes[held.symbol]
            newest = series.position(self._at) - 1
            closes[held.symbol] = exact_price(float(series.close[newest])) if newest >= 0 else held.average_entry
        return closes

    def _flush(self, decisions: Sequence[Decision]) -> None:
        """Write what was worked out in memory, in one transaction, before anything is asked of the venue."""
        with account_transaction(self._desk, None) as transaction:
            connection, account = transaction.connection, self._desk.account
            equity.insert(connection, self._desk.schema, account, self._marks)
            risk_state.write(connection, self._desk.schema, account, self._books.risk)
            change_breakers(transaction, self._changes, "guard")
            breakers.beat(connection, account, self._at)
            replays.walked(connection, account, self._at)
            queue_in(transaction, decisions)
        self._marks, self._changes = [], []

    def _reload(self) -> None:
        """Read the books again after they were written by the order path."""
        with account_transaction(self._desk, None) as transaction:
            self._books = load_books(transaction)
            self._working = orders.alive(transaction.connection, self._desk.schema, self._desk.account)
            failed_from = self._at - timedelta(minutes=self._rules.anomaly.window_minutes)
            self._failed = anomalies.failed_orders(
                transaction.connection, self._desk.schema, self._desk.account, failed_from
            )
            if not self._recent:
                since = self._at - self._window
                marks = equity.since(transaction.connection, self._desk.schema, self._desk.account, since)
                newest = equity.newest(transaction.connection, self._desk.schema, self._desk.account)
                self._recent.extend(marks or ([newest] if newest else []))


def _reaches(order: Order, series: Minutes, start: int, stop: int) -> npt.NDArray[np.bool_]:
    """Which candles of `[start, stop)` may fill the order. The venue looks again, with exact prices."""
    kind, trigger = order.intent.order_type, order.intent.trigger_price
    if kind is OrderType.MARKET or trigger is None:
        return np.ones(max(stop - start, 0), dtype=bool)
    if (order.intent.side is Side.SELL) == (kind is OrderType.STOP):
        return series.low[start:stop] <= float(trigger)
    return series.high[start:stop] >= float(trigger)
