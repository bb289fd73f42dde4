"""The prices that the guardian follows: best bid and ask over WebSocket, and what is asked for where that is silent."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import structlog

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds
from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.domain.market import PriceSource, exact_price
from triplegain_pipelines.execution.levels import Tick
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.streams.events import Event
from triplegain_pipelines.services.threads import in_thread
from triplegain_pipelines.settings.market import StreamSettings

_SILENT_SECONDS = 3.0  # the books of all symbols together change many times a second
_log = structlog.get_logger(__name__)
Seen = Callable[[Tick], None]


class Ticks(Protocol):
    """Something that tells prices as they change. A tick is dated to when it was seen here."""

    async def follow(self, seen: Seen) -> None:
        """Give each price to `seen` until cancelled; a break is survived."""
        ...

    def covers(self, symbol: str) -> bool:
        """Whether the newest price of `symbol` that was told still holds: any change of it would have come."""
        ...


class NoTicks:
    """A market without a stream: all its prices are asked for."""

    async def follow(self, seen: Seen) -> None:
        """Tells nothing."""

    def covers(self, symbol: str) -> bool:  # noqa: ARG002
        """Nothing."""
        return False


class StreamedTicks:
    """Best bid and ask of a venue over WebSocket, opened anew whenever the connection breaks.

    Args:
        stream: the venue's adapter.
        clock: ours.
        rules: waits between two attempts.
    """

    def __init__(self, stream: VenueStream, clock: Clock, rules: StreamSettings) -> None:
        self._stream, self._clock, self._rules = stream, clock, rules
        self._jitter = np.random.default_rng(0)
        self._told: set[str] = set()
        self._heard = float("-inf")

    async def follow(self, seen: Seen) -> None:
        """Give each price to `seen` until cancelled."""
        wait = self._rules.first_wait_seconds
        while True:
            started = monotonic_seconds()
            try:
                await self._stream.follow(Channel.BOOK, partial(self._take, seen))
            except (TransientError, PermanentError) as error:
                _log.warning("the stream of prices broke, prices are asked for meanwhile", error=str(error))
            self._told.clear()  # of what comes until it is connected again nothing is known
            if monotonic_seconds() - started > self._rules.longest_wait_seconds:
                wait = self._rules.first_wait_seconds
            await asyncio.sleep(wait * float(self._jitter.uniform(0.5, 1.5)))
            wait = min(2 * wait, self._rules.longest_wait_seconds)

    def covers(self, symbol: str) -> bool:
        """Whether the book of `symbol` came over a connection that is not silent."""
        return symbol in self._told and monotonic_seconds() - self._heard < _SILENT_SECONDS

    def _take(self, seen: Seen, event: Event) -> None:
        self._heard = monotonic_seconds()
        if isinstance(event, TopOfBook) and not event.crossed:
            self._told.add(event.symbol)
            seen(Tick(event.symbol, exact_price(event.bid), exact_price(event.ask), self._clock.now()))


async def ask_for_prices(prices: PriceSource, symbols: Sequence[str], clock: Clock, seen: Seen) -> None:
    """Ask for the price of each symbol, one after another; one that fails is told in the log, and hides no other."""
    for symbol in symbols:
        asked = clock.now()
        try:
            quote = await in_thread(partial(prices.quote, symbol, asked))
        except (TransientError, PermanentError) as error:
            _log.warning("no price", symbol=symbol, error=str(error))
        else:
            seen(Tick(symbol, quote.price, quote.price, asked))
