"""One connection of ccxt's streaming client, listened to so that nothing is lost and no break goes unnoticed.

ccxt answers `watch_…` calls, which is not enough here. Between two calls a message may be merged with the next; an
error inside its reading loop ends the loop without a word; a refused subscription is filed under a key that nobody
waits for; and it opens a lost connection again at the next call as if nothing had been. So the calls are only used to
subscribe, and what ccxt made of each message is taken at the moment it is made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.clock_skew import ALL_SYMBOLS
from triplegain_pipelines.market.streams.events import Connected, Disconnected, Event, EventReader
from triplegain_pipelines.market.streams.frames import Frames
from triplegain_pipelines.market.streams.validated_books import WrongBookError
from triplegain_pipelines.market.venues.exchange import said

_GOODBYE_SECONDS = 2
_BARE_WORDS = {"ping", "pong"}  # what some venues send without being JSON


class Connection:
    """Opened by `run`, and ended for good by the first thing that goes wrong.

    Args:
        exchange: of ccxt.pro, for this connection alone.
        endpoint: its name in events.
        frames: how the venue's messages are read.
        symbols: those that are to be confirmed.
        seen: what is called with each event.
        clock: the time of the events.
        silent: how long nothing may come.
    """

    def __init__(
        self,
        exchange: Any,  # noqa: ANN401 - ccxt has no types
        endpoint: str,
        frames: Frames,
        symbols: Sequence[str],
        *,
        seen: Callable[[Event], None],
        clock: Clock,
        silent: timedelta,
    ) -> None:
        self._exchange, self._endpoint, self._frames, self._seen = exchange, endpoint, frames, seen
        self._clock, self._silent = clock, silent.total_seconds()
        self._unconfirmed = set(symbols)
        self._connected = False
        self._started: float | None = None
        self._heard: float | None = None
        self._results: list[Any] = []
        self._read: EventReader = lambda _: []
        self._read_text: Callable[[str], Sequence[Event] | None] = lambda _: None
        self._clients: list[Any] = []
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self._listen_to_clients_of(exchange)

    def read_text_first(self, read: Callable[[str], Sequence[Event] | None]) -> None:
        """Give the text of each message to `read`; where it returns events, ccxt does not see the message."""
        self._read_text = read

    def start(self, read: EventReader) -> None:
        """From now on silence is measured, and `read` makes events of ccxt's results."""
        self._read = read
        self._started = self._heard = monotonic_seconds()

    async def run(self, subscribe: Callable[[], Awaitable[None]]) -> None:
        """Subscribe and listen until the connection ends, then close it.

        Raises:
            TripleGainError: why it ended, unless `finish` was called.
        """
        tasks = [asyncio.create_task(self._subscribe(subscribe)), asyncio.create_task(self._watch_for_silence())]
        try:
            await self._ended
        finally:
            self._disconnect("closed by us")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    def finish(self) -> None:
        """End the connection without an error."""
        self._disconnect("closed by us")
        if not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error: Exception) -> None:
        """End the connection with `error`, unless it has ended before."""
        if self._ended.done():
            return
        if isinstance(error, WrongBookError):
            self._tell(error.finding)
        self._disconnect(str(error))
        if not self._ended.done():
            self._ended.set_exception(_ours(error, self._endpoint))

    def _disconnect(self, reason: str) -> None:
        if self._connected:
            self._connected = False
            self._tell(Disconnected(self._endpoint, self._clock.now(), reason))

    def _confirm(self, symbols: frozenset[str]) -> None:
        self._unconfirmed -= symbols
        if not self._unconfirmed and not self._connected:
            self._connected = True
            self._tell(Connected(self._endpoint, self._clock.now()))

    def _tell(self, event: Event) -> None:
        if self._ended.done() and not isinstance(event, Disconnected):
            return
        try:
            self._seen(event)
        except Exception as error:  # noqa: BLE001 - what the caller raises must end the connection, not vanish in the loop
            if not self._ended.done():
                self._ended.set_exception(error)

    async def _subscribe(self, subscribe: Callable[[], Awaitable[None]]) -> None:
        try:
            await subscribe()
        except Exception as error:  # noqa: BLE001 - ccxt falls over strange answers in many ways; `_fail` sorts them
            self._fail(error)

    async def _watch_for_silence(self) -> None:
        while True:
            await asyncio.sleep(self._silent / 4)
            if self._started is None or self._heard is None:  # the list of markets is still being read
                continue
            now = monotonic_seconds()
            if now - self._heard > self._silent:
                self._tell(self._silence())
                self._fail(TransientError(f"nothing came from {self._endpoint} for {self._silent:g} s"))
            elif self._unconfirmed and now - self._started > self._silent:
                missing = ", ".join(sorted(self._unconfirmed)[:5])
                self._fail(TransientError(f"{self._endpoint} did not confirm in {self._silent:g} s: {missing}"))

    def _silence(self) -> Finding:
        venue = self._endpoint.partition("/")[0]
        detail: dict[str, str | float | int] = {"endpoint": self._endpoint, "seconds": self._silent}
        return Finding(venue, ALL_SYMBOLS, self._clock.now(), QualityCode.SILENT_FEED, "stream", detail)

    async def _close(self) -> None:
        self._exchange.open = self._stay_closed
        try:
            # A venue that fell silent does not say goodbye either, and aiohttp would wait ten seconds for it.
            with suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    for client in self._clients:
                        await client.close()
            await self._exchange.close()
        finally:
            self.closed.set()

    def _stay_closed(self) -> None:
        """In place of ccxt's `open`: calls still under way when the connection ended would open a session anew."""
        msg = f"{self._endpoint} is closed"
        raise TransientError(msg)

    def _listen_to_clients_of(self, exchange: Any) -> None:  # noqa: ANN401 - ccxt has no types
        make = exchange.client

        def client_listened_to(url: str) -> Any:  # noqa: ANN401 - ccxt has no types
            client = make(url)
            if client not in self._clients:
                self._clients.append(client)
                self._listen(client)
            return client

        exchange.client = client_listened_to

    def _listen(self, client: Any) -> None:  # noqa: ANN401 - ccxt has no types
        """Put ourselves between ccxt's client and its exchange."""
        any_message, text, on_message = (
            client.handle_message,
            client.handle_text_or_binary_message,
            client.on_message_callback,
        )
        resolve, on_connected = client.resolve, client.on_connected_callback

        def hear(message: Any) -> None:  # noqa: ANN401
            self._heard = monotonic_seconds()
            any_message(message)

        def read_text(data: str | bytes) -> None:
            self._guard(lambda: self._take_text(data, text))

        def take(client: Any, message: Any) -> None:  # noqa: ANN401
            self._take_message(message, lambda: on_message(client, message))

        def keep(result: Any, message_hash: str | None = None) -> Any:  # noqa: ANN401
            self._results.append(result)
            return resolve(result, message_hash)

        def fail(error: Any, message_hash: str | None = None) -> Any:  # noqa: ANN401
            del message_hash  # whatever was refused or broke, the connection is not whole
            self._fail(error if isinstance(error, Exception) else TransientError(str(error)[:200]))
            return error

        def connected(client: Any) -> None:  # noqa: ANN401
            on_connected(client)
            if not self._frames.confirms:
                self._confirm(frozenset(self._unconfirmed))

        client.handle_message, client.handle_text_or_binary_message = hear, read_text
        client.on_message_callback, client.on_connected_callback = take, connected
        client.resolve, client.reject = keep, fail

    def _guard(self, read: Callable[[], None]) -> None:
        """Read a message; what goes wrong ends the connection, because ccxt's loop would stop without a sound."""
        if self._ended.done():
            return
        try:
            read()
        except (WrongBookError, TransientError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - messages are untrusted, and parsers fall over them in any way
            self._fail(TransientError(f"{self._endpoint} sent what cannot be: {said(error)}"))

    def _take_text(self, data: str | bytes, text: Callable[[str | bytes], None]) -> None:
        frame = data.decode() if isinstance(data, bytes) else data
        events = self._read_text(frame)
        if events is None:
            text(frame)
            return
        for event in events:
            self._tell(event)

    def _take_message(self, message: Any, pass_on: Callable[[], None]) -> None:  # noqa: ANN401
        if not isinstance(message, dict | list) and message not in _BARE_WORDS:
            msg = f"{self._endpoint} sent what is not JSON: {str(message)[:80]!r}"
            raise TransientError(msg)
        self._results.clear()
        pass_on()
        if isinstance(message, dict):
            self._confirm(self._frames.confirmed(message))
        # ccxt may answer one message several times, for instance under two names of a symbol.
        for result in {id(result): result for result in self._results}.values():
            for event in self._read(result):
                self._tell(event)


def _ours(error: Exception, endpoint: str) -> Exception:
    """The error in our terms. Only what a person must change is permanent."""
    import ccxt

    text = f"{endpoint}: {said(error)}"
    if isinstance(error, ccxt.BadSymbol):
        return InputError(f"{text}; see which symbols the venue trades")
    if isinstance(error, ccxt.BadRequest | ccxt.NotSupported | ccxt.AuthenticationError):
        return PermanentError(f"{text}; the venue refuses it")
    if isinstance(error, InputError | TransientError):
        return error
    return TransientError(f"{text}; the connection is closed and can be opened anew")
