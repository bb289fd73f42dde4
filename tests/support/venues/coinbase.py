"""Coinbase's Advanced Trade API on loopback. Facts: its documentation, and the answers quoted in ccxt's source."""

import json
from datetime import datetime
from typing import Any

from aiohttp import web

from venues.loopback import Fault, LoopbackServer
from venues.tape import TapeCandle, currencies

_LIMIT = 300  # candles that one call may span


class CoinbaseServer(LoopbackServer):
    """Coinbase: newest candle first, nothing for a minute without a trade, and a longer stretch is refused."""

    def refusal(self) -> Fault:
        """Refused for good."""
        return Fault("refused", 400, _error("INVALID_ARGUMENT", "start and end argument is invalid"))

    def busy(self) -> Fault:
        """Later, please."""
        body = json.dumps({"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]})
        return Fault("rate limit", 429, body)

    def shapeless(self) -> list[Fault]:
        """Without the promised parts."""
        return [
            Fault("an empty object", body="{}"),
            Fault("candles is null", body='{"candles": null}'),
            Fault("rows without prices", body='{"candles": [{"start": "1732921200"}]}'),
            Fault("a list", body="[]"),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The public calls that ccxt makes."""
        products = "/api/v3/brokerage/market/products"
        return [
            web.get("/v2/time", self._time),
            web.get("/v2/currencies", self._fiat),
            web.get("/v2/currencies/crypto", self._crypto),
            web.get("/v2/exchange-rates", self._rates),
            web.get(products, self._products),
            web.get(products + "/{product}/candles", self._candles),
            web.get(products + "/{product}/ticker", self._ticker),
        ]

    async def _time(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "time")
        now = self.now()
        return web.json_response({"data": {"iso": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "epoch": int(now.timestamp())}})

    async def _fiat(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "currencies")
        return web.json_response({"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]})

    async def _crypto(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "crypto")
        coins = [
            {"asset_id": code.lower(), "code": code, "name": code, "exponent": 8, "type": "crypto"}
            for code in currencies(self.tape.symbols)
            if code != "USD"
        ]
        return web.json_response({"data": coins})

    async def _rates(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "exchange-rates")
        return web.json_response({"data": {"currency": "USD", "rates": {"USD": "1.0"}}})

    async def _products(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "products")
        spot = "product_type" not in request.query
        products = [_product(symbol) for symbol in self.tape.symbols] if spot else []
        return web.json_response({"products": products, "num_products": len(products)})

    async def _candles(self, request: web.Request) -> web.StreamResponse:
        symbol = self._symbol(request)
        start, end = int(request.query["start"]), int(request.query["end"])
        minutes = end // 60 - -(-start // 60) + 1
        if symbol is None or minutes > _LIMIT or request.query["granularity"] != "ONE_MINUTE":
            self.note(request, "candles")
            error = (
                _error("NOT_FOUND", "product not found")
                if symbol is None
                else _error("INVALID_ARGUMENT", "number of candles requested should be less than 300")
            )
            return web.Response(text=error, status=404 if symbol is None else 400, content_type="application/json")
        rows = self.tape.candles_between(symbol, start, end, self.now())
        page = [_candle(row) for row in reversed(rows)]
        return await self.serve(request, "candles", page, lambda page: {"candles": page})

    async def _ticker(self, request: web.Request) -> web.StreamResponse:
        symbol = self._symbol(request)
        if symbol is None:
            self.note(request, "ticker")
            return web.Response(text=_error("NOT_FOUND", "product not found"), status=404)
        bid, ask = self.quote(symbol)
        newest = self.tape.candles_between(symbol, 0, 2**40, self.now())[-1]
        trade = {
            "trade_id": "518078013",
            "product_id": symbol.replace("/", "-"),
            "price": newest.close,
            "size": "0.00659179",
            "time": _iso(self.now().replace(hour=0, minute=0)),  # the last trade's, long ago
            "side": "BUY",
            "bid": "",
            "ask": "",
        }
        answer = {"trades": [trade], "best_bid": bid, "best_ask": ask}
        return await self.serve(request, "ticker", [answer], lambda rows: rows[0])

    def _symbol(self, request: web.Request) -> str | None:
        asked = request.match_info["product"]
        return next((symbol for symbol in self.tape.symbols if symbol.replace("/", "-") == asked), None)


def _candle(candle: TapeCandle) -> dict[str, str]:
    return {
        "start": str(candle.time),
        "low": candle.low,
        "high": candle.high,
        "open": candle.open,
        "close": candle.close,
        "volume": candle.volume,
    }


def _product(symbol: str) -> dict[str, Any]:
    """A pair as the list of products has it; written after the documentation."""
    base, quote = symbol.split("/")
    return {
        "product_id": f"{base}-{quote}",
        "price": "67060",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": "0.00000001",
        "base_max_size": "3400",
        "base_name": base,
        "quote_name": quote,
        "is_disabled": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": base,
        "alias": "",
        "alias_to": [],
        "price_increment": "0.01",
        "display_name": f"{base}-{quote}",
        "product_venue": "CBE",
    }


def _error(kind: str, text: str) -> str:
    return json.dumps({"error": kind, "error_details": text, "message": text})


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
