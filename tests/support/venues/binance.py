"""Binance spot on loopback. Facts: its REST documentation; the rows of klines are those of its public archives."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from aiohttp import web

from venues.loopback import Fault, LoopbackServer
from venues.tape import TapeCandle

_LIMIT = 1000  # candles that one call gives at most
_DEFAULT = 500


class BinanceServer(LoopbackServer):
    """Binance: an error is a status of 400 or more with a code and a text."""

    def refusal(self) -> Fault:
        """Refused for good."""
        return Fault("-1102", 400, json.dumps({"code": -1102, "msg": "Mandatory parameter was not sent."}))

    def busy(self) -> Fault:
        """Later, please."""
        return Fault(
            "-1003", 429, json.dumps({"code": -1003, "msg": "Too much request weight used; current limit 6000."})
        )

    def shapeless(self) -> list[Fault]:
        """Without the promised parts."""
        return [
            Fault("an empty object", body="{}"),
            Fault("an object", body='{"data": []}'),
            Fault("rows without prices", body="[[1732921200000]]"),
            Fault("a list of texts", body='["maintenance"]'),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The public calls that ccxt makes."""
        return [
            web.get("/api/v3/time", self._time),
            web.get("/api/v3/exchangeInfo", self._exchange_info),
            web.get("/api/v3/klines", self._klines),
            web.get("/api/v3/ticker/24hr", self._ticker),
        ]

    async def _time(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "time")
        return web.json_response({"serverTime": int(self.now().timestamp() * 1000)})

    async def _exchange_info(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "exchangeInfo")
        answer = {
            "timezone": "UTC",
            "serverTime": int(self.now().timestamp() * 1000),
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
            "exchangeFilters": [],
            "symbols": [_listed(symbol) for symbol in self.tape.symbols],
        }
        return web.json_response(answer)

    async def _klines(self, request: web.Request) -> web.StreamResponse:
        symbol, limit = self._symbol(request), int(request.query.get("limit", _DEFAULT))
        if symbol is None or not 1 <= limit <= _LIMIT:
            self.note(request, "klines")
            code, text = (
                (-1121, "Invalid symbol.")
                if symbol is None
                else (-1130, "Data sent for parameter 'limit' is not valid.")
            )
            return web.json_response({"code": code, "msg": text}, status=400)
        first = -(-int(request.query.get("startTime", 0)) // 1000)
        last = int(request.query.get("endTime", 2**50)) // 1000
        rows = self.tape.candles_between(symbol, first, last, self.now())
        rows = rows[:limit] if "startTime" in request.query else rows[-limit:]
        return await self.serve(request, "klines", [_kline(row) for row in rows], lambda page: page)

    async def _ticker(self, request: web.Request) -> web.StreamResponse:
        symbol = self._symbol(request)
        if symbol is None:
            self.note(request, "ticker")
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        bid, ask = self.quote(symbol)
        ticker = {
            "symbol": symbol.replace("/", ""),
            "lastPrice": bid,
            "bidPrice": bid,
            "bidQty": "1.0",
            "askPrice": ask,
            "askQty": "1.0",
            "closeTime": int(self.now().timestamp() * 1000),
        }
        return await self.serve(request, "ticker", [ticker], lambda rows: rows[0])

    def _symbol(self, request: web.Request) -> str | None:
        asked = request.query.get("symbol", "")
        return next((symbol for symbol in self.tape.symbols if symbol.replace("/", "") == asked), None)


def archived_klines(path: Path) -> list[TapeCandle]:
    """The candles of one of Binance's archives (.csv.gz or .zip), with or without a header."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        text = gzip.decompress(path.read_bytes()).decode()
    rows = [row for row in csv.reader(io.StringIO(text)) if row[0].isdigit()]
    return [TapeCandle(int(row[0]) // 1000, *row[1:6], trades=int(row[8])) for row in rows]


def _kline(candle: TapeCandle) -> list[Any]:
    prices = [candle.open, candle.high, candle.low, candle.close, candle.volume]
    return [candle.time * 1000, *prices, candle.time * 1000 + 59_999, "0", candle.trades, "0", "0", "0"]


def _listed(symbol: str) -> dict[str, Any]:
    """A pair as exchangeInfo lists it; written after the documentation."""
    base, quote = symbol.split("/")
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }
