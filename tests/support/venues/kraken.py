"""Kraken on loopback. Facts: docs.kraken.com, and recorded answers where they are present."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from venues.loopback import Fault, LoopbackServer
from venues.tape import TapeCandle, TapeTrade, currencies, nanoseconds_of

RECORDED_FROM = datetime(2025, 11, 10, 12, 17, tzinfo=UTC)  # the oldest recorded candle
RECORDED_AT = datetime(2025, 11, 11, 0, 17, 4, tzinfo=UTC)  # when the answers were recorded
_REACH = 720  # closed candles that OHLC gives, whatever `since` says
_COUNT = 1000  # trades that one call gives
_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "USD": "ZUSD", "EUR": "ZEUR"}
_NEVER_BEFORE = 0


class KrakenServer(LoopbackServer):
    """Kraken: an error is a text in an answer of status 200, and the newest candle is always unfinished."""

    @classmethod
    def recorded(cls, folder: Path, now: Callable[[], datetime] = lambda: RECORDED_AT) -> Self:
        """A server with the recorded BTC/USDT of `raw/kraken`: 721 candles, 1,000 trades, the ticker."""
        server = cls(now=now)
        ohlc, trades, ticker = (
            json.loads((folder / f"kraken_rest_{name}.json").read_text(), parse_float=str)["result"]["XBTUSDT"]
            for name in ("ohlc", "trades", "ticker")
        )
        server.tape.candles["BTC/USDT"] = [
            TapeCandle(row[0], row[1], row[2], row[3], row[4], row[6], trades=row[7]) for row in ohlc
        ]
        server.tape.trades["BTC/USDT"] = [_recorded_trade(row) for row in trades]
        server.quotes["BTC/USDT"] = (ticker["b"][0], ticker["a"][0])
        return server

    @staticmethod
    def error(text: str) -> Fault:
        """An error as Kraken reports it."""
        return Fault(text, body=json.dumps({"error": [text]}))

    def refusal(self) -> Fault:
        """Refused for good."""
        return self.error("EGeneral:Permission denied")

    def busy(self) -> Fault:
        """Later, please."""
        return self.error("EService:Busy")

    def shapeless(self) -> list[Fault]:
        """Without the promised parts."""
        pair = pair_of(self.tape.symbols[0])
        return [
            Fault("no result", body='{"error": []}'),
            Fault("result is null", body='{"error": [], "result": null}'),
            Fault("result without the pair", body='{"error": [], "result": {"last": 1762820160}}'),
            Fault("rows without prices", body=json.dumps({"error": [], "result": {pair: [[1762777020]], "last": 1}})),
            Fault("a list", body="[]"),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The public calls that ccxt makes."""
        return [
            web.get("/0/public/Time", self._time),
            web.get("/0/public/Assets", self._assets),
            web.get("/0/public/AssetPairs", self._asset_pairs),
            web.get("/0/public/OHLC", self._ohlc),
            web.get("/0/public/Trades", self._trades),
            web.get("/0/public/Ticker", self._ticker),
        ]

    async def _time(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "Time")
        now = self.now()
        stamp = {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}
        return web.json_response(_result(stamp))

    async def _assets(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "Assets")
        assets = {
            _ASSETS.get(code, code): {
                "aclass": "currency",
                "altname": _kraken_code(code),
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            }
            for code in currencies(self.tape.symbols)
        }
        return web.json_response(_result(assets))

    async def _asset_pairs(self, request: web.Request) -> web.StreamResponse:
        self.note(request, "AssetPairs")
        return web.json_response(_result({pair_of(symbol): _asset_pair(symbol) for symbol in self.tape.symbols}))

    async def _ohlc(self, request: web.Request) -> web.StreamResponse:
        symbol = self._symbol(request)
        if symbol is None or request.query.get("interval", "1") != "1":
            self.note(request, "OHLC")
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        since = int(request.query.get("since", _NEVER_BEFORE))
        rows = self.tape.candles_between(symbol, since + 1, 2**40, self.now())[-_REACH - 1 :]
        last = rows[-2].time if len(rows) > 1 else since
        page = [_ohlc_row(row) for row in rows]
        return await self.serve(request, "OHLC", page, lambda page: _result({pair_of(symbol): page, "last": last}))

    async def _trades(self, request: web.Request) -> web.StreamResponse:
        symbol, count = self._symbol(request), int(request.query.get("count", _COUNT))
        if symbol is None or not 1 <= count <= _COUNT:
            self.note(request, "Trades")
            text = "EQuery:Unknown asset pair" if symbol is None else "EGeneral:Invalid arguments:count"
            return web.json_response({"error": [text]})
        since = _nanoseconds(request.query["since"]) if "since" in request.query else nanoseconds_of(self.now()) - 1
        trades = self.tape.trades_after(symbol, since, count, self.now())
        last = str(trades[-1].nanoseconds if trades else since)
        page = [_trade_row(trade) for trade in trades]
        return await self.serve(request, "Trades", page, lambda page: _result({pair_of(symbol): page, "last": last}))

    async def _ticker(self, request: web.Request) -> web.StreamResponse:
        symbol = self._symbol(request)
        if symbol is None:
            self.note(request, "Ticker")
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        bid, ask = self.quote(symbol)
        newest = self.tape.candles_between(symbol, 0, 2**40, self.now())[-1]
        ticker = {
            "a": [ask, "1", "1.000"],
            "b": [bid, "1", "1.000"],
            "c": [newest.close, "0.00009443"],
            "v": ["0.78648221", "163.28908096"],
            "p": [newest.close, newest.close],
            "t": [35, 3276],
            "l": [newest.low, newest.low],
            "h": [newest.high, newest.high],
            "o": newest.open,
        }
        return await self.serve(request, "Ticker", [ticker], lambda rows: _result({pair_of(symbol): rows[0]}))

    def _symbol(self, request: web.Request) -> str | None:
        asked = request.query.get("pair", "")
        return next((symbol for symbol in self.tape.symbols if pair_of(symbol) == asked), None)


def pair_of(symbol: str) -> str:
    """Kraken's id of a pair: XXBTZUSD for BTC/USD, XBTUSDT for BTC/USDT."""
    base, quote = symbol.split("/")
    if base in _ASSETS and quote in {"USD", "EUR"}:
        return _ASSETS[base] + _ASSETS[quote]
    return _kraken_code(base) + _kraken_code(quote)


def _asset_pair(symbol: str) -> dict[str, Any]:
    base, quote = symbol.split("/")
    return {
        "altname": _kraken_code(base) + _kraken_code(quote),
        "wsname": f"{_kraken_code(base)}/{_kraken_code(quote)}",
        "aclass_base": "currency",
        "base": _ASSETS.get(base, base),
        "aclass_quote": "currency",
        "quote": _ASSETS.get(quote, quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }


def _kraken_code(currency: str) -> str:
    return "XBT" if currency == "BTC" else currency


def _ohlc_row(candle: TapeCandle) -> list[Any]:
    average = candle.close if candle.trades else "0.0"
    prices = [candle.open, candle.high, candle.low, candle.close, average]
    return [candle.time, *prices, candle.volume, candle.trades]


def _trade_row(trade: TapeTrade) -> list[Any]:
    # A number, as Kraken writes it: the double nearest to the time, so the last digits differ from the `last` cursor's.
    seconds = trade.nanoseconds / 1e9
    return [trade.price, trade.quantity, seconds, trade.side[0], "l", "", trade.trade_id]


def _recorded_trade(row: list[Any]) -> TapeTrade:
    whole, _, fraction = row[2].partition(".")
    nanoseconds = int(whole) * 10**9 + int(fraction.ljust(9, "0"))
    return TapeTrade(nanoseconds, row[0], row[1], "buy" if row[3] == "b" else "sell", row[6])


def _nanoseconds(since: str) -> int:
    """`since` is taken as seconds or as nanoseconds, by its size."""
    number = int(since)
    return number if number > 10**12 else number * 10**9


def _result(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}
