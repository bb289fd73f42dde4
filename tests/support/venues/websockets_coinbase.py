"""Coinbase's Advanced Trade WebSocket on loopback. Facts: its documentation; every message is numbered."""

import json
from typing import Any

from triplegain_pipelines.market.streams.books import BookChange
from triplegain_pipelines.market.trades import Trade
from venues.coinbase import CoinbaseServer
from venues.websockets import Session, Sockets

_TOPICS = {"market_trades": "trades", "level2": "book", "heartbeats": "heartbeats"}
_WRITTEN_AT = "2026-01-01T00:00:00.123456789Z"


class CoinbaseSockets(Sockets, CoinbaseServer):
    """One confirmation a request, then a snapshot of the newest trades."""

    path = "/"

    def __init__(self, *symbols: str) -> None:
        super().__init__(*symbols)
        self.published: dict[str, list[Trade]] = {}
        self.lost = 0  # as many numbers are skipped before the next message

    @property
    def websocket_url(self) -> str:
        """Coinbase's stream has no path."""
        return super().websocket_url + "/"

    def numbered(self, session: Session, frame: str) -> str:
        """With its number in the session."""
        session.sent, self.lost = session.sent + self.lost, 0
        return json.dumps({**json.loads(frame), "sequence_num": session.sent})

    def trades_frame(self, symbol: str, trades: list[Trade]) -> list[str]:
        """One frame, the newest trade first."""
        self.published.setdefault(symbol, []).extend(trades)
        return [_trades(symbol, trades, "update")]

    def top_frame(self, symbol: str, bid: str, ask: str) -> str:
        """A snapshot of one level a side."""
        updates = [_level("bid", bid, "1.50"), _level("offer", ask, "2.50")]
        return _message("l2_data", {"type": "snapshot", "product_id": symbol.replace("/", "-"), "updates": updates})

    def book_frame(self, symbol: str, change: BookChange) -> str:
        """A recorded change of the old feed in today's spelling."""
        updates = [_level("bid", level.price, level.quantity) for level in change.bids]
        updates += [_level("offer", level.price, level.quantity) for level in change.asks]
        kind = "snapshot" if change.snapshot else "update"
        return _message("l2_data", {"type": kind, "product_id": symbol.replace("/", "-"), "updates": updates})

    async def subscribe(self, session: Session, message: dict[str, Any]) -> None:
        """Answer a subscription."""
        products = message.get("product_ids", [])
        symbols = [product.replace("-", "/") for product in products]
        for symbol in symbols:
            if symbol in self.refused:
                await session.socket.send_str(json.dumps({"type": "error", "message": self.refused[symbol]}))
                return
        session.topics |= {(_TOPICS[message["channel"]], symbol) for symbol in symbols}
        if self.confirms:
            subscribed = {"subscriptions": {message["channel"]: products or ["heartbeats"]}}
            await self.send(session, _message("subscriptions", subscribed))
        if message["channel"] == "market_trades":
            for symbol in symbols:
                if before := self.published.get(symbol):
                    await self.send(session, _trades(symbol, before[-100:], "snapshot"))


def _message(channel: str, event: dict[str, Any]) -> str:
    return json.dumps({"channel": channel, "client_id": "", "timestamp": _WRITTEN_AT, "events": [event]})


def _level(side: str, price: str, quantity: str) -> dict[str, str]:
    return {"side": side, "event_time": _WRITTEN_AT, "price_level": price, "new_quantity": quantity}


def _trades(symbol: str, trades: list[Trade], kind: str) -> str:
    rows = [
        {
            "trade_id": trade.trade_id,
            "product_id": symbol.replace("/", "-"),
            "price": repr(trade.price),
            "size": repr(trade.quantity),
            "side": trade.side.upper(),
            "time": trade.traded_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        for trade in reversed(trades)
    ]
    return _message("market_trades", {"type": kind, "trades": rows})
