"""The guardian of one account: it holds what the venue cannot, enforces the emergency stop, and watches the others.

It needs nothing but the database and the exchange. Either may be away: that is survived, and told as soon as somebody
can be told. What it knows it reads from the books, so it may be killed at any moment and goes on where it was.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.services.guardian_prices import NoTicks, StreamedTicks, Ticks
from triplegain_pipelines.services.threads import in_thread
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.database import Database

DeskFactory = Callable[[], Desk]
_LEAVING_SECONDS = 3.0  # the supervisor kills after five; what was sent by then is in the books as sent
_RENEWAL_SECONDS = 30.0
_log = structlog.get_logger(__name__)


def serve(database: Database, settings: Settings, desk_factory: DeskFactory) -> None:
    """Guard the account of the profile until SIGTERM or SIGINT, and leave within seconds then.

    Args:
        database: of the account.
        settings: the profile, with its market.
        desk_factory: makes the account's desk; asked again as long as database or venue are away.

    Raises:
        PermanentError: there can be no such desk: a setting or a key is wrong.
        BaseExceptionGroup: one of its tasks failed in a way that nobody expected.
    """
    del database  # the desk has it
    clock = SystemClock()
    asyncio.run(
        run_until_stopped(
            lambda: _made(settings, desk_factory, clock), partial(_access_changed, desk_factory, _RENEWAL_SECONDS)
        )
    )


async def run_until_stopped(
    make: Callable[[], Awaitable[Guardian]], outdated: Callable[[Guardian], Awaitable[None]] | None = None
) -> None:
    """Run the guardian that `make` makes until SIGTERM or SIGINT, and another one whenever `outdated` returns."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stopped = asyncio.ensure_future(stopping.wait())
    while not stopped.done():
        making = asyncio.ensure_future(make())
        await asyncio.wait([making, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not making.done():
            making.cancel()
            return
        await _run_until(stopped, making.result(), outdated)
    stopped.cancel()


async def _run_until(
    stopped: asyncio.Future[Any], guardian: Guardian, outdated: Callable[[Guardian], Awaitable[None]] | None
) -> None:
    work = asyncio.ensure_future(guardian.run())
    renewal = None if outdated is None else asyncio.ensure_future(outdated(guardian))
    ends: list[asyncio.Future[Any]] = [work, stopped] if renewal is None else [work, stopped, renewal]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if renewal is not None:
        renewal.cancel()
    await asyncio.wait([asyncio.ensure_future(guardian.leave())], timeout=_LEAVING_SECONDS)
    if work.done():
        work.result()
    work.cancel()
    await asyncio.wait([work], timeout=1)


async def _access_changed(desk_factory: DeskFactory, every_seconds: float, guardian: Guardian) -> None:
    """Return when the account is to be reached in another way: its keys were rotated, or the venue's rules changed."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            desk = await in_thread(desk_factory)
        except TransientError:
            continue  # what cannot be asked has not changed
        except PermanentError as error:
            # With what it has it can guard the other symbols; without a desk it could guard nothing.
            _log.error("access to the venue cannot be renewed", account=guardian.desk.account, error=str(error))
            continue
        was = guardian.desk
        if desk.live and (desk.broker is not was.broker or desk.instruments != was.instruments):
            _log.info("access to the venue changed", account=desk.account)
            return


async def _made(settings: Settings, desk_factory: DeskFactory, clock: Clock) -> Guardian:
    live = settings.profile.live
    rhythm = Rhythm() if live is None else Rhythm(reconcile=timedelta(minutes=live.reconcile_minutes))
    while True:
        try:
            desk = await in_thread(desk_factory)
        except TransientError as error:
            _log.warning("no desk yet, to be tried again", error=str(error))
            await asyncio.sleep(settings.market.stream.first_wait_seconds)
        else:
            return Guardian(desk, market_ticks(settings, clock), rhythm)


def market_ticks(settings: Settings, clock: Clock) -> Ticks:
    """The prices of the profile's market as they change; none where it has no stream of books."""
    from triplegain_pipelines.market.streams.adapter import VenueStream

    venue = settings.profile.venue
    if venue == SIMULATED_VENUE or settings.venues.of(venue).book is None:
        return NoTicks()
    rules = settings.market.stream
    stream = VenueStream(settings.venues.of(venue), venue, settings.profile.symbols, clock=clock, silent=rules.silence)
    return StreamedTicks(stream, clock, rules)
