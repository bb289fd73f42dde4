"""Charts, statistics of the data and candles of trades: every rendering of a query gives the same answer."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pytest
from candle_frames import candle_frame
from polars.testing import assert_frame_equal
from quality_rows import SERIES, START, Trade, drawn_candles, drawn_trades, store_all
from servers import fresh_database

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.trades import candles_of_trades
from triplegain_pipelines.store.candles import read_candles, upsert_candles
from triplegain_pipelines.store.chart import chart_candles, chart_line, chart_timeframe, largest_triangles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.extensions import PLAIN, Extensions, find_extensions
from triplegain_pipelines.store.statistics import Percentiles, QualityStatistics, quality_statistics
from triplegain_pipelines.store.trade_candles import trade_candles

pytestmark = pytest.mark.integration

SEED = 7
DAYS = (START, START + timedelta(days=3))
DOUBLE = Path(__file__).resolve().parents[1] / "support" / "toolkit_double.sql"
# What the sketch promises, and what is left of twelve digits.
SKETCH = 0.001
ROUNDING = 1e-12


@pytest.fixture(scope="module")
def plain(plain_postgres: EmbeddedPostgres) -> Iterator[Database]:
    """The drawn series on plain PostgreSQL, and beside it the toolkit's double."""
    with fresh_database(plain_postgres, "statistics/plain") as database:
        with database.connection() as connection:
            store_all(connection, SEED)
            connection.execute(DOUBLE.read_text().encode())
        yield database


@pytest.fixture(scope="module", params=["double", "timescale", "timescale refreshed"])
def other(request: pytest.FixtureRequest, plain: Database) -> Iterator[tuple[Database, Extensions]]:
    """The other rendering: by the double, or on a server with TimescaleDB, its aggregates empty or filled."""
    if request.param == "double":
        yield plain, Extensions(toolkit="double")
        return
    with fresh_database(request.getfixturevalue("timescale"), f"statistics/{request.param}") as database:
        with database.connection() as connection:
            store_all(connection, SEED)
            found = find_extensions(connection)
        assert found.aggregates
        if request.param == "timescale refreshed":
            with database.autocommit() as connection:
                for timeframe in ROLLUP_TIMEFRAMES:
                    connection.execute(f"CALL refresh_continuous_aggregate('market.chart_{timeframe}', NULL, NULL)")
        yield database, found


@pytest.mark.parametrize("points", [3, 20, 100, 500, 5000])
def test_charts_are_the_same_rows_everywhere(plain: Database, other: tuple[Database, Extensions], points: int) -> None:
    """M5: a chart that shows other candles on another server would be believed on both."""
    database, extensions = other
    window = (START + timedelta(minutes=13), START + timedelta(days=2, hours=5, minutes=7))
    for draw in (chart_candles, chart_line):
        with plain.connection() as connection:
            expected = draw(connection, *SERIES, *window, points, extensions=PLAIN)
        with database.connection() as connection:
            for chosen in (extensions, PLAIN):
                found = draw(connection, *SERIES, *window, points, extensions=chosen)
                assert_frame_equal(found, expected, check_exact=True)
        assert expected.height > 1


def test_statistics_are_the_same_everywhere(plain: Database, other: tuple[Database, Extensions]) -> None:
    """M5: the quality report must not change with the server; a sketch may be off by 0.1 %, no more."""
    database, extensions = other
    with plain.connection() as connection:
        expected = quality_statistics(connection, *SERIES, *DAYS, extensions=PLAIN)
    with database.connection() as connection:
        found = quality_statistics(connection, *SERIES, *DAYS, extensions=extensions)
        assert quality_statistics(connection, *SERIES, *DAYS, extensions=PLAIN) == expected
    assert (found.minutes, found.candles, found.usable) == (expected.minutes, expected.candles, expected.usable)
    assert found.average_spread == pytest.approx(expected.average_spread, rel=ROUNDING)
    for name in ("latency", "spread", "trade_size"):
        sketched, exact = getattr(found, name), getattr(expected, name)
        assert sketched.count == exact.count > 1000
        for rank in ("p50", "p95", "p99"):
            assert getattr(sketched, rank) == pytest.approx(getattr(exact, rank), rel=SKETCH), (name, rank)


def test_candles_of_trades_are_the_same_everywhere(plain: Database, other: tuple[Database, Extensions]) -> None:
    """M5: of trades in one moment the toolkit keeps the first it meets, we the first the venue numbered."""
    database, extensions = other
    with plain.connection() as connection:
        expected = trade_candles(connection, *SERIES, *DAYS, extensions=PLAIN)
    with database.connection() as connection:
        found = trade_candles(connection, *SERIES, *DAYS, extensions=extensions)
    assert_frame_equal(found, expected, check_exact=True)
    assert_frame_equal(expected, candles_of_trades(_frame(drawn_trades(SEED, 2000))), check_exact=True)
    validate("candles", expected)


def test_an_empty_window_is_empty_in_every_rendering(plain: Database, other: tuple[Database, Extensions]) -> None:
    """DESIGN rule 4: no rows is an answer, and no sketch of nothing may fail or become a number."""
    database, extensions = other
    window = (START - timedelta(days=9), START - timedelta(days=8))
    for chosen in (PLAIN, extensions):
        with database.connection() as connection:
            found = quality_statistics(connection, *SERIES, *window, extensions=chosen)
            assert found == QualityStatistics(1440, 0, 0, None, None, None, None)
            assert found.coverage == 0
            assert chart_candles(connection, *SERIES, *window, 10, extensions=chosen).height == 0
            assert chart_line(connection, *SERIES, *window, 10, extensions=chosen).height == 0
            assert trade_candles(connection, *SERIES, *window, extensions=chosen).height == 0


def test_a_chart_of_whole_hours_is_the_roll_up(connection: psycopg.Connection) -> None:
    """M5: what a person sees and what a decision reads must be the same candle, where none is held back."""
    upsert_candles(connection, *SERIES, Timeframe.M1, drawn_candles(SEED, 3), "test")
    stored = read_candles(connection, *SERIES, Timeframe.M1, *DAYS)
    chart = chart_candles(connection, *SERIES, *DAYS, 72)
    rolled = roll_up(stored, Timeframe.H1)
    assert_frame_equal(chart.drop("volume"), rolled.drop("volume"))
    # Decimals are added here and doubles there: the last bit may differ.
    assert_frame_equal(chart.select("volume"), rolled.select("volume"), rel_tol=1e-15, abs_tol=0)
    assert_frame_equal(chart_candles(connection, *SERIES, *DAYS, 3 * 1440).drop("minutes"), stored.drop("trades"))


def test_statistics_say_what_they_say(connection: psycopg.Connection) -> None:
    """M5: two renderings can agree and both be wrong: this is reckoned by hand."""
    upsert_candles(connection, *SERIES, Timeframe.M1, candle_frame([0, 1, 2, 4]), "stream")
    for minute, seconds in ((0, 1), (1, 3), (2, 2), (4, 86_400)):  # the last came from a back-fill
        connection.execute(
            """UPDATE market.candles SET recorded_at = opened_at + make_interval(mins => 1, secs => %s)
               WHERE opened_at = %s""",
            (seconds, _minute(minute)),
        )
    upsert_candles(connection, *SERIES, Timeframe.M1, candle_frame([1], price=50.0), "rest")  # revised years later
    for second, ask in ((0, 101.0), (10, 103.0), (40, 101.0)):
        connection.execute(
            "INSERT INTO market.top_of_book VALUES (%s, %s, %s, 99, 1, %s, 1, 'test')",
            (*SERIES, _minute(0) + timedelta(seconds=second), ask),
        )
    found = quality_statistics(connection, *SERIES, _minute(0), _minute(8), extensions=PLAIN)
    assert (found.minutes, found.candles, found.usable, found.coverage) == (8, 4, 4, 0.5)
    assert found.latency == Percentiles(3, 2.0, 3.0, 3.0)
    narrow, wide = 200.0, (103 - 99) / 101 * 10_000
    assert found.spread == Percentiles(3, narrow, wide, wide)
    assert found.average_spread == pytest.approx((narrow * 10 + wide * 30) / 40)
    assert found.trade_size is None


@pytest.mark.parametrize(
    ("length", "points", "timeframe"),
    [
        (timedelta(hours=5), 300, Timeframe.M1),
        (timedelta(hours=5, microseconds=1), 300, Timeframe.M5),
        (timedelta(days=365), 400, Timeframe.D1),
        (timedelta(days=3650), 400, Timeframe.D1),
        (timedelta(days=365), 9000, Timeframe.H1),
    ],
)
def test_a_chart_takes_the_shortest_timeframe_that_fits(length: timedelta, points: int, timeframe: Timeframe) -> None:
    """A chart of half a million points stands still, one of three says nothing."""
    assert chart_timeframe(START, START + length, points) is timeframe


def test_a_chart_of_nothing_is_refused(connection: psycopg.Connection) -> None:
    """A window turned round would read as 'no candles', and two points make no line."""
    with pytest.raises(InputError, match="at least 3"):
        chart_line(connection, *SERIES, *DAYS, 2)
    with pytest.raises(InputError, match="after its start"):
        chart_candles(connection, *SERIES, DAYS[1], DAYS[0], 10)


@pytest.mark.parametrize("seed", range(6))
def test_the_chosen_points_are_those_of_the_toolkit(
    plain: Database, other: tuple[Database, Extensions], seed: int
) -> None:
    """M5: the same line on every server, for lengths and steps as they come, flat stretches (equal triangles) too."""
    draw = np.random.default_rng(seed)
    count, points = int(draw.integers(3, 400)), int(draw.integers(3, 60))
    times = np.cumsum(draw.integers(1, 10**9, count)) + 1_700_000_000_000_000
    values = np.round(np.cumsum(draw.normal(0, 1, count)), int(draw.integers(0, 3)))
    chosen = largest_triangles(times.tolist(), values.tolist(), points)
    with other[0].connection() as connection:
        rows = connection.execute(
            """SELECT (extract(epoch FROM time) * 1000000)::bigint, value FROM unnest((
                   SELECT lttb(to_timestamp(0) + t * INTERVAL '1 microsecond', v, %s)
                   FROM unnest(%s::bigint[], %s::float8[]) AS u (t, v)
               )) ORDER BY 1""",
            (points, times.tolist(), values.tolist()),
        ).fetchall()
    assert rows == [(times[number], values[number]) for number in chosen], f"seed {seed}"
    assert len(chosen) == min(count, points)


def _frame(trades: list[Trade]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trade_id": [trade.number for trade in trades],
            "traded_at": [trade.at for trade in trades],
            "price": [trade.price for trade in trades],
            "quantity": [trade.quantity for trade in trades],
        },
        schema_overrides={"traded_at": pl.Datetime("us", "UTC")},
    )


def _minute(number: int) -> datetime:
    return candle_frame([number])["opened_at"][0]
