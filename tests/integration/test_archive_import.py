"""Archives into PostgreSQL: recorded files, twice, broken, and against independent files of the same venue."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.files.archives import read_archive
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.operations.archive_import import import_archive
from triplegain_pipelines.store.candles import coverage, read_candles, read_gaps
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

CLOCK = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_recorded_file_twice(database: Database, recorded_data: Path) -> None:
    """Issue 2: the summary must say what was there already, and a second import must change nothing."""
    path = recorded_data / "candles" / "btcusdt_1m_binance_2021-03_2021-04.parquet"
    first = import_archive(database, path, clock=CLOCK)
    assert first.document() == {
        "file": str(path),
        "format": "parquet",
        "venue": "binance",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "rows": 50_000,
        "first": "2021-03-26T03:00:00+00:00",
        "last": "2021-04-30T03:33:00+00:00",
        "gaps": 2,
        "missing": 434,
        "new": 50_000,
        "identical": 0,
        "revised": 0,
        "ignored_columns": [],
    }
    second = import_archive(database, path, clock=CLOCK)
    assert (second.new, second.identical, second.revised) == (0, 50_000, 0)
    series = ("binance", "BTC/USDT", Timeframe.M1)
    with database.connection() as connection:
        stored = read_candles(connection, *series, first.first, first.last + timedelta(minutes=1))
        gaps = read_gaps(connection, *series, first.first, first.last)
    assert stored.equals(read_archive(path).frame)
    # The outages that the data's table names.
    assert gaps.rows() == [
        (datetime(2021, 4, 20, 2, 0, tzinfo=UTC), datetime(2021, 4, 20, 4, 29, tzinfo=UTC), 150, "missing"),
        (datetime(2021, 4, 25, 4, 1, tzinfo=UTC), datetime(2021, 4, 25, 8, 44, tzinfo=UTC), 284, "missing"),
    ]


def test_a_second_file_repairs_the_gap_of_the_first(database: Database, tmp_path: Path) -> None:
    """M4: gaps are found and repaired, and what is stored decides, not what one file holds."""
    whole, holed = tmp_path / "whole.parquet", tmp_path / "holed.parquet"
    candle_frame(list(range(10))).write_parquet(whole)
    candle_frame([0, 1, 5, 9]).write_parquet(holed)
    given = {"clock": CLOCK, "symbol": "BTC/USDT", "venue": "kraken"}
    assert import_archive(database, holed, **given).missing == 6
    repaired = import_archive(database, whole, **given)
    assert (repaired.new, repaired.identical, repaired.gaps) == (6, 4, 0)
    assert import_archive(database, holed, **given).missing == 6  # of the file, though nothing is missing in the store
    with database.connection() as connection:
        gaps = read_gaps(connection, "kraken", "BTC/USDT", Timeframe.M1, START, START + timedelta(days=1))
    assert gaps["kind"].to_list() == ["repaired", "repaired"]


def test_a_broken_file_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    """Issue 2: half a file would look like a gap of the venue's."""
    path = tmp_path / "btcusdt_1m_kraken.csv"
    lines = [f"{int(START.timestamp()) + 60 * number},1,1,1,1,1" for number in range(1000)]
    path.write_text("\n".join(["time,open,high,low,close,volume", *lines, "oops"]))
    with pytest.raises(InputError, match="line 1002: time is 'oops'"):
        import_archive(database, path, clock=CLOCK)
    with database.connection() as connection:
        assert coverage(connection) == []


def test_an_open_candle_is_refused(database: Database, tmp_path: Path) -> None:
    """M4: a file fetched this minute ends with a candle that will still change."""
    path = tmp_path / "btcusdt_1m_kraken.parquet"
    candle_frame([0, 1, 2]).write_parquet(path)
    with pytest.raises(InputError, match=r"opened at 2024-08-05T00:02:00.* has not closed"):
        import_archive(database, path, clock=ReplayClock(START + timedelta(minutes=2, seconds=59)))
    with database.connection() as connection:
        assert coverage(connection) == []
    assert import_archive(database, path, clock=ReplayClock(START + timedelta(minutes=3))).rows == 3


@pytest.mark.parametrize(
    ("minutes", "independent", "timeframe", "least"),
    [
        ("btcusdt_1m_binance_2024-07_2024-08", "btcusdt_1h_binance_2018-01_2025-06", Timeframe.H1, 718),
        ("btcusdt_1m_binance_2024-07_2024-08", "btcusdt_5m_binance_2024-01_2025-06", Timeframe.M5, 8_640),
        ("btcusdt_1m_binance_2024-12", "btcusdt_15m_binance_2024", Timeframe.M15, 2_780),
        ("ethusdt_1m_binance_2024-07_2024-08", "ethusdt_1h_binance_2018-01_2025-06", Timeframe.H1, 718),
        ("btcusdt_1m_binance_2021-03_2021-04", "btcusdt_1h_binance_2018-01_2025-06", Timeframe.H1, 825),
    ],
)
def test_rollups_equal_the_venues_own_longer_candles(
    recorded_data: Path, minutes: str, independent: str, timeframe: Timeframe, least: int
) -> None:
    """Issue 2: roll-ups against independent files of the same venue; prices to the bit, volumes to 1e-9."""
    folder = recorded_data / "candles"
    rolled = roll_up(read_archive(folder / f"{minutes}.parquet").frame, timeframe)
    theirs = read_archive(folder / f"{independent}.parquet").frame
    # The first and the last bucket of the file may be cut.
    both = rolled[1:-1].join(theirs, on="opened_at", suffix="_theirs")
    assert both.height >= least
    for column in ("open", "high", "low", "close"):
        different = both.filter(pl.col(column) != pl.col(f"{column}_theirs"))
        assert different.is_empty(), different
    off = both.filter((pl.col("volume") / pl.col("volume_theirs") - 1).abs() > 1e-9)
    assert off.is_empty(), off


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_full_hours_equal_the_venues_own_to_the_bit(recorded_data: Path, symbol: str) -> None:
    """Issue 3, hold point 1: prices and volumes of every full hour are those of the venue's own hourly file."""
    folder = recorded_data / "candles"
    theirs = read_archive(folder / f"{symbol}_1h_binance_2018-01_2025-06.parquet").frame
    hours = 0
    for path in sorted(folder.glob(f"{symbol}_1m_binance_*.parquet")):
        rolled = roll_up(read_archive(path).frame, Timeframe.H1).filter(pl.col("minutes") == 60)
        both = rolled.join(theirs, on="opened_at", suffix="_theirs")
        assert both.height == rolled.height
        hours += both.height
        for column in ("open", "high", "low", "close", "volume"):
            different = both.filter(pl.col(column) != pl.col(f"{column}_theirs"))
            assert different.is_empty(), (path.name, different)
    assert hours > 700


def test_what_lies_stored_between_the_rows_of_a_file_is_no_gap(database: Database, tmp_path: Path) -> None:
    """M4: every candle of the file is new, and still its holes are not the store's."""
    odd, even = tmp_path / "odd.parquet", tmp_path / "even.parquet"
    candle_frame([1, 2, 4]).write_parquet(odd)
    candle_frame([0, 3, 5, 6]).write_parquet(even)
    given = {"clock": CLOCK, "symbol": "BTC/USDT", "venue": "kraken"}
    import_archive(database, odd, **given)
    summary = import_archive(database, even, **given)
    assert (summary.new, summary.missing) == (4, 3)
    with database.connection() as connection:
        gaps = read_gaps(connection, "kraken", "BTC/USDT", Timeframe.M1, START, START + timedelta(days=1))
    assert set(gaps["kind"]) == {"repaired"}
