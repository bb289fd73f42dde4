"""What is Kraken's own: a history of 720 candles, and every trade since the beginning by a cursor with pitfalls."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from venues.kraken import RECORDED_AT, RECORDED_FROM, KrakenServer
from venues.loopback import CUT_OFF, DOUBLED, PASSING_FAULTS, REORDERED, TIME_OUT, Fault, fault_plan
from venues.quick import quick_venue

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.market.trades import TRADE_COLUMNS, candles_of_trades
from triplegain_pipelines.market.venues import exchange as exchange_module
from triplegain_pipelines.market.venues.history import TradePage, candle_pages, fetch_candles, trade_pages

pytestmark = pytest.mark.integration

KRAKEN = quick_venue("kraken")
SYMBOL = "BTC/USDT"
START = datetime(2025, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=3)
COUNT = 4_300  # trades of the generated market: more than four pages
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(exchange_module, "_TIMEOUT_MILLISECONDS", 500)


@pytest.fixture
def recorded(recorded_data: Path) -> Iterator[KrakenServer]:
    with KrakenServer.recorded(recorded_data / "raw" / "kraken") as server:
        yield server


def _tied_trades() -> pl.DataFrame:
    """Trades in bursts of 1 to 60 at one microsecond, as large orders make them; bursts lie across every page's end."""
    draw = np.random.default_rng(5)
    sizes: list[int] = []
    while sum(sizes) < COUNT:
        sizes.append(int(draw.integers(1, 61)))
    moments = [START + timedelta(microseconds=int(at)) for at in np.cumsum(draw.integers(1, 60 * 10**6, len(sizes)))]
    traded_at = [moment for moment, size in zip(moments, sizes, strict=True) for _ in range(size)][:COUNT]
    for end in (1000, 2000, 3000, 4000):
        traded_at[end - 20 : end + 20] = [traded_at[end]] * 40
    return pl.DataFrame(
        {
            "trade_id": [str(9_998_000 + number) for number in range(COUNT)],  # the ids grow longer on the way
            "traded_at": sorted(traded_at),
            "price": (60_000 + draw.normal(0, 5, COUNT)).round(1),
            "quantity": draw.exponential(0.01, COUNT).round(8) + 1e-8,
            "side": draw.choice(["buy", "sell"], COUNT),
        },
        schema=dict(TRADE_COLUMNS),
    )


TRADES = _tied_trades()


@pytest.fixture
def server() -> Iterator[KrakenServer]:
    clock = ReplayClock(NOW)
    with KrakenServer(trades={SYMBOL: TRADES}, now=clock.now) as running:
        yield running


def _pages(server: KrakenServer, since: datetime = START, until: datetime = NOW) -> list[TradePage]:
    return list(trade_pages(KRAKEN, SYMBOL, since, until, clock=ReplayClock(NOW), base_url=server.url))


def _join(pages: list[TradePage]) -> pl.DataFrame:
    return pl.concat(page.frame for page in pages)


def test_candles_as_recorded_without_the_open_one(recorded: KrakenServer) -> None:
    """M4, trap 15: the recorded answer's last candle was still open; it must go, and by its time."""
    clock = ReplayClock(RECORDED_AT)
    until = RECORDED_AT + timedelta(hours=1)
    frame = validate("candles", fetch_candles(KRAKEN, SYMBOL, RECORDED_FROM, until, clock=clock, base_url=recorded.url))
    assert frame.height == 720
    assert frame["opened_at"][0] == RECORDED_FROM
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


def test_what_kraken_no_longer_gives_is_not_answered_for(recorded: KrakenServer) -> None:
    """M1, trap 17: 720 candles whatever `since` says; the rest must stay a gap to be filled, not pass for answered."""
    asked = RECORDED_FROM - timedelta(days=1)
    clock = ReplayClock(RECORDED_AT)
    (page,) = candle_pages(KRAKEN, SYMBOL, asked, RECORDED_AT, clock=clock, base_url=recorded.url)
    assert (page.answered_from, page.reached) == (RECORDED_FROM, RECORDED_AT.replace(second=0))
    gaps = find_gaps(page.frame["opened_at"], Timeframe.M1, starts=asked)
    assert gaps.row(0) == (asked, RECORDED_FROM - MINUTE, 1440)
    (old,) = candle_pages(KRAKEN, SYMBOL, asked, asked + MINUTE, clock=clock, base_url=recorded.url)
    assert old.frame.is_empty()
    assert old.answered_from == old.reached, "nothing was answered for"


def test_an_answer_without_any_candle_answers_for_nothing(recorded: KrakenServer) -> None:
    """M1, rule 4: Kraken always has a running candle, so an answer without one says nothing about any minute."""
    recorded.faults.append(Fault("no rows", rows=lambda _: []))
    clock = ReplayClock(RECORDED_AT)
    (page,) = candle_pages(KRAKEN, SYMBOL, RECORDED_FROM, RECORDED_AT, clock=clock, base_url=recorded.url)
    assert page.frame.is_empty()
    assert page.answered_from == page.reached == RECORDED_FROM


def test_recorded_trades_make_the_recorded_candles(recorded: KrakenServer) -> None:
    """M1, exit condition 1: candles built of Kraken's trades are Kraken's own candles, volume and count included."""
    since, until = datetime(2025, 11, 10, 17, 24, tzinfo=UTC), datetime(2025, 11, 11, 0, 13, tzinfo=UTC)
    clock = ReplayClock(RECORDED_AT)
    pages = list(trade_pages(KRAKEN, SYMBOL, since, until, clock=clock, base_url=recorded.url))
    assert pages[-1].reached == until
    built = candles_of_trades(_join(pages))
    own = fetch_candles(KRAKEN, SYMBOL, since, until, clock=clock, base_url=recorded.url).filter(pl.col("volume") > 0)
    assert built.height > 200
    assert built.drop("trades").equals(own.drop("trades"))


def test_every_trade_comes_once_across_pages(server: KrakenServer) -> None:
    """M1: `since` excludes its own nanosecond, so trades tied with a page's last one are lost by a naive cursor."""
    pages = _pages(server)
    assert _join(pages).equals(TRADES)
    assert server.calls.count("Trades") >= 5
    assert all(int(question.get("count", 0)) <= 1000 for question in server.questions)


@pytest.mark.parametrize("nanoseconds", [0, 1, 499, 999])
def test_ties_on_one_nanosecond_survive_kraken_rounding(server: KrakenServer, nanoseconds: int) -> None:
    """M1: Kraken writes a trade's time as a double, up to 240 ns off, so the cursor cannot be the newest time read."""
    tape = server.tape.trades[SYMBOL]
    server.tape.trades[SYMBOL] = [replace(trade, nanoseconds=trade.nanoseconds - 500 + nanoseconds) for trade in tape]
    assert _join(_pages(server))["trade_id"].equals(TRADES["trade_id"])


def test_all_trades_before_reached_have_been_delivered(server: KrakenServer) -> None:
    """M1: a back-fill stores `reached`; killed after any page, it goes on from there without losing a trade."""
    seen = pl.DataFrame(schema=dict(TRADE_COLUMNS))
    for page in _pages(server):
        seen = pl.concat([seen, page.frame])
        assert TRADES.filter(pl.col("traded_at") < page.reached).height <= seen.height
        rest = _join(_pages(server, since=page.reached)) if page.reached < NOW else seen.clear()
        assert pl.concat([seen, rest]).unique().height == COUNT


def test_only_the_trades_asked_for(server: KrakenServer) -> None:
    """M1: a stretch of trades comes with its first moment and without its last, ties included."""
    since, until = TRADES["traded_at"][990], TRADES["traded_at"][3100]
    frame = _join(_pages(server, since, until))
    assert frame.equals(TRADES.filter(pl.col("traded_at").is_between(since, until, closed="left")))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_faults_neither_lose_nor_double_a_trade(server: KrakenServer, seed: int) -> None:
    """M1: every third call fails, comes reordered or with duplicates; the seed is in the test's id."""
    faults = [*PASSING_FAULTS, CUT_OFF, TIME_OUT, REORDERED, DOUBLED, server.busy(), *server.shapeless()]
    server.faults.extend(fault_plan(seed, calls=80, share=0.33, faults=faults))
    assert _join(_pages(server)).equals(TRADES), seed


@pytest.mark.parametrize(
    "body", ['{"error": []}', '{"error": [], "result": {"last": "1"}}', '{"error": [], "result": []}']
)
def test_an_answer_without_trades_is_no_empty_page(
    server: KrakenServer, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: the end of the trades is an empty list that Kraken sent, never an answer without a list."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 2)
    server.faults.extend([Fault("shape", body=body)] * 2)
    with pytest.raises(TransientError, match="kraken fetch_trades BTC/USDT"):
        _pages(server)


def test_trades_that_cannot_be_read_are_an_error(server: KrakenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """M4: a trade without an id could not be told from another, and one without a price is no trade."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 1)
    without_id = Fault("no id", rows=lambda rows: [[*row[:6], None] for row in rows])
    without_price = Fault("no price", rows=lambda rows: [[None, *row[1:]] for row in rows])
    same_id = Fault("one id", rows=lambda rows: [[*row[:6], 1] for row in rows])
    for fault in (without_id, without_price, same_id):
        server.faults.append(fault)
        with pytest.raises(TransientError, match="trades of BTC/USDT"):
            _pages(server)


def test_a_cursor_that_cannot_move_on_is_an_error() -> None:
    """M1: more trades in one moment than a call gives would make the paging end early, and silently."""
    stuck = TRADES.head(1500).with_columns(traded_at=pl.lit(START + MINUTE))
    running = KrakenServer(trades={SYMBOL: stuck}, now=ReplayClock(NOW).now)
    with running as server, pytest.raises(PermanentError, match="more than one call"):
        _pages(server)


def test_no_trades_at_all_is_an_answer(server: KrakenServer) -> None:
    """M1: where nobody traded, the venue has answered for the whole stretch."""
    (page,) = _pages(server, since=NOW - timedelta(minutes=5))
    assert page.frame.is_empty()
    assert page.reached == NOW
    assert page.frame.schema == dict(TRADE_COLUMNS)


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize(
    "wrong",
    [
        Fault("nothing", rows=lambda _: []),
        Fault("older trades", rows=lambda rows: [_a_day_older(row) for row in rows]),
    ],
    ids=lambda fault: fault.name,
)
def test_an_answer_that_does_not_go_on_is_not_the_end(server: KrakenServer, wrong: Fault, place: int) -> None:
    """Rule 4: an empty list, or the trades of another time, would end the history and make its minutes empty."""
    server.faults.extend([*[None] * place, wrong])
    assert _join(_pages(server)).equals(TRADES)
    assert not server.faults


def _a_day_older(row: list[Any]) -> list[Any]:
    return [*row[:2], row[2] - 86_400, *row[3:6], row[6] - 10**6]


def test_a_venue_that_never_goes_on_is_an_error(server: KrakenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: when the answers stay empty, the back-fill stops with an error and says nothing of the rest."""
    monkeypatch.setattr(exchange_module, "_ATTEMPTS", 2)
    server.faults.extend([None, *[Fault("nothing", rows=lambda _: [])] * 2])
    with pytest.raises(TransientError, match="do not follow"):
        _pages(server)


@pytest.mark.parametrize("name", ["binance", "coinbase"])
def test_other_venues_history_is_not_built_of_trades(name: str) -> None:
    """M3: asked for a venue whose trades do not go all the way back, the answer is one clear line."""
    with pytest.raises(InputError, match=f"{name}'s history is not built of trades"):
        next(trade_pages(quick_venue(name), SYMBOL, START, NOW, clock=ReplayClock(NOW)))
