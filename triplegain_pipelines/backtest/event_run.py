"""Going through the moments of a run: only where something may happen, and with the same result as through all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.event_bars import microseconds
from triplegain_pipelines.backtest.event_desk import EventDesk
from triplegain_pipelines.backtest.event_lane import NEVER, Lane
from triplegain_pipelines.backtest.event_watch import Watched, first_suspect
from triplegain_pipelines.domain.market import exact_price
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.risk.breakers import rests_until

_MICROSECOND = timedelta(microseconds=1)


def go_through(desk: EventDesk) -> None:
    """Go through all moments, stopping where something may happen."""
    _Passage(desk).run()
    desk.check()


def go_through_slowly(desk: EventDesk) -> None:
    """The same, stopping at every moment and asking for every entry again: what `go_through` is compared with."""
    for place in range(desk.grid.moments.size):
        desk.version += 1
        desk.step(place, desk.lanes)
    desk.check()


class _Passage:
    def __init__(self, desk: EventDesk) -> None:
        self._desk, self._grid, self._lanes, self._limits = desk, desk.grid, desk.lanes, desk.limits
        rules = desk.limits.breakers
        self._window = timedelta(minutes=rules.rapid_loss.window_minutes) // _MICROSECOND
        self._lookback = self._window // desk.grid.spacing
        self._gaps = np.flatnonzero(desk.grid.age > rules.anomaly.data_age_seconds * 1_000_000)
        self._volatile = desk.market.volatile_moments(desk.grid, rules.volatility.halt_over)

    def run(self) -> None:
        last, place = self._grid.moments.size - 1, 0
        self._desk.step(place, self._lanes)
        self._plan(place, self._lanes)
        while place < last:
            place = self._pass(place, min(self._next(place), last))
            due = [lane for lane in self._lanes if lane.next <= place or lane.blocked is not None]
            self._desk.step(place, due)
            self._plan(place, due)

    def _plan(self, place: int, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            held = self._desk.account.position(lane.symbol)
            if lane.blocked is not None and lane.blocked[0] != self._desk.version:
                lane.blocked, lane.again = None, NEVER
            lane.next = lane.next_after(place, 0 if held is None else held.direction.sign)

    def _next(self, place: int) -> int:
        """The next moment at which something may happen, but for what the prices of held positions may do."""
        if self._desk.closed_at == place and self._is_due():
            return place + 1
        found = min(lane.next for lane in self._lanes)
        found = min(found, _after(self._gaps, place))
        breakers = self._desk.account.books.breakers
        if breakers[BreakerName.VOLATILITY].state is not BreakerState.OPEN:
            found = min(found, _after(self._volatile, place))
        if self._desk.account.books.positions or any(lane.blocked for lane in self._lanes):
            found = min(found, _after(self._grid.midnights, place))
        for breaker in breakers.values():
            if breaker.state is BreakerState.OPEN:
                until = rests_until(breaker, self._limits)
                if until is not None:
                    found = min(found, self._rested(place, until, breaker.name))
        return found

    def _is_due(self) -> bool:
        """Whether the next mark, the first to know of a trade that was closed after this one, may trip a breaker."""
        books = self._desk.account.books
        row = books.breakers[BreakerName.CONSECUTIVE_LOSSES].state is BreakerState.CLOSED
        if row and books.risk.losses_in_a_row > self._limits.breakers.consecutive_losses.threshold:
            return True
        # What is held is looked at mark by mark in any case.
        return not books.positions and not first_suspect(np.array([float(books.cash)]), self._watched(), self._limits)

    def _watched(self) -> Watched:
        books = self._desk.account.books
        highest = float(max(worth for _, worth in self._desk.account.recent))
        return Watched(books.risk, books.breakers, highest, self._lookback)

    def _rested(self, place: int, until: datetime, name: BreakerName) -> int:
        """When an open breaker is looked at: once it has rested, and then again until its condition is gone."""
        rested = self._grid.first_from(microseconds(until))
        if rested > place:
            return rested
        if name is BreakerName.VOLATILITY:  # known anew every hour
            return self._grid.first_from(microseconds(self._desk.market.next_hour(self._grid.at(place))))
        return place + 1

    def _pass(self, place: int, until: int) -> int:
        """Pass the moments between two, or as many of them as no breaker can trip at; the moment that comes then."""
        positions = self._desk.account.books.positions
        if not positions or until - place <= 1:
            return until
        columns = [(held.quantity, self._grid.tracks[held.symbol].marks[place + 1 : until]) for held in positions]
        equity = np.full(until - place - 1, float(self._desk.account.books.cash))
        for quantity, marks in columns:
            equity += float(quantity) * marks
        passed = first_suspect(equity, self._watched(), self._limits)
        if passed:
            self._remember(place, passed, equity[:passed])
        return place + 1 + passed

    def _remember(self, place: int, passed: int, equity: npt.NDArray[np.float64]) -> None:
        """Take over what marks would have left behind: the highest equity, and those that the next window sees."""
        positions = self._desk.account.books.positions
        columns = [self._grid.tracks[held.symbol].marks[place + 1 : place + 1 + passed] for held in positions]
        top = float(equity.max())
        if top >= float(self._desk.account.books.risk.peak_equity) * (1 - 1e-9):
            near = np.flatnonzero(equity >= top * (1 - 1e-12))
            prices = {tuple(float(marks[one]) for marks in columns) for one in near.tolist()}
            self._desk.account.raise_peak(max(self._worth(row) for row in prices))
        moments = self._grid.moments
        oldest = int(moments[place + 1 + passed]) - self._window
        first = max(0, int(np.searchsorted(moments, oldest)) - place - 1)
        tail = equity[first:]
        # One that is followed by a higher one within the window is the highest of no window that is still to come.
        highest = np.maximum.accumulate(tail[::-1])[::-1]
        for one in (np.flatnonzero(tail >= highest * (1 - 1e-12)) + first).tolist():
            row = tuple(float(marks[one]) for marks in columns)
            self._desk.account.remember(self._grid.at(place + 1 + one), self._worth(row))

    def _worth(self, prices: Sequence[float]) -> Decimal:
        books = self._desk.account.books
        values = (held.quantity * exact_price(price) for held, price in zip(books.positions, prices, strict=True))
        return books.cash + sum(values, Decimal(0))


def _after(places: npt.NDArray[np.int64], place: int) -> int:
    at = int(np.searchsorted(places, place, side="right"))
    return int(places[at]) if at < len(places) else NEVER
