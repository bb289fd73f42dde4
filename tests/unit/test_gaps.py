"""Gaps in a series of candles."""

from datetime import timedelta

import polars as pl
import pytest
from candle_frames import START, candle_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.gaps import find_gaps

pytestmark = pytest.mark.unit


def _minute(number: int):
    return START + timedelta(minutes=number)


def _times(minutes: list[int]) -> pl.Series:
    return candle_frame(minutes)["opened_at"]


def test_gaps_inside_a_series() -> None:
    """M4: a gap that nobody sees becomes a wrong indicator."""
    gaps = find_gaps(_times([0, 1, 4, 5, 7]), Timeframe.M1)
    assert gaps.rows() == [(_minute(2), _minute(3), 2), (_minute(6), _minute(6), 1)]
    assert find_gaps(_times([0, 5, 20]), Timeframe.M5).rows() == [(_minute(10), _minute(15), 2)]
    assert find_gaps(_times([3]), Timeframe.M1).is_empty()
    assert find_gaps(_times([]), Timeframe.M1).is_empty()


def test_a_window_makes_missing_ends_into_gaps() -> None:
    """M4: a venue that stopped answering leaves a hole at the end, where no later candle shows it."""
    window = (_minute(0), _minute(10))
    assert find_gaps(_times([2, 3]), Timeframe.M1, *window).rows() == [
        (_minute(0), _minute(1), 2),
        (_minute(4), _minute(9), 6),
    ]
    assert find_gaps(_times([]), Timeframe.M1, *window).rows() == [(_minute(0), _minute(9), 10)]
    assert find_gaps(_times(list(range(-5, 20))), Timeframe.M1, *window).is_empty()
    # The window's ends need not lie on the grid.
    assert find_gaps(_times([]), Timeframe.M5, _minute(1), _minute(11)).rows() == [(_minute(5), _minute(10), 2)]


@settings(deadline=None)  # the first example imports pandera
@given(st.sets(st.integers(0, 60), min_size=1))
def test_candles_and_gaps_together_fill_the_grid(present: set[int]) -> None:
    """M4: each grid point is either a candle or in exactly one gap."""
    minutes = sorted(present)
    gaps = validate("gaps", find_gaps(_times(minutes), Timeframe.M1))
    missing = [start + timedelta(minutes=step) for start, _, count in gaps.iter_rows() for step in range(count)]
    assert sorted([*_times(minutes).to_list(), *missing]) == [
        _minute(number) for number in range(minutes[0], minutes[-1] + 1)
    ]
