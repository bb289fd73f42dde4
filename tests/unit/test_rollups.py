"""Roll-ups of candles, against values worked by hand and under cutting."""

from datetime import timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from candle_frames import START, candle_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.rollups import roll_up, roll_up_all, roll_up_series

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


# As venues publish them: whole meme coins, satoshis, and doubles that are themselves results of some arithmetic.
_VOLUMES = st.one_of(
    st.integers(0, 10**9).map(lambda count: count / 1e8),
    st.integers(0, 10**15).map(lambda count: count / 100),
    st.integers(0, 10**16).map(float),
    st.integers(0, 10**6).map(lambda count: count / 1e13),
    st.floats(0, 1e17),
    st.floats(0, 1e300, allow_subnormal=True),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_VOLUMES, min_size=1, max_size=40))
def test_the_volume_is_the_double_nearest_to_the_decimal_sum(volumes: list[float]) -> None:
    """M4, issue 3: the venue's own hour is the decimal sum of its minutes; ours must be the very same number."""
    candles = candle_frame(list(range(len(volumes)))).with_columns(volume=pl.Series(volumes))
    # Python divides and converts fractions with one correct rounding.
    exact = float(sum(Fraction(repr(volume)) for volume in volumes))
    assert roll_up(candles, Timeframe.H1)["volume"].to_list() == [exact]
    assert roll_up_all(candles)[Timeframe.D1]["volume"].to_list() == [exact]


@pytest.mark.no_cover
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cascading_and_chunking_change_no_bit(data: st.DataObject) -> None:
    """Replay: a day made of hours, of minutes, or of minutes in pieces is one day, to the bit."""
    present = sorted(data.draw(st.sets(st.integers(0, 3000), min_size=1, max_size=60)))
    volumes = data.draw(st.lists(_VOLUMES, min_size=len(present), max_size=len(present)))
    candles = _random_candles(present).with_columns(volume=pl.Series(volumes))
    cut = data.draw(st.integers(0, len(present)))
    pieces = pl.concat([candles[:cut], candles[cut:]], rechunk=False)
    everything = roll_up_all(pieces)
    assert list(everything) == list(ROLLUP_TIMEFRAMES)
    for timeframe, frame in everything.items():
        validate("rollups", frame)
        assert frame.equals(roll_up(candles, timeframe))


def test_decimals_that_no_double_holds_add_up() -> None:
    """M4: ten times 0.1 is 1 and 0.7 + 0.1 is 0.8, as the venue says, also beside a quantity that hides the rest."""
    for volumes, total in (([0.1] * 10, 1.0), ([0.7, 0.1], 0.8), ([1e15, 0.3, 0.3], 1e15 + 0.6)):
        candles = candle_frame(list(range(len(volumes)))).with_columns(volume=pl.Series(volumes))
        assert roll_up(candles, Timeframe.H1)["volume"].to_list() == [total]


def test_sums_beyond_53_bits_are_rounded_once() -> None:
    """M4: coins traded by the million add up to more units than a double counts; rounding twice would miss by a bit."""
    volumes = np.round(np.random.default_rng(11).uniform(0, 9.9e6, 1440), 8)
    candles = candle_frame(list(range(1440))).with_columns(volume=volumes)
    exact = [
        float(sum(Fraction(repr(float(one))) for one in volumes[hour * 60 : hour * 60 + 60])) for hour in range(24)
    ]
    assert roll_up(candles, Timeframe.H1)["volume"].to_list() == exact


def test_series_stay_apart() -> None:
    """M7: the last minute of one symbol and the first of the next lie in one bucket, but in no one's candle."""
    one, other = _random_candles(list(range(58, 65))), _random_candles(list(range(61, 70)))
    both = pl.concat([one.with_columns(series=pl.lit(1, pl.Int64)), other.with_columns(series=pl.lit(2, pl.Int64))])
    rolled = roll_up_series(both, Timeframe.H1)
    for number, candles in ((1, one), (2, other)):
        mine = rolled.filter(pl.col("series") == number).drop("series")
        assert mine.equals(roll_up(candles, Timeframe.H1))
    assert roll_up_series(both.clear(), Timeframe.H1).is_empty()
