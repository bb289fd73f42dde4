"""A venue that writes down what it is sent, byte for byte, and answers what it was told to. It knows no rules."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """An answer: JSON or text, with a status; or `lost`: the connection ends before it, `hangs`: it never comes.

    `half`: the connection ends in the middle of it.
    """

    body: Any = None
    status: int = 200
    lost: bool = False
    hangs: bool = False
    half: bool = False
    headers: Mapping[str, str] | None = None

    @property
    def text(self) -> str:
        """The body as it goes over the wire."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


@dataclass(frozen=True)
class Sent:
    """A request as it arrived: its name (method and path), the parameters as spelt, the headers and the raw body."""

    name: str
    parameters: dict[str, Any]
    headers: dict[str, str]
    body: str


class VenueCapture:
    """A server on loopback, started by `with`.

    Args:
        replies: by name of the call ("POST /0/private/AddOrder"); of several the last one is given again and again.
    """

    def __init__(self, replies: Mapping[str, Reply | Iterable[Reply]]) -> None:
        self.replies = {name: [one] if isinstance(one, Reply) else list(one) for name, one in replies.items()}
        self.sent: list[Sent] = []
        self._ready = Event()

    def answer(self, name: str, *replies: Reply) -> None:
        """Answer the call by these from now on."""
        self.replies[name] = list(replies)

    def names(self) -> list[str]:
        """The names of all calls in order."""
        return [sent.name for sent in self.sent]

    def of(self, name: str) -> list[Sent]:
        """The calls of that name."""
        return [sent for sent in self.sent if sent.name == name]

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the capturing venue did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name, body = f"{request.method} {request.path}", await request.text()
        self.sent.append(Sent(name, _parameters(request.query_string, body), dict(request.headers), body))
        waiting = self.replies.get(name, [Reply(f"nothing was told of {name}", 500)])
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if reply.hangs:
            await self._stopping.wait()
        if (reply.lost or reply.hangs) and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if reply.half:
            return await _half(request, reply.text)
        return web.Response(
            text=reply.text, status=reply.status, content_type="application/json", headers=reply.headers
        )

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()


def _parameters(query: str, body: str) -> dict[str, Any]:
    """The parameters as they were spelt: JSON keeps its types, forms and addresses have text only."""
    if body.startswith("{"):
        return dict(json.loads(body, parse_float=str, parse_int=str))
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body or query, keep_blank_values=True):
        found[name] = [*found[name], value] if isinstance(found.get(name), list) else value
        if sum(each == name for each, _ in parse_qsl(body or query)) > 1 and not isinstance(found[name], list):
            found[name] = [value]
    return found


async def _half(request: web.Request, text: str) -> web.StreamResponse:
    body = text.encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
