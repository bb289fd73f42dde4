"""The order calls of Coinbase's Advanced Trade over an exchange on loopback. Facts: its documentation, and ccxt."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs

from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.coinbase_answers import (
    account_entry,
    fill_entry,
    order_entry,
    order_id,
    pricebook,
    product_entry,
    product_id,
)
from triplegain_pipelines.rehearsal.coinbase_tokens import KeyPair
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind
from triplegain_pipelines.rehearsal.orders import (
    ExchangeOrder,
    OrderRequest,
    RefusedError,
    VenueRefusal,
    VenueRules,
)
from triplegain_pipelines.rehearsal.protocol import (
    Answer,
    Incoming,
    KeyPermissions,
    Route,
    VenueProtocol,
    iso,
    json_answer,
    spelt,
)

_BASE = "/api/v3/brokerage"
_FIAT = frozenset({"USD", "EUR", "GBP"})
_PAGE = 100
_BEARER = "Bearer "
_WORDS = {
    VenueRefusal.UNKNOWN_SYMBOL: ("INVALID_PRODUCT_ID", "PREVIEW_INVALID_PRODUCT_ID"),
    VenueRefusal.NO_PRICE: ("INVALID_NO_LIQUIDITY", "PREVIEW_INVALID_NO_LIQUIDITY"),
    VenueRefusal.QUANTITY_STEP: ("INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION"),
    VenueRefusal.PRICE_STEP: ("INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION"),
    VenueRefusal.MINIMUM_QUANTITY: ("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"),
    VenueRefusal.MINIMUM_COST: ("UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
    VenueRefusal.INSUFFICIENT_FUNDS: ("INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
    VenueRefusal.TRIGGER_PASSED: ("UNKNOWN_FAILURE_REASON", "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"),
}
_UNKNOWN_ORDER = "order with this orderID was not found"


class Coinbase(VenueProtocol):
    """Coinbase: a refused order is an answer of status 200, and a client id is good for one order for ever."""

    rules: ClassVar[VenueRules] = VenueRules(client_ids_for_ever=True, refuses_passed_triggers=True)

    def __init__(self, exchange: LoopbackExchange, permissions: KeyPermissions, *, rate_limits: bool) -> None:
        super().__init__(exchange, permissions, rate_limits=rate_limits)
        self._key = KeyPair()
        self.api_key = self._key.name
        self.api_secret = self._key.secret

    def routes(self) -> list[Route]:
        """The calls that ccxt makes."""
        account, question = CallKind.ACCOUNT, CallKind.QUESTION
        return [
            Route("GET", "/v2/time", "v2/time", self._time),
            Route("GET", "/v2/currencies", "v2/currencies", self._fiat),
            Route("GET", "/v2/currencies/crypto", "v2/currencies/crypto", self._crypto),
            Route("GET", "/v2/exchange-rates", "v2/exchange-rates", self._rates),
            _route("GET", "time", self._time_v3),
            _route("GET", "market/products", self._products),
            _route("GET", "market/product_book", self._product_book),
            _route("GET", "market/products/{product}/ticker", self._ticker),
            _route("GET", "products", self._products, account),
            _route("GET", "product_book", self._product_book, account),
            _route("GET", "best_bid_ask", self._best_prices, account),
            _route("GET", "transaction_summary", self._summary, account),
            _route("GET", "key_permissions", self._permissions, account),
            _route("GET", "accounts", self._accounts, account),
            _route("POST", "orders", self._submit, CallKind.SUBMIT),
            _route("POST", "orders/preview", self._preview, CallKind.SUBMIT),
            _route("POST", "orders/batch_cancel", self._cancel, CallKind.CANCEL),
            _route("GET", "orders/historical/batch", self._orders, question),
            _route("GET", "orders/historical/fills", self._fills, question),
            _route("GET", "orders/historical/{order}", self._order, question),
        ]

    def authenticate(self, call: Incoming, kind: CallKind) -> Answer | None:
        """The token names method, host and path, and is good for two minutes."""
        token = call.headers.get("Authorization", "").removeprefix(_BEARER)
        if not self._key.accepts(token, f"{call.method} {call.host}{call.path}", self.now().timestamp()):
            return self.invalid_nonce()
        if self.permissions.allow(kind):
            return None
        return _error("PERMISSION_DENIED", "Missing required scopes", 403)

    def refused(self, error: RefusedError, kind: CallKind) -> Answer:
        """In Coinbase's words: of a submission with status 200, of a question with 404."""
        if kind is not CallKind.SUBMIT or error.refusal not in _WORDS:
            return _error("unknown", _UNKNOWN_ORDER, 404)
        reason, preview = _WORDS[error.refusal]
        response = {"error": reason, "message": reason, "error_details": "", "preview_failure_reason": preview}
        return json_answer({"success": False, "failure_reason": reason, "order_id": "", "error_response": response})

    def malformed(self) -> Answer:
        """Something is missing or no number."""
        return _error("INVALID_ARGUMENT", "invalid request", 400)

    def rate_limited(self, kind: CallKind) -> Answer:
        """Too many requests."""
        del kind
        return json_answer({"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}, 429)

    def invalid_nonce(self) -> Answer:
        """A token that is not good, for whatever reason."""
        return Answer("Unauthorized\n", 401, "text/plain")

    def server_error(self) -> Answer:
        """What stands before Coinbase does not know either."""
        return Answer("upstream connect error or disconnect/reset before headers", 503, "text/plain")

    def _time(self, call: Incoming) -> Answer:
        del call
        return json_answer({"data": {"iso": iso(self.now()), "epoch": int(self.now().timestamp())}})

    def _time_v3(self, call: Incoming) -> Answer:
        del call
        milliseconds = self.milliseconds()
        seconds = {"epochSeconds": str(milliseconds // 1000), "epochMillis": str(milliseconds)}
        return json_answer({"iso": iso(self.now()), **seconds})

    def _currencies(self) -> list[str]:
        traded = {currency for one in self.exchange.instruments.values() for currency in (one.base, one.quote)}
        return sorted(traded | set(self.exchange.balances))

    def _fiat(self, call: Incoming) -> Answer:
        del call
        return json_answer({"data": [{"id": one, "name": one, "min_size": "0.01"} for one in sorted(_FIAT)]})

    def _crypto(self, call: Incoming) -> Answer:
        del call
        coins = [
            {"asset_id": code.lower(), "code": code, "name": code, "exponent": 8, "type": "crypto"}
            for code in self._currencies()
            if code not in _FIAT
        ]
        return json_answer({"data": coins})

    def _rates(self, call: Incoming) -> Answer:
        del call
        return json_answer({"data": {"currency": "USD", "rates": {"USD": "1.0"}}})

    def _products(self, call: Incoming) -> Answer:
        prices = {symbol: bid for symbol, (bid, _) in self.exchange.prices.items()}
        spot = call.text("product_type", "SPOT") == "SPOT"
        listed = self.exchange.instruments.items() if spot else ()
        rows = [product_entry(instrument, prices.get(symbol)) for symbol, instrument in listed]
        return json_answer({"products": rows, "num_products": len(rows)})

    def _product_book(self, call: Incoming) -> Answer:
        symbol = self._symbol(call.parameters["product_id"])
        return json_answer({"pricebook": pricebook(symbol, *self._price(symbol), self.now())})

    def _best_prices(self, call: Incoming) -> Answer:
        asked = parse_qs(call.query).get("product_ids")
        symbols = [self._symbol(one) for one in asked] if asked else list(self.exchange.prices)
        return json_answer({"pricebooks": [pricebook(one, *self._price(one), self.now()) for one in symbols]})

    def _ticker(self, call: Incoming) -> Answer:
        symbol = self._symbol(call.place["product"])
        bid, ask = self._price(symbol)
        trade = {
            "trade_id": str(self.milliseconds()),
            "product_id": product_id(symbol),
            "price": spelt(bid),
            "size": "1",
            "time": iso(self.now()),
            "side": "SELL",
            "bid": "",
            "ask": "",
        }
        return json_answer({"trades": [trade], "best_bid": spelt(bid), "best_ask": spelt(ask)})

    def _summary(self, call: Incoming) -> Answer:
        del call
        rate = spelt(self.exchange.fee_rate)
        tier = {"pricing_tier": "", "usd_from": "0", "usd_to": "1000", "taker_fee_rate": rate, "maker_fee_rate": rate}
        return json_answer({"total_volume": 0, "total_fees": 0, "fee_tier": tier})

    def _permissions(self, call: Incoming) -> Answer:
        del call
        allowed = self.permissions
        flags = {"can_view": allowed.view, "can_trade": allowed.trade, "can_transfer": allowed.withdraw}
        return json_answer({**flags, "portfolio_uuid": "", "portfolio_type": "DEFAULT"})

    def _accounts(self, call: Incoming) -> Answer:
        del call
        held = self.exchange.held
        rows = [
            account_entry(currency, amount - held[currency], held[currency], _FIAT)
            for currency, amount in self.exchange.balances.items()
        ]
        return json_answer({"accounts": rows, "has_next": False, "cursor": "", "size": len(rows)})

    def _submit(self, call: Incoming) -> Answer:
        order = self.exchange.submit(replace(self._request(call), client_id=call.parameters["client_order_id"]))
        if call.behind:
            self.exchange.fall_behind(order.number)
        identity, request = order_id(order.number), order.request
        response = {
            "order_id": identity,
            "product_id": product_id(request.symbol),
            "side": request.side.value,
            "client_order_id": request.client_id,
        }
        head = {"success": True, "failure_reason": "UNKNOWN_FAILURE_REASON", "order_id": identity}
        asked = call.parameters["order_configuration"]
        return json_answer({**head, "success_response": response, "order_configuration": asked})

    def _preview(self, call: Incoming) -> Answer:
        self.exchange.preview(self._request(call))
        return json_answer({"errs": [], "warning": [], "preview_id": ""})

    def _request(self, call: Incoming) -> OrderRequest:
        ((kind, asked),) = call.parameters["order_configuration"].items()
        request = OrderRequest(
            self._symbol(call.parameters["product_id"]),
            Side(call.parameters["side"]),
            Decimal(asked["base_size"]),
            in_parts=call.in_parts,
        )
        if kind == "market_market_ioc":
            return request
        request = replace(request, limit=Decimal(asked["limit_price"]))
        if kind in {"sor_limit_ioc", "limit_limit_gtc"}:
            return replace(request, immediate=kind == "sor_limit_ioc")
        if kind != "stop_limit_stop_limit_gtc":
            msg = f"orders of kind {kind} are not known here"
            raise ValueError(msg)
        rising = asked["stop_direction"] == "STOP_DIRECTION_STOP_UP"
        return replace(request, trigger=Decimal(asked["stop_price"]), rising=rising)

    def _cancel(self, call: Incoming) -> Answer:
        results = [self._canceled(identity, call) for identity in call.parameters["order_ids"]]
        return json_answer({"results": results})

    def _canceled(self, identity: str, call: Incoming) -> dict[str, Any]:
        for order in self.exchange.orders:
            if order.open and order_id(order.number) == identity:
                self.exchange.cancel(order.number, fill_after=call.fill_after)
                if call.behind:
                    self.exchange.fall_behind(order.number)
                return {"success": True, "failure_reason": "UNKNOWN_CANCEL_FAILURE_REASON", "order_id": identity}
        return {"success": False, "failure_reason": "UNKNOWN_CANCEL_ORDER", "order_id": identity}

    def _order(self, call: Incoming) -> Answer:
        seen = self.exchange.seen(behind=call.behind)
        for order in seen.orders:
            if order_id(order.number) == call.place["order"]:
                return json_answer({"order": order_entry(order, len(seen.trades_of(order)))})
        raise RefusedError(VenueRefusal.UNKNOWN_ORDER)

    def _orders(self, call: Incoming) -> Answer:
        seen = self.exchange.seen(behind=call.behind)
        statuses = parse_qs(call.query).get("order_status", [])
        found = [order for order in reversed(seen.orders) if self._asked(order, call)]
        rows = [order_entry(order, len(seen.trades_of(order))) for order in found]
        page, cursor = _page([row for row in rows if not statuses or row["status"] in statuses], call)
        return json_answer({"orders": page, "has_next": bool(cursor), "cursor": cursor, "sequence": "0"})

    def _asked(self, order: ExchangeOrder, call: Incoming) -> bool:
        products, opened = _products_of(call), iso(order.opened_at)
        if products and product_id(order.request.symbol) not in products:
            return False
        return _moment(call, "start_date", "") <= opened < _moment(call, "end_date", "9")

    def _fills(self, call: Incoming) -> Answer:
        asked, products = _orders_of(call), _products_of(call)
        rows = [
            fill_entry(trade)
            for trade in reversed(self.exchange.seen(behind=call.behind).trades)
            if not asked or order_id(trade.order) in asked
            if not products or product_id(trade.symbol) in products
            if _moment(call, "start_sequence_timestamp", "") <= iso(trade.traded_at)
            if iso(trade.traded_at) < _moment(call, "end_sequence_timestamp", "9")
        ]
        page, cursor = _page(rows, call)
        return json_answer({"fills": page, "cursor": cursor})

    def _symbol(self, product: str) -> str:
        for symbol in self.exchange.instruments:
            if product_id(symbol) == product:
                return symbol
        raise RefusedError(VenueRefusal.UNKNOWN_SYMBOL)

    def _price(self, symbol: str) -> tuple[Decimal, Decimal]:
        prices = self.exchange.prices
        if symbol not in prices:
            raise RefusedError(VenueRefusal.NO_PRICE)
        return prices[symbol]


def _route(method: str, path: str, handler: Any, kind: CallKind | None = None) -> Route:  # noqa: ANN401
    return Route(method, f"{_BASE}/{path}", path, handler, kind)


def _products_of(call: Incoming) -> list[str]:
    query = parse_qs(call.query)
    return query.get("product_ids", []) + query.get("product_id", [])


def _orders_of(call: Incoming) -> list[str]:
    query = parse_qs(call.query)
    return query.get("order_ids", []) + query.get("order_id", [])


def _moment(call: Incoming, name: str, default: str) -> str:
    """A moment that compares as text with those of the answers, which have six decimals."""
    given = call.text(name, default)
    return f"{given[:-1]}000Z" if given.endswith("Z") and len(given) == len("2023-01-16T23:37:23.947Z") else given


def _page(rows: Sequence[dict[str, Any]], call: Incoming) -> tuple[Sequence[dict[str, Any]], str]:
    """A page, and the cursor of the next one; empty where there is none."""
    start, limit = call.number("cursor", 0), call.number("limit", _PAGE)
    end = start + limit
    return rows[start:end], str(end) if end < len(rows) else ""


def _error(kind: str, text: str, status: int) -> Answer:
    return json_answer({"error": kind, "error_details": text, "message": text}, status)
