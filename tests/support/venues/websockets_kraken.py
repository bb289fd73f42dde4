"""Kraken's WebSocket version 2 on loopback. Facts: docs.kraken.com and the recorded book frames."""

import json
from typing import Any
from zlib import crc32

from triplegain_pipelines.market.trades import Trade
from venues.kraken import KrakenServer
from venues.websockets import Session, Sockets

_TOPICS = {"trade": "trades", "book": "book"}
_REPEATED = 50  # trades that a new subscription starts with


class KrakenSockets(Sockets, KrakenServer):
    """One confirmation a symbol, then a snapshot: of the trades, the newest 50."""

    path = "/v2"

    def __init__(self, *symbols: str) -> None:
        super().__init__(*symbols)
        self.published: dict[str, list[Trade]] = {}
        self.first_books: dict[str, str] = {}

    def trades_frame(self, symbol: str, trades: list[Trade]) -> list[str]:
        """One frame."""
        self.published.setdefault(symbol, []).extend(trades)
        return [_trades(symbol, trades, "update")]

    def top_frame(self, symbol: str, bid: str, ask: str) -> str:
        """A snapshot of one level a side."""
        digits = "".join(number.replace(".", "").lstrip("0") for number in (ask, "2.50", bid, "1.50"))
        return (
            '{"channel":"book","type":"snapshot","data":[{"symbol":"%s","bids":[{"price":%s,"qty":1.50}],'  # noqa: UP031 - braces
            '"asks":[{"price":%s,"qty":2.50}],"checksum":%d}]}' % (symbol, bid, ask, crc32(digits.encode()))
        )

    async def subscribe(self, session: Session, message: dict[str, Any]) -> None:
        """Answer a subscription or a ping."""
        if message["method"] == "ping":
            if self.answers_pings:
                await self.send(session, json.dumps({"method": "pong", "req_id": message.get("req_id")}))
            return
        asked = message["params"]
        for symbol in asked["symbol"]:
            if symbol in self.refused:
                refusal = {"error": self.refused[symbol], "method": "subscribe", "success": False, "symbol": symbol}
                await self.send(session, json.dumps({**refusal, "req_id": message["req_id"]}))
                continue
            session.topics.add((_TOPICS[asked["channel"]], symbol))
            if self.confirms:
                result = {"channel": asked["channel"], "snapshot": True, "symbol": symbol}
                confirmation = {"method": "subscribe", "result": result, "success": True, "req_id": message["req_id"]}
                await self.send(session, json.dumps(confirmation))
            before = self.published.get(symbol, [])
            if asked["channel"] == "trade" and before:
                await self.send(session, _trades(symbol, before[-_REPEATED:], "snapshot"))
            if asked["channel"] == "book" and symbol in self.first_books:
                await self.send(session, self.first_books[symbol])


def _trades(symbol: str, trades: list[Trade], kind: str) -> str:
    rows = [
        {
            "symbol": symbol,
            "side": trade.side,
            "price": trade.price,
            "qty": trade.quantity,
            "ord_type": "market",
            "trade_id": int(trade.trade_id),
            "timestamp": trade.traded_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        for trade in trades
    ]
    return json.dumps({"channel": "trade", "type": kind, "data": rows})
