"""What services and sensors do for an account every few seconds, one thing after another, at the time of a moved clock.

The duties are the guardian's own, the decisions go through the order path, and what fails is tried again at the next
round, as there. Only the waiting is left out.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.backing import SHOWN_AFTER
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.levels import Tick
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.reconciliation import reconcile_account
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.floor import make_ready
from triplegain_pipelines.services import guardian_duties as duties
from triplegain_pipelines.services.guardian_watch import AccountState, Watch
from triplegain_pipelines.store import outbox

_PATIENCE = 5.0  # seconds for a killed process to be let go of
_STEP = timedelta(seconds=1.5)  # look-ups of an unknown order count where they lie a second apart
_AFTER_EXPIRY = timedelta(seconds=0.1)
_RECONCILE = timedelta(minutes=5)
_ASKED_AGAIN = timedelta(minutes=5)  # a stop that the venue has refused


@dataclass
class Tally:
    """What a caretaker met: failures that passed by kind of error, and failures that a person would be told of."""

    passed: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add what another one met."""
        self.passed += other.passed
        self.troubles += other.troubles


class Caretaker:
    """Looks after the account of a desk as the services do.

    Args:
        desk: of the account, without its lock.
        clock: the desk's, which the exchange shares.
    """

    def __init__(self, desk: Desk, clock: ShiftableClock) -> None:
        self._desk, self._clock = desk, clock
        self.watch = Watch(desk.instruments)
        self.tally = Tally()
        self._reconciled_at: datetime | None = None
        self._timer_set: bool | None = None

    def start(self) -> None:
        """What a new holder of the account does first: compare the books with the venue, make old claims stale."""
        self.attempt(self._take_over)

    def round(self) -> None:
        """Every duty once, the urgent ones first, then the decisions that wait."""
        self.attempt(lambda: make_ready(self._desk))
        self._look()
        self.attempt(self._answer)
        self.attempt(self._enforce)
        self.attempt(self._resolve)
        self.attempt(self._mend)
        self.attempt(self._keep_alive)
        if self._reconciled_at is None or self._clock.now() - self._reconciled_at >= _RECONCILE:
            self.attempt(self.reconcile)
        self.attempt(self._act)
        self._look()

    def settle(self, meanwhile: Callable[[], None], rounds: int = 30) -> bool:
        """Go round until nothing is unresolved and the books were compared with the venue; whether that was reached.

        Args:
            meanwhile: what the market does between two rounds.
            rounds: after so many it is given up.
        """
        self._reconciled_at = None
        for _ in range(rounds):
            self.round()
            if self._is_calm:
                return True
            self._wait()
            meanwhile()
        return False

    def pass_time(self) -> None:
        """Let the time pass in which waiting decisions may be acted on and a refused stop is not asked for again."""
        with self._desk.database.connection() as connection:
            waiting = outbox.waiting(connection, self._desk.schema, self._desk.account)
        later = self._clock.now() + _ASKED_AGAIN
        self._clock.advance_to(max([later, *(row.valid_until for row in waiting)]) + _STEP)
        self.start()

    def reconcile(self) -> None:
        """Compare the books with the venue now."""
        self._reconciled_at = self._clock.now() if reconcile_account(self._desk).complete else None

    def attempt(self, duty: Callable[[], object]) -> None:
        """Do it; what fails is tried again at the next round."""
        try:
            duty()
        except TransientError as error:
            self.tally.passed[type(error).__name__] += 1
        except PermanentError as error:
            self.tally.troubles[f"{type(error).__name__}: {error}"] += 1

    @property
    def _state(self) -> AccountState | None:
        return self.watch.state

    @property
    def _is_calm(self) -> bool:
        state = self._state
        return state is not None and not state.unresolved and self._reconciled_at is not None

    def _wait(self) -> None:
        """Move the clock to where the next look-up can tell more, or an exit need not wait for it."""
        unresolved = [] if self._state is None else self._state.unresolved
        shown = [order.submitted_at + SHOWN_AFTER for order in unresolved if order.submitted_at is not None]
        expired = [order.expires_at + _AFTER_EXPIRY for order in unresolved if order.expires_at is not None]
        ahead = [moment for moment in (*shown, *expired) if moment > self._clock.now()]
        self._clock.advance_to(min(ahead)) if ahead else self._clock.advance(_STEP)

    def _take_over(self) -> None:
        with OrderPath(self._desk, wait=_PATIENCE) as path:
            path.reconcile()

    def _look(self) -> None:
        self.attempt(lambda: self.watch.take(duties.read_account(self._desk)))

    def _answer(self) -> None:
        """Act on the levels that prices have reached."""
        calls = {}
        for symbol in self.watch.symbols:
            at = self._clock.now()
            price = self._desk.prices.quote(symbol, at).price
            call = self.watch.see(Tick(symbol, price, price, at))
            if call is not None:
                calls[symbol] = call
        if not calls:
            return
        answered = duties.answer(self._desk, list(calls.values()))
        for symbol, done in answered.items():
            self.watch.end(calls[symbol], self._clock.now(), over=done.is_over)
            if done.error:
                self.tally.passed["closing failed"] += 1

    def _enforce(self) -> None:
        state = self._state
        if state is None:
            return
        if state.flatten and (state.held or state.working):
            duties.close_all(self._desk, dict(self.watch.ticks))
        elif state.mode is not TradingMode.ACTIVE and state.entries:
            duties.withdraw(self._desk, state)

    def _resolve(self) -> None:
        if self._state is not None and self._state.unresolved:
            duties.resolve(self._desk)

    def _mend(self) -> None:
        bare = self.watch.without(Leg.STOP)
        if bare and self._state is not None and not self._state.flatten:
            duties.mend(self._desk, bare, lambda: False)

    def _keep_alive(self) -> None:
        state = self._state
        has_timer = self._desk.broker.traits.dead_man_timer
        if has_timer and state is not None and (state.wants_dead_man or self._timer_set is not False):
            self._timer_set = None
            self._timer_set = duties.keep_alive(self._desk)

    def _act(self) -> None:
        """Execute the decisions that wait, oldest first."""
        with self._desk.database.connection() as connection:
            waiting = outbox.waiting(connection, self._desk.schema, self._desk.account)
        for row in waiting:
            if row.valid_until >= self._clock.now() or row.is_held_up:
                with OrderPath(self._desk, wait=_PATIENCE) as path:
                    path.execute(row.decision_id)
