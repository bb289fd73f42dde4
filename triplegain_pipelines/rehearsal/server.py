"""A venue on loopback: an HTTP server in a thread of its own, with faults for its private calls.

The process that holds it may be forked. Children hold copies of its sockets that nobody serves; so whatever ends a
connection here shuts it down and does not only close it, and leaving the `with` block in a child does nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from threading import Event, Lock, Thread
from typing import Any, NamedTuple, Self

from aiohttp import web

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.rehearsal.control import control_routes
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan
from triplegain_pipelines.rehearsal.protocol import (
    Answer,
    Incoming,
    KeyPermissions,
    Route,
    VenueProtocol,
    parameters_of,
    protocol_of,
)

_START_PATIENCE = 10.0
_LONGEST_DELAY = 60.0
_LOOK_AGAIN = 0.01
_UNTIL_LATE = 6  # calls: a look-up or two, so that a late request comes after its absence was seen


class Call(NamedTuple):
    """A call as it came over the wire: the venue's name for it, and its parameters as they were spelt."""

    name: str
    parameters: dict[str, Any]


class _Late(NamedTuple):
    """A request that is on its way for so many calls yet."""

    route: Route
    call: Incoming
    calls: int


class LoopbackServer:
    """One venue on 127.0.0.1, started by `with`.

    `calls` has every call that arrived, in order, also those whose request was lost by a fault.

    Args:
        exchange: what is traded against; one server to an exchange.
        venue: "kraken", "binance" or "coinbase".
        faults: what private calls meet, in order; None: served well.
        permissions: what the key may do.
        rate_limits: count calls as the venue does and refuse those that come too soon.
    """

    def __init__(
        self,
        exchange: LoopbackExchange,
        venue: str = "kraken",
        faults: FaultPlan | Iterable[Fault | None] = (),
        *,
        permissions: KeyPermissions | None = None,
        rate_limits: bool = False,
    ) -> None:
        self.exchange = exchange
        self.venue = venue
        self.faults = faults if isinstance(faults, FaultPlan) else FaultPlan(faults)
        self.calls: list[Call] = []
        self.protocol: VenueProtocol = protocol_of(
            venue, exchange, permissions or KeyPermissions(), rate_limits=rate_limits
        )
        self._late: list[_Late] = []
        self._holding = Lock()
        self._ready = Event()
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def websocket_url(self) -> str:
        """Its address for streams, behind which a venue's own path is put."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def api_key(self) -> str:
        """The name of the account's key."""
        return self.protocol.api_key

    @property
    def api_secret(self) -> str:
        """The account's secret, as the venue hands it out."""
        return self.protocol.api_secret

    def settle(self) -> None:
        """Let every request and every fill arrive that a fault keeps back, before books are compared."""
        self._arrive(_UNTIL_LATE)
        self.exchange.settle()

    def __enter__(self) -> Self:
        self._process = os.getpid()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, name=f"loopback {self.venue}", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_PATIENCE) or self._failure is not None:
            msg = f"the {self.venue} on loopback did not start"
            raise RuntimeError(msg) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._process:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            self._failure = error
            self._ready.set()
            raise

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        for route in self.protocol.routes():
            application.router.add_route(route.method, route.path, self._handler(route))
        application.add_routes(control_routes(self))
        stream = self.protocol.stream()
        if stream is not None:
            application.router.add_get(stream.path, stream.serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        self._ready.set()
        await self._stopping.wait()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if stream is not None:
            await stream.close()
        await runner.cleanup()

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = (await request.read()).decode()
            try:
                parameters = parameters_of(request.query_string, body, request.content_type)
            except ValueError:
                return _response(self.protocol.malformed())
            self.calls.append(Call(route.name, {**parameters, **request.match_info}))
            call = Incoming(
                request.method, request.host, request.path, request.query_string, request.headers, body, parameters,
                request.match_info,
            )  # fmt: skip
            if route.kind is None:
                return _response(self.protocol.answer(route, call))
            return await self._private(request, route, route.kind, call)

        return handle

    async def _private(self, request: web.Request, route: Route, kind: CallKind, call: Incoming) -> web.StreamResponse:
        self._arrive(1)
        fault = self.faults.meet(route.name, kind)
        if fault is FaultKind.LATE_REQUEST and self.protocol.authenticate(call, kind) is None:
            with self._holding:
                self._late.append(_Late(route, call, _UNTIL_LATE))
        if fault in {FaultKind.LOSE_REQUEST, FaultKind.LATE_REQUEST}:
            return _cut(request)
        before = self._instead(fault, kind)
        if before is not None:
            return _response(before)
        answer = self.protocol.answer(route, replace(call, fault=fault))
        if fault is FaultKind.LOSE_ANSWER:
            return _cut(request)
        if fault is FaultKind.SERVER_ERROR_AFTER:
            return _response(self.protocol.server_error())
        if fault is FaultKind.DROP_CONNECTION:
            return await _half(request, answer)
        if fault is FaultKind.DELAY:
            await self._until_left(request)
        return _response(answer)

    def _arrive(self, calls: int) -> None:
        """So many calls have passed: late requests come as much nearer, and are carried out when they are there."""
        with self._holding:
            nearer = [late._replace(calls=late.calls - calls) for late in self._late]
            self._late = [late for late in nearer if late.calls > 0]
        for late in nearer:
            if late.calls <= 0:
                self.protocol.answer_late(late.route, late.call)

    def _instead(self, fault: FaultKind | None, kind: CallKind) -> Answer | None:
        """The answer of a call that is not carried out."""
        if fault is FaultKind.SERVER_ERROR:
            return self.protocol.server_error()
        if fault is FaultKind.RATE_LIMIT:
            return self.protocol.rate_limited(kind)
        return self.protocol.invalid_nonce() if fault is FaultKind.INVALID_NONCE else None

    async def _until_left(self, request: web.Request) -> None:
        """Return when the client has gone."""
        end = monotonic_seconds() + _LONGEST_DELAY
        while not self._stopping.is_set() and monotonic_seconds() < end:
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(_LOOK_AGAIN)


def _response(answer: Answer) -> web.Response:
    return web.Response(text=answer.body, status=answer.status, content_type=answer.content_type)


def _cut(request: web.Request) -> web.StreamResponse:
    """End the connection without a word, and for forked copies of it too."""
    transport = request.transport
    if transport is not None:
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        transport.abort()
    return web.Response()


async def _half(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Half of the body under the length of all of it, then the end of the connection."""
    body = answer.body.encode()
    response = web.StreamResponse(headers={"Content-Type": answer.content_type, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _cut(request)
    return response
