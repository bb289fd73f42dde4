"""The back-fill over loopback venues with real limits: stopped anywhere, faults, empty minutes, trades."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from builders import Killed, MortalDatabase
from venues.binance import BinanceServer
from venues.coinbase import CoinbaseServer
from venues.kraken import KrakenServer
from venues.loopback import DOUBLED, HALF_JSON, REORDERED, TOO_MANY, Fault, LoopbackServer, fault_plan

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError, TransientError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.trades import TRADE_COLUMNS, candles_of_trades
from triplegain_pipelines.market.venues import exchange
from triplegain_pipelines.operations.backfill import BackfillProgress, BackfillSummary, run_backfill
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.store.backfills import hold
from triplegain_pipelines.store.candles import read_candles, upsert_candles
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

START = datetime(2026, 3, 2, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"
MINUTE = timedelta(minutes=1)
LENGTH = 1300  # minutes: five pages of Coinbase, two of Binance
END = START + LENGTH * MINUTE
NOW = START + timedelta(days=20)
_PAPER = load_settings(Environment(profile="paper"))


def _quick(own: Settings) -> Settings:
    """The settings of real venues, without their rate limits."""
    venues = {name: venue.model_copy(update={"calls_per_second": 5000.0}) for name, venue in own.venues.venues.items()}
    return own.model_copy(update={"venues": own.venues.model_copy(update={"venues": venues})})


SETTINGS = _quick(_PAPER)


def _walk(seed: int, without: range | tuple[int, ...] = (), *, share: float = 0.0) -> pl.DataFrame:
    """A random walk of 1-minute candles, without some minutes and without a share of the others."""
    draw = np.random.default_rng(seed)
    close = 50_000 + draw.normal(0, 3, LENGTH).cumsum().round(1)
    opened = np.concatenate([[close[0]], close[:-1]])
    frame = pl.DataFrame(
        {
            "opened_at": [START + number * MINUTE for number in range(LENGTH)],
            "open": opened,
            "high": np.maximum(opened, close) + 1,
            "low": np.minimum(opened, close) - 1,
            "close": close,
            "volume": draw.uniform(0.1, 9, LENGTH).round(4),
            "trades": [None] * LENGTH,
        },
        schema=dict(CANDLE_COLUMNS),
    ).with_row_index("number")
    kept = ~pl.col("number").is_in([*without]) & pl.Series(draw.random(LENGTH) >= share)
    return frame.filter(kept).drop("number")


def _trades(seed: int, count: int) -> pl.DataFrame:
    """Trades at random moments of the range, many of them in bursts within one moment."""
    draw = np.random.default_rng(seed)
    moments = np.sort(draw.integers(0, LENGTH * 60_000, count) // 40 * 40)
    return pl.DataFrame(
        {
            "trade_id": [str(number) for number in range(1, count + 1)],
            "traded_at": [START + timedelta(milliseconds=int(moment)) for moment in moments],
            "price": 50_000 + draw.normal(0, 1, count).cumsum().round(1),
            "quantity": draw.uniform(0.001, 2, count).round(6),
            "side": draw.choice(["buy", "sell"], count),
        },
        schema=dict(TRADE_COLUMNS),
    )


@dataclass(frozen=True)
class Case:
    """A venue with its history, and what its missing minutes are."""

    venue: str
    make: Callable[[], LoopbackServer]
    kind: str
    expected: pl.DataFrame


_SPARSE = _walk(1, range(310, 640), share=0.1)
_DOWN = _walk(2, range(500, 520))
_TICKS = _trades(3, 2600)
CASES = [
    Case("coinbase", lambda: CoinbaseServer({BTC: _SPARSE}), "no_trades", _SPARSE),
    Case("binance", lambda: BinanceServer({BTC: _DOWN}), "outage", _DOWN),
    Case("kraken", lambda: KrakenServer(trades={BTC: _TICKS}), "no_trades", candles_of_trades(_TICKS)),
]
by_venue = pytest.mark.parametrize("case", CASES, ids=lambda case: case.venue)


def _ignore(_: BackfillProgress) -> None:
    """Nobody looks."""


def _run(
    database: Database,
    venue: str,
    server: LoopbackServer,
    progress: Callable[[BackfillProgress], None] = _ignore,
    *,
    symbols: tuple[str, ...] = (BTC,),
    end: datetime = END,
    now: datetime = NOW,
) -> list[BackfillSummary]:
    clock = ReplayClock(now)
    return run_backfill(
        database, SETTINGS, venue, symbols, START, end, clock=clock, progress=progress, base_url=server.url
    )


def _stored(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Everything a back-fill leaves, but for the times at which it did."""
    queries = {
        "candles": """SELECT venue, symbol, opened_at, open, high, low, close, volume, trades, source
            FROM market.candles""",
        "revisions": "SELECT venue, symbol, opened_at FROM market.candle_revisions",
        "gaps": "SELECT venue, symbol, starts_at, ends_at, missing, kind FROM market.candle_gaps",
        "findings": "SELECT finding_id, held, settlement FROM market.data_findings",
        "cursors": "SELECT venue, symbol, starts_at, ends_at, method, reached, candles FROM market.backfills",
    }
    with database.connection() as connection:
        return {name: sorted(connection.execute(query.encode()).fetchall(), key=str) for name, query in queries.items()}


def _forget(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(
            """DELETE FROM market.candles; DELETE FROM market.candle_revisions; DELETE FROM market.candle_gaps;
               DELETE FROM market.data_findings; DELETE FROM market.backfills"""
        )


def _minutes_of(database: Database, kind: str) -> set[datetime]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT starts_at, missing FROM market.candle_gaps WHERE kind = %s", [kind]
        ).fetchall()
    return {starts_at + number * MINUTE for starts_at, missing in rows for number in range(missing)}


@by_venue
def test_every_candle_is_stored_and_every_other_minute_explained(database: Database, case: Case) -> None:
    """M1, traps 17 and 18: pages, a hole longer than a page, minutes without trades, history built of trades."""
    told: list[BackfillProgress] = []
    with case.make() as server:
        (summary,) = _run(database, case.venue, server, told.append)
    with database.connection() as connection:
        stored = read_candles(connection, case.venue, BTC, Timeframe.M1, START, END)
    assert stored.equals(case.expected)
    every = {START + number * MINUTE for number in range(LENGTH)}
    empty = every - set(case.expected["opened_at"])
    assert _minutes_of(database, case.kind) == empty
    assert _minutes_of(database, "missing") == set()
    assert summary == BackfillSummary(
        case.venue, BTC, START, END, END, stored.height, new=stored.height, empty=len(empty)
    )
    assert summary.finished
    assert [one.fraction for one in told] == sorted({one.fraction for one in told})
    assert (told[0].fraction, told[0].remaining, told[-1].fraction) == (0.0, None, 1.0)
    assert told[-1].candles == stored.height
    assert told[-1].remaining == timedelta(0)
    assert all(one.remaining is not None and one.remaining > timedelta(0) for one in told[1:-1])


@pytest.mark.no_cover
@by_venue
def test_stopped_after_any_page_it_ends_as_if_never_stopped(database: Database, case: Case) -> None:
    """M1: a laptop is closed in the middle of a year's history; nothing may be lost, doubled or asked for anew."""
    with case.make() as server:
        _run(database, case.venue, server)
        unbroken, calls = _stored(database), len(server.calls)
        told = 0
        while True:
            _forget(database)
            left = told = told + 1

            def stop(_: BackfillProgress) -> None:
                nonlocal left
                left -= 1
                if not left:
                    raise KeyboardInterrupt

            try:
                _run(database, case.venue, server, stop)
            except KeyboardInterrupt:
                _run(database, case.venue, server)
                assert _stored(database) == unbroken, f"stopped at call {told} of the progress"
            else:
                break
    assert told > 3
    assert calls > 2


@pytest.mark.no_cover
@by_venue
def test_killed_within_any_transaction_it_ends_as_if_never_killed(database: Database, case: Case) -> None:
    """M1: the page, its gaps and the cursor are one; killed after any commit the next start goes on from there."""
    with case.make() as server:
        _run(database, case.venue, server)
        unbroken, commits = _stored(database), 0
        while True:
            _forget(database)
            commits += 1
            mortal = MortalDatabase(database.url, commits)
            try:
                _run(mortal, case.venue, server)
            except Killed:
                _run(database, case.venue, server)
                assert _stored(database) == unbroken, f"killed after commit {commits}"
            else:
                break
            finally:
                mortal.close()
    assert commits > 3


def test_a_page_that_fails_half_way_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: candles whose cursor was not written would count twice, and a cursor without candles would lose them."""

    def dying(*_: object, **__: object) -> None:
        raise Killed

    with CASES[0].make() as server:
        monkeypatch.setattr("triplegain_pipelines.operations.backfill.advance", dying)
        with pytest.raises(Killed):
            _run(database, "coinbase", server)
    assert not any(_stored(database).values())


@by_venue
def test_a_finished_back_fill_asks_nothing(database: Database, case: Case) -> None:
    """M1: the same command again must be free, also without a network."""
    with case.make() as server:
        (first,) = _run(database, case.venue, server)
        before, calls = _stored(database), len(server.calls)
        (second,) = _run(database, case.venue, server)
        assert len(server.calls) == calls
    assert _run(database, case.venue, server) == [second]
    assert (second.candles, second.new, second.finished) == (first.candles, 0, True)
    assert _stored(database) == before


@by_venue
@pytest.mark.parametrize("seed", [1, 2])
def test_faults_change_nothing(database: Database, case: Case, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: errors that pass, or end it so that it is started again; pages out of order, rows twice: the same end."""
    monkeypatch.setattr(exchange, "_FIRST_WAIT_SECONDS", 0.001)
    with case.make() as server:
        _run(database, case.venue, server)
        unbroken = _stored(database)
        _forget(database)
        server.faults = fault_plan(seed, 40, 0.5, [TOO_MANY, HALF_JSON, REORDERED, DOUBLED, server.busy()])
        print(f"seed {seed}")
        for _ in range(10):
            try:
                _run(database, case.venue, server)
                break
            except TransientError:  # four faults in a row: the person starts it again
                continue
    faulty = _stored(database)
    assert {name: faulty[name] for name in ("candles", "gaps", "cursors", "revisions")} == {
        name: unbroken[name] for name in ("candles", "gaps", "cursors", "revisions")
    }


def test_a_venue_that_stays_down_ends_it_and_it_goes_on_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1: an error is no empty page; what was stored before it stays."""
    monkeypatch.setattr(exchange, "_FIRST_WAIT_SECONDS", 0.001)
    case = CASES[0]
    with case.make() as server:
        _run(database, case.venue, server)
        unbroken = _stored(database)
        _forget(database)
        server.faults.extend([None, None, *[TOO_MANY] * 10])
        with pytest.raises(TransientError, match="may work later"):
            _run(database, case.venue, server)
        assert _stored(database)["cursors"][0][5] == START + 600 * MINUTE
        server.faults.clear()
        _run(database, case.venue, server)
    assert _stored(database) == unbroken


def test_a_minute_with_a_broken_candle_is_not_called_empty(database: Database) -> None:
    """M4: the venue had something there, and it must be asked again; refused is not 'nobody traded'."""

    def cross(rows: list) -> list:
        return [{**row, "high": "1"} if row["start"] == str(int(broken.timestamp())) else row for row in rows]

    broken = _SPARSE["opened_at"][100]
    with CoinbaseServer({BTC: _SPARSE}) as server:
        server.faults.append(Fault("crossed", rows=cross))
        (summary,) = _run(database, "coinbase", server)
    assert summary.refused == 1
    assert _minutes_of(database, "missing") == {broken}
    assert broken not in _minutes_of(database, "no_trades")


def test_before_its_first_candle_a_symbol_was_not_down_but_not_there(database: Database) -> None:
    """M4, trap 34: a symbol that was listed in March has no outage of three years before."""
    listed = _walk(4, tuple(range(1100)))
    with BinanceServer({BTC: listed}) as server:
        _run(database, "binance", server)
    assert _minutes_of(database, "outage") == set()
    assert len(_minutes_of(database, "no_trades")) == 1100


def test_what_has_not_closed_is_left_for_the_next_start(database: Database) -> None:
    """M1, trap 15: an end that lies ahead; the running minute and the one that is still revised are not taken."""
    now = START + 700 * MINUTE + timedelta(seconds=5)
    later = START + 900 * MINUTE + timedelta(seconds=30)
    with BinanceServer({BTC: _DOWN}, now=lambda: now) as server:
        (first,) = _run(database, "binance", server, now=now)
    assert (first.reached, first.finished) == (START + 699 * MINUTE, False)
    with BinanceServer({BTC: _DOWN}, now=lambda: later) as server:
        (second,) = _run(database, "binance", server, now=later)
    assert (second.reached, second.finished) == (START + 900 * MINUTE, False)
    with database.connection() as connection:
        stored = read_candles(connection, "binance", BTC, Timeframe.M1, START, END)
    assert stored.equals(_DOWN.filter(pl.col("opened_at") < second.reached))


def test_kraken_is_read_as_candles_where_they_reach_back(database: Database) -> None:
    """M1, trap 17: twelve hours back the venue's own candles are there, zero-volume ones among them."""
    now = END + timedelta(seconds=40)
    since = LENGTH - 700
    candles = _walk(5).with_columns(
        volume=pl.when(pl.col("opened_at") == START + 900 * MINUTE).then(0.0).otherwise("volume")
    )
    with KrakenServer({BTC: candles}, now=lambda: now) as server:
        begin = START + since * MINUTE
        clock = ReplayClock(now)
        (summary,) = run_backfill(
            database, SETTINGS, "kraken", [BTC], begin, END, clock=clock, progress=_ignore, base_url=server.url
        )
        assert server.calls.count("Trades") == 0
    assert summary.finished
    with database.connection() as connection:
        stored = read_candles(connection, "kraken", BTC, Timeframe.M1, START, END)
    assert stored.drop("trades").equals(candles.filter(pl.col("opened_at") >= begin).drop("trades"))
    assert _stored(database)["gaps"] == []


def test_a_minute_of_trades_is_taken_when_all_of_it_was_answered_for(database: Database) -> None:
    """M1: the page ends in the middle of a minute, and now lies in the middle of another."""
    now = START + 1000 * MINUTE + timedelta(seconds=30)
    with KrakenServer(trades={BTC: _TICKS}, now=lambda: now) as server:
        (summary,) = _run(database, "kraken", server, now=now)
    # The last minute that has closed, less the ten seconds in which a candle may be revised.
    assert summary.reached == START + 1000 * MINUTE
    with database.connection() as connection:
        stored = read_candles(connection, "kraken", BTC, Timeframe.M1, START, END)
    assert stored.equals(candles_of_trades(_TICKS.filter(pl.col("traded_at") < summary.reached)))


def test_several_symbols_come_one_after_the_other(database: Database) -> None:
    """M1: each has its own cursor; killed in the second, the first is not asked for again."""
    told: list[BackfillProgress] = []

    def stop(progress: BackfillProgress) -> None:
        told.append(progress)
        if progress.symbol == ETH and progress.fraction > 0:
            raise KeyboardInterrupt

    eth = _walk(6)
    with CoinbaseServer({BTC: _SPARSE, ETH: eth}) as server:
        with pytest.raises(KeyboardInterrupt):
            _run(database, "coinbase", server, stop, symbols=(BTC, ETH))
        halfway = next(one for one in told if one.symbol == BTC and one.fraction == 1.0)
        assert halfway.remaining is not None
        assert halfway.remaining > timedelta(0)
        server.questions.clear()
        server.calls.clear()
        both = _run(database, "coinbase", server, symbols=(BTC, ETH, BTC))
    assert server.calls.count("candles") == 4
    assert [(one.symbol, one.finished, one.candles) for one in both] == [
        (BTC, True, _SPARSE.height),
        (ETH, True, LENGTH),
    ]


def test_what_was_stored_before_is_not_doubled(database: Database) -> None:
    """M1: an archive was imported first; equal candles stay, other values become revisions."""
    other = _DOWN.head(10).with_columns(volume=pl.col("volume") + 1)
    with database.connection() as connection:
        upsert_candles(connection, "binance", BTC, Timeframe.M1, _DOWN.slice(5, 100), "archive")
        upsert_candles(connection, "binance", BTC, Timeframe.M1, other.head(3), "archive")
    with BinanceServer({BTC: _DOWN}) as server:
        (summary,) = _run(database, "binance", server)
    assert (summary.new, summary.identical, summary.revised) == (_DOWN.height - 103, 100, 3)
    assert summary.candles == _DOWN.height
    assert len(_stored(database)["revisions"]) == 3


def test_one_back_fill_of_a_venue_at_a_time(database: Database) -> None:
    """M1: two at once would take the rate limit twice, and the room for trading calls with it."""
    with CASES[0].make() as server:
        with database.autocommit() as other:
            hold(other, "coinbase")
            with pytest.raises(TransientError, match="another back-fill of coinbase is running"):
                _run(database, "coinbase", server)
        assert not server.calls
        assert _run(database, "coinbase", server)[0].finished


@pytest.mark.parametrize(
    ("symbols", "start", "end", "message"),
    [
        ([], START, END, "at least one symbol"),
        ([BTC, ""], START, END, "at least one symbol"),
        ([BTC], END, START, "is not later"),
        ([BTC], START, START, "is not later"),
        ([BTC], START + timedelta(seconds=1), END, "not a whole minute"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused(
    database: Database, symbols: list[str], start: datetime, end: datetime, message: str
) -> None:
    """M1: nothing is asked for and nothing stored."""
    with pytest.raises(InputError, match=message):
        run_backfill(database, SETTINGS, "binance", symbols, start, end, clock=ReplayClock(NOW), progress=_ignore)


def test_history_that_a_venue_does_not_give_is_refused(database: Database) -> None:
    """M1, trap 17: a year of gaps must not be recorded for a venue that only gives twelve hours."""
    kraken = SETTINGS.venues.of("kraken").model_copy(update={"trades": None})
    venues = SETTINGS.venues.model_copy(update={"venues": {"kraken": kraken}})
    own = SETTINGS.model_copy(update={"venues": venues})
    with pytest.raises(InputError, match="gives only its newest 720 candles"):
        run_backfill(database, own, "kraken", [BTC], START, END, clock=ReplayClock(NOW), progress=_ignore)
    assert not any(_stored(database).values())
