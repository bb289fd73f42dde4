"""Live trades, candles and best prices of a venue over WebSocket, by ccxt's streaming client.

One connection a channel: when the book must be opened anew because of a wrong checksum, the trades are not broken off,
and their minutes stay whole. A connection that failed is never used again; opening the next one, and when, is for the
caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError
from triplegain_pipelines.market.streams.connection import Connection
from triplegain_pipelines.market.streams.events import Event, EventReader, StreamReader
from triplegain_pipelines.market.streams.frames import Frames, frames_of
from triplegain_pipelines.market.streams.validated_books import ValidatedBooks
from triplegain_pipelines.settings.venues import StreamKind, VenueSettings

_TIMEOUT_MILLISECONDS = 10_000
_SILENT = timedelta(seconds=30)


class Channel(StrEnum):
    """What is followed over a connection of its own."""

    PRICES = "prices"  # trades, or the venue's own candles as they form
    BOOK = "book"  # best bid and ask


class VenueStream:
    """What one venue streams of some symbols.

    Args:
        venue: what it gives; see venues.yaml.
        name: the venue's name in our tables.
        symbols: such as BTC/USDT.
        clock: tells when something came.
        websocket_url: address to use in place of the venue's own; the path of each stream is put behind it.
        base_url: the same for REST, by which the list of markets is read.
        silent: a connection over which nothing came for that long counts as broken, heartbeats and pongs included.
    """

    def __init__(
        self,
        venue: VenueSettings,
        name: str,
        symbols: Sequence[str],
        *,
        clock: Clock,
        websocket_url: str | None = None,
        base_url: str | None = None,
        silent: timedelta = _SILENT,
    ) -> None:
        self._venue, self._name, self._symbols, self._clock = venue, name, list(symbols), clock
        self._websocket_url, self._base_url, self._silent = websocket_url, base_url, silent
        self._connections: set[Connection] = set()
        self._markets: tuple[Any, Any] | None = None
        self._loading = asyncio.Lock()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What the venue's settings say that it streams."""
        offered = {Channel.PRICES: self._venue.stream, Channel.BOOK: self._venue.book}
        return tuple(channel for channel, settings in offered.items() if settings is not None)

    def endpoint(self, channel: Channel) -> str:
        """The name of a channel's connection in events and tables: venue/channel."""
        return f"{self._name}/{channel}"

    async def follow(self, channel: Channel, seen: Callable[[Event], None]) -> None:
        """Open a connection and give each event to `seen`, until the connection breaks.

        `seen` is called while the message is being read, so that what was received is known at once; it must be quick.
        After `Connected` nothing is missed until `Disconnected`, which is the last event.

        Returns:
            Only after `close`.

        Raises:
            TransientError: the connection failed, broke, fell silent, or brought what cannot be; it is closed.
            PermanentError: the venue refuses what is asked of it, InputError where it has no such symbol.
        """
        exchange = self._exchange()
        frames = frames_of(exchange.id, self._symbols)
        connection = Connection(
            exchange,
            self.endpoint(channel),
            frames,
            self._symbols,
            seen=seen,
            clock=self._clock,
            silent=self._silent,
        )
        self._connections.add(connection)
        try:
            await connection.run(self._subscription(channel, exchange, connection, frames))
        finally:
            self._connections.discard(connection)

    async def close(self) -> None:
        """Close every connection; each `follow` returns as soon as its own is closed."""
        open_now = list(self._connections)
        for connection in open_now:
            connection.finish()
        await asyncio.gather(*(connection.closed.wait() for connection in open_now))

    def _subscription(
        self,
        channel: Channel,
        exchange: Any,  # noqa: ANN401 - ccxt has no types
        connection: Connection,
        frames: Frames,
    ) -> Callable[[], Awaitable[None]]:
        reader = StreamReader(self._name, self._symbols, self._clock.now)
        subscribe: Callable[[], Awaitable[object]]
        read: EventReader
        if channel is Channel.PRICES:
            subscribe, read = self._prices(exchange, reader)
        else:
            subscribe, read = self._book(exchange, reader, connection)

        async def load_and_subscribe() -> None:
            await self._load_markets(exchange)
            for symbol in self._symbols:
                exchange.market(symbol)  # refuses one that the venue does not have, before anything is opened
            connection.start(read)
            await asyncio.gather(subscribe(), frames.keep_alive(exchange))

        return load_and_subscribe

    def _prices(self, exchange: Any, reader: StreamReader) -> tuple[Callable[[], Awaitable[object]], EventReader]:  # noqa: ANN401 - ccxt has no types
        if self._venue.stream is StreamKind.TRADES:
            if exchange.has.get("watchTradesForSymbols"):
                return lambda: exchange.watch_trades_for_symbols(self._symbols), reader.trades
            return lambda: self._each(exchange.watch_trades), reader.trades
        if self._venue.stream is StreamKind.CANDLES and exchange.has.get("watchOHLCVForSymbols"):
            return lambda: exchange.watch_ohlcv_for_symbols([[one, "1m"] for one in self._symbols]), reader.candles
        msg = (
            f"{self._name} cannot be followed by {self._venue.stream}; set `stream: trades` in venues.yaml, or leave it"
        )
        raise PermanentError(msg)

    def _book(
        self,
        exchange: Any,  # noqa: ANN401 - ccxt has no types
        reader: StreamReader,
        connection: Connection,
    ) -> tuple[Callable[[], Awaitable[object]], EventReader]:
        book = self._venue.book
        if book is None:
            msg = f"venues.yaml describes no order book of {self._name}; add `book`, or do not follow it"
            raise PermanentError(msg)
        books = ValidatedBooks(self._name, reader, self._clock)
        if book.checksum:
            connection.read_text_first(lambda frame: books.apply(frame, book.depth))
            return lambda: exchange.watch_order_book_for_symbols(self._symbols, book.depth), books.nothing
        if exchange.has.get("watchBidsAsks"):
            return lambda: exchange.watch_bids_asks(self._symbols), books.uncrossed
        if exchange.has.get("watchOrderBookForSymbols"):
            return lambda: exchange.watch_order_book_for_symbols(self._symbols), books.uncrossed
        return lambda: self._each(exchange.watch_order_book), books.uncrossed

    async def _each(self, watch: Callable[[str], Awaitable[object]]) -> None:
        await asyncio.gather(*(watch(symbol) for symbol in self._symbols))

    async def _load_markets(self, exchange: Any) -> None:  # noqa: ANN401 - ccxt has no types
        """The list of markets is read once, not at every reconnection: on Binance it takes seconds."""
        async with self._loading:
            if self._markets is None:
                await exchange.load_markets()
                if not exchange.markets:  # kept, it would make every symbol seem unknown for ever
                    msg = f"{self._name} lists no market at all; it may work later"
                    raise TransientError(msg)
                self._markets = exchange.markets, exchange.currencies
            else:
                exchange.set_markets(*self._markets)

    def _exchange(self) -> Any:  # noqa: ANN401 - ccxt has no types
        import ccxt.pro

        if self._venue.ccxt not in ccxt.pro.exchanges:
            msg = f"ccxt streams nothing of {self._venue.ccxt!r}; use a venue such as kraken, binance or coinbase"
            raise InputError(msg)
        pace = {"enableRateLimit": True, "rateLimit": 1000 / self._venue.calls_per_second}
        exchange = getattr(ccxt.pro, self._venue.ccxt)({**pace, "timeout": _TIMEOUT_MILLISECONDS})
        if exchange.id == "binance":  # spot only: the futures' lists are as long, and have symbols of the same id
            exchange.options["fetchMarkets"] = {"types": ["spot"]}
        api = exchange.urls["api"]
        if self._base_url is not None:
            api.update({key: _moved(address, self._base_url) for key, address in api.items() if key != "ws"})
        if self._websocket_url is not None:
            api["ws"] = _moved(api["ws"], self._websocket_url)
        return exchange


def _moved(addresses: Any, to: str) -> Any:  # noqa: ANN401 - text, or dictionaries of it within each other
    """The same addresses at another server, each with its own path."""
    if isinstance(addresses, dict):
        return {key: _moved(address, to) for key, address in addresses.items()}
    return to + urlsplit(addresses).path
