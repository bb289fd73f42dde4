"""The stream service: follows the main venue and its backup, tells how they stand, and switches between them.

It holds nothing that a restart would lose, so it may be killed at any moment.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType

import psycopg
import structlog

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.quality import Finding, QualityCode, Settlement
from triplegain_pipelines.market.clock_skew import ALL_SYMBOLS
from triplegain_pipelines.market.failover import Watched
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.operations.failover import watch_sources
from triplegain_pipelines.services.threads import in_thread
from triplegain_pipelines.services.venue_worker import VenueWorker
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import open_findings, record_findings, settle_all
from triplegain_pipelines.store.streams import StreamState, write_stream_states
from triplegain_pipelines.store.top_of_book import upsert_top_of_book

DOWN_ALERT = "stream_down"
BEHIND_ALERT = "candles_behind"
_DOWN = timedelta(minutes=1)
_BEHIND = timedelta(minutes=2)
_LEAVING_SECONDS = 3.0
_LONG_AGO = timedelta(days=3650)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a venue is, in place of its own addresses."""

    websocket_url: str
    base_url: str


_OWN: Mapping[str, Addresses] = MappingProxyType({})


class StreamService:
    """The main venue and the backup of a profile.

    Args:
        database: where to.
        settings: the profile, with its venues and symbols.
        clock: ours.
        addresses: by venue, in place of its own.
    """

    def __init__(
        self, database: Database, settings: Settings, clock: Clock, addresses: Mapping[str, Addresses] = _OWN
    ) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._market = settings.profile.venue
        venues = dict.fromkeys(filter(None, (self._market, settings.profile.backup_venue)))
        self._workers = {
            venue: VenueWorker(
                database,
                settings,
                venue,
                clock,
                websocket_url=addresses[venue].websocket_url if venue in addresses else None,
                base_url=addresses[venue].base_url if venue in addresses else None,
                seed=number,
            )
            for number, venue in enumerate(venues)
        }
        self._watched: Watched | None = None

    async def run(self) -> None:
        """Work until cancelled. An error that nobody expected ends all of it."""
        waits = self._settings.market.stream
        async with asyncio.TaskGroup() as group:
            for worker in self._workers.values():
                group.create_task(worker.run())
            group.create_task(self._every(waits.beat_seconds, self._beat))
            group.create_task(self._every(waits.beat_seconds, self._watch))
            group.create_task(self._every(waits.book_seconds, self._store_tops))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except UnavailableError as error:
                _log.warning("failed, to be tried again", what=work.__name__, error=str(error))
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        """Tell how the channels stand, and raise and end the alerts that follow from it."""
        now = self._clock.now()
        states = [state for worker in self._workers.values() for state in _states(worker, now)]
        behind = {venue: worker.minutes.behind for venue, worker in self._workers.items()}
        await in_thread(partial(_tell, self._database, states, behind, now))

    async def _store_tops(self) -> None:
        for worker in self._workers.values():
            tops, findings = worker.follower.take_tops(), worker.follower.findings
            await in_thread(partial(_store, self._database, tops, findings, self._clock.now()))
            worker.follower.forget(findings)

    async def _watch(self) -> None:
        """Look after the source; what a new one lacks of its open buckets is asked for."""
        for worker in self._workers.values():
            await worker.loaded.wait()
        symbols = self._settings.profile.symbols
        look = partial(watch_sources, self._database, self._settings, self._market, symbols, self._clock, self._watched)
        report = await in_thread(look)
        if report is None:
            return
        self._watched = report.watched
        if report.switch:
            _log.warning("source switched", to=report.source, reason=report.switch.reason)
        if report.fetch:
            for symbol in report.fetch.symbols:
                self._workers[report.fetch.venue].minutes.distrust(symbol, report.fetch.start)


def _states(worker: VenueWorker, now: datetime) -> list[StreamState]:
    return [
        StreamState(
            endpoint=one.endpoint,
            venue=worker.venue,
            connected=one.connected_at is not None,
            changed_at=one.changed_at,
            last_message_at=one.last_message_at,
            reconnects=one.reconnects,
            detail=one.detail,
            beat_at=now,
        )
        for one in worker.follower.channels.values()
    ]


def _tell(
    database: Database, states: Sequence[StreamState], behind: Mapping[str, timedelta | None], now: datetime
) -> None:
    with database.connection() as connection:
        write_stream_states(connection, states)
        for state in states:
            down = not state.connected and now - state.changed_at > _DOWN
            text = f"the stream {state.endpoint} is down: {state.detail}; its minutes are fetched by REST meanwhile"
            _alert(connection, DOWN_ALERT, state.endpoint, text, now, on=down, off=state.connected)
            if state.connected:
                _end_silence(connection, state, now)
        for venue, age in behind.items():
            if age is None:
                continue
            text = f"candles of {venue} are {age.total_seconds():.0f} s behind; see 'triplegain data'"
            _alert(connection, BEHIND_ALERT, venue, text, now, on=age > _BEHIND, off=age <= _BEHIND)


def _end_silence(connection: psycopg.Connection, state: StreamState, now: datetime) -> None:
    """A channel that fell silent and is connected again has no silence any more."""
    codes = [QualityCode.SILENT_FEED]
    silences = open_findings(connection, state.venue, [ALL_SYMBOLS], now - _LONG_AGO, now, codes)
    over = [one.finding_id for one in silences if one.finding.detail.get("endpoint") == state.endpoint]
    settle_all(connection, over, Settlement.OVER, now)


def _alert(
    connection: psycopg.Connection, kind: str, subject: str, text: str, at: datetime, *, on: bool, off: bool
) -> None:
    """Raise or end an alert. With neither it stays as it is: a restart does not know yet, and must not end it."""
    if on:
        raise_alert(connection, kind, subject, AlertLevel.WARNING, text, at)
    elif off:
        end_alert(connection, kind, subject, at)


def _store(database: Database, tops: Sequence[TopOfBook], findings: Sequence[Finding], now: datetime) -> None:
    if tops or findings:
        with database.connection() as connection:
            upsert_top_of_book(connection, tops, "stream")
            record_findings(connection, findings, now)


def serve(database: Database, settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT.

    Raises:
        InputError: the profile's market is the simulated one, which has no stream.
    """
    if settings.profile.venue == SIMULATED_VENUE:
        msg = "the simulated market has no stream; set TRIPLEGAIN_PROFILE=paper, or another profile with a venue"
        raise InputError(msg)
    run_until_stopped(lambda: StreamService(database, settings, SystemClock()))


def run_until_stopped(make: Callable[[], StreamService]) -> None:
    """Run the service that `make` makes until SIGTERM or SIGINT, and leave within seconds then.

    Raises:
        BaseExceptionGroup: one of its tasks failed in a way that nobody expected.
    """

    async def run() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        work = asyncio.ensure_future(make().run())
        stopped = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        # A venue that does not answer a goodbye is not waited for: what is still open is cancelled at the end.
        stopped.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait([work], timeout=_LEAVING_SECONDS)
        if work.done():
            with suppress(asyncio.CancelledError):
                work.result()

    asyncio.run(run())
