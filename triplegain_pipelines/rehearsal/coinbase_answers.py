"""Orders, fills and products as the answers of Coinbase's Advanced Trade have them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, ExchangeTrade, OrderRequest, OrderStatus
from triplegain_pipelines.rehearsal.protocol import iso, spelt

_STATUS = {OrderStatus.OPEN: "OPEN", OrderStatus.FILLED: "FILLED", OrderStatus.CANCELED: "CANCELLED"}
_USER = "11111111-1111-4111-8111-111111111111"


def order_id(number: int) -> str:
    """Coinbase's id of the order with this number."""
    return str(deterministic_id("loopback coinbase order", number))


def product_id(symbol: str) -> str:
    """Coinbase's id of a pair."""
    return symbol.replace("/", "-")


def configuration(request: OrderRequest) -> dict[str, Any]:
    """An order as it was asked for."""
    size = spelt(request.quantity)
    if request.limit is None:
        return {"market_market_ioc": {"base_size": size}}
    if request.trigger is None:
        kind = "sor_limit_ioc" if request.immediate else "limit_limit_gtc"
        return {kind: {"base_size": size, "limit_price": spelt(request.limit)}}
    return {
        "stop_limit_stop_limit_gtc": {
            "base_size": size,
            "limit_price": spelt(request.limit),
            "stop_price": spelt(request.trigger),
            "stop_direction": "STOP_DIRECTION_STOP_UP" if request.rising else "STOP_DIRECTION_STOP_DOWN",
        }
    }


def order_entry(order: ExchangeOrder, fills: int) -> dict[str, Any]:
    """An order as it is told when somebody asks for it."""
    request = order.request
    immediate = request.immediate or (request.limit is None and request.trigger is None)
    kind = "MARKET" if request.limit is None else "LIMIT" if request.trigger is None else "STOP_LIMIT"
    waits = "STOP_PENDING" if order.waiting else "STOP_TRIGGERED"
    return {
        "order_id": order_id(order.number),
        "product_id": product_id(request.symbol),
        "user_id": _USER,
        "order_configuration": configuration(request),
        "side": request.side.value,
        "client_order_id": request.client_id,
        "status": _STATUS[order.status],
        "time_in_force": "IMMEDIATE_OR_CANCEL" if immediate else "GOOD_UNTIL_CANCELLED",
        "created_time": iso(order.opened_at),
        "completion_percentage": "100" if not order.rest else "0",
        "filled_size": spelt(order.filled),
        "average_filled_price": spelt(order.average),
        "fee": "",
        "number_of_fills": str(fills),
        "filled_value": spelt(order.cost),
        "pending_cancel": False,
        "size_in_quote": False,
        "total_fees": spelt(order.fee),
        "size_inclusive_of_fees": False,
        "total_value_after_fees": spelt(order.cost + request.side.sign * order.fee),
        "trigger_status": "INVALID_ORDER_TYPE" if request.trigger is None else waits,
        "order_type": kind,
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": not order.open,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": order.reason if order.status is OrderStatus.CANCELED else "",
        **({"last_fill_time": iso(order.closed_at)} if order.closed_at is not None and fills else {}),
    }


def fill_entry(trade: ExchangeTrade) -> dict[str, Any]:
    """A fill of the account."""
    identity = str(deterministic_id("loopback coinbase trade", trade.number))
    return {
        "entry_id": deterministic_id("loopback coinbase entry", trade.number).hex,
        "trade_id": identity,
        "order_id": order_id(trade.order),
        "trade_time": iso(trade.traded_at),
        "trade_type": "FILL",
        "price": spelt(trade.price),
        "size": spelt(trade.quantity),
        "commission": spelt(trade.fee),
        "product_id": product_id(trade.symbol),
        "sequence_timestamp": iso(trade.traded_at),
        "liquidity_indicator": "TAKER",
        "size_in_quote": False,
        "user_id": _USER,
        "side": trade.side.value,
    }


def account_entry(currency: str, free: Decimal, held: Decimal, fiat: frozenset[str]) -> dict[str, Any]:
    """One currency of the account."""
    return {
        "uuid": str(deterministic_id("loopback coinbase account", currency)),
        "name": f"{currency} Wallet",
        "currency": currency,
        "available_balance": {"value": spelt(free), "currency": currency},
        "default": True,
        "active": True,
        "type": "ACCOUNT_TYPE_FIAT" if currency in fiat else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": spelt(held), "currency": currency},
    }


def product_entry(instrument: Instrument, price: Decimal | None) -> dict[str, Any]:
    """A pair of the list of products."""
    return {
        "product_id": product_id(instrument.symbol),
        "price": spelt(price) if price is not None else "",
        "base_increment": spelt(instrument.quantity_step),
        "quote_increment": spelt(instrument.price_step),
        "quote_min_size": spelt(instrument.minimum_cost),
        "quote_max_size": "150000000",
        "base_min_size": spelt(instrument.minimum_quantity),
        "base_max_size": "9000000",
        "base_name": instrument.base,
        "quote_name": instrument.quote,
        "is_disabled": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": instrument.quote,
        "base_currency_id": instrument.base,
        "alias": "",
        "alias_to": [],
        "price_increment": spelt(instrument.price_step),
        "display_name": product_id(instrument.symbol),
        "product_venue": "CBE",
    }


def pricebook(symbol: str, bid: Decimal, ask: Decimal, at: datetime) -> dict[str, Any]:
    """The best prices of a pair."""
    return {
        "product_id": product_id(symbol),
        "bids": [{"price": spelt(bid), "size": "1"}],
        "asks": [{"price": spelt(ask), "size": "1"}],
        "time": iso(at),
    }
