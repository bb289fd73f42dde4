"""The guardian's loop: what it does every second, what it does at once, and what it does one after the other.

Prices and looks at the books belong to the event loop and return at once; whatever waits for the database or the venue
is a duty, done in a thread, one at a time, and never broken off once it has begun.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from triplegain_pipelines.domain.errors import AccountBusyError, PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.levels import Tick
from triplegain_pipelines.execution.reconciliation import reconcile_account
from triplegain_pipelines.services import guardian_duties as duties
from triplegain_pipelines.services.guardian_health import (
    BUSY_ALERT,
    FAILED_ALERT,
    VENUE_ALERT,
    Outage,
    Trouble,
    Troubles,
    blind_to,
    look_after,
)
from triplegain_pipelines.services.guardian_prices import Ticks, ask_for_prices
from triplegain_pipelines.services.guardian_watch import AccountState, Backoff, Call, Watch
from triplegain_pipelines.services.threads import in_thread

_FRESH = timedelta(seconds=10)  # a price older than this moves nothing
_BUSY_FOR = timedelta(seconds=30)
_RECONCILE = timedelta(minutes=5)
_URGENT = frozenset({"answer", "flatten"})  # the rest waits until they are done
_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two times that each thing is done."""

    look: float = 1.0
    health: float = 5.0
    mend: float = 10.0
    timer: float = 15.0
    reconcile: timedelta = _RECONCILE


class Guardian:
    """The guardian of the account of one desk.

    Args:
        desk: of the account, without its lock, which is taken for each duty.
        ticks: tells prices as they change.
        rhythm: how often what is done.
    """

    def __init__(self, desk: Desk, ticks: Ticks, rhythm: Rhythm) -> None:
        self.desk = desk
        self._ticks, self._rhythm, self._clock = ticks, rhythm, desk.clock
        self.watch = Watch(desk.instruments)
        self._calls: dict[str, Call] = {}
        self._called = asyncio.Event()
        self._is_pressed = False  # a level was reached, and nobody acts on it yet
        self._hands = asyncio.Lock()  # one duty at a time: they would only wait for each other's lock
        self._stopping = False
        self._seen_at: dict[str, datetime] = {}
        self._waits: dict[str, Backoff] = {}
        self._troubles: Troubles = {}
        self._closings: set[str] = set()  # what was to be closed, as subjects of alerts
        self._unseen: frozenset[str] = frozenset()
        self._running: asyncio.Future[Any] | None = None
        self._busy_since: datetime | None = None
        self._away_since: datetime | None = None
        self._outage: Outage | None = None
        self._timer_set: bool | None = None
        self._reconciled_at: datetime | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        rhythm = self._rhythm
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ticks.follow(self.see))
            group.create_task(self._answer_calls())
            group.create_task(self._every(rhythm.look, self._ask_prices))
            group.create_task(self._every(rhythm.look, self._look))
            group.create_task(self._every(rhythm.look, self._enforce))
            group.create_task(self._every(rhythm.look, self._resolve))
            group.create_task(self._every(rhythm.health, self._look_after))
            group.create_task(self._every(rhythm.mend, self._mend))
            if self.desk.broker.traits.dead_man_timer:
                group.create_task(self._every(rhythm.timer, self._keep_alive))
            group.create_task(self._every(rhythm.look, self._reconcile))

    async def leave(self) -> None:
        """Begin nothing more, and wait until what is being done is done and recorded."""
        self._stopping = True
        if self._running is not None:
            await asyncio.wait([self._running])

    @property
    def is_settled(self) -> bool:
        """Whether it knows the account, and has compared its books with the venue once."""
        return self.watch.state is not None and self._reconciled_at is not None

    def see(self, tick: Tick) -> None:
        """Take a price; what it calls for is done at once, beside the event loop."""
        self._seen_at[tick.symbol] = tick.at
        call = self.watch.see(tick)
        if call is not None:
            self._call(call)

    def _call(self, call: Call) -> None:
        self.watch.begin(call.symbol)
        self._calls[call.symbol] = call
        self._called.set()

    async def _answer_calls(self) -> None:
        while True:
            await self._called.wait()
            self._called.clear()
            calls, self._calls = list(self._calls.values()), {}
            _log.warning("levels reached", calls=[(call.symbol, call.due, str(call.price)) for call in calls])
            self._is_pressed = True
            answered = await self._do("answer", partial(self._answered, calls)) or {}
            now, account = self._clock.now(), self.desk.account
            for call in calls:
                done = answered.get(call.symbol)
                self.watch.end(call, now, over=done is not None and done.is_over)
                if done is not None:
                    text = f"the guardian cannot close {call.symbol} of {account}: {done.error}"
                    self._troubles[FAILED_ALERT, f"{account}/{call.symbol}"] = Trouble(text) if done.error else None
                    self._closings.add(f"{account}/{call.symbol}")
            if answered:
                await self._look()

    def _answered(self, calls: Sequence[Call]) -> Mapping[str, duties.Answered]:
        self._is_pressed = False
        return duties.answer(self.desk, calls)

    async def _look(self) -> None:
        """Read the books, and see what the last prices call for."""
        state = await self._read()
        if state is not None:
            self.watch.take(state)
            held = {f"{self.desk.account}/{position.symbol}" for position in state.held}
            done = set(self._closings) - held
            self._end_failures(*done)
            self._closings -= done
            for call in self.watch.judge_again(self._clock.now(), _FRESH):
                self._call(call)

    async def _enforce(self) -> None:
        """Do what the mode and the emergency stop ask for."""
        state = self.watch.state
        if state is None:
            return
        if state.flatten and (state.held or state.working):
            await self._with_backoff("flatten", partial(duties.close_all, self.desk, dict(self.watch.ticks)))
        elif state.mode is not TradingMode.ACTIVE and state.entries:
            await self._with_backoff("withdraw", partial(duties.withdraw, self.desk, state))
        else:
            self._forget("flatten", "withdraw")

    async def _resolve(self) -> None:
        """Ask the venue for what is unknown, and for what should be done by now."""
        if self.watch.state is not None and self.watch.state.unresolved:
            await self._with_backoff("resolve", partial(duties.resolve, self.desk))
        else:
            self._forget("resolve")

    async def _ask_prices(self) -> None:
        """Where the stream says nothing of a held symbol, its price is asked for."""
        now = self._clock.now()
        for symbol in self.watch.symbols:
            tick = self.watch.ticks.get(symbol)
            if tick is not None and self._ticks.covers(symbol):
                self.see(replace(tick, at=now))
        missing = [symbol for symbol in self.watch.symbols if not self._ticks.covers(symbol)]
        await ask_for_prices(self.desk.prices, missing, self._clock, self.see)

    async def _look_after(self) -> None:
        now = self._clock.now()
        account = self.desk.account
        unseen = frozenset(s for s in self.watch.symbols if s not in self._seen_at or now - self._seen_at[s] > _FRESH)
        blind, self._unseen = sorted(unseen & self._unseen), unseen  # one that was just opened has no price yet
        text = f"another process has held the account {account} for long; levels were reached and could not be acted on"
        busy = self._busy_since is not None and now - self._busy_since > _BUSY_FOR
        own = {
            **self._troubles,
            **blind_to(blind, account),
            (BUSY_ALERT, account): Trouble(text) if busy else None,
        }
        # To read is not enough: a standby, or a server whose disk is full, lets read and nothing else.
        away_since = self._away_since
        if away_since is not None:
            self._outage = Outage(away_since, now)
        try:
            await in_thread(partial(look_after, self.desk, now, own, self._outage))
        except UnavailableError as error:
            self._note_away(now, error)
        else:
            # An outage that was noticed meanwhile is not told yet: the next look after it tells it.
            if self._away_since == away_since:
                self._away_since = None

    async def _mend(self) -> None:
        """See that every position has its stop where one can rest."""
        unprotected = self.watch.without(Leg.STOP)
        if unprotected and self.watch.state is not None and not self.watch.state.flatten:
            await self._with_backoff("mend", partial(duties.mend, self.desk, unprotected, lambda: self._is_pressed))
        else:
            self._forget("mend")

    async def _keep_alive(self) -> None:
        """Set the dead-man timer anew, or switch it off. At the start it is not known whether it is set."""
        state = self.watch.state
        if state is not None and (state.wants_dead_man or self._timer_set is not False):
            self._timer_set = await self._do("keep_alive", partial(duties.keep_alive, self.desk))

    async def _reconcile(self) -> None:
        now = self._clock.now()
        due = self._reconciled_at is None or abs(now - self._reconciled_at) >= self._rhythm.reconcile
        if due and self.watch.state is not None and await self._with_backoff("reconcile", self._reconciled):
            self._reconciled_at = now
            self._forget("reconcile")

    def _reconciled(self) -> bool:
        reconcile_account(self.desk)
        return True

    async def _read(self) -> AccountState | None:
        now = self._clock.now()
        try:
            return await in_thread(partial(duties.read_account, self.desk))
        except UnavailableError as error:
            self._note_away(now, error)
            return None

    def _note_away(self, now: datetime, error: UnavailableError) -> None:
        if self._away_since is None:
            self._away_since = now
            _log.error("the database is away: nothing can be written, so nothing can be sent", error=str(error))

    async def _with_backoff(self, name: str, duty: Callable[[], _T]) -> _T | None:
        """Do it, unless it was done a moment ago: ever more slowly, until its wait is forgotten."""
        wait = self._waits.setdefault(name, Backoff())
        if not wait.is_over(self._clock.now()):
            return None
        result = await self._do(name, duty)
        wait.failed(self._clock.now())
        return result

    def _forget(self, *names: str) -> None:
        for name in names:
            self._waits.pop(name, None)
        self._end_failures(*(f"{self.desk.account}/{name}" for name in names))

    def _end_failures(self, *subjects: str) -> None:
        """Of what is not called for any more nobody has to know that it failed."""
        for subject in subjects:
            self._troubles.pop((FAILED_ALERT, subject), None)

    async def _do(self, name: str, duty: Callable[[], _T]) -> _T | None:
        """Do one duty in a thread, whatever becomes of it. None where it failed; what a person should know is told."""
        account = self.desk.account
        async with self._hands:
            if self._stopping or (self._is_pressed and name not in _URGENT):
                return None
            try:
                # Once begun it is not broken off: what is sent is recorded.
                self._running = running = asyncio.ensure_future(in_thread(duty))
                result = await asyncio.shield(running)
            except AccountBusyError as error:
                if name in _URGENT:
                    self._busy_since = self._busy_since or self._clock.now()
                _log.warning("the account is held, to be tried again", duty=name, error=str(error))
                return None
            except TransientError as error:
                _log.warning("failed, to be tried again", duty=name, error=str(error))
                text = f"{self.desk.market} or the database does not answer the guardian of {account}: {error}"
                self._troubles[VENUE_ALERT, account] = Trouble(text)
                return None
            except Exception as error:  # noqa: BLE001 - whatever it is, the other positions have to be held
                _log.error("failed", duty=name, error=str(error), exc_info=not isinstance(error, PermanentError))
                text = f"the guardian of {account} cannot {name}: {type(error).__name__}: {error}"
                self._troubles[FAILED_ALERT, f"{account}/{name}"] = Trouble(text)
                return None
        self._busy_since = None
        self._troubles[VENUE_ALERT, account] = None
        self._troubles[FAILED_ALERT, f"{account}/{name}"] = None
        return result

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            try:
                await work()
            except UnavailableError as error:
                _log.warning("failed, to be tried again", what=work.__name__, error=str(error))
            await asyncio.sleep(seconds)
