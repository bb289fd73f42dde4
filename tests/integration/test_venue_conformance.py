"""What every venue must do, the same tests for each: the real ccxt over real HTTP, against a server with its limits."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
import polars as pl
import pytest
from venues.binance import BinanceServer
from venues.coinbase import CoinbaseServer
from venues.kraken import KrakenServer
from venues.loopback import (
    BLOCK_PAGE,
    CLOUDFLARE,
    DOUBLED,
    PASSING_FAULTS,
    REORDERED,
    TIME_OUT,
    Fault,
    LoopbackServer,
    fault_plan,
)
from venues.quick import quick_venue
from venues.tape import TapeCandle, candle_of

from triplegain_pipelines.domain.clock import ReplayClock, SystemClock, monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError, UnavailableError
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, validate
from triplegain_pipelines.market.simulator import SimulatedMarket
from triplegain_pipelines.market.venues import exchange as exchange_module
from triplegain_pipelines.market.venues.clock import measure_clock
from triplegain_pipelines.market.venues.exchange import call, open_exchange
from triplegain_pipelines.market.venues.history import CandlePage, candle_pages, fetch_candles
from triplegain_pipelines.market.venues.ticker import TickerPrices
from triplegain_pipelines.settings.venues import VenueSettings

pytestmark = pytest.mark.integration

START = datetime(2025, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = START + 3500 * MINUTE + timedelta(seconds=20)  # the candle of 3500 is still running
SYMBOL = "BTC/USDT"
VOID = (START + 700 * MINUTE, START + 1350 * MINUTE)  # longer than two of Coinbase's pages
SERVERS: dict[str, type[LoopbackServer]] = {
    "kraken": KrakenServer,
    "binance": BinanceServer,
    "coinbase": CoinbaseServer,
}
PAGE_CALLS = {"kraken": "OHLC", "binance": "klines", "coinbase": "candles"}


@dataclass(frozen=True)
class Stand:
    """One venue with its server, and a clock that both sides look at."""

    venue: VenueSettings
    server: LoopbackServer
    clock: ReplayClock
    published: pl.DataFrame  # every candle of the market, the running one and later ones included

    @property
    def since(self) -> datetime:
        """Where the venue's history begins at NOW."""
        reach = self.venue.candles.reach
        return START if reach is None else self.now - reach * MINUTE

    @property
    def now(self) -> datetime:
        """The minute that runs."""
        return NOW.replace(second=0)

    def expected(self, since: datetime, until: datetime) -> pl.DataFrame:
        """The published candles opened in [since, until), as REST gives them: without the number of trades."""
        frame = self.published.filter(pl.col("opened_at").is_between(since, until, closed="left"))
        return frame.with_columns(trades=pl.lit(None, pl.Int32))

    def fetch(self, since: datetime | None = None, until: datetime = NOW, symbol: str = SYMBOL) -> pl.DataFrame:
        """By REST; all there is if no `since` is given."""
        since = since or self.since
        return fetch_candles(self.venue, symbol, since, until, clock=self.clock, base_url=self.server.url)

    def pages(self, since: datetime, until: datetime) -> list[CandlePage]:
        """By REST, page by page."""
        return list(candle_pages(self.venue, SYMBOL, since, until, clock=self.clock, base_url=self.server.url))

    def calls(self) -> int:
        """How many pages were asked for, by calls that the server did not refuse for another reason."""
        return self.server.calls.count(PAGE_CALLS[self.venue.ccxt])


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(exchange_module, "_TIMEOUT_MILLISECONDS", 500)


@pytest.fixture(params=SERVERS)
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    name = request.param
    published = _market(sparse=name == "coinbase")
    clock = ReplayClock(NOW)
    with SERVERS[name](now=clock.now) as server:
        server.tape.candles[SYMBOL] = list(_spelled(sparse=name == "coinbase"))
        yield Stand(quick_venue(name), server, clock, published)


@cache
def _market(*, sparse: bool) -> pl.DataFrame:
    frame = SimulatedMarket(7, date(2025, 3, 1), [SYMBOL]).candles(SYMBOL, START, START + 3600 * MINUTE)
    return _with_empty_minutes(frame) if sparse else frame


@cache
def _spelled(*, sparse: bool) -> tuple[TapeCandle, ...]:
    return tuple(candle_of(row) for row in _market(sparse=sparse).iter_rows(named=True))


def _with_empty_minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """Without the minutes of VOID and a fifth of the others: nobody traded, so Coinbase publishes nothing."""
    traded = pl.Series(np.random.default_rng(11).random(frame.height) > 0.2)
    return frame.filter(traded & ~pl.col("opened_at").is_between(*VOID, closed="left"))


def test_candles_are_what_the_venue_published(stand: Stand) -> None:
    """M1: a price or volume that is off by one bit, or a minute lost between pages, would go into every decision."""
    frame = validate("candles", stand.fetch())
    assert frame.equals(stand.expected(stand.since, stand.now))


def test_a_window_comes_back_as_that_window(stand: Stand) -> None:
    """M1: repair asks for a stretch of minutes and must get these, its end excluded, from whatever second it asks."""
    since, until = NOW - timedelta(hours=2, seconds=33), NOW - timedelta(hours=1)
    assert stand.fetch(since, until).equals(stand.expected(since, until))
    assert stand.fetch(NOW + timedelta(days=1), NOW + timedelta(days=2)).is_empty()
    assert stand.fetch(NOW, NOW - timedelta(hours=1)).is_empty()


def test_paging_goes_on_to_the_end(stand: Stand) -> None:
    """M1: an empty page is not the end, and each page goes on where the one before has reached."""
    if stand.venue.candles.reach is not None:
        pytest.skip("this venue's candles are a single page; its trades are paged")
    pages = stand.pages(START, NOW)
    assert len(pages) > 3
    assert pages[0].answered_from == START
    assert [page.answered_from for page in pages[1:]] == [page.reached for page in pages[:-1]]
    assert pages[-1].reached == stand.now
    for page in pages:
        assert page.frame.equals(stand.expected(page.answered_from, page.reached))
    if stand.venue.ccxt == "coinbase":
        assert any(page.frame.is_empty() for page in pages), "the void must hold a whole page"


def test_more_than_the_limit_is_refused(stand: Stand) -> None:
    """M3: the server is as strict as the venue, so the tests above prove that no call asks for too much."""
    first = int(START.timestamp())
    span = {"start": str(first), "end": str(first + 300 * 60), "granularity": "ONE_MINUTE"}
    method, parameters = {
        "kraken": ("public_get_trades", {"pair": "XBTUSDT", "since": "0", "count": "1001"}),
        "binance": ("public_get_klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "1001"}),
        "coinbase": (
            "v3_public_get_brokerage_market_products_product_id_candles",
            {"product_id": "BTC-USDT", **span},
        ),
    }[stand.venue.ccxt]
    with pytest.raises(PermanentError, match="refused"):
        call(open_exchange(stand.venue, stand.server.url), method, parameters)


def test_a_limit_set_too_high_is_an_input_error(stand: Stand) -> None:
    """M3: ccxt quietly lowers a limit; the minutes cut off would pass for minutes in which nobody traded."""
    if stand.venue.candles.reach is not None:
        pytest.skip("this venue takes no limit")
    candles = stand.venue.candles.model_copy(update={"per_call": stand.venue.candles.per_call + 1})
    venue = stand.venue.model_copy(update={"candles": candles})
    with pytest.raises(InputError, match=r"lower per_call in venues\.yaml"):
        fetch_candles(venue, SYMBOL, START, NOW, clock=stand.clock, base_url=stand.server.url)


@pytest.mark.parametrize("fault", [*PASSING_FAULTS, TIME_OUT], ids=lambda fault: fault.name)
def test_a_passing_fault_is_tried_again(stand: Stand, fault: Fault) -> None:
    """M1, rule 4: a failed query must neither end the back-fill nor be read as 'no candles'."""
    since = NOW - timedelta(hours=2)
    stand.server.faults.append(fault)
    assert stand.fetch(since).equals(stand.expected(since, stand.now))
    assert stand.calls() == 2


def test_the_venues_own_words_and_wrong_shapes_are_tried_again(stand: Stand) -> None:
    """Rule 4: JSON without the promised rows is no answer; ccxt alone would read several of these as 'no candles'."""
    since = NOW - timedelta(hours=2)
    for fault in [stand.server.busy(), *stand.server.shapeless()]:
        stand.server.calls.clear()
        stand.server.faults.append(fault)
        assert stand.fetch(since).equals(stand.expected(since, stand.now)), fault.name
        assert stand.calls() == 2, fault.name


def test_a_lasting_fault_is_transient_and_says_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: after the last attempt there is an error, never an empty page."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 2)
    for fault in [CLOUDFLARE, BLOCK_PAGE, stand.server.busy(), *stand.server.shapeless()]:
        stand.server.faults.extend([fault] * 2)
        said = "not JSON" if fault in {CLOUDFLARE, BLOCK_PAGE} else "BTC/USDT"
        with pytest.raises(TransientError, match=f"{stand.venue.ccxt} .*(fetch_ohlcv|candles).*{said}"):
            stand.fetch(NOW - timedelta(hours=2))
        assert not stand.server.faults, fault.name


def test_a_refusal_is_permanent_and_not_repeated(stand: Stand) -> None:
    """M1: trying a refused call again only uses up the rate limit."""
    stand.server.faults.append(stand.server.refusal())
    with pytest.raises(PermanentError, match="was refused"):
        stand.fetch(NOW - timedelta(hours=2))
    assert stand.calls() == 1


@pytest.mark.parametrize("fault", [REORDERED, DOUBLED], ids=lambda fault: fault.name)
def test_disorder_and_duplicates_do_not_mislead_the_cursor(stand: Stand, fault: Fault) -> None:
    """M1, M4: such pages are handed on for screening; no minute may be lost by them, least of all at a page's end."""
    stand.server.faults.extend([fault] * 20)
    frame = stand.fetch()
    expected = stand.expected(stand.since, stand.now)
    assert frame.unique().sort("opened_at").equals(expected)
    assert (frame.height > expected.height) == (fault is DOUBLED)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_third_call_fails_and_nothing_is_lost(stand: Stand, seed: int) -> None:
    """M1: the same faults in a mixture, drawn by a seed that the test's id names."""
    faults = [*PASSING_FAULTS, REORDERED, DOUBLED, stand.server.busy(), *stand.server.shapeless()]
    stand.server.faults.extend(fault_plan(seed, calls=60, share=0.33, faults=faults))
    assert stand.fetch().unique().sort("opened_at").equals(stand.expected(stand.since, stand.now)), seed


def test_an_answer_about_another_time_is_not_no_trades(stand: Stand) -> None:
    """Rule 4: candles of another window say nothing of this one; dropped, they would leave 'nobody traded'."""
    if stand.venue.candles.reach is not None:
        pytest.skip("this venue gives its newest candles and says by their times for which minutes that is")
    opened = int(START.timestamp())
    stand.server.faults.append(Fault("other time", rows=lambda rows: [_opened_at(row, opened) for row in rows]))
    with pytest.raises(PermanentError, match="answered with candles of 2025-03-01"):
        stand.fetch(NOW - timedelta(hours=2))


def test_a_time_that_cannot_be_is_a_failure(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: such a candle would fall out of the window unseen, or end the back-fill with a riddle."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 1)
    stand.server.faults.append(Fault("far time", rows=lambda rows: [_opened_at(row, 10**15) for row in rows]))
    with pytest.raises((TransientError, PermanentError), match=stand.venue.ccxt):
        stand.fetch(NOW - timedelta(hours=2))


def _opened_at(row: Any, seconds: int) -> Any:
    """A row of any of the venues with another opening time."""
    if isinstance(row, dict):
        return row | {"start": str(seconds)}
    return [seconds * 1000 if row[0] > 10**11 else seconds, *row[1:]]


def test_an_error_of_the_venue_is_one_short_line(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: ccxt puts the whole answer into its errors, and these go into logs, alerts and a person's terminal."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 1)
    words = "EGeneral:Internal error \u202e" + "blocked " * 10_000
    answer = json.dumps({"error": [words], "code": -1, "msg": words, "message": words}, ensure_ascii=False)
    stand.server.faults.append(Fault("long words", status=400, body=answer))
    with pytest.raises((TransientError, PermanentError)) as raised:
        stand.fetch(NOW - timedelta(hours=2))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_threads_that_come_at_once_share_one_exchange(stand: Stand) -> None:
    """M3: two exchanges have a pace each, and together call twice as often as the venue allows."""
    venue = stand.venue.model_copy(update={"calls_per_second": 77.0})
    together = Barrier(6)

    def opened() -> int:
        together.wait()
        return id(open_exchange(venue, stand.server.url))

    with ThreadPoolExecutor(6) as threads:
        assert len({future.result() for future in [threads.submit(opened) for _ in range(6)]}) == 1


def test_the_unfinished_candle_is_never_delivered(stand: Stand) -> None:
    """M4, trap 15: the venue gives the running candle; it goes by its time, and comes once it has closed."""
    since = NOW - timedelta(minutes=30)
    before = stand.fetch(since, NOW + timedelta(hours=1))
    assert before["opened_at"][-1] == stand.expected(START, stand.now)["opened_at"][-1] < stand.now
    stand.clock.advance_to(NOW + MINUTE)
    after = stand.fetch(since, NOW + timedelta(hours=1))
    assert after.equals(stand.expected(since, stand.now + MINUTE))


def test_a_revised_candle_comes_with_its_new_values(stand: Stand) -> None:
    """M4, trap 16: a closed candle is revised for seconds; asking again must show it."""
    opened_at = stand.expected(START, stand.now)["opened_at"][-1]
    before = stand.fetch(opened_at)
    stand.server.tape.revise(SYMBOL, opened_at, close="81234.56789", volume="0.00000001")
    after = stand.fetch(opened_at)
    assert after["close"].to_list() == [81234.56789]
    assert after["volume"].to_list() == [1e-8]
    assert before["open"].equals(after["open"])


def test_an_unknown_symbol_is_an_input_error_with_help(stand: Stand) -> None:
    """M3: a mistyped symbol is one clear line that says what the venue has instead."""
    with pytest.raises(InputError, match=f"{stand.venue.ccxt} has no BTC/USD; it has BTC/USDT"):
        stand.fetch(symbol="BTC/USD")
    assert stand.calls() == 0


def test_a_venue_that_lists_no_market_is_a_failure(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: after an empty listing every symbol would seem unknown, and a person would look for a typing error."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 1)
    with type(stand.server)() as nothing, pytest.raises(TransientError, match="lists no market"):
        fetch_candles(stand.venue, SYMBOL, START, NOW, clock=stand.clock, base_url=nothing.url)


def test_an_unknown_venue_is_an_input_error() -> None:
    """M3: venues.yaml may name any exchange of ccxt, and a mistyped one is told."""
    venue = quick_venue("kraken").model_copy(update={"ccxt": "krakken"})
    with pytest.raises(InputError, match="no venue 'krakken'"):
        fetch_candles(venue, SYMBOL, START, NOW)


def test_calls_of_all_threads_keep_the_venues_pace(stand: Stand) -> None:
    """M3: over its limit a venue locks us out, and then prices and orders fail as well."""
    venue = stand.venue.model_copy(update={"calls_per_second": 50})
    exchange = open_exchange(venue, stand.server.url)
    assert open_exchange(venue, stand.server.url) is exchange
    began = monotonic_seconds()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: call(exchange, "fetch_time"), range(10)))
    assert monotonic_seconds() - began >= 9 / 50


def test_a_closed_port_is_transient(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: no connection is unknown, not 'nothing there'."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 1)
    with type(stand.server)() as gone:
        url = gone.url
    with pytest.raises(TransientError):
        fetch_candles(stand.venue, SYMBOL, START, NOW, clock=stand.clock, base_url=url)


@pytest.mark.parametrize("seconds", [0.0, 3.0, -0.42])
def test_clock_skew_is_measured_within_what_is_claimed(stand: Stand, seconds: float) -> None:
    """M3, trap 14: a clock 3 s off must be seen, and a right one must not be suspected for stamps of whole seconds."""
    skew = timedelta(seconds=seconds)
    with type(stand.server)(skew=skew) as server:
        reading = measure_clock(stand.venue, clock=SystemClock(), base_url=server.url)
    assert abs(reading.offset - skew) <= reading.within
    assert timedelta(0) < reading.round_trip < timedelta(seconds=0.3)
    assert reading.within <= timedelta(seconds=0.3)


@pytest.mark.parametrize("change", ["bid", "ask"])
def test_the_price_is_the_middle_of_bid_and_ask(stand: Stand, change: str) -> None:
    """M3, trap 21: not the last trade; and a book without a side, or crossed, has no price."""
    stand.server.quotes[SYMBOL] = ("105944.20000", "105944.30000")
    prices = TickerPrices(stand.venue, stand.clock, stand.server.url)
    quote = prices.quote(SYMBOL, NOW)
    assert (quote.symbol, quote.price, quote.at) == (SYMBOL, Decimal("105944.25"), NOW)
    broken = {"bid": [("0.0", "105944.3"), ("105944.4", "105944.3")], "ask": [("105944.2", "0.0"), ("105944.2", "1.0")]}
    for bid, ask in broken[change]:
        stand.server.quotes[SYMBOL] = (bid, ask)
        with pytest.raises(UnavailableError, match="that is no price"):
            prices.quote(SYMBOL, NOW)


def test_a_failed_or_late_ticker_is_no_price(stand: Stand) -> None:
    """M3, trap 21: unknown is unknown, and a price that took 20 seconds to arrive may be 20 seconds old."""
    prices = TickerPrices(stand.venue, stand.clock, stand.server.url)
    for fault in [*PASSING_FAULTS, TIME_OUT, stand.server.busy(), stand.server.refusal(), *stand.server.shapeless()]:
        stand.server.faults.append(fault)
        with pytest.raises(UnavailableError):
            prices.quote(SYMBOL, NOW)
        assert not stand.server.faults, fault.name
    stand.server.quotes[SYMBOL] = ("105944.2", "1e999")
    with pytest.raises(UnavailableError, match="that is no price"):
        prices.quote(SYMBOL, NOW)
    del stand.server.quotes[SYMBOL]
    with pytest.raises(UnavailableError, match="too old"):
        TickerPrices(stand.venue, _SlowClock(), stand.server.url).quote(SYMBOL, NOW)
    with pytest.raises(UnavailableError, match="too old"):
        prices.quote(SYMBOL, NOW + timedelta(seconds=1))


class _SlowClock:
    """A clock on which each look takes 20 seconds."""

    def __init__(self) -> None:
        self._now = NOW

    def now(self) -> datetime:
        self._now += timedelta(seconds=20)
        return self._now


def test_frames_have_the_columns_of_the_contract(stand: Stand) -> None:
    """M4: an empty page has the same columns and types as a full one, so pages can always be joined."""
    frame = stand.fetch(NOW + MINUTE, NOW + 2 * MINUTE)
    assert frame.schema == dict(CANDLE_COLUMNS)
    assert all(page.frame.schema == dict(CANDLE_COLUMNS) for page in stand.pages(NOW - 3 * MINUTE, NOW))
