"""A way to a server on loopback that can be cut, closed, or left open without anything coming through."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Self

_PATIENCE = 10.0


class FaultyNetwork:
    """A TCP proxy, started by `with`. Its port stays the same whatever happens to it.

    Args:
        target: port of the server on loopback.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._ready = Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(_PATIENCE), "the network did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def cut(self) -> None:
        """End every connection without a word; new ones are taken."""
        self._do(self._cut)

    def refuse(self) -> None:
        """End every connection, and take none until `heal`."""
        self._do(self._refuse)

    def swallow(self) -> None:
        """Keep every connection and take new ones, and let nothing through until `heal`."""
        self._do(self._swallow)

    def heal(self) -> None:
        """Let everything through, what was held back first."""
        self._do(self._heal)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _swallow(self) -> None:
        self._open.clear()

    async def _heal(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _run(self) -> None:
        self._loop, self._stopping, self._open = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        await self._heal()
        assert self._server is not None
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        await self._refuse()
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            with suppress(asyncio.CancelledError):  # at the end
                await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        finally:
            self._writers -= {writer, there_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def _do(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(_PATIENCE)
