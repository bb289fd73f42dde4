"""Version 2 of Kraken's streams over an exchange on loopback: prices for everybody, executions for the key's owner.

Facts: docs.kraken.com and ccxt's source. Public and private channels are served at one address.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any
from zlib import crc32

from aiohttp import WSMsgType, web

from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.kraken_answers import order_type
from triplegain_pipelines.rehearsal.kraken_names import transaction_id
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, OrderEvent, OrderNews, PriceNews
from triplegain_pipelines.rehearsal.protocol import iso, spelt

_PUBLIC = ("ticker", "trade", "book")
_PRIVATE = ("executions", "balances")
_TOP = Decimal(1)  # quantity of each side of the book, and of a trade
_EXACT = re.compile(r'"=([0-9.+-]+)="')
_WHAT = {
    OrderEvent.OPENED: ("new", "new"),
    OrderEvent.AMENDED: ("amended", "new"),
    OrderEvent.TRADED: ("trade", "partially_filled"),
    OrderEvent.FILLED: ("filled", "filled"),
    OrderEvent.CANCELED: ("canceled", "canceled"),
}


@dataclass(eq=False)
class _Session:
    """One connection: what it subscribed to, and what is to be sent."""

    topics: set[tuple[str, str]] = field(default_factory=set)
    frames: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    sequence: "count[int]" = field(default_factory=lambda: count(1))


class KrakenStream:
    """The stream.

    Args:
        exchange: whose news it tells.
        tokens: those that were handed out, for the private channels.
    """

    path = "/v2"

    def __init__(self, exchange: LoopbackExchange, tokens: AbstractSet[str]) -> None:
        self._exchange = exchange
        self._tokens = tokens
        self._sessions: set[_Session] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trade_ids = count(1)
        exchange.listeners.append(self._hear)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, until it ends."""
        self._loop = asyncio.get_running_loop()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session = _Session()
        self._sessions.add(session)
        sender = asyncio.create_task(_send(socket, session))
        session.frames.put_nowait(_frame({"channel": "status", "type": "update", "data": [{"system": "online"}]}))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._answer(session, json.loads(message.data))
        finally:
            self._sessions.discard(session)
            sender.cancel()
        return socket

    async def close(self) -> None:
        """End every connection."""
        self._exchange.listeners.remove(self._hear)
        for session in self._sessions:
            session.frames.put_nowait(None)

    def _hear(self, news: OrderNews | PriceNews) -> None:
        """News of the exchange, from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._spread, news)

    def _spread(self, news: OrderNews | PriceNews) -> None:
        for session in self._sessions:
            if isinstance(news, OrderNews):
                self._tell_order(session, news)
            else:
                self._tell_price(session, news)

    def _tell_order(self, session: _Session, news: OrderNews) -> None:
        if ("executions", "") in session.topics:
            session.frames.put_nowait(_executions([_execution(news)], "update", session))
        if ("balances", "") in session.topics and news.trade is not None:
            session.frames.put_nowait(self._balances("update", session))

    def _tell_price(self, session: _Session, news: PriceNews) -> None:
        for channel in _PUBLIC:
            if (channel, news.symbol) in session.topics:
                session.frames.put_nowait(self._public(channel, news, "update"))

    def _answer(self, session: _Session, message: dict[str, Any]) -> None:
        number, asked = message.get("req_id"), message.get("params", {})
        if message["method"] == "ping":
            session.frames.put_nowait(_frame({"method": "pong", "req_id": number}))
            return
        if message["method"] == "unsubscribe":
            session.topics -= {(asked["channel"], symbol) for symbol in asked.get("symbol", [""])}
            return
        if asked.get("channel") in _PRIVATE:
            self._subscribe_private(session, asked, number)
            return
        for symbol in asked["symbol"]:
            self._subscribe(session, asked["channel"], symbol, number)

    def _subscribe(self, session: _Session, channel: str, symbol: str, number: int | None) -> None:
        if symbol not in self._exchange.instruments or channel not in _PUBLIC:
            words = (
                f"Currency pair not supported {symbol}"
                if channel in _PUBLIC
                else f"Subscription name invalid {channel}"
            )
            refusal = {"error": words, "method": "subscribe", "success": False, "symbol": symbol, "req_id": number}
            session.frames.put_nowait(_frame(refusal))
            return
        session.topics.add((channel, symbol))
        result = {"channel": channel, "snapshot": True, "symbol": symbol}
        session.frames.put_nowait(_confirmed(result, number))
        price = self._exchange.prices.get(symbol)
        if price is not None and channel != "trade":
            news = PriceNews(symbol, *price, self._exchange.clock.now())
            session.frames.put_nowait(self._public(channel, news, "snapshot"))

    def _subscribe_private(self, session: _Session, asked: dict[str, Any], number: int | None) -> None:
        if asked.get("token") not in self._tokens:
            refusal = {"error": "ESession:Invalid session", "method": "subscribe", "success": False, "req_id": number}
            session.frames.put_nowait(_frame(refusal))
            return
        session.topics.add((asked["channel"], ""))
        session.frames.put_nowait(_confirmed({"channel": asked["channel"]}, number))
        if asked["channel"] == "balances":
            session.frames.put_nowait(self._balances("snapshot", session))
            return
        opened = [order for order in self._exchange.orders if order.open]
        rows = [_execution(OrderNews(OrderEvent.OPENED, order)) for order in opened]
        session.frames.put_nowait(_executions(rows, "snapshot", session))

    def _public(self, channel: str, news: PriceNews, kind: str) -> str:
        if channel == "book":
            return _book(news, self._exchange.instruments[news.symbol].price_step)
        if channel == "trade":
            return _frame({"channel": "trade", "type": kind, "data": [_trade(news, next(self._trade_ids))]})
        return _frame({"channel": "ticker", "type": kind, "data": [_ticker(news)]})

    def _balances(self, kind: str, session: _Session) -> str:
        rows = [
            {"asset": currency, "asset_class": "currency", "balance": amount, "wallets": []}
            for currency, amount in self._exchange.balances.items()
        ]
        return _frame({"channel": "balances", "type": kind, "data": rows, "sequence": next(session.sequence)})


async def _send(socket: web.WebSocketResponse, session: _Session) -> None:
    """What is put into the session's queue, in order."""
    with contextlib.suppress(ConnectionError):
        while (frame := await session.frames.get()) is not None:
            await socket.send_str(frame)
        await socket.close()


def _executions(rows: list[dict[str, Any]], kind: str, session: _Session) -> str:
    return _frame({"channel": "executions", "type": kind, "data": rows, "sequence": next(session.sequence)})


def _execution(news: OrderNews) -> dict[str, Any]:
    order, trade = news.order, news.trade
    kind, status = _WHAT[news.event]
    filled = news.event is OrderEvent.TRADED and not order.rest
    told = _order(order) | {"exec_type": kind, "order_status": "filled" if filled else status}
    if trade is None:
        return told
    return told | {
        "exec_id": transaction_id("T", trade.number),
        "trade_id": trade.number,
        "last_qty": trade.quantity,
        "last_price": trade.price,
        "cost": trade.cost,
        "liquidity_ind": "t",
        "fees": [{"asset": trade.fee_currency, "qty": trade.fee}],
        "timestamp": iso(trade.traded_at),
    }


def _order(order: ExchangeOrder) -> dict[str, Any]:
    request = order.request
    triggers = {"triggers": {"reference": "last", "price": order.trigger}} if order.trigger is not None else {}
    return triggers | {
        "order_id": transaction_id("O", order.number),
        **({"cl_ord_id": request.client_id} if request.client_id is not None else {}),
        "order_userref": int(request.details.get("userref", "0")),
        "symbol": request.symbol,
        "side": request.side.lower(),
        "order_type": order_type(request),
        "order_qty": request.quantity,
        "cum_qty": order.filled,
        "cum_cost": order.cost,
        "avg_price": order.average,
        "limit_price": request.limit or Decimal(0),
        "stop_price": order.trigger or Decimal(0),
        "time_in_force": "IOC" if request.immediate else "GTC",
        "fee_usd_equiv": order.fee,
        "reason": order.reason,
        "timestamp": iso(order.closed_at or order.opened_at),
    }


def _ticker(news: PriceNews) -> dict[str, Any]:
    return {
        "symbol": news.symbol,
        "bid": news.bid,
        "bid_qty": _TOP,
        "ask": news.ask,
        "ask_qty": _TOP,
        "last": news.bid,
        "volume": _TOP,
        "vwap": news.bid,
        "low": news.bid,
        "high": news.ask,
        "change": Decimal(0),
        "change_pct": Decimal(0),
        "timestamp": iso(news.at),
    }


def _trade(news: PriceNews, number: int) -> dict[str, Any]:
    """A market sale at the bid: each price that is set has been traded at."""
    return {
        "symbol": news.symbol,
        "side": Side.SELL.lower(),
        "price": news.bid,
        "qty": _TOP,
        "ord_type": "market",
        "trade_id": number,
        "timestamp": iso(news.at),
    }


def _book(news: PriceNews, step: Decimal) -> str:
    """A snapshot of one level a side, with the check sum of its digits."""
    bid, ask, quantity = spelt(news.bid.quantize(step)), spelt(news.ask.quantize(step)), f"{_TOP:.8f}"
    digits = "".join(number.replace(".", "").lstrip("0") for number in (ask, quantity, bid, quantity))
    row = {
        "symbol": news.symbol,
        "bids": [{"price": f"={bid}=", "qty": f"={quantity}="}],
        "asks": [{"price": f"={ask}=", "qty": f"={quantity}="}],
        "checksum": crc32(digits.encode()),
        "timestamp": iso(news.at),
    }
    return _frame({"channel": "book", "type": "snapshot", "data": [row]})


def _confirmed(result: dict[str, Any], number: int | None) -> str:
    return _frame({"method": "subscribe", "result": result, "success": True, "req_id": number})


def _frame(content: object) -> str:
    """JSON with every decimal as a number of exactly its digits."""
    return _EXACT.sub(r"\1", json.dumps(content, default=lambda number: f"={spelt(number)}="))
