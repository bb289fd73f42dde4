"""What the adapters put on the wire, compared field by field: a change of ccxt's spelling must fail here."""

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from broker_cases import CREATE, EXPIRY, broker_at, captured, intent, reference
from builders import BTC, START
from venue_capture import Reply, Sent, VenueCapture

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.orders import Leg, OrderState, Side

pytestmark = pytest.mark.integration

MARKET, STOP = intent(), intent(Leg.STOP, trigger="9500.049", quantity="0.1")
UNANSWERED = Reply("no", 500)
# What every request has and no test foresees.
_VOLATILE = frozenset({"nonce", "signature"})


def own(order: Any) -> str:
    return str(order.client_order_id)


EXPECTED: dict[tuple[str, str], dict[str, Any]] = {
    ("kraken", "market"): {
        "pair": "XBTUSDT",
        "type": "buy",
        "ordertype": "market",
        "volume": "0.1",
        "cl_ord_id": own(MARKET),
        "oflags": "fciq",
        "deadline": "2024-08-05T00:00:05.000Z",
    },
    ("kraken", "stop"): {
        "pair": "XBTUSDT",
        "type": "sell",
        "ordertype": "stop-loss",
        "price": "9500.1",
        "volume": "0.1",
        "cl_ord_id": own(STOP),
        "oflags": "fciq",
        "deadline": "2024-08-05T00:00:05.000Z",
    },
    ("binance", "market"): {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.1",
        "newClientOrderId": own(MARKET),
        "timestamp": "1722816000000",
        "recvWindow": "5000",
    },
    ("binance", "stop"): {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_LOSS",
        "stopPrice": "9500.05",
        "quantity": "0.1",
        "newClientOrderId": own(STOP),
        "timestamp": "1722816000000",
        "recvWindow": "5000",
    },
    ("coinbase", "market"): {
        "client_order_id": own(MARKET),
        "product_id": "BTC-USDT",
        "side": "BUY",
        "order_configuration": {"sor_limit_ioc": {"base_size": "0.1", "limit_price": "10200"}},
    },
    ("coinbase", "stop"): {
        "client_order_id": own(STOP),
        "product_id": "BTC-USDT",
        "side": "SELL",
        "order_configuration": {
            "stop_limit_stop_limit_gtc": {
                "base_size": "0.1",
                "limit_price": "9310.05",
                "stop_price": "9500.05",
                "stop_direction": "STOP_DIRECTION_STOP_DOWN",
            }
        },
    },
}


def fields(sent: Sent) -> dict[str, Any]:
    return {name: value for name, value in sent.parameters.items() if name not in _VOLATILE}


def jwt_of(sent: Sent) -> dict[str, Any]:
    payload = sent.headers["Authorization"].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def creation(server: VenueCapture, venue: str, order: Any, clock: ReplayClock | None = None) -> Sent:
    """What a submission sends; the venue answers nothing that says what became of it."""
    broker = broker_at(server.url, venue, clock or ReplayClock(START))
    with pytest.raises(UnknownOutcomeError):
        broker.submit(order, START, EXPIRY if venue != "coinbase" else START + timedelta(seconds=120))
    (sent,) = server.of(CREATE[venue])
    return sent


@pytest.mark.parametrize(("venue", "kind"), EXPECTED)
def test_an_order_on_the_wire_is_what_was_meant(venue: str, kind: str) -> None:
    """X2: a field that is dropped, renamed or rounded by the library is an order that nobody decided.

    Numbers are text with all their digits: quantities cut, triggers moved towards the entry, '0.1' stays '0.1'.
    """
    with captured(venue, **{CREATE[venue]: UNANSWERED}) as server:
        sent = creation(server, venue, MARKET if kind == "market" else STOP)
        assert fields(sent) == EXPECTED[venue, kind]


def test_a_long_number_loses_no_digit_on_the_wire() -> None:
    """X2: a float keeps 15 digits and writes small numbers with an exponent, which venues refuse or misread."""
    for quantity in ("0.0001", "12345678.12345678", "0.30000001", "100"):
        with captured("kraken", **{CREATE["kraken"]: UNANSWERED}) as server:
            assert creation(server, "kraken", intent(quantity=quantity)).parameters["volume"] == quantity


def test_a_coinbase_sell_is_a_market_order_in_base() -> None:
    """X2: an exit must not be priced out."""
    with captured("coinbase", **{CREATE["coinbase"]: UNANSWERED}) as server:
        sent = creation(server, "coinbase", intent(Leg.EXIT))
        assert sent.parameters["order_configuration"] == {"market_market_ioc": {"base_size": "0.1"}}


def test_a_stop_that_buys_goes_down_to_its_step_and_triggers_upwards() -> None:
    """X2: the safe side of a short's stop is below; on Coinbase a wrong direction makes it a target."""
    stop = intent(Leg.STOP, trigger="10500.057", side=Side.BUY)
    with captured("coinbase", **{CREATE["coinbase"]: UNANSWERED}) as server:
        sent = creation(server, "coinbase", stop)
        assert sent.parameters["order_configuration"]["stop_limit_stop_limit_gtc"] == {
            "base_size": "0.1",
            "limit_price": "10710.05",
            "stop_price": "10500.05",
            "stop_direction": "STOP_DIRECTION_STOP_UP",
        }


def test_the_time_in_a_request_is_that_of_its_sending() -> None:
    """X3: a process that slept between writing and sending must send what the venue refuses by then."""
    later = ReplayClock(START + timedelta(seconds=4))
    with captured("coinbase", **{CREATE["coinbase"]: UNANSWERED}) as server:
        claims = jwt_of(creation(server, "coinbase", MARKET, later))
        assert (claims["nbf"], claims["exp"]) == (1722816000, 1722816120)
    with captured("binance", **{CREATE["binance"]: UNANSWERED}) as server:
        assert creation(server, "binance", MARKET, later).parameters["timestamp"] == "1722816000000"


def test_nonces_of_one_key_rise_over_all_its_clients() -> None:
    """X3: Kraken refuses a nonce that is not larger than the last, and locks a key out that repeats it."""
    with captured("kraken", **{"POST /0/private/BalanceEx": Reply({"error": [], "result": {}})}) as server:
        clock = ReplayClock(START)
        brokers = [broker_at(server.url, "kraken", clock) for _ in range(2)]
        for broker in (*brokers, *brokers):
            broker.balances()
        nonces = [int(sent.parameters["nonce"]) for sent in server.sent]
        assert nonces == sorted(set(nonces))
        assert nonces[0] == 1722816000 * 1_000_000


def test_the_other_calls_of_kraken_on_the_wire() -> None:
    """X2: cancel by our id, look-up among open, closed and traded, the timer in seconds."""
    gone = Reply({"error": ["EOrder:Unknown order"]})
    replies = {
        "POST /0/private/QueryOrders": gone,
        "POST /0/private/OpenOrders": Reply({"error": [], "result": {"open": {}}}),
        "POST /0/private/ClosedOrders": Reply({"error": [], "result": {"closed": {}, "count": 0}}),
        "POST /0/private/TradesHistory": Reply({"error": [], "result": {"trades": {}, "count": 0}}),
        "POST /0/private/CancelOrder": gone,
        "POST /0/private/CancelAllOrdersAfter": Reply({"error": [], "result": {"triggerTime": "2024-08-05T00:01:00Z"}}),
    }
    with captured("kraken", **replies) as server:
        broker = broker_at(server.url, "kraken", ReplayClock(START))
        assert broker.lookup(reference(STOP, "OABC-1")) is None
        with pytest.raises(Exception, match="knows no order"):
            broker.cancel(reference(STOP))
        broker.keep_alive(timedelta(seconds=60))
        broker.keep_alive(None)
        private = [sent for sent in server.sent if "/private/" in sent.name]
        looked = [
            ("OpenOrders", {"cl_ord_id": own(STOP), "trades": "true", "consolidate_taker": "false"}),
            ("ClosedOrders", {"cl_ord_id": own(STOP), "trades": "true", "consolidate_taker": "false"}),
            ("TradesHistory", {"start": "1722815939", "ofs": "0", "consolidate_taker": "false"}),
        ]
        assert [(sent.name.rpartition("/")[2], fields(sent)) for sent in private] == [
            ("QueryOrders", {"txid": "OABC-1", "trades": "true", "consolidate_taker": "false"}),
            *looked,
            ("CancelOrder", {"cl_ord_id": own(STOP)}),
            *looked,
            ("CancelAllOrdersAfter", {"timeout": "60"}),
            ("CancelAllOrdersAfter", {"timeout": "0"}),
        ]


def test_the_other_calls_of_binance_on_the_wire() -> None:
    """X2: look-up and cancel by our id, trades by symbol in windows of a day."""
    gone = Reply({"code": -2013, "msg": "Order does not exist."}, 400)
    replies = {
        "GET /api/v3/order": gone,
        "DELETE /api/v3/order": Reply({"code": -2011, "msg": "Unknown order sent."}, 400),
        "GET /api/v3/myTrades": Reply([]),
        "GET /api/v3/openOrders": Reply([]),
        "GET /api/v3/account": Reply({"balances": [{"asset": "BTC", "free": "0.1", "locked": "0.2"}]}),
    }
    with captured("binance", **replies) as server:
        broker = broker_at(server.url, "binance", ReplayClock(START))
        assert broker.lookup(reference(STOP)) is None
        assert broker.lookup(reference(STOP, "28")) is None
        with pytest.raises(Exception, match="knows no order"):
            broker.cancel(reference(STOP))
        assert broker.executions(START - timedelta(hours=30)) == ()
        assert broker.open_orders() == ()
        assert broker.balances() == {"BTC": Decimal("0.3")}
        private = [(sent.name, fields(sent)) for sent in server.sent if "exchangeInfo" not in sent.name]
        signed = {"timestamp": "1722816000000", "recvWindow": "10000"}
        mine = {"symbol": "BTCUSDT", "origClientOrderId": own(STOP), **signed}
        trades = {"symbol": "BTCUSDT", "limit": "1000", **signed}
        assert private == [
            ("GET /api/v3/order", mine),
            ("GET /api/v3/order", {"symbol": "BTCUSDT", "orderId": "28", **signed}),
            ("DELETE /api/v3/order", mine),
            ("GET /api/v3/order", mine),
            ("GET /api/v3/myTrades", {"startTime": "1722708000000", "endTime": "1722794400000", **trades}),
            ("GET /api/v3/myTrades", {"startTime": "1722794400000", "endTime": "1722816001000", **trades}),
            ("GET /api/v3/openOrders", signed),
            ("GET /api/v3/account", {"omitZeroBalances": "true", **signed}),
        ]


def test_the_other_calls_of_coinbase_on_the_wire() -> None:
    """X2: look-up by listing, cancel by the venue's id, fills since a time."""
    row = {"order_id": "c-1", "client_order_id": own(STOP), "product_id": "BTC-USDT", "side": "SELL", "status": "OPEN"}
    row |= {"filled_size": "0", "order_configuration": {"stop_limit_stop_limit_gtc": {"base_size": "0.1"}}}
    batch, cancel = "/api/v3/brokerage/orders/historical/batch", "/api/v3/brokerage/orders/batch_cancel"
    replies = {
        f"GET {batch}": Reply({"orders": [row], "has_next": False, "cursor": ""}),
        f"POST {cancel}": Reply({"results": [{"success": True, "order_id": "c-1"}]}),
        "GET /api/v3/brokerage/orders/historical/c-1": Reply({"order": {**row, "status": "CANCELLED"}}),
        "GET /api/v3/brokerage/orders/historical/fills": Reply({"fills": [], "cursor": ""}),
    }
    with captured("coinbase", **replies) as server:
        broker = broker_at(server.url, "coinbase", ReplayClock(START))
        assert broker.cancel(reference(STOP)).state is OrderState.CANCELED
        assert [resting.venue_order_id for resting in broker.open_orders()] == ["c-1"]
        assert broker.executions(START) == ()
        private = [(sent.name, fields(sent)) for sent in server.sent if "products" not in sent.name]
        assert private == [
            (f"GET {batch}", {"start_date": "2024-08-04T23:55:00.000Z", "limit": "250"}),
            (f"POST {cancel}", {"order_ids": ["c-1"]}),
            ("GET /api/v3/brokerage/orders/historical/c-1", {}),
            (f"GET {batch}", {"order_status": "OPEN", "limit": "250"}),
            (
                "GET /api/v3/brokerage/orders/historical/fills",
                {"start_sequence_timestamp": "2024-08-05T00:00:00.000Z", "limit": "250"},
            ),
        ]


def test_the_sandbox_of_binance_is_another_host() -> None:
    """X2: an order meant for play money must not reach the real exchange."""
    from broker_cases import keys_of, live_settings

    from triplegain_pipelines.execution.venues.factory import open_broker
    from triplegain_pipelines.settings import CONFIG, Environment, load_settings

    venues = load_settings(Environment(profile="demo"), CONFIG).venues
    hosts = {}
    for name in ("binance", "binance_testnet"):
        broker: Any = open_broker(venues.of(name), name, keys_of("binance"), live_settings(), ReplayClock(START))
        hosts[name] = broker._client._exchange.urls["api"]["private"]
    assert hosts == {
        "binance": "https://api.binance.com/api/v3",
        "binance_testnet": "https://testnet.binance.vision/api/v3",
    }


def test_instruments_are_read_to_the_last_digit() -> None:
    """X2: a step read as a float rounds quantities to somewhere else."""
    expected = {
        "kraken": ("0.00000001", "0.1", "0.0001", "0.5"),
        "binance": ("0.00001000", "0.01000000", "0.00001000", "5.00000000"),
        "coinbase": ("0.00000001", "0.01", "0.00000001", "1"),
    }
    for venue, numbers in expected.items():
        with captured(venue) as server:
            found = broker_at(server.url, venue, ReplayClock(START)).instruments([BTC])[BTC]
            exact = (found.quantity_step, found.price_step, found.minimum_quantity, found.minimum_cost)
            assert exact == tuple(Decimal(number) for number in numbers)
