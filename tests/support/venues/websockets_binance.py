"""Binance's market streams on loopback. Facts: its documentation and the recorded combined stream."""

import json
from typing import Any

from triplegain_pipelines.market.trades import MinuteCandle, Trade
from venues.binance import BinanceServer
from venues.websockets import Session, Sockets, candle_values

_TOPICS = {"trade": "trades", "kline_1m": "candles", "bookTicker": "book"}


class BinanceSockets(Sockets, BinanceServer):
    """One confirmation a request; no trade is repeated."""

    path = "/stream/ws/{number}"

    @property
    def websocket_url(self) -> str:
        """Ccxt tells spot from futures by `/stream` in the address."""
        return super().websocket_url + "/stream"

    def trades_frame(self, symbol: str, trades: list[Trade]) -> list[str]:
        """A frame for each trade."""
        return [
            json.dumps(
                {
                    "e": "trade",
                    "E": _milliseconds(trade),
                    "s": symbol.replace("/", ""),
                    "t": int(trade.trade_id),
                    "p": repr(trade.price),
                    "q": repr(trade.quantity),
                    "T": _milliseconds(trade),
                    "m": trade.side == "sell",
                    "M": True,
                }
            )
            for trade in trades
        ]

    def top_frame(self, symbol: str, bid: str, ask: str) -> str:
        """A bookTicker, which carries no time."""
        return json.dumps({"u": 1, "s": symbol.replace("/", ""), "b": bid, "B": "1.50", "a": ask, "A": "2.50"})

    def publish_candle(self, symbol: str, candle: MinuteCandle, *, closed: bool = False) -> int:
        """Send a candle as it stands."""
        opened = int(candle.opened_at.timestamp()) * 1000
        opening, high, low, close, volume = candle_values(candle)
        kline = {"t": opened, "T": opened + 59_999, "s": symbol.replace("/", ""), "i": "1m", "f": 1, "L": 2, "n": 2}
        kline |= {"o": opening, "h": high, "l": low, "c": close, "v": volume, "x": closed, "q": "1", "V": "1", "Q": "1"}
        frame = json.dumps({"e": "kline", "E": opened, "s": kline["s"], "k": kline})
        return self.publish("candles", symbol, frame)

    async def subscribe(self, session: Session, message: dict[str, Any]) -> None:
        """Answer a SUBSCRIBE."""
        ids = {symbol.replace("/", "").lower(): symbol for symbol in self.tape.symbols}
        for stream in message["params"]:
            market, _, channel = stream.partition("@")
            symbol = ids[market]
            if symbol in self.refused:
                error = {"code": 2, "msg": self.refused[symbol]}
                await self.send(session, json.dumps({"error": error, "id": message["id"]}))
                return
            session.topics.add((_TOPICS[channel], symbol))
        if self.confirms:
            await self.send(session, json.dumps({"result": None, "id": message["id"]}))


def _milliseconds(trade: Trade) -> int:
    return round(trade.traded_at.timestamp() * 1000)
