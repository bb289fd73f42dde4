"""Roll-ups of candles, against values worked by hand and under cutting."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from candle_frames import START, candle_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.rollups import roll_up

pytestmark = pytest.mark.unit


def _random_candles(minutes: list[int]) -> pl.DataFrame:
    draw = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 1e-3, len(minutes))))
    return candle_frame(minutes).with_columns(
        open=close, high=close * 1.001, low=close * 0.999, close=close, volume=draw.uniform(0, 9, len(minutes))
    )


def test_a_bucket_worked_by_hand() -> None:
    """M4: the longer candle must have the first open, the extremes, the last close and the whole volume."""
    candles = candle_frame([0, 1, 4, 5]).with_columns(
        open=pl.Series([10.0, 11.0, 12.0, 20.0]),
        high=pl.Series([15.0, 12.0, 13.0, 21.0]),
        low=pl.Series([9.0, 10.0, 7.0, 19.0]),
        close=pl.Series([11.0, 12.0, 8.0, 20.0]),
        volume=pl.Series([0.1, 0.2, 0.3, 4.0]),
    )
    rolled = roll_up(candles, Timeframe.M5)
    assert rolled.rows() == [
        (START, 10.0, 15.0, 7.0, 8.0, 0.6, 3),
        (START + timedelta(minutes=5), 20.0, 21.0, 19.0, 20.0, 4.0, 1),
    ]


def test_only_buckets_with_candles_exist() -> None:
    """M4: a bucket made of nothing would be a price nobody traded at."""
    rolled = roll_up(candle_frame([0, 20]), Timeframe.M5)
    assert rolled["opened_at"].to_list() == [START, START + timedelta(minutes=20)]
    assert roll_up(candle_frame([]), Timeframe.H1).is_empty()


@pytest.mark.parametrize("timeframe", ROLLUP_TIMEFRAMES)
def test_buckets_start_on_the_grid_of_the_epoch(timeframe: Timeframe) -> None:
    """M1: four-hour candles open at 00, 04, 08 UTC whatever the first minute of the frame is."""
    rolled = validate("rollups", roll_up(_random_candles(list(range(137, 3000))), timeframe))
    assert {time.timestamp() % (timeframe.minutes * 60) for time in rolled["opened_at"]} == {0.0}
    assert rolled["minutes"].sum() == 3000 - 137


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 600), min_size=1), st.integers(0, 10))
def test_cutting_at_a_bucket_changes_no_bit(present: set[int], cut: int) -> None:
    """Replay: the same candles in other partitions must give the same bits, or hashes differ for no reason."""
    candles = _random_candles(sorted(present))
    border = START + timedelta(hours=cut)
    parts = [candles.filter(pl.col("opened_at") < border), candles.filter(pl.col("opened_at") >= border)]
    pieces = pl.concat([roll_up(part, Timeframe.H1) for part in parts])
    assert pieces.equals(roll_up(candles, Timeframe.H1))
    assert pieces.equals(roll_up(pl.concat([candles[:3], candles[3:]], rechunk=False), Timeframe.H1))
