"""Real ccxt trades against Binance on loopback."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

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
BTC = Instrument("BTC/USDT", Decimal("0.00001"), Decimal("0.01"), Decimal("0.00001"), Decimal(5))
BNB = Instrument("BNB/USDT", Decimal("0.001"), Decimal("0.1"), Decimal("0.001"), Decimal(5))
CLIENT_ID = "6d47a5f0-6fd4-4b84-b56e-c23f0f689c20"


@pytest.fixture
def clock() -> ShiftableClock:
    """A clock that tests move."""
    return ShiftableClock()


@pytest.fixture
def exchange(clock: ShiftableClock) -> LoopbackExchange:
    """1,000 USDT and half a bitcoin; the market at 100,000."""
    return made(clock)


def made(clock: ShiftableClock, fee_currency: str | None = None) -> LoopbackExchange:
    """An exchange with the market at 100,000, and with a little BNB."""
    balances = {"USDT": Decimal(1000), "BTC": Decimal("0.5"), "BNB": Decimal("0.0005")}
    exchange = LoopbackExchange([BTC, BNB], balances, Decimal("0.001"), clock, fee_currency)
    exchange.set_price("BTC/USDT", Decimal(99999), Decimal(100001))
    exchange.set_price("BNB/USDT", Decimal(500), Decimal(501))
    return exchange


@pytest.fixture
def server(exchange: LoopbackExchange) -> Iterator[LoopbackServer]:
    """Binance without faults."""
    with LoopbackServer(exchange, "binance") as opened:
        yield opened


def client(server: LoopbackServer, clock: ShiftableClock | None = None, **more: object) -> ccxt.binance:
    """The Binance of ccxt with its addresses on loopback."""
    options = {"fetchMarkets": {"types": ["spot"]}}
    keys = {"apiKey": server.api_key, "secret": server.api_secret}
    opened = ccxt.binance({**keys, "enableRateLimit": False, "options": options, **more})
    opened.urls["api"] = redirect(opened.urls["api"], server.url)
    if clock is not None:
        opened.nonce = clock.milliseconds
    return opened


def test_an_order_is_bought_and_told_of_in_every_way(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents an adapter that works with a toy and not with ccxt (X2): one order, its fee in base currency."""
    binance = client(server)
    order = binance.create_order("BTC/USDT", "market", "buy", 0.005, None, {"clientOrderId": CLIENT_ID})
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.005, 100001.0)
    assert order["trades"][0]["fee"] == {"cost": 0.000005, "currency": "BTC"}
    again = binance.fetch_order(None, "BTC/USDT", {"clientOrderId": CLIENT_ID})
    assert (again["id"], again["status"]) == (order["id"], "closed")
    assert [one["id"] for one in binance.fetch_orders("BTC/USDT")] == [order["id"]]
    (trade,) = binance.fetch_my_trades("BTC/USDT")
    assert (trade["order"], trade["fee"]["currency"]) == (order["id"], "BTC")
    assert binance.fetch_balance()["total"]["BTC"] == float(exchange.balances["BTC"]) == 0.504995
    assert binance.fetch_bids_asks(["BTC/USDT"])["BTC/USDT"]["ask"] == 100001.0
    assert binance.fetch_ticker("BTC/USDT")["bid"] == 99999.0


def test_a_stop_rests_and_is_canceled(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a stop that is not held (X2), and ids that are believed to be taken for ever."""
    binance = client(server)
    params = {"stopLossPrice": 95000.0, "clientOrderId": CLIENT_ID}
    stop = binance.create_order("BTC/USDT", "market", "sell", 0.5, None, params)
    assert (stop["status"], stop["triggerPrice"]) == ("open", 95000.0)
    with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
        binance.create_order("BTC/USDT", "market", "sell", 0.5, None, params)
    with pytest.raises(ccxt.InsufficientFunds):
        binance.create_order("BTC/USDT", "market", "sell", 0.1)
    assert len(binance.fetch_open_orders("BTC/USDT")) == 1
    assert binance.cancel_order(stop["id"], "BTC/USDT")["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        binance.cancel_order(stop["id"], "BTC/USDT")
    binance.create_order("BTC/USDT", "market", "sell", 0.5, None, params)
    exchange.set_price("BTC/USDT", Decimal(94000), Decimal(94001))
    fired = binance.fetch_order(None, "BTC/USDT", {"clientOrderId": CLIENT_ID})
    assert (fired["status"], fired["average"]) == ("closed", 94000.0)


@pytest.mark.parametrize(
    ("parameters", "kind", "words"),
    [
        ({"quantity": "1"}, ccxt.InsufficientFunds, "insufficient balance"),
        ({"quantity": "0.000011"}, ccxt.InvalidOrder, "lot size"),
        ({"quantity": "0.00001"}, ccxt.BadRequest, "NOTIONAL"),
        ({"quantity": "0.001", "type": "STOP_LOSS", "stopPrice": "99000.001"}, ccxt.InvalidOrder, "price"),
        ({"quantity": "0.001", "type": "STOP_LOSS", "stopPrice": "90000"}, ccxt.ExchangeError, "trigger immediately"),
        ({"quantity": "0.001", "symbol": "NIXUSDT"}, ccxt.BadSymbol, "-1121"),
        ({}, ccxt.BadRequest, "-1102"),
    ],
)
def test_refusals_have_binances_words(
    server: LoopbackServer, exchange: LoopbackExchange, parameters: dict[str, str], kind: type, words: str
) -> None:
    """Prevents an adapter that takes a refusal for an unknown outcome (R7)."""
    asked = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "newClientOrderId": CLIENT_ID, **parameters}
    with pytest.raises(kind, match=words):
        client(server).private_post_order(asked)
    assert exchange.orders == ()


def test_an_unknown_order_is_not_found(server: LoopbackServer) -> None:
    """Prevents a miss that reads as another error (X3)."""
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        client(server).fetch_order(None, "BTC/USDT", {"clientOrderId": CLIENT_ID})


def test_a_request_is_good_for_its_window_only(
    server: LoopbackServer, exchange: LoopbackExchange, clock: ShiftableClock
) -> None:
    """Prevents an order out of a request that was given up (X3): its time is that of the sending."""
    binance = client(server, clock)
    sent = clock.milliseconds()
    clock.advance(timedelta(seconds=6))
    for moment in (sent, sent + 60_000):
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            binance.create_order("BTC/USDT", "market", "buy", 0.001, None, {"timestamp": moment, "recvWindow": 5000})
    assert exchange.orders == ()
    binance.create_order("BTC/USDT", "market", "buy", 0.001)


def test_keys_and_permissions_are_checked(exchange: LoopbackExchange) -> None:
    """Prevents a client whose signature is never looked at until real money is behind it (X8)."""
    with LoopbackServer(exchange, "binance", permissions=KeyPermissions(trade=False, withdraw=True)) as server:
        binance = client(server)
        said = binance.sapi_get_account_apirestrictions()
        assert (said["enableWithdrawals"], said["enableSpotAndMarginTrading"]) == (True, False)
        binance.fetch_balance()
        with pytest.raises(ccxt.DDoSProtection):  # what ccxt makes of -2015 after a call that went well
            binance.create_order("BTC/USDT", "market", "buy", 0.001)
        stranger = client(server)
        stranger.secret = server.api_key
        with pytest.raises(ccxt.AuthenticationError, match="-1022"):
            stranger.private_get_account()


@pytest.mark.parametrize(
    ("kind", "error", "orders"),
    [
        (FaultKind.LOSE_REQUEST, ccxt.NetworkError, 0),
        (FaultKind.LOSE_ANSWER, ccxt.NetworkError, 1),
        (FaultKind.SERVER_ERROR, ccxt.BaseError, 0),
        (FaultKind.SERVER_ERROR_AFTER, ccxt.BaseError, 1),
        (FaultKind.RATE_LIMIT, ccxt.DDoSProtection, 0),
        (FaultKind.INVALID_NONCE, ccxt.InvalidNonce, 0),
    ],
)
def test_a_fault_does_what_it_says(exchange: LoopbackExchange, kind: FaultKind, error: type, orders: int) -> None:
    """Prevents a rehearsal that survives faults which never happened (X3)."""
    with LoopbackServer(exchange, "binance", [Fault(kind, "SUBMIT")]) as server:
        with pytest.raises(error):
            client(server).create_order("BTC/USDT", "market", "buy", 0.001)
        assert len(exchange.orders) == orders


def test_fees_are_taken_in_a_third_currency_while_it_lasts(clock: ShiftableClock) -> None:
    """Prevents books that know of two currencies only (X4): BNB pays the first fill, the base currency the second."""
    exchange = made(clock, fee_currency="BNB")
    with LoopbackServer(exchange, "binance") as server:
        binance = client(server)
        first, second = (binance.create_order("BTC/USDT", "market", "buy", 0.002) for _ in "ab")
    assert [order["trades"][0]["fee"]["currency"] for order in (first, second)] == ["BNB", "BTC"]
    assert exchange.balances["BNB"] == Decimal("0.0005") - exchange.trades[0].fee


def test_an_answer_may_be_behind(exchange: LoopbackExchange) -> None:
    """Prevents an answer that is believed for ever (X3): a submission told as open is filled at the next question."""
    with LoopbackServer(exchange, "binance", [Fault(FaultKind.REVISE, "SUBMIT")]) as server:
        binance = client(server)
        order = binance.create_order("BTC/USDT", "market", "buy", 0.001)
        assert (order["status"], order["filled"]) == ("open", 0.0)
        assert binance.fetch_order(order["id"], "BTC/USDT")["status"] == "closed"
