"""The WebSocket side of the loopback venues: subscriptions, frames to whoever subscribed, faults."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from triplegain_pipelines.market.trades import MinuteCandle, Trade
from venues.loopback import LoopbackServer

_T = TypeVar("_T")
_PATIENCE = 10.0


@dataclass(eq=False)
class Session:
    """One open connection: what was subscribed, and what was asked."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    topics: set[tuple[str, str]] = field(default_factory=set)
    requests: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0


class Sockets(LoopbackServer):
    """A venue's public WebSocket. Its methods may be called from any thread; they return when it is done.

    `confirms` and `answers_pings` can be switched off; `refused` maps symbols to the text with which they are refused.
    """

    path: str

    def __init__(self, *symbols: str) -> None:
        super().__init__()
        self.tape.trades = {symbol: [] for symbol in symbols}
        self.confirms = self.answers_pings = True
        self.refused: dict[str, str] = {}
        self.sessions: list[Session] = []
        self.opened = 0

    @property
    def websocket_url(self) -> str:
        """Its address for streams, behind which a venue's own path is put."""
        return self.url.replace("http://", "ws://")

    def routes(self) -> list[web.RouteDef]:
        """The REST calls and the stream."""
        return [*super().routes(), web.get(self.path, self._stream)]

    def trades_frame(self, symbol: str, trades: list[Trade]) -> list[str]:
        """Frames with these trades, as the venue spells them."""
        raise NotImplementedError

    def top_frame(self, symbol: str, bid: str, ask: str) -> str:
        """A frame after which these are the best prices."""
        raise NotImplementedError

    async def subscribe(self, session: Session, message: dict[str, Any]) -> None:
        """Answer a request."""
        raise NotImplementedError

    def numbered(self, session: Session, frame: str) -> str:
        """The frame as it goes to one session."""
        del session
        return frame

    def publish(self, topic: str, symbol: str, *frames: str) -> int:
        """Send frames to the sessions that subscribed; how many those were."""

        async def send() -> int:
            there = [session for session in self.sessions if (topic, symbol) in session.topics]
            for session in there:
                for frame in frames:
                    await self.send(session, frame)
            return len(there)

        return self._do(send)

    def publish_trades(self, symbol: str, trades: list[Trade]) -> int:
        """Send trades to the sessions that follow them."""
        return self.publish("trades", symbol, *self.trades_frame(symbol, trades))

    def publish_top(self, symbol: str, bid: str, ask: str) -> int:
        """Send best prices to the sessions that follow them."""
        return self.publish("book", symbol, self.top_frame(symbol, bid, ask))

    def publish_raw(self, frame: str) -> None:
        """Send a frame to everybody."""

        async def send() -> None:
            for session in list(self.sessions):
                await session.socket.send_str(frame)

        self._do(send)

    def cut(self) -> None:
        """End every connection without a word, as a network does."""

        async def cut() -> None:
            for session in list(self.sessions):
                session.transport.abort()

        self._do(cut)

    def say_goodbye(self) -> None:
        """Close every connection as the protocol has it."""

        async def close() -> None:
            for session in list(self.sessions):
                await session.socket.close(code=WSCloseCode.SERVICE_RESTART)

        self._do(close)

    def wait_until_left(self) -> None:
        """Return when nobody is connected any more."""

        async def left() -> None:
            async with asyncio.timeout(_PATIENCE):
                while self.sessions:
                    await self._left.wait()
                    self._left.clear()

        self._do(left)

    async def send(self, session: Session, frame: str) -> None:
        """One frame to one session, numbered where the venue numbers them."""
        text = self.numbered(session, frame)
        session.sent += 1
        if not session.socket.closed:
            await session.socket.send_str(text)

    async def _run(self) -> None:
        self._left = asyncio.Event()
        await super()._run()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        session = Session(socket, request.transport)
        self.sessions.append(session)
        self.opened += 1
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    asked = json.loads(message.data)
                    session.requests.append(asked)
                    await self.subscribe(session, asked)
                elif message.type is WSMsgType.PING and self.answers_pings:
                    await socket.pong(message.data)
        finally:
            self.sessions.remove(session)
            self._left.set()
        return socket

    def _do(self, what: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(_PATIENCE)


def candle_values(candle: MinuteCandle) -> list[str]:
    """Open, high, low, close and volume as text."""
    return [repr(value) for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)]
