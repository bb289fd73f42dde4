"""What tests of the venues' adapters share: keys, settings without waits, intents, and what each venue lists."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from builders import ACCOUNT, BTC, START
from venue_capture import Reply, VenueCapture

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, OrderType, Side
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.execution.venues.factory import open_broker
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.venues import TradingAccess, VenueSettings

VENUES = ("kraken", "binance", "coinbase")
FIVE_SECONDS = timedelta(seconds=5)
EXPIRY = START + FIVE_SECONDS
# A refusal in the words of each venue.
SAID: dict[str, Callable[[str], Reply]] = {
    "kraken": lambda words: Reply({"error": [words]}),
    "binance": lambda words: Reply({"code": int(words.split()[0]), "msg": words.partition(" ")[2]}, 400),
    "coinbase": lambda words: Reply({"success": False, "error_response": {"error": words, "message": "m"}}),
}

ASSET_PAIRS = {
    "error": [],
    "result": {
        "XBTUSDT": {
            "altname": "XBTUSDT",
            "wsname": "XBT/USDT",
            "base": "XXBT",
            "quote": "USDT",
            "lot_decimals": 8,
            "pair_decimals": 1,
            "ordermin": "0.0001",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
        },
        "XETHZUSD": {
            "altname": "ETHUSD",
            "wsname": "ETH/USD",
            "base": "XETH",
            "quote": "ZUSD",
            "lot_decimals": 8,
            "pair_decimals": 2,
            "ordermin": "0.002",
            "costmin": "0.5",
            "status": "online",
        },
    },
}
EXCHANGE_INFO = {
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS"],
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": "0.01000000",
                    "maxPrice": "1000000.0",
                    "tickSize": "0.01000000",
                },
                {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.0", "stepSize": "0.00001000"},
                {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "60.0", "stepSize": "0.00000000"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
            ],
        }
    ]
}
PRODUCTS = {
    "products": [
        {
            "product_id": "BTC-USDT",
            "product_type": "SPOT",
            "base_currency_id": "BTC",
            "quote_currency_id": "USDT",
            "base_increment": "0.00000001",
            "quote_increment": "0.01",
            "price_increment": "0.01",
            "base_min_size": "0.00000001",
            "quote_min_size": "1",
        }
    ],
    "num_products": 1,
}
LISTINGS = {
    "kraken": {"GET /0/public/AssetPairs": Reply(ASSET_PAIRS)},
    "binance": {"GET /api/v3/exchangeInfo": Reply(EXCHANGE_INFO)},
    "coinbase": {"GET /api/v3/brokerage/market/products": Reply(PRODUCTS)},
}
CREATE = {
    "kraken": "POST /0/private/AddOrder",
    "binance": "POST /api/v3/order",
    "coinbase": "POST /api/v3/brokerage/orders",
}


@cache
def keys_of(venue: str) -> Keys:
    """A key of the form that the venue gives. It opens nothing anywhere."""
    if venue == "coinbase":
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = ec.derive_private_key(20240805, ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
        return Keys("organizations/planted-organisation/apiKeys/planted-key", pem)
    return Keys("planted-api-key-5XkQ", base64.b64encode(b"planted secret of " + venue.encode() * 4).decode())


def venue_settings(venue: str, **changes: Any) -> VenueSettings:
    """The venue of config/venues.yaml, without waits between calls."""
    configured = load_settings(Environment(profile="demo"), CONFIG).venues.of(venue)
    access = TradingAccess(calls_per_second=1e6, burst=1000)
    return configured.model_copy(update={"trading": access, **changes})


def live_settings(**changes: Any) -> LiveSettings:
    """The section `live` of config/live.yaml, with changes."""
    configured = load_settings(Environment(profile="live"), CONFIG).profile.live
    assert configured is not None
    return configured.model_copy(update=changes)


def broker_at(url: str, venue: str, clock: Clock, *, keys: Keys | None = None, **changes: Any) -> Broker:
    """The venue's broker over a server at `url`."""
    return open_broker(
        venue_settings(venue),
        venue,
        keys or keys_of(venue),
        live_settings(**changes),
        clock,
        symbols=(BTC,),
        base_url=url,
    )


def captured(venue: str, **more: Reply | list[Reply]) -> VenueCapture:
    """A capturing server that lists the venue's markets."""
    return VenueCapture({**LISTINGS[venue], **more})


def intent(
    leg: Leg = Leg.ENTRY,
    *,
    quantity: str = "0.1",
    trigger: str | None = None,
    side: Side | None = None,
    number: int = 1,
    attempt: int = 1,
    price: str = "10000",
    symbol: str = BTC,
) -> Intent:
    """An order as it was decided: an entry buys, everything else sells."""
    return Intent(
        account=ACCOUNT,
        decision_id=deterministic_id("decision", number),
        symbol=symbol,
        leg=leg,
        attempt=attempt,
        side=side or (Side.BUY if leg is Leg.ENTRY else Side.SELL),
        order_type=OrderType.STOP if leg is Leg.STOP else OrderType.MARKET,
        quantity=Decimal(quantity),
        decided_price=Decimal(price),
        trigger_price=None if trigger is None else Decimal(trigger),
    )


def reference(order: Intent, venue_order_id: str | None = None, sent_at: datetime = START) -> OrderReference:
    """The order as a venue is asked for it."""
    return OrderReference(
        client_order_id=order.client_order_id,
        venue_order_id=venue_order_id,
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        quantity=order.quantity,
        trigger_price=order.trigger_price,
        sent_at=sent_at,
        expires_at=sent_at + FIVE_SECONDS,
    )
