"""Kraken's REST protocol over an exchange on loopback. Facts: docs.kraken.com and ccxt's source."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind
from triplegain_pipelines.rehearsal.kraken_answers import (
    asset_entry,
    described,
    order_entry,
    order_type,
    pair_entry,
    seconds_of,
    ticker_entry,
    trade_entry,
)
from triplegain_pipelines.rehearsal.kraken_limits import KrakenLimits
from triplegain_pipelines.rehearsal.kraken_names import asset, pair_id, short_pair, transaction_id
from triplegain_pipelines.rehearsal.kraken_requests import asked_for, deadline_of, ids_of, request_of, span_of, wants
from triplegain_pipelines.rehearsal.kraken_stream import KrakenStream
from triplegain_pipelines.rehearsal.orders import (
    ExchangeOrder,
    RefusedError,
    Seen,
    VenueRefusal,
    VenueRules,
)
from triplegain_pipelines.rehearsal.protocol import (
    Answer,
    Incoming,
    KeyPermissions,
    Route,
    Stream,
    VenueProtocol,
    iso,
    json_answer,
    spelt,
)

_PAGE = 50
_FURTHEST_DEADLINE = timedelta(seconds=60)
_TOKEN_SECONDS = 900
_WORDS = {
    VenueRefusal.UNKNOWN_SYMBOL: "EQuery:Unknown asset pair",
    VenueRefusal.NO_PRICE: "EService:Market in cancel_only mode",
    VenueRefusal.QUANTITY_STEP: "EGeneral:Invalid arguments:volume",
    VenueRefusal.PRICE_STEP: "EOrder:Invalid price:Invalid price argument",
    VenueRefusal.MINIMUM_QUANTITY: "EGeneral:Invalid arguments:volume minimum not met",
    VenueRefusal.MINIMUM_COST: "EOrder:Cost minimum not met",
    VenueRefusal.INSUFFICIENT_FUNDS: "EOrder:Insufficient funds",
    VenueRefusal.DUPLICATE_CLIENT_ID: "EOrder:cl_ord_id already in use",
    VenueRefusal.TRIGGER_PASSED: "EOrder:Invalid price:Invalid price argument",
    VenueRefusal.UNKNOWN_ORDER: "EOrder:Unknown order",
}


class Kraken(VenueProtocol):
    """Kraken: an error is a text in an answer of status 200, and a client id is unique among open orders only."""

    rules: ClassVar[VenueRules] = VenueRules()

    def __init__(self, exchange: LoopbackExchange, permissions: KeyPermissions, *, rate_limits: bool) -> None:
        super().__init__(exchange, permissions, rate_limits=rate_limits)
        self.api_key = base64.b64encode(secrets.token_bytes(42)).decode()
        self.api_secret = base64.b64encode(secrets.token_bytes(64)).decode()
        self._nonce = 0
        self._limits = KrakenLimits()
        self._tokens: set[str] = set()
        self._stream = KrakenStream(exchange, self._tokens)

    def stream(self) -> Stream:
        """Version 2 of the streams; public and private ones at one address."""
        return self._stream

    def routes(self) -> list[Route]:
        """The calls that ccxt makes."""
        account, question = CallKind.ACCOUNT, CallKind.QUESTION
        return [
            _public("Time", self._time),
            _public("SystemStatus", self._system_status),
            _public("Assets", self._assets),
            _public("AssetPairs", self._asset_pairs),
            _public("Ticker", self._ticker),
            self._private("AddOrder", self._add_order, CallKind.SUBMIT),
            self._private("CancelOrder", self._cancel_order, CallKind.CANCEL),
            self._private("CancelAll", self._cancel_all, CallKind.CANCEL),
            self._private("CancelAllOrdersAfter", self._cancel_all_after, account),
            self._private("OpenOrders", self._open_orders, question),
            self._private("ClosedOrders", self._closed_orders, question),
            self._private("QueryOrders", self._query_orders, question),
            self._private("TradesHistory", self._trades_history, question),
            self._private("QueryTrades", self._query_trades, question),
            self._private("Balance", self._balance, account),
            self._private("BalanceEx", self._balance_extended, account),
            self._private("GetWebSocketsToken", self._token, account),
            self._private("GetApiKeyInfo", self._key_information, account),
        ]

    def authenticate(self, call: Incoming, kind: CallKind) -> Answer | None:
        """API-Sign is HMAC-SHA512 of path and SHA256(nonce + body); a nonce is larger than the one before."""
        if call.headers.get("API-Key") != self.api_key:
            return _error("EAPI:Invalid key")
        digest = hashlib.sha256((call.text("nonce") + call.body).encode()).digest()
        signed = hmac.digest(base64.b64decode(self.api_secret), call.path.encode() + digest, hashlib.sha512)
        if not hmac.compare_digest(base64.b64encode(signed).decode(), call.headers.get("API-Sign", "")):
            return _error("EAPI:Invalid signature")
        nonce = int(call.text("nonce", "0"))
        if nonce <= self._nonce:
            return self.invalid_nonce()
        self._nonce = nonce
        return None if self.permissions.allow(kind) else _error("EGeneral:Permission denied")

    def answer_late(self, route: Route, call: Incoming) -> Answer:
        """Its nonce was judged when it arrived, and it has waited behind that; what counts now is its deadline."""
        try:
            return route.handler(call)
        except RefusedError as error:
            return self.refused(error, CallKind.SUBMIT)

    def refused(self, error: RefusedError, kind: CallKind) -> Answer:
        """In Kraken's words."""
        del kind
        return _error(_WORDS[error.refusal])

    def malformed(self) -> Answer:
        """Something is missing or no number."""
        return _error("EGeneral:Invalid arguments")

    def rate_limited(self, kind: CallKind) -> Answer:
        """Orders have a budget of their own."""
        trading = kind in {CallKind.SUBMIT, CallKind.CANCEL}
        return _error("EOrder:Rate limit exceeded" if trading else "EAPI:Rate limit exceeded")

    def invalid_nonce(self) -> Answer:
        """The nonce is not larger than the one before."""
        return _error("EAPI:Invalid nonce")

    def server_error(self) -> Answer:
        """The page of what stands before Kraken."""
        return Answer("<html><head><title>502 Bad Gateway</title></head></html>", 502, "text/html")

    def _private(self, name: str, handler: Callable[[Incoming], Any], kind: CallKind) -> Route:
        def handle(call: Incoming) -> Answer:
            if self.rate_limits and not self._limits.call(name, self.now()):
                return self.rate_limited(kind)
            answer = handler(call)
            return answer if isinstance(answer, Answer) else _result(answer)

        return Route("POST", f"/0/private/{name}", name, handle, kind)

    def _time(self, call: Incoming) -> object:
        del call
        now = self.now()
        return {"unixtime": int(now.timestamp()), "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _system_status(self, call: Incoming) -> object:
        del call
        return {"status": "online", "timestamp": self.now().strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _assets(self, call: Incoming) -> object:
        del call
        traded = {currency for one in self.exchange.instruments.values() for currency in (one.base, one.quote)}
        return {asset(currency): asset_entry(currency) for currency in sorted(traded | set(self.exchange.balances))}

    def _asset_pairs(self, call: Incoming) -> object:
        del call
        rate = self.exchange.fee_rate
        return {pair_id(symbol): pair_entry(one, rate) for symbol, one in self.exchange.instruments.items()}

    def _ticker(self, call: Incoming) -> object:
        prices = self.exchange.prices
        asked = [self._symbol(pair) for pair in call.text("pair").split(",")] if call.text("pair") else list(prices)
        if any(symbol not in prices for symbol in asked):
            raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)
        return {pair_id(symbol): ticker_entry(*prices[symbol]) for symbol in asked}

    def _add_order(self, call: Incoming) -> object:
        refusal = _too_late(call, self.now())
        if refusal is not None:
            return refusal
        request = request_of(call, self._symbol(call.text("pair")))
        if self.rate_limits and not self._limits.place(request.symbol, self.now()):
            return self.rate_limited(CallKind.SUBMIT)
        if wants(call, "validate"):
            self.exchange.preview(request)
            return {"descr": {"order": described(ExchangeOrder(0, request, self.now(), trigger=request.trigger))}}
        order = self.exchange.submit(request)
        if call.behind:
            self.exchange.fall_behind(order.number)
        return {"descr": {"order": described(order)}, "txid": [transaction_id("O", order.number)]}

    def _cancel_order(self, call: Incoming) -> object:
        order = self._named(call)
        if self.rate_limits:
            self._limits.cancel(order.request.symbol, order.opened_at, self.now())
        self.exchange.cancel(order.number, fill_after=call.fill_after)
        if call.behind:
            self.exchange.fall_behind(order.number)
        return {"count": 1}

    def _cancel_all(self, call: Incoming) -> object:
        del call
        return {"count": self.exchange.cancel_all()}

    def _cancel_all_after(self, call: Incoming) -> object:
        seconds = call.number("timeout", 0)
        ends = self.exchange.cancel_all_after(timedelta(seconds=seconds) if seconds else None)
        return {"currentTime": _to_the_second(self.now()), "triggerTime": _to_the_second(ends) if ends else "0"}

    def _open_orders(self, call: Incoming) -> object:
        seen = self.exchange.seen(behind=call.behind)
        orders = [order for order in asked_for(seen.orders, call) if order.open]
        return {"open": self._entries(reversed(orders), seen, call)}

    def _closed_orders(self, call: Incoming) -> object:
        seen = self.exchange.seen(behind=call.behind)
        start, end = span_of(call)
        done = [order for order in reversed(list(asked_for(seen.orders, call))) if not order.open]
        done = [order for order in done if start < seconds_of(order.opened_at) <= end]
        offset = call.number("ofs", 0)
        return {"closed": self._entries(done[offset : offset + _PAGE], seen, call), "count": len(done)}

    def _query_orders(self, call: Incoming) -> object:
        seen, asked = self.exchange.seen(behind=call.behind), ids_of(call)
        found = [order for order in seen.orders if transaction_id("O", order.number) in asked]
        if not found:
            return _error("EOrder:Invalid order")
        return self._entries(found, seen, call)

    def _trades_history(self, call: Incoming) -> object:
        seen = self.exchange.seen(behind=call.behind)
        start, end = span_of(call)
        made = [trade for trade in reversed(seen.trades) if start < seconds_of(trade.traded_at) <= end]
        offset = call.number("ofs", 0)
        kinds = {order.number: order_type(order.request) for order in seen.orders}
        page = made[offset : offset + _PAGE]
        entries = {transaction_id("T", trade.number): trade_entry(trade, kinds[trade.order]) for trade in page}
        return {"trades": entries, "count": len(made)}

    def _query_trades(self, call: Incoming) -> object:
        seen, asked = self.exchange.seen(behind=call.behind), ids_of(call)
        kinds = {order.number: order_type(order.request) for order in seen.orders}
        named = {transaction_id("T", trade.number): trade for trade in seen.trades}
        found = {name: trade_entry(trade, kinds[trade.order]) for name, trade in named.items() if name in asked}
        return found or _error("EQuery:Unknown trade")

    def _balance(self, call: Incoming) -> object:
        del call
        return {asset(currency): spelt(amount) for currency, amount in self.exchange.balances.items()}

    def _balance_extended(self, call: Incoming) -> object:
        del call
        held = self.exchange.held
        return {
            asset(currency): {"balance": spelt(amount), "hold_trade": spelt(held[currency])}
            for currency, amount in self.exchange.balances.items()
        }

    def _token(self, call: Incoming) -> object:
        del call
        token = base64.b64encode(secrets.token_bytes(32)).decode()
        self._tokens.add(token)
        return {"token": token, "expires": _TOKEN_SECONDS}

    def _key_information(self, call: Incoming) -> object:
        del call
        allowed = self.permissions
        names = ["query-funds", "query-open-trades", "query-closed-trades"] if allowed.view else []
        names += ["modify-trades", "close-trades"] if allowed.trade else []
        names += ["withdraw-funds"] if allowed.withdraw else []
        return {"api_key_name": "loopback", "api_key": self.api_key, "nonce_window": 0, "permissions": names}

    def _symbol(self, pair: str) -> str:
        for symbol in self.exchange.instruments:
            if pair in {pair_id(symbol), short_pair(symbol), symbol}:
                return symbol
        raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)

    def _named(self, call: Incoming) -> ExchangeOrder:
        """The open order that a cancel is for."""
        asked = call.text("cl_ord_id") or call.text("txid")
        for order in self.exchange.orders:
            names = {order.request.client_id, order.request.details.get("userref"), transaction_id("O", order.number)}
            if order.open and asked in names:
                return order
        raise RefusedError(VenueRefusal.UNKNOWN_ORDER)

    def _entries(self, orders: Iterable[ExchangeOrder], seen: Seen, call: Incoming) -> dict[str, Any]:
        with_trades = wants(call, "trades")
        return {
            transaction_id("O", order.number): order_entry(order, seen.trades_of(order) if with_trades else None)
            for order in orders
        }


def _public(name: str, handler: Callable[[Incoming], object]) -> Route:
    return Route("GET", f"/0/public/{name}", name, lambda call: _result(handler(call)))


def _to_the_second(moment: datetime) -> str:
    return iso(moment)[:19] + "Z"


def _too_late(call: Incoming, now: datetime) -> Answer | None:
    """The refusal of a request that arrives after its deadline, or whose deadline lies too far ahead."""
    deadline = deadline_of(call)
    if deadline is None:
        return None
    if deadline < now:
        return _error("EService:Deadline elapsed")
    return _error("EGeneral:Invalid arguments:deadline") if deadline > now + _FURTHEST_DEADLINE else None


def _result(result: object) -> Answer:
    return json_answer({"error": [], "result": result})


def _error(text: str) -> Answer:
    return json_answer({"error": [text]})
