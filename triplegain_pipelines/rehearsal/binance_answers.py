"""Orders, trades and pairs as Binance's REST answers have them."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, ExchangeTrade, OrderStatus
from triplegain_pipelines.rehearsal.protocol import milliseconds_of, spelt

_ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_LARGEST = "9000000.00000000"


def status_of(order: ExchangeOrder) -> str:
    """Binance's name for the state of an order: what the venue itself ends has expired."""
    if order.status is OrderStatus.OPEN:
        return "PARTIALLY_FILLED" if order.filled else "NEW"
    if order.status is OrderStatus.FILLED:
        return "FILLED"
    return "CANCELED" if order.reason == "User requested" else "EXPIRED"


def order_entry(order: ExchangeOrder) -> dict[str, Any]:
    """An order as it is told when somebody asks for it."""
    request = order.request
    changed = milliseconds_of(order.closed_at or order.opened_at)
    return {
        "symbol": request.symbol.replace("/", ""),
        "orderId": order.number,
        "orderListId": -1,
        "clientOrderId": request.client_id,
        "price": spelt(request.limit or Decimal(0)),
        "origQty": spelt(request.quantity),
        "executedQty": spelt(order.filled),
        "cummulativeQuoteQty": spelt(order.cost),
        "origQuoteOrderQty": "0.00000000",
        "status": status_of(order),
        "timeInForce": request.details.get("timeInForce", "GTC"),
        "type": request.details.get("type", "MARKET"),
        "side": request.side.value,
        **({"stopPrice": spelt(order.trigger)} if order.trigger is not None else {}),
        "icebergQty": "0.00000000",
        "time": milliseconds_of(order.opened_at),
        "updateTime": changed,
        "isWorking": not order.waiting,
        "workingTime": -1 if order.waiting else changed,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def submitted_entry(order: ExchangeOrder, trades: Iterable[ExchangeTrade], now: datetime) -> dict[str, Any]:
    """The full answer to a submission."""
    fills = [
        {
            "price": spelt(trade.price),
            "qty": spelt(trade.quantity),
            "commission": spelt(trade.fee),
            "commissionAsset": trade.fee_currency,
            "tradeId": trade.number,
        }
        for trade in trades
    ]
    return {**_of_now(order, now), "fills": fills}


def canceled_entry(order: ExchangeOrder, now: datetime) -> dict[str, Any]:
    """The answer to a cancel: the order's id is the original one now, and the request has an id of its own."""
    own = deterministic_id("loopback binance cancel", order.number).hex[:22]
    return {**_of_now(order, now), "origClientOrderId": order.request.client_id, "clientOrderId": own}


def trade_entry(trade: ExchangeTrade) -> dict[str, Any]:
    """A trade of the account."""
    return {
        "symbol": trade.symbol.replace("/", ""),
        "id": trade.number,
        "orderId": trade.order,
        "orderListId": -1,
        "price": spelt(trade.price),
        "qty": spelt(trade.quantity),
        "quoteQty": spelt(trade.cost),
        "commission": spelt(trade.fee),
        "commissionAsset": trade.fee_currency,
        "time": milliseconds_of(trade.traded_at),
        "isBuyer": trade.side is Side.BUY,
        "isMaker": False,
        "isBestMatch": True,
    }


def ticker_entry(symbol: str, bid: Decimal, ask: Decimal, now: int) -> dict[str, Any]:
    """Prices of a pair; `now` in milliseconds since 1970."""
    return {
        "symbol": symbol.replace("/", ""),
        "lastPrice": spelt(bid),
        "bidPrice": spelt(bid),
        "bidQty": "1.00000000",
        "askPrice": spelt(ask),
        "askQty": "1.00000000",
        "closeTime": now,
    }


def listed(instrument: Instrument) -> dict[str, Any]:
    """A pair of exchangeInfo."""
    price, quantity = spelt(instrument.price_step), spelt(instrument.quantity_step)
    return {
        "symbol": instrument.base + instrument.quote,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": price, "maxPrice": _LARGEST, "tickSize": price},
            {
                "filterType": "LOT_SIZE",
                "minQty": spelt(instrument.minimum_quantity),
                "maxQty": _LARGEST,
                "stepSize": quantity,
            },
            {"filterType": "NOTIONAL", "minNotional": spelt(instrument.minimum_cost), "applyMinToMarket": True},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def coin_entry(currency: str) -> dict[str, Any]:
    """A currency of capital/config/getall."""
    return {
        "coin": currency,
        "name": currency,
        "depositAllEnable": True,
        "withdrawAllEnable": True,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


def _of_now(order: ExchangeOrder, now: datetime) -> dict[str, Any]:
    entry = order_entry(order)
    del entry["time"], entry["updateTime"], entry["isWorking"]
    return {**entry, "transactTime": milliseconds_of(now)}
