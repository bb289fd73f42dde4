"""Setting prices and looking into the books of a venue on loopback from another process.

The process that holds the server uses its objects; one that was forked from it, or that started it as a program, has
no others than these calls. They lie beside the venue's own and need no key: the server listens on loopback only.
"""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from triplegain_pipelines.rehearsal.server import LoopbackServer

_PATH = "/rehearsal"
_PATIENCE = 10.0


def control_routes(server: "LoopbackServer") -> list[web.RouteDef]:
    """The calls of `Control`."""

    async def price(request: web.Request) -> web.Response:
        asked = await request.json()
        server.exchange.set_price(asked["symbol"], Decimal(asked["bid"]), Decimal(asked["ask"]))
        return web.json_response({})

    async def settle(_: web.Request) -> web.Response:
        server.settle()
        return web.json_response({})

    async def advance(request: web.Request) -> web.Response:
        move: Callable[[timedelta], None] = server.exchange.clock.advance  # type: ignore[attr-defined]
        move(timedelta(seconds=(await request.json())["seconds"]))
        return web.json_response({})

    async def state(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(_state(server), default=str), content_type="application/json")

    return [
        web.post(f"{_PATH}/price", price),
        web.post(f"{_PATH}/settle", settle),
        web.post(f"{_PATH}/advance", advance),
        web.get(f"{_PATH}/state", state),
    ]


@dataclass(frozen=True, slots=True)
class Control:
    """The control of a server in another process.

    Args:
        url: the server's address.
    """

    url: str

    def set_price(self, symbol: str, bid: Decimal, ask: Decimal) -> None:
        """Set the best prices, and fill what they reach."""
        self._post("price", {"symbol": symbol, "bid": str(bid), "ask": str(ask)})

    def repeat_prices(self) -> None:
        """Set the prices of now once more: at them the rest of what was filled in part is filled."""
        for symbol, (bid, ask) in self.state()["prices"].items():
            self.set_price(symbol, Decimal(bid), Decimal(ask))

    def settle(self) -> None:
        """Let every fill arrive that a fault keeps back."""
        self._post("settle", {})

    def advance(self, duration: timedelta) -> None:
        """Move the server's clock, where that is a `ShiftableClock`."""
        self._post("advance", {"seconds": duration.total_seconds()})

    def state(self) -> dict[str, Any]:
        """Orders, trades, balances, calls and faults met, numbers as text."""
        with urllib.request.urlopen(f"{self.url}{_PATH}/state", timeout=_PATIENCE) as answer:  # noqa: S310 - loopback
            read: dict[str, Any] = json.load(answer)
        return read

    def _post(self, name: str, content: object) -> None:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}{_PATH}/{name}", json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=_PATIENCE).close()  # noqa: S310 - loopback


def _state(server: "LoopbackServer") -> dict[str, Any]:
    exchange = server.exchange
    return {
        "orders": [asdict(order) for order in exchange.orders],
        "trades": [asdict(trade) for trade in exchange.trades],
        "balances": exchange.balances,
        "held": exchange.held,
        "prices": exchange.prices,
        "calls": [[call.name, call.parameters] for call in list(server.calls)],
        "faults": [[name, kind] for name, kind in server.faults.met],
    }
