"""What a failed request means, one request for each submission whatever fails, and no secret in anything said."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from broker_cases import (
    ASSET_PAIRS,
    CREATE,
    EXPIRY,
    SAID,
    VENUES,
    broker_at,
    captured,
    intent,
    reference,
)
from builders import START
from venue_capture import Reply, VenueCapture

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import (
    UnavailableError,
    UnknownOutcomeError,
)
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.execution.broker import NotExecutedError, VenueRejectionError
from triplegain_pipelines.execution.venues.client import Failure
from triplegain_pipelines.execution.venues.outcomes import RULES, Meaning, Request, meaning_of, words_of

pytestmark = pytest.mark.integration

PAGE = "<!DOCTYPE html><html><head><title>Attention Required!</title></head></html>"
UNCERTAIN = {
    "time-out": Reply(hangs=True),
    "lost answer": Reply(lost=True),
    "half an answer": Reply({"error": [], "result": {"txid": ["O-1"]}}, half=True),
    "500": Reply("{}", 500),
    "500 with words": Reply({"error": ["EOrder:Insufficient funds"], "code": -2010, "msg": "x"}, 500),
    "502 page": Reply(PAGE, 502),
    "503": Reply("", 503),
    "504": Reply("", 504),
    "520": Reply(PAGE, 520),
    "block page": Reply(PAGE),
    "403 page": Reply(PAGE, 403),
    "404": Reply("not found", 404),
    "400": Reply("bad", 400),
    "409": Reply("", 409),
    "empty": Reply(""),
    "null": Reply("null"),
    "number": Reply("7"),
    "list": Reply([]),
    "empty object": Reply({}),
    "not a number": Reply('{"error": [], "result": {"txid": [NaN]}}'),
    "no id": Reply({"error": [], "result": {"txid": []}, "orderId": None, "success": True}),
    "two ids": Reply({"error": [], "result": {"txid": ["O-1", "O-2"]}, "success": True, "success_response": []}),
    "id of another": Reply(
        {"clientOrderId": "x", "orderId": 1, "success": True, "success_response": {"order_id": "1"}}
    ),
    "redirect": Reply("", 307, headers={"Location": "/elsewhere"}),
    "warning": Reply({"error": ["WGeneral:Danger"], "code": -9999, "msg": "hm", "error_response": {"error": "ODD"}}),
}


def submit(server: VenueCapture, venue: str, **changes: Any) -> Any:
    return broker_at(server.url, venue, ReplayClock(START), **changes).submit(intent(), START, EXPIRY)


@pytest.mark.parametrize("fault", UNCERTAIN)
@pytest.mark.parametrize("venue", VENUES)
def test_a_failure_that_proves_nothing_is_unknown_and_sends_one_request(venue: str, fault: str) -> None:
    """X3: a time-out, a cut connection or a 5xx may come after the order was taken: not sent again."""
    with captured(venue, **{CREATE[venue]: UNCERTAIN[fault]}) as server:
        # The library waits for an answer as long as the request lasts; here that is a moment.
        broker = broker_at(server.url, venue, ReplayClock(START))
        if fault == "time-out":
            broker._client._exchange.timeout = 200  # type: ignore[attr-defined]
        with pytest.raises(UnknownOutcomeError):
            broker.submit(intent(), START, EXPIRY)
        assert [sent for sent in server.sent if not sent.name.startswith("GET")] == server.of(CREATE[venue])
        assert len(server.of(CREATE[venue])) == 1


def test_nothing_is_sent_after_the_expiry() -> None:
    """X3: an order that was given up must not be created by a process that wakes up."""
    for venue in VENUES:
        with captured(venue, **{CREATE[venue]: Reply({})}) as server:
            broker = broker_at(server.url, venue, ReplayClock(EXPIRY + timedelta(microseconds=1)))
            with pytest.raises(NotExecutedError):
                broker.submit(intent(), START, EXPIRY)
            assert server.of(CREATE[venue]) == []


def test_the_expiry_is_looked_at_after_every_wait() -> None:
    """X3: reading the markets, or another call that goes first, can take longer than the order may last."""

    class Slow(ReplayClock):
        calls = 0

        def now(self) -> Any:
            self.calls += 1
            return super().now() + (timedelta(seconds=10) if self.calls > 2 else timedelta(0))

    with captured("kraken", **{CREATE["kraken"]: Reply({})}) as server:
        with pytest.raises(NotExecutedError):
            broker_at(server.url, "kraken", Slow(START)).submit(intent(), START, EXPIRY)
        assert server.names() == ["GET /0/public/AssetPairs"]


ERRORS = {
    Meaning.REJECTED: VenueRejectionError,
    Meaning.NOT_EXECUTED: NotExecutedError,
    Meaning.UNKNOWN: UnknownOutcomeError,
}


@pytest.mark.parametrize("venue", VENUES)
def test_every_line_of_the_table_comes_true_through_the_library(venue: str) -> None:
    """X3: the library's classes say nothing reliable, so the venue's own words must arrive and decide.

    Binance's "Duplicate order sent" and Kraken's elapsed deadline are unknown, a refused nonce is not executed.
    """
    with captured(venue) as server:
        broker = broker_at(server.url, venue, ReplayClock(START))
        for rule in (rule for rule in RULES if rule.venue == venue and rule.only in {None, Request.CREATE}):
            words = f"{rule.words[:-1]}something" if rule.words.endswith("*") else rule.words
            server.answer(CREATE[venue], SAID[venue](words))
            before = len(server.of(CREATE[venue]))
            with pytest.raises(ERRORS[rule.meaning]) as caught:
                broker.submit(intent(), START, EXPIRY)
            assert type(caught.value) is ERRORS[rule.meaning], rule
            assert len(server.of(CREATE[venue])) == before + 1
            if isinstance(caught.value, VenueRejectionError):
                assert words.split()[0] in caught.value.raw


def test_the_notes_hold() -> None:
    """X3: what was measured of each venue, and that words nobody listed are unknown."""
    measured = {
        ("kraken", "EOrder:Insufficient funds"): Meaning.REJECTED,
        ("kraken", "EOrder:Order minimum not met"): Meaning.REJECTED,
        ("kraken", "EOrder:Cost minimum not met"): Meaning.REJECTED,
        ("kraken", "EAPI:Invalid nonce"): Meaning.NOT_EXECUTED,
        ("kraken", "EOrder:Rate limit exceeded"): Meaning.NOT_EXECUTED,
        ("kraken", "EGeneral:Internal error"): Meaning.UNKNOWN,
        ("kraken", "EService:Deadline elapsed"): Meaning.UNKNOWN,
        ("kraken", "EService:Timeout"): Meaning.UNKNOWN,
        ("kraken", "EService:Something new"): Meaning.UNKNOWN,
        ("binance", "-1013 Filter failure: LOT_SIZE"): Meaning.REJECTED,
        ("binance", "-1021 Timestamp for this request is outside of the recvWindow."): Meaning.NOT_EXECUTED,
        ("binance", "-2010 Account has insufficient balance for requested action."): Meaning.REJECTED,
        ("binance", "-2010 Duplicate order sent."): Meaning.UNKNOWN,
        ("binance", "-2010 Something new."): Meaning.UNKNOWN,
        ("binance", "-1006 An unexpected response was received"): Meaning.UNKNOWN,
        ("binance", "-1007 Timeout waiting for response"): Meaning.UNKNOWN,
        ("coinbase", "INSUFFICIENT_FUND"): Meaning.REJECTED,
        ("coinbase", "SOMETHING_NEW"): Meaning.UNKNOWN,
    }
    for (venue, words), meaning in measured.items():
        data = {
            "kraken": {"error": [words]},
            "binance": {"code": words.split()[0], "msg": words.partition(" ")[2]},
            "coinbase": {"error_response": {"error": words}},
        }[venue]
        assert words_of(venue, data) == (words,)
        status = 400 if venue == "binance" else 200
        assert meaning_of(venue, Request.CREATE, Failure("X", sent=True, status=status, data=data)) is meaning, words
    both = {"error": ["EOrder:Insufficient funds", "EService:Timeout"]}
    assert meaning_of("kraken", Request.CREATE, Failure("X", sent=True, status=200, data=both)) is Meaning.UNKNOWN


def test_busy_and_unwelcome_by_status() -> None:
    """X3: venues refuse at their door without words of their own; 429 passes, 401 does not."""
    for venue in VENUES:
        for status, error in ((429, NotExecutedError), (401, VenueRejectionError)):
            with (
                captured(venue, **{CREATE[venue]: Reply("Unauthorized", status)}) as server,
                pytest.raises(error),
            ):
                submit(server, venue)


def test_a_cancel_without_an_answer_is_unknown() -> None:
    """X3: a cancel that timed out is not a cancel; a busy venue has not cancelled either."""
    for reply in (Reply(lost=True), Reply("", 503), Reply({"error": ["EAPI:Invalid nonce"]}), Reply({})):
        with captured("kraken", **{"POST /0/private/CancelOrder": reply}) as server:
            broker = broker_at(server.url, "kraken", ReplayClock(START))
            with pytest.raises(UnknownOutcomeError):
                broker.cancel(reference(intent(Leg.STOP, trigger="9000")))
            assert len(server.of("POST /0/private/CancelOrder")) == 1


def test_a_cancel_that_was_only_accepted_is_unknown() -> None:
    """X3: 'I will' is not 'done': as long as the order is listed as open, it may be filled."""
    stop = intent(Leg.STOP, trigger="9000")
    row = {"cl_ord_id": str(stop.client_order_id), "status": "open", "vol": "0.1", "vol_exec": "0", "trades": []}
    row["descr"] = {"pair": "XBTUSDT", "type": "sell"}
    replies = {
        "POST /0/private/CancelOrder": Reply({"error": [], "result": {"count": 1, "pending": True}}),
        "POST /0/private/QueryOrders": [
            Reply({"error": [], "result": {"O-1": {**row, "status": status}}}) for status in ("open", "canceled")
        ],
    }
    with captured("kraken", **replies) as server:
        broker = broker_at(server.url, "kraken", ReplayClock(START))
        with pytest.raises(UnknownOutcomeError, match="has not cancelled"):
            broker.cancel(reference(stop, "O-1"))
        assert broker.cancel(reference(stop, "O-1")).state is OrderState.CANCELED


READS: dict[str, Callable[[Any], Any]] = {
    "lookup": lambda broker: broker.lookup(reference(intent())),
    "open orders": lambda broker: broker.open_orders(),
    "executions": lambda broker: broker.executions(START - timedelta(hours=1)),
    "balances": lambda broker: broker.balances(),
    "instruments": lambda broker: broker.instruments(["BTC/USDT"]),
}


class EverywhereCapture(VenueCapture):
    """Answers every call alike."""

    def __init__(self, reply: Reply) -> None:
        class Always(dict[str, Any]):
            def get(self, *_: object) -> Any:
                return [reply]

        super().__init__({})
        self.replies = Always()


@pytest.mark.parametrize(
    "reply", [*UNCERTAIN.values(), Reply({"error": ["EService:Busy"]}), Reply([1]), Reply({"a": 1})]
)
def test_an_answer_that_cannot_be_read_is_never_an_empty_one(reply: Reply) -> None:
    """X3: 'no orders', 'no trades' and 'no money' may only come from a venue that said so."""
    if reply.hangs or reply.lost:
        reply = Reply("", 599)
    with EverywhereCapture(reply) as server:
        for venue in VENUES:
            broker = broker_at(server.url, venue, ReplayClock(START))
            for name, read in READS.items():
                if reply.body == [] and venue == "binance" and name == "open orders":
                    continue  # which is what it says when there are none
                with pytest.raises(UnavailableError):
                    read(broker)


def test_trades_that_do_not_add_up_are_asked_for_again() -> None:
    """X3: an order that says filled before its trades are listed would lose them."""
    own = str(intent().client_order_id)
    row = {"cl_ord_id": own, "status": "closed", "vol": "0.1", "vol_exec": "0.1", "trades": ["T-1", "T-2"]}
    row["descr"] = {"pair": "XBTUSDT", "type": "buy"}
    trade = {"ordertxid": "O-1", "pair": "XBTUSDT", "type": "buy", "vol": "0.06", "price": "10000", "fee": "1.5"}
    trade["time"] = 1722816000.123456
    other = {**trade, "vol": "0.04"}
    replies = {
        "POST /0/private/QueryOrders": Reply({"error": [], "result": {"O-1": row}}),
        "POST /0/private/QueryTrades": [
            Reply({"error": [], "result": {"T-1": trade}}),
            Reply({"error": [], "result": {"T-1": trade, "T-2": other}}),
        ],
    }
    with captured("kraken", **replies) as server:
        broker = broker_at(server.url, "kraken", ReplayClock(START))
        with pytest.raises(UnavailableError, match=r"0\.1 .* trades of 0\.06"):
            broker.lookup(reference(intent(), "O-1"))
        found = broker.lookup(reference(intent(), "O-1"))
        assert found is not None
        assert found.state is OrderState.FILLED
        assert sum(fill.quantity for fill in found.fills) == intent().quantity
        assert found.fills[0].filled_at == START + timedelta(microseconds=123456)


def test_an_order_of_another_market_or_side_is_not_ours() -> None:
    """X3: adopting a wrong order books what never happened."""
    for wrong in ({"pair": "ETHUSD", "type": "buy"}, {"pair": "XBTUSDT", "type": "sell"}):
        row = {
            "cl_ord_id": str(intent().client_order_id),
            "status": "open",
            "vol": "0.1",
            "vol_exec": "0",
            "descr": wrong,
        }
        listed = Reply({"error": [], "result": {"open": {"O": row}}})
        with captured("kraken", **{"POST /0/private/OpenOrders": listed}) as server, pytest.raises(UnavailableError):
            broker_at(server.url, "kraken", ReplayClock(START)).lookup(reference(intent()))


def test_a_list_of_trades_is_read_to_its_end_or_not_at_all() -> None:
    """X3: Kraken gives 50 trades a page: what is on the next pages is fills too."""
    trade = {
        "ordertxid": "O-1",
        "pair": "XBTUSDT",
        "type": "buy",
        "vol": "0.01",
        "price": "10000",
        "fee": "0",
        "time": 1722816001,
    }
    pages = [{f"T-{n}": {**trade, "time": 1722816001 + n} for n in part} for part in (range(50), range(49, 75))]
    page = "POST /0/private/TradesHistory"
    whole = [Reply({"error": [], "result": {"trades": part, "count": 75}}) for part in pages]
    short = [whole[0], Reply({"error": [], "result": {"trades": {}, "count": 75}})]
    assert ASSET_PAIRS["error"] == []
    with captured("kraken", **{page: whole}) as server:
        found = broker_at(server.url, "kraken", ReplayClock(START)).executions(START)
        assert [execution.trade_id for execution in found] == [f"T-{n}" for n in range(75)]
        assert [sent.parameters["ofs"] for sent in server.of(page)] == ["0", "50"]
    with captured("kraken", **{page: short}) as server, pytest.raises(UnavailableError, match="75 trades"):
        broker_at(server.url, "kraken", ReplayClock(START)).executions(START)


def test_balances_add_what_is_one_currency_and_keep_what_is_not() -> None:
    """X3: Kraken calls a currency by several names; rewards (.F) are traded with it, bonded amounts (.S) are not."""
    result = {
        "XXBT": {"balance": "1.5", "hold_trade": "0.5"},
        "XBT.F": {"balance": "0.25", "hold_trade": "0"},
        "ZUSD": {"balance": "10.1234", "hold_trade": "0"},
        "DOT.S": {"balance": "7", "hold_trade": "0"},
        "SOL": {"balance": "0.0000", "hold_trade": "0"},
    }
    with captured("kraken", **{"POST /0/private/BalanceEx": Reply({"error": [], "result": result})}) as server:
        owned = broker_at(server.url, "kraken", ReplayClock(START)).balances()
        assert {name: str(amount) for name, amount in (owned or {}).items()} == {
            "BTC": "1.75",
            "USD": "10.1234",
            "DOT.S": "7",
        }


def test_a_list_of_coinbase_goes_on_while_it_has_a_cursor() -> None:
    """X3: its fills end with an empty cursor or page; a cursor that stands still is an error and not the end."""
    fill = {
        "order_id": "c-1",
        "product_id": "BTC-USDT",
        "side": "BUY",
        "size": "0.1",
        "price": "10000",
        "trade_id": "1",
    }
    fill |= {"commission": "2.6", "trade_time": "2024-08-05T00:00:01.123456789Z", "trade_type": "FILL"}
    call = "GET /api/v3/brokerage/orders/historical/fills"
    pages = [
        Reply({"fills": [fill], "cursor": "b"}),
        Reply({"fills": [fill | {"trade_id": "2"}], "cursor": "c"}),
        Reply({"fills": [], "cursor": "c"}),
    ]
    with captured("coinbase", **{call: pages}) as server:
        found = broker_at(server.url, "coinbase", ReplayClock(START)).executions(START)
        assert [trade.trade_id for trade in found] == ["1", "2"]
        assert found[0].filled_at == START + timedelta(seconds=1, microseconds=123456)
        assert [sent.parameters.get("cursor") for sent in server.of(call)] == [None, "b", "c"]
    for bad in (pages[0], Reply({"fills": [fill | {"trade_type": "REVERSAL"}], "cursor": ""})):
        with captured("coinbase", **{call: bad}) as server, pytest.raises(UnavailableError):
            broker_at(server.url, "coinbase", ReplayClock(START)).executions(START)
