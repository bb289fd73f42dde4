"""Real ccxt trades against Coinbase on loopback."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.market.venues.exchange import redirect
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import Fault, FaultKind
from triplegain_pipelines.rehearsal.protocol import KeyPermissions
from triplegain_pipelines.rehearsal.server import LoopbackServer

pytestmark = pytest.mark.integration
BTC = Instrument("BTC/USDT", Decimal("0.00000001"), Decimal("0.01"), Decimal("0.00001"), Decimal(1))
CLIENT_ID = "6d47a5f0-6fd4-4b84-b56e-c23f0f689c20"
OTHER_ID = "6d47a5f0-6fd4-4b84-b56e-c23f0f689c21"


@pytest.fixture
def clock() -> ShiftableClock:
    """A clock that tests move."""
    return ShiftableClock()


@pytest.fixture
def exchange(clock: ShiftableClock) -> LoopbackExchange:
    """1,000 USDT and half a bitcoin; the market at 100,000."""
    made = LoopbackExchange([BTC], {"USDT": Decimal(1000), "BTC": Decimal("0.5")}, Decimal("0.01"), clock)
    made.set_price("BTC/USDT", Decimal(99999), Decimal(100001))
    return made


@pytest.fixture
def server(exchange: LoopbackExchange) -> Iterator[LoopbackServer]:
    """Coinbase without faults."""
    with LoopbackServer(exchange, "coinbase") as opened:
        yield opened


def client(server: LoopbackServer, **more: object) -> ccxt.coinbase:
    """The Coinbase of ccxt with its addresses on loopback."""
    keys = {"apiKey": server.api_key, "secret": server.api_secret}
    opened = ccxt.coinbase({**keys, "enableRateLimit": False, **more})
    opened.urls["api"] = redirect(opened.urls["api"], server.url)
    return opened


def buy(coinbase: ccxt.coinbase, amount: float = 0.001, price: float = 101_000, **params: object) -> dict[str, Any]:
    """Buy at once with a limit."""
    asked = {"timeInForce": "IOC", "client_order_id": CLIENT_ID, **params}
    order: dict[str, Any] = coinbase.create_order("BTC/USDT", "limit", "buy", amount, price, asked)
    return order


def test_an_order_is_bought_and_told_of_in_every_way(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents an adapter that works with a toy and not with ccxt (X2): one order, seen by every question."""
    coinbase = client(server)
    made = buy(coinbase, 0.005)
    order = coinbase.fetch_order(made["id"])
    assert (order["status"], order["clientOrderId"], order["filled"], order["average"]) == (
        "closed", CLIENT_ID, 0.005, 100001.0,
    )  # fmt: skip
    assert [one["id"] for one in coinbase.fetch_orders("BTC/USDT")] == [made["id"]]
    assert coinbase.fetch_open_orders("BTC/USDT") == []
    (trade,) = coinbase.fetch_my_trades("BTC/USDT")
    assert (trade["order"], trade["amount"], trade["fee"]) == (
        made["id"], 0.005, {"cost": 5.00005, "currency": "USDT"},
    )  # fmt: skip
    assert coinbase.fetch_balance({"v3": True})["total"] == {"USDT": 494.99495, "BTC": 0.505}
    assert coinbase.fetch_bids_asks(["BTC/USDT"])["BTC/USDT"]["ask"] == 100001.0
    assert coinbase.fetch_ticker("BTC/USDT")["bid"] == 99999.0
    assert exchange.orders[0].request.client_id == CLIENT_ID


def test_a_client_id_is_good_for_one_order_for_ever(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents the belief that a second order was made (X3): Coinbase gives back the first."""
    coinbase = client(server)
    assert buy(coinbase)["id"] == buy(coinbase, 0.002)["id"]
    assert len(exchange.orders) == 1


def test_a_limit_that_is_not_met_ends_at_once(server: LoopbackServer) -> None:
    """Prevents an entry that rests: an order that is immediate or canceled leaves nothing."""
    coinbase = client(server)
    order = coinbase.fetch_order(buy(coinbase, price=90_000)["id"])
    assert (order["status"], order["filled"]) == ("canceled", 0.0)


def test_a_stop_rests_fires_and_is_canceled(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a stop on the wrong side (X2): `stopLossPrice` waits for a fall, and its limit is kept."""
    coinbase = client(server)
    made = [
        coinbase.create_order(
            "BTC/USDT", "limit", "sell", 0.25, limit, {"stopLossPrice": 95000, "client_order_id": identity}
        )
        for identity, limit in ((CLIENT_ID, 93000), (OTHER_ID, 94500))
    ]
    resting = coinbase.fetch_open_orders("BTC/USDT")
    assert {(one["id"], one["triggerPrice"]) for one in resting} == {(one["id"], 95000.0) for one in made}
    exchange.set_price("BTC/USDT", Decimal(94000), Decimal(94001))
    fired, passed_by = (coinbase.fetch_order(one["id"]) for one in made)
    assert (fired["status"], fired["average"]) == ("closed", 94000.0)
    assert (passed_by["status"], passed_by["filled"]) == ("open", 0.0)
    coinbase.cancel_order(made[1]["id"])
    assert coinbase.fetch_order(made[1]["id"])["status"] == "canceled"
    with pytest.raises(ccxt.BadRequest):
        coinbase.cancel_order(made[1]["id"])


def test_refusals_have_coinbases_words(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents an adapter that takes a refusal for an unknown outcome (R7)."""
    coinbase = client(server)
    with pytest.raises(ccxt.InsufficientFunds):
        buy(coinbase, 1)
    with pytest.raises(ccxt.InvalidOrder, match="PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"):
        coinbase.create_order("BTC/USDT", "limit", "sell", 0.1, 99_000, {"stopLossPrice": 100_500})
    with pytest.raises(ccxt.ExchangeError, match="BASE_SIZE_TOO_SMALL"):
        buy(coinbase, 0.000001)
    with pytest.raises(ccxt.ExchangeError, match="order with this orderID was not found"):
        coinbase.fetch_order(CLIENT_ID)
    assert exchange.orders == ()


def test_a_token_is_good_for_two_minutes(
    server: LoopbackServer, exchange: LoopbackExchange, clock: ShiftableClock
) -> None:
    """Prevents an order out of a request that was given up (X3): its token is that of the moment of sending."""
    coinbase = client(server)
    coinbase.load_markets()
    sent = coinbase.seconds()
    coinbase.seconds = lambda: sent
    buy(coinbase)
    clock.advance(timedelta(seconds=90))  # time passes by itself besides
    buy(coinbase, client_order_id=OTHER_ID)
    clock.advance(timedelta(seconds=31))
    with pytest.raises(ccxt.AuthenticationError):
        buy(coinbase, client_order_id="third")
    assert len(exchange.orders) == 2


def test_keys_and_permissions_are_checked(exchange: LoopbackExchange) -> None:
    """Prevents a client whose signature is never looked at until real money is behind it (X8)."""
    with LoopbackServer(exchange, "coinbase", permissions=KeyPermissions(trade=False, withdraw=True)) as server:
        coinbase = client(server)
        said = coinbase.v3_private_get_brokerage_key_permissions()
        assert (said["can_transfer"], said["can_trade"]) == (True, False)
        with pytest.raises(ccxt.PermissionDenied):
            buy(coinbase)
        with LoopbackServer(LoopbackExchange([BTC], {}, Decimal(0), exchange.clock), "coinbase") as other:
            stranger = client(server)
            stranger.secret = other.api_secret
            with pytest.raises(ccxt.AuthenticationError):
                stranger.fetch_balance({"v3": True})


@pytest.mark.parametrize(
    ("kind", "error", "orders"),
    [
        (FaultKind.LOSE_REQUEST, ccxt.NetworkError, 0),
        (FaultKind.LOSE_ANSWER, ccxt.NetworkError, 1),
        (FaultKind.SERVER_ERROR, ccxt.ExchangeNotAvailable, 0),
        (FaultKind.SERVER_ERROR_AFTER, ccxt.ExchangeNotAvailable, 1),
        (FaultKind.RATE_LIMIT, ccxt.RateLimitExceeded, 0),
        (FaultKind.INVALID_NONCE, ccxt.AuthenticationError, 0),
    ],
)
def test_a_fault_does_what_it_says(exchange: LoopbackExchange, kind: FaultKind, error: type, orders: int) -> None:
    """Prevents a rehearsal that survives faults which never happened (X3)."""
    with LoopbackServer(exchange, "coinbase", [Fault(kind, "orders")]) as server:
        coinbase = client(server)
        with pytest.raises(error):
            buy(coinbase)
        assert len(exchange.orders) == orders


def test_lists_come_in_pages(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a reconciliation that reads the first page only (X3)."""
    coinbase = client(server)
    for number in range(3):
        buy(coinbase, client_order_id=f"order-{number}")
    for path, rows in (("orders", "batch"), ("fills", "fills")):
        ask = getattr(coinbase, f"v3_private_get_brokerage_orders_historical_{rows}")
        first = ask({"limit": 2})
        second = ask({"limit": 2, "cursor": first["cursor"]})
        assert [len(first[path]), len(second[path]), second["cursor"]] == [2, 1, ""]
