"""The order calls of Binance's spot REST protocol over an exchange on loopback. Facts: its documentation, and ccxt."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.binance_answers import (
    canceled_entry,
    coin_entry,
    listed,
    order_entry,
    submitted_entry,
    ticker_entry,
    trade_entry,
)
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind
from triplegain_pipelines.rehearsal.orders import (
    ExchangeOrder,
    FeeIn,
    OrderRequest,
    RefusedError,
    VenueRefusal,
    VenueRules,
    as_it_was,
)
from triplegain_pipelines.rehearsal.protocol import (
    Answer,
    Incoming,
    KeyPermissions,
    Route,
    VenueProtocol,
    json_answer,
    milliseconds_of,
    spelt,
)

_WINDOW = 5000  # milliseconds that a request is good for, unless it says otherwise
_LONGEST_WINDOW = 60_000
_AHEAD = 1000  # milliseconds that a client's clock may be ahead
_ORDERS, _TRADES = 500, 500
_MOST_ROWS = 1000
_LONGEST_SPAN = timedelta(hours=24) // timedelta(milliseconds=1)
_CLIENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
_UNKNOWN_TO_CANCEL = (-2011, "Unknown order sent.")
_WORDS = {
    VenueRefusal.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    VenueRefusal.NO_PRICE: (-1013, "Market is closed."),
    VenueRefusal.QUANTITY_STEP: (-1013, "Filter failure: LOT_SIZE"),
    VenueRefusal.PRICE_STEP: (-1013, "Filter failure: PRICE_FILTER"),
    VenueRefusal.MINIMUM_QUANTITY: (-1013, "Filter failure: LOT_SIZE"),
    VenueRefusal.MINIMUM_COST: (-1013, "Filter failure: NOTIONAL"),
    VenueRefusal.INSUFFICIENT_FUNDS: (-2010, "Account has insufficient balance for requested action."),
    VenueRefusal.DUPLICATE_CLIENT_ID: (-2010, "Duplicate order sent."),
    VenueRefusal.TRIGGER_PASSED: (-2010, "Stop price would trigger immediately."),
    VenueRefusal.UNKNOWN_ORDER: (-2013, "Order does not exist."),
}


class Binance(VenueProtocol):
    """Binance: an error has a status of 400 or more and a code; a client id is unique among open orders only."""

    rules: ClassVar[VenueRules] = VenueRules(refuses_passed_triggers=True, fee_in=FeeIn.RECEIVED)

    def __init__(self, exchange: LoopbackExchange, permissions: KeyPermissions, *, rate_limits: bool) -> None:
        super().__init__(exchange, permissions, rate_limits=rate_limits)
        self.api_key = secrets.token_hex(32)
        self.api_secret = secrets.token_hex(32)

    def routes(self) -> list[Route]:
        """The calls that ccxt makes."""
        account, question = CallKind.ACCOUNT, CallKind.QUESTION
        return [
            _route("GET", "time", lambda _: json_answer({"serverTime": self.milliseconds()})),
            _route("GET", "exchangeInfo", self._exchange_info),
            _route("GET", "ticker/24hr", self._ticker),
            _route("GET", "ticker/bookTicker", self._ticker),
            _route("POST", "order", self._submit, CallKind.SUBMIT),
            _route("POST", "order/test", self._preview, CallKind.SUBMIT),
            _route("DELETE", "order", self._cancel, CallKind.CANCEL),
            _route("GET", "order", self._order, question),
            _route("GET", "openOrders", self._open_orders, question),
            _route("GET", "allOrders", self._all_orders, question),
            _route("GET", "myTrades", self._my_trades, question),
            _route("GET", "account", self._account, account),
            _wallet_route("account/apiRestrictions", self._restrictions),
            _wallet_route("capital/config/getall", self._coins),
            # Nothing can be traded on margin here, and there are no futures.
            _wallet_route("margin/allPairs", lambda _: json_answer([])),
            _wallet_route("margin/isolated/allPairs", lambda _: json_answer([])),
            *(Route("GET", f"/{api}/v1/exchangeInfo", f"GET {api}", _no_futures) for api in ("fapi", "dapi")),
        ]

    def authenticate(self, call: Incoming, kind: CallKind) -> Answer | None:
        """The signature is HMAC-SHA256 of query and body; the time has to be within recvWindow."""
        if call.headers.get("X-MBX-APIKEY") != self.api_key:
            return _error(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        payload = "".join(re.sub(r"&?signature=[0-9a-f]+$", "", part) for part in (call.query, call.body))
        signed = hmac.new(self.api_secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed, call.text("signature")):
            return _error(-1022, "Signature for this request is not valid.")
        if not self.permissions.allow(kind):
            return _error(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return self._out_of_time(call)

    def refused(self, error: RefusedError, kind: CallKind) -> Answer:
        """In Binance's words: an unknown order is another error for a cancel than for a question."""
        unknown = error.refusal is VenueRefusal.UNKNOWN_ORDER and kind is CallKind.CANCEL
        return _error(*(_UNKNOWN_TO_CANCEL if unknown else _WORDS[error.refusal]))

    def malformed(self) -> Answer:
        """Something is missing or no number."""
        return _error(-1102, "Mandatory parameter was not sent, was empty/null, or malformed.")

    def rate_limited(self, kind: CallKind) -> Answer:
        """The weight of a minute is used up."""
        del kind
        return _error(-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.", 429)

    def invalid_nonce(self) -> Answer:
        """The request is too old."""
        return _error(-1021, "Timestamp for this request is outside of the recvWindow.")

    def server_error(self) -> Answer:
        """What Binance says when it does not know."""
        text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        return _error(-1007, text, 503)

    def _out_of_time(self, call: Incoming) -> Answer | None:
        """The refusal of a request whose time is too old, or ahead."""
        sent, window, now = call.number("timestamp", 0), call.number("recvWindow", _WINDOW), self.milliseconds()
        if window > _LONGEST_WINDOW:
            return _error(-1131, "recvWindow must be less than 60000")
        if sent >= now + _AHEAD:
            return _error(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        return self.invalid_nonce() if sent < now - window else None

    def _exchange_info(self, call: Incoming) -> Answer:
        del call
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}]
        symbols = [listed(instrument) for instrument in self.exchange.instruments.values()]
        head = {"timezone": "UTC", "serverTime": self.milliseconds(), "rateLimits": limits, "exchangeFilters": []}
        return json_answer({**head, "symbols": symbols})

    def _ticker(self, call: Incoming) -> Answer:
        asked = self._symbol(call) if "symbol" in call.parameters else None
        rows = [
            ticker_entry(symbol, *prices, self.milliseconds())
            for symbol, prices in self.exchange.prices.items()
            if asked in {None, symbol}
        ]
        if asked is not None and not rows:
            raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)
        return json_answer(rows[0] if asked is not None else rows)

    def _submit(self, call: Incoming) -> Answer:
        request = self._request(call)
        order = self.exchange.submit(request)
        trades = [trade for trade in self.exchange.trades if trade.order == order.number]
        told = as_it_was(order) if call.behind else order
        return json_answer(submitted_entry(told, () if call.behind else trades, self.now()))

    def _preview(self, call: Incoming) -> Answer:
        self.exchange.preview(self._request(call))
        return json_answer({})

    def _request(self, call: Incoming) -> OrderRequest:
        kind, side, client_id = call.parameters["type"], Side(call.text("side")), call.text("newClientOrderId")
        if not _CLIENT_ID.fullmatch(client_id):
            msg = "newClientOrderId has other signs than a-zA-Z0-9-_, or more than 36"
            raise ValueError(msg)
        request = OrderRequest(
            self._symbol(call),
            side,
            Decimal(call.parameters["quantity"]),
            client_id=client_id,
            immediate=call.text("timeInForce") == "IOC",
            in_parts=call.in_parts,
            details={"type": kind, "timeInForce": call.text("timeInForce", "GTC")},
        )
        if kind not in {"MARKET", "LIMIT", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}:
            msg = f"orders of type {kind} are not known here"
            raise ValueError(msg)
        if kind.endswith("LIMIT"):
            request = replace(request, limit=Decimal(call.parameters["price"]))
        if kind.startswith(("STOP_LOSS", "TAKE_PROFIT")):
            rising = kind.startswith("STOP_LOSS") == (side is Side.BUY)
            request = replace(request, trigger=Decimal(call.parameters["stopPrice"]), rising=rising)
        return request

    def _cancel(self, call: Incoming) -> Answer:
        order = self._named([order for order in self.exchange.orders if order.open], call)
        canceled = self.exchange.cancel(order.number, fill_after=call.fill_after)
        if call.behind:
            self.exchange.fall_behind(order.number)
        return json_answer(canceled_entry(canceled, self.now()))

    def _order(self, call: Incoming) -> Answer:
        return json_answer(order_entry(self._named(self.exchange.seen(behind=call.behind).orders, call)))

    def _open_orders(self, call: Incoming) -> Answer:
        symbol = self._symbol(call) if "symbol" in call.parameters else None
        seen = self.exchange.seen(behind=call.behind).orders
        rows = [order_entry(one) for one in seen if one.open and symbol in {None, one.request.symbol}]
        return json_answer(rows)

    def _all_orders(self, call: Incoming) -> Answer:
        symbol, first = self._symbol(call), call.number("orderId", 0)
        start, end = _span(call)
        found = [
            order_entry(order)
            for order in self.exchange.seen(behind=call.behind).orders
            if order.request.symbol == symbol and order.number >= first
            if start <= milliseconds_of(order.opened_at) <= end
        ]
        return json_answer(_page(found, call, _ORDERS))

    def _my_trades(self, call: Incoming) -> Answer:
        symbol, first, order = self._symbol(call), call.number("fromId", 0), call.number("orderId", 0)
        start, end = _span(call)
        found = [
            trade_entry(trade)
            for trade in self.exchange.seen(behind=call.behind).trades
            if trade.symbol == symbol and trade.number >= first and order in {0, trade.order}
            if start <= milliseconds_of(trade.traded_at) <= end
        ]
        return json_answer(_page(found, call, _TRADES))

    def _account(self, call: Incoming) -> Answer:
        del call
        held, allowed = self.exchange.held, self.permissions
        balances = [
            {"asset": currency, "free": spelt(amount - held[currency]), "locked": spelt(held[currency])}
            for currency, amount in self.exchange.balances.items()
        ]
        flags = {"canTrade": allowed.trade, "canWithdraw": allowed.withdraw, "canDeposit": True}
        return json_answer(
            {**flags, "accountType": "SPOT", "updateTime": self.milliseconds(), "balances": balances}
            | {"permissions": ["SPOT"]}
        )

    def _restrictions(self, call: Incoming) -> Answer:
        del call
        allowed = self.permissions
        names = ("enableInternalTransfer", "enableMargin", "enableFutures", "permitsUniversalTransfer")
        return json_answer(
            {
                "ipRestrict": False,
                "createTime": self.milliseconds(),
                "enableReading": allowed.view,
                "enableWithdrawals": allowed.withdraw,
                "enableSpotAndMarginTrading": allowed.trade,
                **dict.fromkeys(names, False),
            }
        )

    def _coins(self, call: Incoming) -> Answer:
        del call
        traded = {currency for one in self.exchange.instruments.values() for currency in (one.base, one.quote)}
        return json_answer([coin_entry(currency) for currency in sorted(traded | set(self.exchange.balances))])

    def _symbol(self, call: Incoming) -> str:
        asked = call.parameters["symbol"]
        for symbol in self.exchange.instruments:
            if symbol.replace("/", "") == asked:
                return symbol
        raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)

    def _named(self, orders: Iterable[ExchangeOrder], call: Incoming) -> ExchangeOrder:
        """The order that is asked for; of several with one client id the newest."""
        symbol, number, client_id = self._symbol(call), call.text("orderId"), call.text("origClientOrderId")
        if not number and not client_id:
            msg = "orderId or origClientOrderId must be sent"
            raise ValueError(msg)
        for order in reversed(list(orders)):
            if order.request.symbol == symbol and (str(order.number) == number or order.request.client_id == client_id):
                return order
        raise RefusedError(VenueRefusal.UNKNOWN_ORDER)


def _route(method: str, path: str, handler: Callable[[Incoming], Answer], kind: CallKind | None = None) -> Route:
    return Route(method, f"/api/v3/{path}", f"{method} {path}", handler, kind)


def _wallet_route(path: str, handler: Callable[[Incoming], Answer]) -> Route:
    return Route("GET", f"/sapi/v1/{path}", f"GET {path}", handler, CallKind.ACCOUNT)


def _no_futures(call: Incoming) -> Answer:
    del call
    return json_answer({"symbols": []})


def _span(call: Incoming) -> tuple[int, int]:
    """Start and end, inclusive, in milliseconds since 1970.

    Raises:
        ValueError: both are given, and lie more than 24 hours apart.
    """
    start, end = call.number("startTime", 0), call.number("endTime", 2**53)
    if {"startTime", "endTime"} <= set(call.parameters) and end - start > _LONGEST_SPAN:
        msg = "More than 24 hours between startTime and endTime."
        raise ValueError(msg)
    return start, end


def _page(rows: list[dict[str, object]], call: Incoming, default: int) -> list[dict[str, object]]:
    """From the beginning where one was asked for, else the newest."""
    limit = min(call.number("limit", default), _MOST_ROWS)
    from_the_start = {"startTime", "fromId", "orderId"} & set(call.parameters)
    return rows[:limit] if from_the_start else rows[-limit:]


def _error(code: int, text: str, status: int = 400) -> Answer:
    return json_answer({"code": code, "msg": text}, status)
