"""The work on one venue: channels followed, minutes stored as they close, holes asked for, clocks compared."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.market.streams.adapter import VenueStream
from triplegain_pipelines.market.venues.clock import measure_clock
from triplegain_pipelines.operations.live_minutes import LiveMinutes, last_closed
from triplegain_pipelines.operations.repair import record_clock
from triplegain_pipelines.services.follower import Follower
from triplegain_pipelines.services.threads import in_thread
from triplegain_pipelines.services.venue_time import VenueTime
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database

_SETTLED = timedelta(seconds=2)  # a minute's last trades arrive a moment after its end
_log = structlog.get_logger(__name__)


class VenueWorker:
    """One venue of the stream service.

    Args:
        database: where to.
        settings: limits and rules.
        venue: its name in our tables.
        clock: ours; how far it is from the venue's is measured.
        websocket_url: address to use in place of the venue's own.
        base_url: the same for REST.
        seed: of the jitter of waits.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        venue: str,
        clock: Clock,
        *,
        websocket_url: str | None = None,
        base_url: str | None = None,
        seed: int = 0,
    ) -> None:
        self.venue = venue
        self._database, self._settings, self._clock, self._base_url = database, settings, clock, base_url
        self._rules, self._waits = settings.venues.of(venue), settings.market.stream
        self._time = VenueTime(clock)
        symbols = settings.profile.symbols
        stream = VenueStream(
            self._rules,
            venue,
            symbols,
            clock=clock,
            websocket_url=websocket_url,
            base_url=base_url,
            silent=self._waits.silence,
        )
        self.follower = Follower(stream, symbols, self._waits, clock, self._time, seed)
        self.minutes = LiveMinutes(database, settings, venue, symbols, self._time, base_url=base_url)
        self.loaded = asyncio.Event()
        self._compared = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for task in (self._load, self._compare_clocks, self._follow, self._store_minutes, self._ask_for_holes):
                group.create_task(task())

    async def _load(self) -> None:
        """Until the database has told what is stored, nothing is."""
        while not self.loaded.is_set():
            if await self._tried("reading what is stored", self.minutes.load):
                self.loaded.set()
            else:
                await asyncio.sleep(self._waits.first_wait_seconds)

    async def _compare_clocks(self) -> None:
        """Until the venue's clock is known, no minute is known to be whole or final, and nothing is stored."""
        while True:
            if await self._tried("comparing clocks", self._compare):
                self._compared.set()
                await self._tried("recording how far clocks differ", self._record_clock)
            # Before the first success nothing can begin; later a failure costs one comparison only.
            known = self._compared.is_set()
            await asyncio.sleep(self._waits.clock_seconds if known else self._waits.first_wait_seconds)

    def _compare(self) -> None:
        self._time.compared(measure_clock(self._rules, clock=self._clock, base_url=self._base_url))

    def _record_clock(self) -> None:
        record_clock(self._database, self._settings, self.venue, self._time.reading, clock=self._clock)

    async def _follow(self) -> None:
        await self._compared.wait()
        async with asyncio.TaskGroup() as group:
            for channel in self.follower.channels:
                group.create_task(self.follower.follow(channel))

    async def _store_minutes(self) -> None:
        await self.loaded.wait()
        while True:
            until = last_closed(self._time.earliest(), _SETTLED)
            closed = self.follower.closed_minutes(until)
            if any(closed.values()):
                await self._tried("storing minutes", partial(self.minutes.store, closed, until))
            for symbol, minute in self.follower.take_late():
                self.minutes.distrust(symbol, minute)
            await asyncio.sleep(self._waits.look_seconds)

    async def _ask_for_holes(self) -> None:
        """By REST: what no stream covered, also while none is connected, and what is to be confirmed."""
        await self.loaded.wait()
        await self._compared.wait()
        in_vain: set[str] = set()
        round_of = self.minutes.final
        while True:
            if round_of != self.minutes.final:  # the others had their turn: those that failed get another one
                in_vain, round_of = set(), self.minutes.final
            symbol = self.minutes.next_question(in_vain)
            if symbol is None:
                await asyncio.sleep(self._waits.look_seconds)
                continue
            if not await self._tried(f"asking for {symbol}", partial(self.minutes.ask, symbol)):
                in_vain.add(symbol)
                await asyncio.sleep(self._waits.first_wait_seconds)

    async def _tried(self, what: str, work: Callable[[], bool | None]) -> bool:
        """Whether `work` succeeded: it raised nothing, and did not return False.

        What venue or database failed in is told in the log, and tried again; anything else ends the process.
        """
        try:
            return await in_thread(work) is not False
        except (TransientError, PermanentError) as error:
            _log.warning("failed, to be tried again", venue=self.venue, what=what, error=str(error))
            return False
