"""A venue's stream followed in a test, over loopback, with nothing left behind."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from venues.quick import quick_venue
from venues.websockets import Sockets
from venues.websockets_binance import BinanceSockets
from venues.websockets_coinbase import CoinbaseSockets
from venues.websockets_kraken import KrakenSockets

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.events import Connected, Event, TradesSeen
from triplegain_pipelines.market.trades import Trade
from triplegain_pipelines.settings.venues import StreamKind

BTC, ETH = "BTC/USDT", "ETH/USDT"
KINDS: dict[str, type[Sockets]] = {"kraken": KrakenSockets, "binance": BinanceSockets, "coinbase": CoinbaseSockets}
CLOCK = SystemClock()
_PATIENCE = 15.0


class Following:
    """What was seen of a channel, and how it ended."""

    def __init__(self, stream: VenueStream, channel: Channel) -> None:
        self.events: list[Event] = []
        self.counts: Counter[type[Any]] = Counter()
        self._more = asyncio.Event()
        self.task = asyncio.create_task(stream.follow(channel, self._see))
        self.task.add_done_callback(lambda _: self._more.set())

    async def until(self, met: Callable[[], object]) -> None:
        """Return when `met` is true; fail when the channel ends before."""
        async with asyncio.timeout(_PATIENCE):
            while not met():
                if self.task.done():
                    await self.task
                    pytest.fail(f"the channel ended after {self.events[-3:]}")
                await self._more.wait()
                self._more.clear()

    async def until_connected(self) -> None:
        """Return when the venue has confirmed."""
        await self.until(lambda: self.of(Connected))

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def trades(self) -> list[Trade]:
        """Every trade that came."""
        return [trade for event in self.of(TradesSeen) for trade in event.trades]

    async def error(self) -> BaseException:
        """Why it ended."""
        async with asyncio.timeout(_PATIENCE):
            with suppress(BaseException):
                await self.task
        found = self.task.exception()
        assert found is not None, "the channel ended without an error"
        return found

    def _see(self, event: Event) -> None:
        self.events.append(event)
        self.counts[type(event)] += 1
        self.counts[Trade] += len(event.trades) if isinstance(event, TradesSeen) else 0
        self._more.set()


def stream_of(
    server: Sockets, name: str, symbols: Sequence[str] = (BTC, ETH), kind: StreamKind = StreamKind.TRADES, **more: Any
) -> VenueStream:
    """A stream of the server's; `more` are arguments of VenueStream, and `update` changes the venue's settings."""
    venue = quick_venue(name).model_copy(update={"stream": kind, **more.pop("update", {})})
    addresses = {"websocket_url": server.websocket_url, "base_url": server.url}
    return VenueStream(venue, name, symbols, **{"clock": CLOCK, **addresses, **more})


def run(name: str, body: Callable[[Any, VenueStream], Awaitable[None]], *symbols: str, **more: Any) -> None:
    """Run `body` with a server and a stream, and see that nothing of it stays behind."""

    async def whole() -> None:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        with KINDS[name](*(symbols or (BTC, ETH))) as server:
            stream = stream_of(server, name, symbols or (BTC, ETH), **more)
            await body(server, stream)
            await stream.close()
            server.wait_until_left()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks stayed: {left}"
        del stream
        gc.collect()
        assert not complaints, "errors that nobody saw, or sessions that nobody closed"

    with pytest.MonkeyPatch.context() as patch:
        from ccxt.async_support import Exchange

        # After closing, ccxt waits a quarter of a second for the sake of TLS, which loopback does not have.
        patch.setattr(Exchange, "timeout_on_exit", 0)
        asyncio.run(whole())


def trade(number: int, seconds_ago: float = 0.0, price: float = 100.5, quantity: float = 0.1) -> Trade:
    """A trade of some seconds ago, to the millisecond."""
    moment = CLOCK.now() - timedelta(seconds=seconds_ago)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return Trade(str(number), moment, price, quantity, "sell" if number % 2 else "buy")


class StandingClock:
    """A clock at the time of a recording."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """Always the same."""
        return self._moment
