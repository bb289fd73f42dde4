"""One symbol's side of a run: which of its targets was acted on, which orders wait, and when something happens next."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from triplegain_pipelines.backtest.event_bars import Track
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent
from triplegain_pipelines.strategies.strategy import Signals

NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a market order, for the open of the next bar."""

    intent: Intent
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Opened:
    """Where the open position comes from: the bar that decided it, and the one in which it was entered."""

    decided_bar: int
    entry_bar: int


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one symbol.

    Attributes:
        lowest: the lowest target that a position is opened for: 0 where nothing is sold short.
        runs: the bars at which the target is another one than before, the first bar that is traded among them.
        acted: the run of targets that an entry used up, -1 for none.
        opened: of the open position, None where there is none.
        stops: stop and take profit of the open position, in this order; none while it is left.
        rest: the rest of a market order.
        blocked: version of the account and run of targets in which an entry was refused, where asking again is in vain
            until one of the two changes; None where it is not.
        again: the moment at which a blocked entry is asked for again all the same.
        next: the next moment at which something happens.
    """

    track: Track
    instrument: Instrument
    signals: Signals
    lowest: int
    runs: list[int]
    acted: int = -1
    opened: Opened | None = None
    stops: tuple[Intent, ...] = ()
    rest: Rest | None = None
    blocked: tuple[int, int] | None = None
    again: int = NEVER
    next: int = 0

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.track.series.symbol

    def run_of(self, bar: int) -> int:
        """The run of targets that `bar` is in."""
        return bisect_right(self.runs, bar) - 1

    def target(self, bar: int) -> int:
        """What the strategy wants after the close of `bar`."""
        return int(self.signals.target[bar])

    def is_fresh(self, bar: int) -> bool:
        """Whether the target of `bar` asks for a position and was not acted on."""
        return self._asks(bar) and self.run_of(bar) != self.acted

    def next_after(self, place: int, direction: int) -> int:
        """The next moment after `place` at which a bar decides something or touches a level, if nothing comes before.

        Args:
            place: a moment all of which is done.
            direction: of the position, 0 for none.
        """
        track = self.track
        opening = max(int(track.opened[place]) + 1, track.start + 1)
        if self.rest is not None:
            closing = max(int(track.closed[place]) + 1, track.start)
            return min(self._opens(opening), self._closes(closing))
        if direction:
            return self._next_held(place, opening, direction)
        bar = opening - 1
        if self.blocked is not None and bar < track.stop and self.run_of(bar) == self.blocked[1]:
            after = self._first_wanted_run(self.blocked[1] + 1)
            return min(max(self.again, place + 1), self._opens(after + 1))
        return self._opens(self._next_wanted(bar) + 1)

    def _next_held(self, place: int, opening: int, direction: int) -> int:
        leaving = self._next_unwanted(opening - 1, direction) + 1
        levels = [float(one.trigger_price) for one in self.stops if one.trigger_price is not None]
        if not levels:
            return self._opens(leaving)
        first = max(int(self.track.closed[place]) + 1, self.track.start)
        # A bar that touches a level is over before the next one opens in which the position is left.
        touched = self.track.first_touch(min(levels), max(levels), first, min(leaving, self.track.stop))
        if touched < min(leaving, self.track.stop):
            return self._closes(touched)
        return self._opens(leaving)

    def _next_unwanted(self, bar: int, direction: int) -> int:
        """The first bar from `bar` on whose target is not `direction`."""
        if bar >= self.track.stop or self.target(bar) != direction:
            return bar
        after = self.run_of(bar) + 1
        return self.runs[after] if after < len(self.runs) else self.track.stop

    def _next_wanted(self, bar: int) -> int:
        """The first bar from `bar` on whose target is fresh."""
        if bar >= self.track.stop or self.is_fresh(bar):
            return bar
        return self._first_wanted_run(self.run_of(bar) + 1)

    def _first_wanted_run(self, run: int) -> int:
        for place in range(run, len(self.runs)):
            if self._asks(self.runs[place]):
                return self.runs[place]
        return self.track.stop

    def _asks(self, bar: int) -> bool:
        target = self.target(bar)
        return target != 0 and target >= self.lowest

    def _opens(self, bar: int) -> int:
        return int(self.track.opens[bar - self.track.start]) if bar < self.track.stop else NEVER

    def _closes(self, bar: int) -> int:
        return int(self.track.closes[bar - self.track.start]) if bar < self.track.stop else NEVER


def lane_of(track: Track, instrument: Instrument, signals: Signals, *, short_selling: bool) -> Lane:
    """The lane of a symbol before its first bar.

    Raises:
        InputError: the signals are not as long as the series.
    """
    if not len(signals.target) == len(signals.atr) == len(signals.reason) == len(track.series):
        msg = (
            f"{len(signals.target)} targets for {len(track.series)} bars of {track.series.symbol}; "
            "a strategy gives one value for each bar"
        )
        raise InputError(msg)
    targets = signals.target[track.start : track.stop]
    changes = np.flatnonzero(targets[1:] != targets[:-1]) + track.start + 1
    return Lane(track, instrument, signals, -1 if short_selling else 0, [track.start, *changes.tolist()])
