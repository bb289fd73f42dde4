"""Orders, trades and pairs as Kraken's REST answers have them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.kraken_names import asset, code, pair_id, short_pair, stream_pair, transaction_id
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, ExchangeTrade, FeeIn, OrderRequest, OrderStatus
from triplegain_pipelines.rehearsal.protocol import spelt

_STATUS = {OrderStatus.OPEN: "open", OrderStatus.FILLED: "closed", OrderStatus.CANCELED: "canceled"}
_FLAGS = {FeeIn.QUOTE: "fciq", FeeIn.BASE: "fcib"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_of(moment: datetime) -> float:
    """A time as Kraken gives it: seconds since 1970 with a fraction."""
    return (moment - _EPOCH).total_seconds()


def order_type(request: OrderRequest) -> str:
    """Kraken's name for what an order is."""
    limited = request.limit is not None
    if request.trigger is None:
        return "limit" if limited else "market"
    stops = request.rising == (request.side is Side.BUY)
    return ("stop-loss" if stops else "take-profit") + ("-limit" if limited else "")


def prices_of(order: ExchangeOrder) -> tuple[str, str]:
    """`price` and `price2` of an order: of a stop the trigger and its limit."""
    first, second = order.trigger, order.request.limit
    if first is None:
        first, second = second, None
    return spelt(first or Decimal(0)), spelt(second or Decimal(0))


def described(order: ExchangeOrder) -> str:
    """An order in one line: sell 0.01000000 XBTUSDT @ stop loss 89000.0."""
    request, (price, second) = order.request, prices_of(order)
    kind = order_type(request)
    head = f"{request.side.lower()} {spelt(request.quantity)} {short_pair(request.symbol)} @"
    if kind == "market":
        return f"{head} market"
    if kind == "limit":
        return f"{head} limit {price}"
    text = f"{head} {kind.removesuffix('-limit').replace('-', ' ')} {price}"
    return f"{text} -> limit {second}" if request.limit is not None else text


def order_entry(order: ExchangeOrder, trades: Sequence[ExchangeTrade] | None = None) -> dict[str, Any]:
    """An order of OpenOrders, ClosedOrders or QueryOrders; with the ids of its trades where those were asked for."""
    request, (price, second) = order.request, prices_of(order)
    entry: dict[str, Any] = {
        "refid": None,
        "userref": int(request.details["userref"]) if "userref" in request.details else None,
        **({"cl_ord_id": request.client_id} if request.client_id is not None else {}),
        "status": _STATUS[order.status],
        "opentm": seconds_of(order.opened_at),
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": short_pair(request.symbol),
            "type": request.side.lower(),
            "ordertype": order_type(request),
            "price": price,
            "price2": second,
            "leverage": "none",
            "order": described(order),
            "close": "",
        },
        "vol": spelt(request.quantity),
        "vol_exec": spelt(order.filled),
        "cost": spelt(order.cost),
        "fee": spelt(order.fee),
        "price": spelt(order.average),
        "stopprice": spelt(order.trigger or Decimal(0)) if order.triggered else "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": _FLAGS.get(request.fee_in or FeeIn.QUOTE, "fciq"),
    }
    if order.closed_at is not None:
        entry |= {"reason": order.reason or None, "closetm": seconds_of(order.closed_at)}
    if trades:
        entry["trades"] = [transaction_id("T", trade.number) for trade in trades]
    return entry


def trade_entry(trade: ExchangeTrade, kind: str) -> dict[str, Any]:
    """A trade of TradesHistory or QueryTrades."""
    return {
        "ordertxid": transaction_id("O", trade.order),
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_id(trade.symbol),
        "aclass": "forex",
        "time": seconds_of(trade.traded_at),
        "type": trade.side.lower(),
        "ordertype": kind,
        "price": spelt(trade.price),
        "cost": spelt(trade.cost),
        "fee": spelt(trade.fee),
        "vol": spelt(trade.quantity),
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": trade.number,
        "maker": False,
    }


def asset_entry(currency: str) -> dict[str, Any]:
    """A currency of Assets."""
    return {
        "aclass": "currency",
        "altname": code(currency),
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }


def pair_entry(instrument: Instrument, fee_rate: Decimal) -> dict[str, Any]:
    """A pair of AssetPairs."""
    percent = float(fee_rate * 100)
    return {
        "altname": short_pair(instrument.symbol),
        "wsname": stream_pair(instrument),
        "aclass_base": "currency",
        "base": asset(instrument.base),
        "aclass_quote": "currency",
        "quote": asset(instrument.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": _decimals(instrument.price_step),
        "lot_decimals": _decimals(instrument.quantity_step),
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, percent]],
        "fees_maker": [[0, percent]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": spelt(instrument.minimum_quantity),
        "costmin": spelt(instrument.minimum_cost),
        "tick_size": spelt(instrument.price_step),
        "status": "online",
    }


def ticker_entry(bid: Decimal, ask: Decimal) -> dict[str, Any]:
    """A pair of Ticker; what it cannot know of a day is told from the present prices."""
    price = spelt(bid)
    return {
        "a": [spelt(ask), "1", "1.000"],
        "b": [price, "1", "1.000"],
        "c": [price, "0.00100000"],
        "v": ["0.00100000", "0.00100000"],
        "p": [price, price],
        "t": [1, 1],
        "l": [price, price],
        "h": [price, price],
        "o": price,
    }


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
