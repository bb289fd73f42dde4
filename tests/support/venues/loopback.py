"""The base of the loopback venues: an aiohttp application in a thread of its own, with faults for its calls."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any, Self

import numpy as np
import polars as pl
from aiohttp import web

from triplegain_pipelines.domain.clock import SystemClock
from venues.tape import Tape

_BLOCK_PAGE = "<!DOCTYPE html><html><head><title>Attention Required!</title></head><body>blocked</body></html>"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call for candles, trades or a ticker.

    Args:
        name: for the ids of tests.
        status: HTTP status of the answer.
        body: sent in place of the answer; None: the answer itself.
        hangs: no answer at all until the server stops.
        cut: the connection ends in the middle of the answer.
        rows: changes the rows of the page.
    """

    name: str
    status: int = 200
    body: str | None = None
    hangs: bool = False
    cut: bool = False
    rows: Callable[[list[Any]], list[Any]] | None = None


TIME_OUT = Fault("time-out", hangs=True)
TOO_MANY = Fault("429", status=429, body='{"message": "Too many requests"}')
CLOUDFLARE = Fault("520", status=520, body="<html>Web server is returning an unknown error</html>")
SERVER_ERROR = Fault("500", status=500, body='{"message": "internal error"}')
UNAVAILABLE = Fault("503", status=503, body="")
BLOCK_PAGE = Fault("block page", body=_BLOCK_PAGE)
BLOCKED = Fault("403 block page", status=403, body=_BLOCK_PAGE)
EMPTY_BODY = Fault("empty body", body="")
CUT_OFF = Fault("cut connection", cut=True)
HALF_JSON = Fault("half of the JSON", body='{"result": {"XBT')
PASSING_FAULTS = (
    TOO_MANY,
    CLOUDFLARE,
    SERVER_ERROR,
    UNAVAILABLE,
    BLOCK_PAGE,
    BLOCKED,
    EMPTY_BODY,
    CUT_OFF,
    HALF_JSON,
)
REORDERED = Fault("reordered page", rows=lambda rows: [*rows[1::2], *rows[::2]])
DOUBLED = Fault("duplicated rows", rows=lambda rows: [*rows, *rows[: len(rows) // 3]])


def fault_plan(seed: int, calls: int, share: float, faults: Iterable[Fault]) -> deque[Fault | None]:
    """For each of the next calls a fault with the given probability, or None; the same for the same seed."""
    draw = np.random.default_rng(seed)
    kinds = tuple(faults)
    return deque(kinds[draw.integers(len(kinds))] if draw.random() < share else None for _ in range(calls))


class LoopbackServer:
    """A venue on loopback, started by `with`. A subclass adds its routes and the spelling of its answers.

    Args:
        candles: 1-minute candle frames by symbol. Rows later than `now` are kept back, the running one is unfinished.
        trades: trade frames by symbol; what is later than `now` is kept back.
        now: the true time; the machine's by default.
        skew: how far the venue's clock is ahead of the true time.
        faults: met by the next calls for candles, trades or tickers, one each; None: that call is served well.
    """

    def __init__(
        self,
        candles: Mapping[str, pl.DataFrame] | None = None,
        trades: Mapping[str, pl.DataFrame] | None = None,
        *,
        now: Callable[[], datetime] | None = None,
        skew: timedelta = timedelta(0),
        faults: Iterable[Fault | None] = (),
    ) -> None:
        self.tape = Tape()
        self.tape.add(candles or {}, trades or {})
        self.quotes: dict[str, tuple[str, str]] = {}
        self.skew = skew
        self.faults: deque[Fault | None] = deque(faults)
        self.calls: list[str] = []
        self.questions: list[dict[str, str]] = []
        self._now = now or SystemClock().now
        self._ready = Event()

    def routes(self) -> list[web.RouteDef]:
        """What it answers; a subclass with more to offer adds to this list."""
        raise NotImplementedError

    def refusal(self) -> Fault:
        """The venue refuses the call for good."""
        raise NotImplementedError

    def busy(self) -> Fault:
        """The venue's own words for 'later'."""
        raise NotImplementedError

    def shapeless(self) -> list[Fault]:
        """Answers that are JSON, but not of the shape that was promised."""
        raise NotImplementedError

    def now(self) -> datetime:
        """The venue's clock."""
        return self._now() + self.skew

    def quote(self, symbol: str) -> tuple[str, str]:
        """Best bid and ask: as set in `quotes`, or around the newest close by a tenth."""
        if symbol in self.quotes:
            return self.quotes[symbol]
        newest = self.tape.candles_between(symbol, 0, 2**40, self.now())[-1]
        return newest.close, format(float(newest.close) + 0.1, ".5f")

    def __enter__(self) -> Self:
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the loopback venue did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    async def serve(
        self, request: web.Request, name: str, rows: list[Any], wrap: Callable[[list[Any]], Any]
    ) -> web.StreamResponse:
        """The answer to a call for candles, trades or a ticker, or the fault it meets.

        Args:
            request: the call.
            name: what `calls` notes of it; `questions` notes its parameters.
            rows: the page that was asked for.
            wrap: makes the answer of the rows.
        """
        self.note(request, name)
        fault = self.faults.popleft() if self.faults else None
        if fault is None:
            return web.json_response(wrap(rows))
        if fault.hangs:
            await self._stopping.wait()
        text = json.dumps(wrap(fault.rows(rows) if fault.rows else rows)) if fault.body is None else fault.body
        if fault.cut or fault.hangs:
            return await _cut(request, text)
        return web.Response(text=text, status=fault.status, content_type="application/json")

    def note(self, request: web.Request, name: str) -> None:
        """Put the call into `calls`, and its parameters into `questions`."""
        self.calls.append(name)
        self.questions.append(dict(request.query))

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.add_routes(self.routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()


async def _cut(request: web.Request, text: str) -> web.StreamResponse:
    """Half of the body under the length of all of it, then the end of the connection."""
    body = text.encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
