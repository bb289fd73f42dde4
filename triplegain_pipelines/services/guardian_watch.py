"""What the guardian knows of an account between two looks at the books, and what a price calls for. No input or output.

Belongs to one event loop: nothing here waits, and nothing is locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.levels import Due, Tick, due, leaving_price, reached, resting_legs
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

PATIENCE = timedelta(seconds=10)
"""How long a venue has to fill a stop that rests there and was passed."""
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=1), timedelta(seconds=30)
_OVERTAKEN = timedelta(seconds=15)
"""No answer about a price comes later than this. What is older still was seen after the clock was set back."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account as it was read at `at`. `flatten` is asked by an emergency stop; `mode` is HALTED under any."""

    at: datetime
    mode: TradingMode
    stopped: bool
    flatten: bool
    held: tuple[Position, ...]
    working: tuple[Order, ...]

    def working_in(self, symbol: str) -> list[Order]:
        """The unfinished orders in `symbol`."""
        return [order for order in self.working if order.intent.symbol == symbol]

    @property
    def entries(self) -> list[Order]:
        """The unfinished entries."""
        return [order for order in self.working if order.intent.leg is Leg.ENTRY]

    @property
    def unresolved(self) -> list[Order]:
        """The orders of which the venue has to be asked: unknown ones, and those that should be done by now."""
        at_once = (Leg.ENTRY, Leg.EXIT)
        return [
            order
            for order in self.working
            if order.submitted_at is not None and (order.is_unresolved or order.intent.leg in at_once)
        ]

    @property
    def wants_dead_man(self) -> bool:
        """Whether the venue's timer may be set: it cancels everything, so never while a protective order rests."""
        return bool(self.entries) and all(order.intent.leg is Leg.ENTRY for order in self.working)


@dataclass(frozen=True, slots=True)
class Call:
    """What a tick calls for in a position: `leg` is the level it has reached, of the position of `decision_id`."""

    symbol: str
    decision_id: UUID
    leg: Leg
    due: Due
    tick: Tick
    price: Decimal


@dataclass(slots=True)
class Backoff:
    """Waits that double while something fails."""

    wait: timedelta = _FIRST_WAIT
    until: datetime | None = None

    def failed(self, at: datetime) -> None:
        """Wait from `at` on, and longer the next time."""
        self.until = at + self.wait
        self.wait = min(2 * self.wait, _LONGEST_WAIT)

    def is_over(self, at: datetime) -> bool:
        """Whether it may be tried again. Nobody waits for what a clock said that was set back since."""
        return self.until is None or not timedelta(0) < self.until - at <= _LONGEST_WAIT


@dataclass
class Watch:
    """The positions with their levels, and how long each was passed.

    Args:
        instruments: the venue's grid by symbol.
        patience: how long the venue has to fill a stop that rests there.
    """

    instruments: Mapping[str, Instrument]
    patience: timedelta = PATIENCE
    state: AccountState | None = None
    ticks: dict[str, Tick] = field(default_factory=dict)
    _positions: dict[str, Position] = field(default_factory=dict)
    _resting: dict[str, frozenset[Leg]] = field(default_factory=dict)
    _passed: dict[str, tuple[UUID, Leg, datetime]] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _waits: dict[tuple[str, Due], Backoff] = field(default_factory=dict)

    def take(self, state: AccountState) -> None:
        """Take over what was read."""
        self.state = state
        self._positions = {position.symbol: position for position in state.held}
        self._resting = {
            symbol: resting_legs(position, state.working_in(symbol), self.instruments[symbol])
            for symbol, position in self._positions.items()
            if symbol in self.instruments
        }
        for gone in [key for key in self._waits if key[0] not in self._positions]:
            del self._waits[gone]

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols of which a price is needed."""
        return tuple(self._positions)

    def without(self, leg: Leg) -> Sequence[str]:
        """The symbols whose position has no such leg at rest at the venue."""
        return tuple(symbol for symbol in self._positions if leg not in self._resting.get(symbol, frozenset()))

    def see(self, tick: Tick) -> Call | None:
        """Take over a price, and say what it calls for now."""
        newest = self.ticks.get(tick.symbol)
        if newest is not None and timedelta(0) < newest.at - tick.at <= _OVERTAKEN:
            return None
        self.ticks[tick.symbol] = tick
        return self._judge(tick, tick.at)

    def judge_again(self, at: datetime, oldest: timedelta) -> list[Call]:
        """What the last prices call for as time passes, as far as they are not older than `oldest`."""
        fresh = [tick for tick in self.ticks.values() if at - tick.at <= oldest]
        calls = [self._judge(tick, at) for tick in fresh]
        return [call for call in calls if call is not None]

    def begin(self, symbol: str) -> None:
        """The call of `symbol` is being answered: nothing more is called for until `end`."""
        self._busy.add(symbol)

    def end(self, call: Call, at: datetime, *, over: bool) -> None:
        """The call is answered. Where it is not `over`, the same one comes again after a while."""
        self._busy.discard(call.symbol)
        if over:
            self._waits.pop((call.symbol, call.due), None)
        else:
            self._waits.setdefault((call.symbol, call.due), Backoff()).failed(at)

    def _judge(self, tick: Tick, at: datetime) -> Call | None:
        position = self._positions.get(tick.symbol)
        if position is None or self.state is None:
            return None
        leg = reached(position, tick)
        since = self._since(position, leg, at)
        if leg is None or since is None or tick.symbol in self._busy:
            return None
        called_for = due(leg, self._resting.get(tick.symbol, frozenset()), at - since, self.patience)
        wait = self._waits.get((tick.symbol, called_for))
        if wait is not None and not wait.is_over(at):
            return None
        if called_for is Due.NOTHING or (called_for is Due.LEAVE_AT_TARGET and self.state.mode is TradingMode.HALTED):
            return None  # halted, only what protects is done
        return Call(tick.symbol, position.decision_id, leg, called_for, tick, leaving_price(position, tick))

    def _since(self, position: Position, leg: Leg | None, at: datetime) -> datetime | None:
        """Since when the price is beyond this level of this position."""
        if leg is None:
            self._passed.pop(position.symbol, None)
            return None
        known = self._passed.get(position.symbol)
        if known is None or known[:2] != (position.decision_id, leg) or known[2] > at + _OVERTAKEN:
            known = position.decision_id, leg, at
            self._passed[position.symbol] = known
        return known[2]
