"""The newest minutes of many symbols: stored together, their roll-ups renewed, beside what single symbols give."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import psycopg
import pytest
from candle_frames import START, candle_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.store.candle_writes import lock_series
from triplegain_pipelines.store.candles import UpsertCount, read_candles, read_rollups, upsert_candles, upsert_rollups
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.minutes import renew_rollups, upsert_minutes

pytestmark = pytest.mark.integration

VENUE = "kraken"
SYMBOLS = ["BTC/USDT", "ETH/USDT", "XRP/USDT"]
Write = Callable[[psycopg.Connection, int], None]
RANGE = (START - timedelta(days=3), START + timedelta(days=4))


def _of(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frame.with_columns(symbol=pl.lit(symbol)) for symbol, frame in frames.items())


def _minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def _hold(connection: psycopg.Connection, symbol: str, at: datetime) -> None:
    connection.execute(
        """INSERT INTO market.data_findings
               (finding_id, venue, symbol, timeframe, at, code, held, detail, source, detected_at)
           VALUES (%s, %s, %s, '1m', %s, 'outlier', true, '{}', 'test', %s)
           ON CONFLICT (finding_id) DO NOTHING""",
        (deterministic_id("hold", symbol, at.isoformat()), VENUE, symbol, at, at),
    )


def _usable(connection: psycopg.Connection, symbol: str) -> pl.DataFrame:
    held = connection.execute(
        "SELECT at FROM market.data_findings WHERE symbol = %s AND settled_at IS NULL", (symbol,)
    ).fetchall()
    stored = read_candles(connection, VENUE, symbol, Timeframe.M1, *RANGE)
    return stored.filter(~pl.col("opened_at").is_in([at for (at,) in held]))


def test_many_symbols_are_counted_as_single_ones(connection: psycopg.Connection) -> None:
    """M7: storing 50 symbols at once must mean what storing each means: revisions, trades, sources."""
    counted = candle_frame([0, 1]).with_columns(trades=pl.Series([5, None], dtype=pl.Int32))
    first = _of({SYMBOLS[1]: candle_frame([0]), SYMBOLS[0]: counted})
    assert upsert_minutes(connection, VENUE, first, "first") == UpsertCount(3, 0, 0)
    second = _of(
        {SYMBOLS[0]: candle_frame([0, 1, 2]), SYMBOLS[1]: candle_frame([0], price=9.0), SYMBOLS[2]: candle_frame([0])}
    )
    assert upsert_minutes(connection, VENUE, second, "second") == UpsertCount(new=2, identical=2, revised=1)
    assert upsert_minutes(connection, VENUE, second, "third") == UpsertCount(0, 5, 0)
    assert upsert_minutes(connection, VENUE, second.clear(), "fourth") == UpsertCount(0, 0, 0)
    stored = read_candles(connection, VENUE, SYMBOLS[0], Timeframe.M1, *RANGE)
    assert stored["trades"].to_list() == [5, None, None]
    assert validate("candles", stored).drop("trades").equals(candle_frame([0, 1, 2]).drop("trades"))
    assert read_candles(connection, VENUE, SYMBOLS[1], Timeframe.M1, *RANGE)["close"].to_list() == [9.0]
    revisions = connection.execute(
        "SELECT symbol, close, source, superseded_by FROM market.candle_revisions"
    ).fetchall()
    assert revisions == [(SYMBOLS[1], 100.0, "first", "second")]
    assert upsert_candles(connection, VENUE, SYMBOLS[2], Timeframe.M1, candle_frame([0]), "one") == UpsertCount(0, 1, 0)


def _drawn(seed: int, minutes: list[int]) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    count = len(minutes)
    close = np.round(100 * np.exp(np.cumsum(draw.normal(0, 1e-2, count))), 2)
    volume = np.where(
        draw.uniform(size=count) < 0.8, np.round(draw.lognormal(0, 3, count), 8), draw.uniform(0, 9, count)
    )
    return candle_frame(minutes).with_columns(open=close, high=close + 1, low=close - 1, close=close, volume=volume)


# Minutes near the borders of hours and days, where buckets begin and end.
_MINUTES = st.sampled_from([-1441, -1440, -1, 0, 1, 4, 5, 14, 15, 59, 60, 239, 240, 1439, 1440, 1441])
_DELIVERIES = st.lists(
    st.tuples(st.sampled_from(["deliver", "deliver", "hold", "settle"]), _MINUTES, st.integers(0, 3)), max_size=12
)


@pytest.mark.no_cover
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_DELIVERIES, st.integers(0, 2**32))
def test_renewed_rollups_are_those_that_roll_up_makes(
    connection: psycopg.Connection, steps: list[tuple[str, int, int]], seed: int
) -> None:
    """M4, replay: live roll-ups, minute by minute, late, corrected or held, are the bits of a roll-up of the whole."""
    with connection.transaction(force_rollback=True):
        for number, (what, minute, lacking) in enumerate(steps):
            present = [symbol for place, symbol in enumerate(SYMBOLS) if place != lacking]
            if what == "deliver":
                frames = {symbol: _drawn(seed + 10 * number + len(symbol), [minute, minute + 1]) for symbol in present}
                upsert_minutes(connection, VENUE, _of(frames), "test")
                renew_rollups(connection, VENUE, SYMBOLS, _minute(minute + 1))
            elif what == "hold":
                for symbol in present:
                    _hold(connection, symbol, _minute(minute))
            else:
                connection.execute(
                    "UPDATE market.data_findings SET settled_at = at, settlement = 'confirmed' WHERE at = %s",
                    (_minute(minute),),
                )
            renew_rollups(connection, VENUE, SYMBOLS, _minute(minute))
        for symbol in SYMBOLS:
            usable = _usable(connection, symbol)
            for timeframe in ROLLUP_TIMEFRAMES:
                stored = validate("rollups", read_rollups(connection, VENUE, symbol, timeframe, *RANGE))
                assert stored.equals(roll_up(usable, timeframe)), (symbol, timeframe)


def test_a_bucket_without_a_usable_minute_loses_its_row(connection: psycopg.Connection) -> None:
    """Issue 3: a candle made only of held minutes would be a price that no decision may see."""
    upsert_minutes(connection, VENUE, _of({SYMBOLS[0]: candle_frame([0, 5]), SYMBOLS[1]: candle_frame([0])}), "test")
    assert renew_rollups(connection, VENUE, SYMBOLS, _minute(0)) == 10
    assert renew_rollups(connection, VENUE, SYMBOLS, _minute(5)) == 1
    assert renew_rollups(connection, VENUE, SYMBOLS, _minute(5)) == 0
    _hold(connection, SYMBOLS[0], _minute(0))
    assert renew_rollups(connection, VENUE, SYMBOLS, _minute(0)) == 5  # 5m goes, the four longer ones lose a minute
    assert read_rollups(connection, VENUE, SYMBOLS[0], Timeframe.M5, *RANGE)["opened_at"].to_list() == [_minute(5)]
    assert read_rollups(connection, VENUE, SYMBOLS[0], Timeframe.D1, *RANGE)["minutes"].to_list() == [1]
    _hold(connection, SYMBOLS[1], _minute(0))
    assert renew_rollups(connection, VENUE, [SYMBOLS[1]], _minute(0)) == 5
    assert read_rollups(connection, VENUE, SYMBOLS[1], Timeframe.D1, *RANGE).is_empty()


def test_another_venue_is_left_alone(connection: psycopg.Connection) -> None:
    """Issue 3, fail-over: never a mixture of venues inside one candle."""
    upsert_minutes(connection, "binance", _of({SYMBOLS[0]: candle_frame([0, 1], price=7.0)}), "test")
    upsert_minutes(connection, VENUE, _of({SYMBOLS[0]: candle_frame([0])}), "test")
    renew_rollups(connection, "binance", SYMBOLS, _minute(0))
    renew_rollups(connection, VENUE, SYMBOLS, _minute(0))
    mine, theirs = (read_rollups(connection, venue, SYMBOLS[0], Timeframe.H1, *RANGE) for venue in (VENUE, "binance"))
    assert (mine["close"].to_list(), mine["minutes"].to_list()) == ([100.0], [1])
    assert (theirs["close"].to_list(), theirs["minutes"].to_list()) == ([7.0], [2])


def _live(order: list[str], price: float) -> Write:
    def write(connection: psycopg.Connection, number: int) -> None:
        frames = {symbol: candle_frame([number], price=price) for symbol in order}
        upsert_minutes(connection, VENUE, _of(frames), "live")
        renew_rollups(connection, VENUE, order, _minute(number))

    return write


def _daily(connection: psycopg.Connection, number: int) -> None:
    symbol = SYMBOLS[number % 3]
    upsert_candles(connection, VENUE, symbol, Timeframe.M1, candle_frame([number], price=300.0), "archive")
    minutes = read_candles(connection, VENUE, symbol, Timeframe.M1, *RANGE)
    for timeframe in reversed(ROLLUP_TIMEFRAMES):
        upsert_rollups(connection, VENUE, symbol, timeframe, roll_up(minutes, timeframe))


def test_writers_of_the_same_symbols_never_wait_in_a_circle(database: Database) -> None:
    """Issue 3: a back-fill, a stream and the daily roll-ups write at once; a deadlock would lose one's minute."""

    def repeat(write: Write) -> None:
        for number in range(25):
            with database.connection() as connection:
                write(connection, number)

    with ThreadPoolExecutor() as pool:
        writers = (_live(SYMBOLS, 100.0), _live(SYMBOLS[::-1], 200.0), _daily)
        for done in [pool.submit(repeat, write) for write in writers]:
            done.result()
    with database.connection() as connection:
        for symbol in SYMBOLS:
            minutes = read_candles(connection, VENUE, symbol, Timeframe.M1, *RANGE)
            assert minutes.height == 25
            stored = read_rollups(connection, VENUE, symbol, Timeframe.D1, *RANGE)
            assert stored.equals(roll_up(minutes, Timeframe.D1))


def test_symbols_in_any_order_are_locked_in_one(database: Database) -> None:
    """Issue 3: two renewals that name the symbols in other orders must not end in a deadlock."""

    def renew(symbols: list[str]) -> None:
        with database.connection() as connection:
            renew_rollups(connection, VENUE, symbols, START)

    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as pool, database.autocommit() as observer:
        with database.connection() as holder:
            lock_series(holder, VENUE, SYMBOLS[:1], Timeframe.M1)
            renewals: list[Future[None]] = []
            for symbols in (SYMBOLS[:2], SYMBOLS[1::-1]):
                renewals.append(pool.submit(renew, symbols))
                while not renewals[-1].done() and observer.execute(waits).fetchone() != (len(renewals),):
                    pass
        for done in renewals:
            done.result()
