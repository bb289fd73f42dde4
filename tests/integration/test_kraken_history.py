"""ccxt's Kraken over real HTTP, against a server that answers like Kraken from recorded answers, and fails like it."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from kraken_server import Fault, KrakenServer

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market import history
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.market.history import TickerPrices, fetch_candles

pytestmark = pytest.mark.integration

FIRST = datetime(2025, 11, 10, 12, 17, tzinfo=UTC)  # of the recorded answer
RECORDED_AT = datetime(2025, 11, 11, 0, 17, 4, tzinfo=UTC)
SYMBOL = "BTC/USDT"


@pytest.fixture(scope="module")
def _running(recorded_data: Path) -> Iterator[KrakenServer]:
    with KrakenServer(recorded_data / "raw" / "kraken") as server:
        exchange = history._exchange("kraken", server.url)
        assert exchange.enableRateLimit
        assert exchange.rateLimit >= 1000
        exchange.rateLimit = 1  # the server on loopback minds no hurry
        yield server


@pytest.fixture
def server(_running: KrakenServer) -> KrakenServer:
    _running.faults.clear()
    _running.calls.clear()
    return _running


def _fetch(server: KrakenServer, since: datetime, until: datetime, now: datetime = RECORDED_AT):
    return fetch_candles("kraken", SYMBOL, since, until, base_url=server.url, clock=ReplayClock(now))


def test_history_as_published_without_the_open_candle(server: KrakenServer) -> None:
    """M4, trap 15: Kraken's last candle is still open; it must go, and by its time."""
    frame = validate("candles", _fetch(server, FIRST, RECORDED_AT + timedelta(hours=1)))
    assert frame.height == 720
    assert frame["opened_at"][0] == FIRST
    assert frame["opened_at"][-1] == datetime(2025, 11, 11, 0, 16, tzinfo=UTC)
    assert frame.row(3, named=True) == {
        "opened_at": datetime(2025, 11, 10, 12, 20, tzinfo=UTC),
        "open": 106038.1,
        "high": 106044.3,
        "low": 106038.1,
        "close": 106040.1,
        "volume": 0.08317981,
        "trades": None,
    }
    # A minute later the same answer's last candle has closed.
    later = _fetch(server, FIRST, RECORDED_AT + timedelta(hours=1), now=RECORDED_AT + timedelta(minutes=1))
    assert later.height == 721


def test_only_what_was_asked_for(server: KrakenServer) -> None:
    """M1: a window must come back as that window, its end excluded."""
    since = FIRST + timedelta(hours=2)
    frame = _fetch(server, since, since + timedelta(minutes=30))
    assert frame["opened_at"].to_list() == [since + timedelta(minutes=minute) for minute in range(30)]
    assert _fetch(server, RECORDED_AT + timedelta(days=1), RECORDED_AT + timedelta(days=2)).is_empty()


def test_history_that_kraken_no_longer_gives_is_a_visible_hole(server: KrakenServer) -> None:
    """M1, trap 17: Kraken gives 720 candles whatever `since` says; the rest must show as a gap, not pass as fetched."""
    asked = FIRST - timedelta(days=1)
    frame = _fetch(server, asked, RECORDED_AT)
    assert frame["opened_at"][0] == FIRST
    assert find_gaps(frame["opened_at"], Timeframe.M1, starts=asked).row(0) == (
        asked,
        FIRST - timedelta(minutes=1),
        1440,
    )


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=520, body="<html>Web server is returning an unknown error</html>"),
        Fault(status=520, body='{"error": []}'),
        Fault.error("EGeneral:Internal error"),
        Fault.error("EService:Busy"),
        Fault.error("EAPI:Rate limit exceeded"),
        Fault(body="<html>maintenance</html>"),
        Fault(body=""),
        Fault(body='{"error": [], "result": {"XBTUSDT"'),
    ],
    ids=lambda fault: f"{fault.status} {fault.body[:24]}",
)
def test_a_passing_fault_is_tried_again(server: KrakenServer, fault: Fault) -> None:
    """M1, rule 4: a failed query must neither end the backfill nor be read as 'no candles'."""
    server.faults.append(fault)
    assert _fetch(server, FIRST, RECORDED_AT).height == 720
    assert server.calls.count("OHLC") == 2


def test_a_lasting_fault_is_transient_and_says_so(server: KrakenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: after the last attempt there is an error, never an empty frame."""
    monkeypatch.setattr(history, "_ATTEMPTS", 2)
    server.faults.extend([Fault.error("EService:Unavailable")] * 2)
    with pytest.raises(TransientError, match=r"kraken fetch_ohlcv BTC/USDT failed .*EService:Unavailable"):
        _fetch(server, FIRST, RECORDED_AT)
    assert server.calls.count("OHLC") == 2


def test_a_refusal_is_permanent_and_not_repeated(server: KrakenServer) -> None:
    """M1: trying a refused call again only uses up the rate limit."""
    server.faults.append(Fault.error("EGeneral:Permission denied"))
    with pytest.raises(PermanentError, match=r"refused .*Permission denied"):
        _fetch(server, FIRST, RECORDED_AT)
    assert server.calls.count("OHLC") == 1


def test_unknown_symbol_and_venue_are_input_errors(server: KrakenServer) -> None:
    """Issue 2: an unknown symbol is one clear line."""
    with pytest.raises(InputError, match="kraken has no LTC/EUR"):
        fetch_candles("kraken", "LTC/EUR", FIRST, RECORDED_AT, base_url=server.url, clock=ReplayClock(RECORDED_AT))
    with pytest.raises(InputError, match="no venue 'krakken'"):
        fetch_candles("krakken", SYMBOL, FIRST, RECORDED_AT)


def test_a_venue_that_does_not_answer_is_unavailable(recorded_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: a time-out and a closed port are unknown, not 'nothing there'."""
    monkeypatch.setattr(history, "_TIMEOUT_MILLISECONDS", 200)
    monkeypatch.setattr(history, "_ATTEMPTS", 1)
    with KrakenServer(recorded_data / "raw" / "kraken", deque([Fault(hangs=True)])) as slow:
        prices = TickerPrices("kraken", ReplayClock(RECORDED_AT), slow.url)
        with pytest.raises(UnavailableError, match="RequestTimeout"):
            prices.quote(SYMBOL, RECORDED_AT)
    with pytest.raises(TransientError):
        fetch_candles("kraken", SYMBOL, FIRST, RECORDED_AT, base_url=slow.url, clock=ReplayClock(RECORDED_AT))


def test_the_price_is_the_middle_of_bid_and_ask(server: KrakenServer) -> None:
    """Trap 21: the last trade of the recorded ticker is 45 dollars away from what can be traded."""
    quote = TickerPrices("kraken", ReplayClock(RECORDED_AT), server.url).quote(SYMBOL, RECORDED_AT)
    assert quote.price == Decimal("105944.25")
    assert (quote.symbol, quote.at) == (SYMBOL, RECORDED_AT)


@pytest.mark.parametrize(
    ("bid", "ask"), [("0.00000", "105944.30000"), ("105944.20000", "0.00000"), ("105944.30000", "105944.20000")]
)
def test_no_bid_no_ask_or_crossed_is_no_price(server: KrakenServer, bid: str, ask: str) -> None:
    """Rule 4: an empty or crossed book has no price, and a price of zero would be believed."""
    ticker = server.answer("Ticker")["result"]["XBTUSDT"]
    before = (ticker["b"][0], ticker["a"][0])
    try:
        ticker["b"][0], ticker["a"][0] = bid, ask
        with pytest.raises(UnavailableError, match="that is no price"):
            TickerPrices("kraken", ReplayClock(RECORDED_AT), server.url).quote(SYMBOL, RECORDED_AT)
    finally:
        ticker["b"][0], ticker["a"][0] = before


class _SlowClock:
    """A clock on which each look takes 20 seconds."""

    def __init__(self) -> None:
        self._now = RECORDED_AT

    def now(self) -> datetime:
        self._now += timedelta(seconds=20)
        return self._now


def test_a_late_answer_and_a_failed_call_are_no_price(server: KrakenServer) -> None:
    """Trap 21: a price that took 20 seconds to arrive may be 20 seconds old."""
    with pytest.raises(UnavailableError, match="too old"):
        TickerPrices("kraken", _SlowClock(), server.url).quote(SYMBOL, RECORDED_AT)
    with pytest.raises(UnavailableError, match="too old"):
        TickerPrices("kraken", ReplayClock(RECORDED_AT), server.url).quote(SYMBOL, RECORDED_AT + timedelta(seconds=1))
    for fault in (
        Fault(status=520, body="<html>"),
        Fault(body='{"error": []}'),
        Fault.error("EQuery:Unknown asset pair"),
    ):
        server.faults.append(fault)
        with pytest.raises(UnavailableError, match="kraken gives no price of BTC/USDT"):
            TickerPrices("kraken", ReplayClock(RECORDED_AT), server.url).quote(SYMBOL, RECORDED_AT)
