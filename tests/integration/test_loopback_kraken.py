"""Real ccxt and ccxt.pro trade against Kraken on loopback."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import aiohttp
import ccxt
import ccxt.pro
import pytest

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.market.venues.exchange import redirect
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import Fault, FaultKind
from triplegain_pipelines.rehearsal.protocol import KeyPermissions
from triplegain_pipelines.rehearsal.server import LoopbackServer

pytestmark = pytest.mark.integration
BTC = Instrument("BTC/USDT", Decimal("0.00000001"), Decimal("0.1"), Decimal("0.00005"), Decimal("0.5"))
CLIENT_ID = "6d47a5f0-6fd4-4b84-b56e-c23f0f689c20"
OTHER_ID = "6d47a5f0-6fd4-4b84-b56e-c23f0f689c21"
FEES = {"oflags": "fciq"}


@pytest.fixture
def clock() -> ShiftableClock:
    """A clock that tests move."""
    return ShiftableClock()


@pytest.fixture
def exchange(clock: ShiftableClock) -> LoopbackExchange:
    """1,000 USDT and half a bitcoin; the market at 100,000."""
    made = LoopbackExchange([BTC], {"USDT": Decimal(1000), "BTC": Decimal("0.5")}, Decimal("0.004"), clock)
    made.set_price("BTC/USDT", Decimal("99999.9"), Decimal("100000.1"))
    return made


@pytest.fixture
def server(exchange: LoopbackExchange) -> Iterator[LoopbackServer]:
    """Kraken without faults."""
    with LoopbackServer(exchange, "kraken") as opened:
        yield opened


def client(server: LoopbackServer, **more: object) -> ccxt.kraken:
    """The Kraken of ccxt with its addresses on loopback."""
    made = ccxt.kraken({"apiKey": server.api_key, "secret": server.api_secret, "enableRateLimit": False, **more})
    made.urls["api"] = redirect(made.urls["api"], server.url)
    number_calls(made)
    return made


def number_calls(kraken: ccxt.kraken) -> None:
    """Two calls within a millisecond have one nonce with ccxt, and the second is refused: number them instead."""
    numbers = iter(range(kraken.milliseconds() * 1000, 2**62))
    kraken.nonce = lambda: next(numbers)


def test_an_order_is_bought_and_told_of_in_every_way(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents an adapter that works with a toy and not with ccxt (X2): one order, seen by every question."""
    kraken = client(server)
    made = kraken.create_order("BTC/USDT", "market", "buy", 0.005, None, {"clientOrderId": CLIENT_ID, **FEES})
    assert made["id"].startswith("O")
    order = kraken.fetch_order(made["id"])
    assert (order["status"], order["clientOrderId"], order["filled"]) == ("closed", CLIENT_ID, 0.005)
    assert (order["fee"]["cost"], order["fee"]["currency"]) == ("2.00000200", "USDT")
    assert [one["id"] for one in kraken.fetch_closed_orders(params={"clientOrderId": CLIENT_ID})] == [made["id"]]
    assert kraken.fetch_closed_orders(params={"clientOrderId": OTHER_ID}) == []
    assert kraken.fetch_open_orders() == []
    (trade,) = kraken.fetch_my_trades()
    assert (trade["order"], trade["price"], trade["amount"]) == (made["id"], 100000.1, 0.005)
    assert [one["id"] for one in kraken.fetch_order_trades(made["id"], params={"trades": [trade["id"]]})] == [
        trade["id"]
    ]
    assert kraken.fetch_balance()["total"] == {"USDT": 497.999498, "BTC": 0.505}
    assert exchange.balances == {"USDT": Decimal("497.999498"), "BTC": Decimal("0.505")}
    assert kraken.fetch_ticker("BTC/USDT")["ask"] == 100000.1
    names = [call.name for call in server.calls if call.name == "AddOrder"]
    assert names == ["AddOrder"]


def test_a_stop_rests_and_fires(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a stop that the venue does not hold (X2)."""
    kraken = client(server)
    params = {"stopLossPrice": 95000.0, "clientOrderId": CLIENT_ID, **FEES}
    stop = kraken.create_order("BTC/USDT", "market", "sell", 0.5, None, params)
    (resting,) = kraken.fetch_open_orders()
    assert (resting["clientOrderId"], resting["stopLossPrice"], resting["type"]) == (CLIENT_ID, 95000.0, "market")
    assert kraken.fetch_balance()["free"]["BTC"] == 0
    exchange.set_price("BTC/USDT", Decimal(95001), Decimal(95002))
    assert len(kraken.fetch_open_orders()) == 1
    exchange.set_price("BTC/USDT", Decimal(94990), Decimal(94991))
    order = kraken.fetch_order(stop["id"])
    assert (order["status"], order["average"]) == ("closed", 94990.0)


def test_a_client_id_is_taken_by_an_open_order_only(server: LoopbackServer) -> None:
    """Prevents the belief that Kraken refuses a second order under one id (X3): after the fill it takes it."""
    kraken = client(server)
    stop = {"stopLossPrice": 95000.0, "clientOrderId": CLIENT_ID}
    kraken.create_order("BTC/USDT", "market", "sell", 0.1, None, stop)
    with pytest.raises(ccxt.ExchangeError, match="cl_ord_id already in use"):
        kraken.create_order("BTC/USDT", "market", "sell", 0.1, None, stop)
    kraken.cancel_order("", params={"clientOrderId": CLIENT_ID})
    with pytest.raises(ccxt.OrderNotFound):
        kraken.cancel_order("", params={"clientOrderId": CLIENT_ID})
    again = [kraken.create_order("BTC/USDT", "market", "sell", 0.1, None, {"clientOrderId": CLIENT_ID}) for _ in "ab"]
    assert again[0]["id"] != again[1]["id"]


@pytest.mark.parametrize(
    ("amount", "price", "kind", "words"),
    [
        (1.0, None, ccxt.InsufficientFunds, "Insufficient funds"),
        (0.00001, None, ccxt.InvalidOrder, "volume minimum not met"),
        (0.005, "95000.123", ccxt.InvalidOrder, "Invalid price"),
    ],
)
def test_refusals_have_krakens_words(
    server: LoopbackServer, exchange: LoopbackExchange, amount: float, price: str | None, kind: type, words: str
) -> None:
    """Prevents an adapter that takes a refusal for an unknown outcome (R7)."""
    kraken = client(server)
    kraken.load_markets()
    extra = {"price": price, "ordertype": "stop-loss", "type": "sell"} if price else {"ordertype": "market"}
    with pytest.raises(kind, match=words):
        kraken.private_post_addorder({"pair": "XBTUSDT", "type": "buy", "volume": amount, **extra})
    assert exchange.orders == ()


def test_a_dry_run_and_a_late_arrival_make_no_order(
    server: LoopbackServer, exchange: LoopbackExchange, clock: ShiftableClock
) -> None:
    """Prevents an order out of a request that was given up (X3): its deadline has passed when it arrives."""
    kraken = client(server)
    kraken.create_order("BTC/USDT", "market", "buy", 0.001, None, {"validate": "true"})
    deadline = (clock.now() + timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
    clock.advance(timedelta(seconds=6))
    with pytest.raises(ccxt.ExchangeError, match="EService:Deadline elapsed"):
        kraken.create_order("BTC/USDT", "market", "buy", 0.001, None, {"deadline": deadline})
    assert exchange.orders == ()


def test_the_dead_man_timer_cancels_everything(
    server: LoopbackServer, exchange: LoopbackExchange, clock: ShiftableClock
) -> None:
    """Prevents a rehearsal that forgets that the timer takes stops too."""
    kraken = client(server)
    kraken.create_order("BTC/USDT", "market", "sell", 0.1, None, {"stopLossPrice": 95000.0})
    answer = kraken.cancel_all_orders_after(60_000)
    assert answer["result"]["triggerTime"] > answer["result"]["currentTime"]
    clock.advance(timedelta(seconds=59))
    assert len(kraken.fetch_open_orders()) == 1
    clock.advance(timedelta(seconds=2))
    assert kraken.fetch_open_orders() == []
    assert exchange.held["BTC"] == 0


def test_keys_nonces_and_permissions_are_checked(exchange: LoopbackExchange) -> None:
    """Prevents a client whose signature or nonce is never looked at until real money is behind it (X8)."""
    with LoopbackServer(exchange, "kraken", permissions=KeyPermissions(trade=False, withdraw=True)) as server:
        kraken = client(server)
        names = kraken.private_post_getapikeyinfo()["result"]["permissions"]
        assert "withdraw-funds" in names
        assert "modify-trades" not in names
        with pytest.raises(ccxt.PermissionDenied):
            kraken.create_order("BTC/USDT", "market", "buy", 0.001)
        kraken.nonce = lambda: 1
        with pytest.raises(ccxt.InvalidNonce):
            kraken.fetch_balance()
        stranger = client(server)
        stranger.secret = server.api_key
        with pytest.raises(ccxt.ExchangeError, match="Invalid signature"):
            stranger.fetch_balance()
        stranger.apiKey = "stranger"
        with pytest.raises(ccxt.AuthenticationError):
            stranger.fetch_balance()


def test_calls_that_come_too_soon_are_refused(exchange: LoopbackExchange, clock: ShiftableClock) -> None:
    """Prevents a reconciliation that eats the budget (trap 27): 15 calls, history for two, a third back each second."""
    with LoopbackServer(exchange, "kraken", rate_limits=True) as server:
        kraken = client(server)
        kraken.load_markets()
        for _ in range(7):
            kraken.fetch_my_trades()
        kraken.fetch_balance()
        with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
            kraken.fetch_balance()
        kraken.create_order("BTC/USDT", "market", "buy", 0.001)
        clock.advance(timedelta(seconds=4))
        kraken.fetch_balance()
        with pytest.raises(ccxt.DDoSProtection, match="EOrder:Rate limit exceeded"):
            [kraken.create_order("BTC/USDT", "market", "buy", 0.0001) for _ in range(70)]


def test_history_comes_in_pages_of_fifty(server: LoopbackServer) -> None:
    """Prevents a reconciliation that reads the first page only (X3)."""
    kraken = client(server)
    for _ in range(53):
        kraken.create_order("BTC/USDT", "market", "buy", 0.0001)
    first, second = (kraken.private_post_tradeshistory({"ofs": offset})["result"] for offset in (0, 50))
    assert (len(first["trades"]), len(second["trades"]), first["count"]) == (50, 3, "53")
    assert not set(first["trades"]) & set(second["trades"])
    closed = [kraken.fetch_closed_orders(params={"ofs": offset}) for offset in (0, 50)]
    assert [len(page) for page in closed] == [50, 3]


@pytest.mark.parametrize(
    ("kind", "error", "orders"),
    [
        (FaultKind.LOSE_REQUEST, ccxt.NetworkError, 0),
        (FaultKind.LOSE_ANSWER, ccxt.NetworkError, 1),
        (FaultKind.DROP_CONNECTION, ccxt.NetworkError, 1),
        (FaultKind.DELAY, ccxt.RequestTimeout, 1),
        (FaultKind.SERVER_ERROR, ccxt.ExchangeNotAvailable, 0),
        (FaultKind.SERVER_ERROR_AFTER, ccxt.ExchangeNotAvailable, 1),
        (FaultKind.RATE_LIMIT, ccxt.DDoSProtection, 0),
        (FaultKind.INVALID_NONCE, ccxt.InvalidNonce, 0),
    ],
)
def test_a_fault_does_what_it_says(exchange: LoopbackExchange, kind: FaultKind, error: type, orders: int) -> None:
    """Prevents a rehearsal that survives faults which never happened (X3)."""
    with LoopbackServer(exchange, "kraken", [Fault(kind, "AddOrder")]) as server:
        kraken = client(server, timeout=300)
        with pytest.raises(error):
            kraken.create_order("BTC/USDT", "market", "buy", 0.001, None, {"clientOrderId": CLIENT_ID})
        assert len(exchange.orders) == orders
        found = kraken.fetch_closed_orders(params={"clientOrderId": CLIENT_ID})
        assert len(found) == orders
        assert server.faults.counts == {kind: 1}


def test_a_fill_after_an_accepted_cancel_and_one_in_parts(exchange: LoopbackExchange) -> None:
    """Prevents books that believe in a cancel (X3): the fill comes with the second question after it."""
    faults = [Fault(FaultKind.PARTIAL_FILL), Fault(FaultKind.FILL_AFTER_CANCEL)]
    with LoopbackServer(exchange, "kraken", faults) as server:
        kraken = client(server)
        parts = kraken.create_order("BTC/USDT", "market", "buy", 0.004)
        assert kraken.fetch_order(parts["id"])["filled"] == 0.002
        exchange.set_price("BTC/USDT", Decimal(100001), Decimal(100002))
        assert len(kraken.fetch_order(parts["id"])["trades"]) == 2
        stop = kraken.create_order("BTC/USDT", "market", "sell", 0.1, None, {"stopLossPrice": 95000.0})
        kraken.cancel_order(stop["id"])
        assert kraken.fetch_order(stop["id"])["status"] == "canceled"
        with pytest.raises(ccxt.InsufficientFunds):
            kraken.create_order("BTC/USDT", "market", "sell", 0.5)
        late = kraken.fetch_order(stop["id"])
        assert (late["status"], late["filled"]) == ("closed", 0.1)


def test_an_answer_may_be_behind(exchange: LoopbackExchange) -> None:
    """Prevents a look-up that believes the first answer (X3): filled, the order is told as open once."""
    with LoopbackServer(exchange, "kraken", [Fault(FaultKind.REVISE, "AddOrder")]) as server:
        kraken = client(server)
        order = kraken.create_order("BTC/USDT", "market", "buy", 0.001)
        assert kraken.fetch_order(order["id"])["status"] == "open"
        assert kraken.fetch_order(order["id"])["status"] == "closed"


def test_a_forked_client_dies_and_the_server_lives(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a crash-point test that kills its own exchange: a child trades, and is gone without a word."""
    client(server).load_markets()
    for number in range(3):
        child = os.fork()
        if not child:
            try:
                client(server).create_order("BTC/USDT", "market", "buy", 0.001, None, {"clientOrderId": f"c{number}"})
            finally:
                server.__exit__()
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert [order.request.client_id for order in exchange.orders] == ["c0", "c1", "c2"]
    assert len(client(server).fetch_my_trades()) == 3


def test_a_connection_is_cut_for_forked_copies_too(exchange: LoopbackExchange) -> None:
    """Prevents a client that waits for ever since a forked process holds a copy of its connection."""
    with LoopbackServer(exchange, "kraken", [None, Fault(FaultKind.LOSE_ANSWER)]) as server:
        kraken = client(server, timeout=8000)
        kraken.fetch_balance()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        started = monotonic_seconds()
        with pytest.raises(ccxt.NetworkError):
            kraken.fetch_balance()
        assert monotonic_seconds() - started < 4
        port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=4):
        pass
    os.close(write)
    os.waitpid(child, 0)


@asynccontextmanager
async def streaming(server: LoopbackServer) -> AsyncIterator[ccxt.pro.kraken]:
    """The Kraken of ccxt.pro with its addresses on loopback."""
    kraken = ccxt.pro.kraken({"apiKey": server.api_key, "secret": server.api_secret, "enableRateLimit": False})
    streams = redirect(kraken.urls["api"].pop("ws"), server.websocket_url)
    kraken.urls["api"] = {**redirect(kraken.urls["api"], server.url), "ws": streams}
    number_calls(kraken)
    try:
        async with asyncio.timeout(15):
            yield kraken
    finally:
        await kraken.close()


def test_prices_are_streamed(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a guardian that was never rehearsed with a stream: ccxt.pro sees tickers, trades and the book."""

    async def follow() -> None:
        async with streaming(server) as kraken:
            assert (await kraken.watch_ticker("BTC/USDT"))["bid"] == 99999.9
            book = await kraken.watch_order_book("BTC/USDT")
            assert (book["bids"][0][0], book["asks"][0][0]) == (99999.9, 100000.1)
            trades = asyncio.create_task(kraken.watch_trades("BTC/USDT"))
            tickers = asyncio.create_task(kraken.watch_tickers(["BTC/USDT"]))
            while not (trades.done() and tickers.done()):
                exchange.set_price("BTC/USDT", Decimal(100010), Decimal(100011))
                await asyncio.sleep(0.01)
            assert (await trades)[0]["price"] == 100010.0
            assert (await tickers)["BTC/USDT"]["ask"] == 100011.0

    asyncio.run(follow())


def test_own_orders_and_trades_are_streamed(server: LoopbackServer, exchange: LoopbackExchange) -> None:
    """Prevents a venue whose private stream tells of nothing, or of other things than its REST (X2)."""
    stop = client(server).create_order("BTC/USDT", "market", "sell", 0.1, None, {"stopLossPrice": 95000.0})

    async def follow() -> None:
        async with streaming(server) as kraken:
            mine = asyncio.create_task(kraken.watch_my_trades("BTC/USDT"))
            (resting,) = await kraken.watch_orders("BTC/USDT")
            assert (resting["id"], resting["status"], resting["triggerPrice"]) == (stop["id"], "open", 95000.0)
            exchange.set_price("BTC/USDT", Decimal(94990), Decimal(94991))
            (trade,) = await mine
            assert (trade["order"], trade["amount"], trade["price"]) == (stop["id"], 0.1, 94990.0)
            while kraken.orders[0]["status"] != "closed":
                await kraken.watch_orders("BTC/USDT")

    asyncio.run(follow())


def test_a_stranger_gets_no_private_stream(server: LoopbackServer) -> None:
    """Prevents a private stream that anybody may read: a token that nobody handed out is refused."""

    async def follow() -> dict[str, object]:
        async with aiohttp.ClientSession() as session, session.ws_connect(server.websocket_url + "/v2") as socket:
            await socket.send_json({"method": "subscribe", "params": {"channel": "executions", "token": "none"}})
            frames = [await socket.receive_json() for _ in range(2)]
            return frames[1]

    assert asyncio.run(follow())["error"] == "ESession:Invalid session"
