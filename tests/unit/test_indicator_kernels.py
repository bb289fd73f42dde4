"""The compiled set: the same numbers as the registry's formulas, in a batch, in a stream, and after a restart."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from candle_frames import START
from evidence_frames import random_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from indicator_markets import markets

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators import batch, stream, windows
from triplegain_pipelines.indicators.bars import Array, Bars, bars_of
from triplegain_pipelines.indicators.batch import calculate_symbols, columns_of, new_state
from triplegain_pipelines.indicators.registry import OUTPUTS, calculate
from triplegain_pipelines.indicators.stream import ClosedBar, IndicatorStream
from triplegain_pipelines.market.series import CandleSeries

pytestmark = pytest.mark.unit

MINUTE = 60_000_000


def part(bars: Bars, start: int, stop: int) -> Bars:
    return Bars(*(getattr(bars, name)[start:stop] for name in ("high", "low", "close", "volume")))


def closed_bars(series: CandleSeries) -> list[ClosedBar]:
    rows = zip(series.opened_at, series.high, series.low, series.close, series.volume, strict=True)
    return [ClosedBar(series.symbol, series.timeframe, *row) for row in rows]


def assert_same(mine: Array, theirs: Array) -> None:
    """Bit for bit, and None where None is."""
    for name, one, other in zip(OUTPUTS, mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def formulas(frame: pl.DataFrame) -> Array:
    return calculate(frame).fill_null(float("nan")).to_numpy().T


@settings(deadline=None, max_examples=60)
@given(markets(longest=1500))
def test_the_kernel_gives_the_formulas_values(frame: pl.DataFrame) -> None:
    """I1: research on other numbers than decisions are made of. Bit for bit, as is TA-Lib beneath the formulas."""
    assert_same(columns_of(bars_of(frame)), formulas(frame))


def test_a_movement_that_is_almost_nothing() -> None:
    """I1: after a dead stretch directional movements of 1e-15 are left; below 1e-14 TA-Lib's ADX keeps its value.

    The market was found by a search: at bar 735 a kernel that goes on to 0 answers another last bit.
    """
    draw = np.random.default_rng(1_000_474)
    moves = [(int(draw.integers(1, 300)), int(draw.choice([0, 1, 1, 1, 30]))) for _ in range(draw.integers(2, 9))]
    steps = np.concatenate([draw.integers(-move, move + 1, length) for length, move in moves])
    spreads = np.concatenate([draw.integers(0, move + 1, (2, length)) for length, move in moves], axis=1)
    close = 1000.0 + np.abs(np.cumsum(steps))
    opened = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opened, close) + spreads[0], np.maximum(np.minimum(opened, close) - spreads[1], 1)
    frame = pl.DataFrame({"high": high, "low": low, "close": close, "volume": np.ones(len(close))})
    assert_same(columns_of(bars_of(frame)), formulas(frame))


def test_the_kernel_gives_the_formulas_values_over_many_blocks() -> None:
    """I1: sums that go from block to block, TA-Lib's fresh count of squares after 640 bars, and its ring of prices.

    Blocks that begin in the middle of a ring hold parts of more rounds than others.
    """
    frame = random_frame(6000, seed=5)
    bars, state = bars_of(frame), new_state()
    columns = np.concatenate([columns_of(part(bars, *ends), state=state) for ends in ((0, 7), (7, 6000))], axis=1)
    assert_same(columns_of(bars), formulas(frame))
    assert_same(columns, formulas(frame))


def test_values_are_the_formulas_on_recorded_candles(recorded_data: Path) -> None:
    """I1: real prices have ticks, gaps and hours without a trade, which a random walk has not."""
    paths = sorted((recorded_data / "candles").rglob("*.parquet"))
    if not paths:
        pytest.skip("no recorded candles in parquet")
    frame = pl.read_parquet(paths[0]).head(20_000)
    assert_same(columns_of(bars_of(frame)), formulas(frame))


@settings(deadline=None, max_examples=40)
@given(markets(longest=900), st.data())
def test_however_the_bars_come_the_bits_are_the_same(frame: pl.DataFrame, data: st.DataObject) -> None:
    """I1: a live reading that differs from the backtest's in its last bit crosses a threshold that it did not cross."""
    bars = bars_of(frame)
    cuts = sorted({0, len(bars), *data.draw(st.lists(st.integers(0, len(bars)), max_size=6))})
    state = new_state()
    pieces = [columns_of(part(bars, *between), state=state) for between in pairwise(cuts)]
    assert_same(np.concatenate([np.empty((len(OUTPUTS), 0)), *pieces], axis=1), columns_of(bars))


def test_a_stream_gives_the_batch_bar_by_bar() -> None:
    """I1: two series of one symbol, side by side, from their first bar on: nothing of one may get into the other."""
    frames = {Timeframe.M1: random_frame(450, seed=1), Timeframe.H1: random_frame(450, seed=2)}
    serieses = {frame: CandleSeries.of("BTC/USDT", frame, candles) for frame, candles in frames.items()}
    live = IndicatorStream(("BTC/USDT", timeframe) for timeframe in frames)
    rows = [live.take(minute) for minute in zip(*map(closed_bars, serieses.values()), strict=True)]
    for place, candles in enumerate(frames.values()):
        assert_same(np.array([row[place] for row in rows]).T, columns_of(bars_of(candles)))


def test_a_stream_goes_on_after_a_history_and_after_a_restart() -> None:
    """I1, R2: a process that starts again must not begin its averages anew, nor need the years before."""
    series = CandleSeries.of("BTC/USDT", Timeframe.M1, random_frame(1300))
    whole = columns_of(Bars(series.high, series.low, series.close, series.volume))
    bars = closed_bars(series)
    first = IndicatorStream.after([series.part(0, 1200)])
    before = first.take(bars[1200:1250])
    again = IndicatorStream.load(first.dump())
    assert again.keys == first.keys
    after = np.concatenate([again.take([bar]) for bar in bars[1250:]])
    assert_same(np.concatenate([before, after]).T, whole[:, 1200:])


def test_a_stored_stream_of_other_indicators_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """I1: the state of another formula is numbers like any, and would go on as this one's."""
    live = IndicatorStream([("BTC/USDT", Timeframe.M1)])
    stored = live.dump()
    monkeypatch.setattr(stream, "INDICATORS_VERSION", "indicators-of-tomorrow")
    with pytest.raises(DataError, match="indicators-of-tomorrow"):
        IndicatorStream.load(stored)
    with pytest.raises(DataError, match="no stored stream"):
        IndicatorStream.load(stored[:100])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", ["high", "low", "close", "volume"])
def test_a_broken_bar_is_refused_and_changes_nothing(broken: float, column: str) -> None:
    """I1, trap 29: one NaN would turn every later average of the series into NaN, and its neighbours were taken."""
    series = CandleSeries.of("BTC/USDT", Timeframe.M1, random_frame(30))
    live = IndicatorStream.after([series.part(0, 20)])
    before = live.dump()
    bars = closed_bars(series)[20:]
    bars[5] = bars[5]._replace(**{column: broken})
    with pytest.raises(DataError, match="BTC/USDT 1m"):
        live.take(bars)
    assert live.dump() == before


def test_a_broken_bar_in_a_batch_is_refused() -> None:
    """I1, trap 29: the message must say which bar; the state that was given must not have moved."""
    bars = bars_of(random_frame(100))
    bars = replace(bars, low=np.where(np.arange(100) == 60, np.nan, bars.low))
    state = new_state()
    with pytest.raises(DataError, match="low of bar 60"):
        columns_of(bars, state=state)
    assert not state.any()


def test_a_bar_that_came_before_is_refused() -> None:
    """I1: the same bar twice counts twice in every average; a bar of a stranger has no state to go to."""
    series = CandleSeries.of("BTC/USDT", Timeframe.M1, random_frame(3))
    bars = closed_bars(series)
    live = IndicatorStream.after([series])
    for wrong in (bars[-1], bars[0]):
        with pytest.raises(DataError, match="opens no later"):
            live.take([wrong])
    following = bars[-1]._replace(opened_at=bars[-1].opened_at + MINUTE)
    with pytest.raises(DataError, match="opens no later"):
        live.take([following, following])
    with pytest.raises(DataError, match="no series ETH/USDT"):
        live.take([following._replace(symbol="ETH/USDT")])
    assert live.take([following]).shape == (1, len(OUTPUTS))


def test_many_symbols_at_once() -> None:
    """I1: threads must not mix symbols, nor a symbol begin with the memory of the one before it."""
    frames = {symbol: random_frame(300 + seed, seed=seed) for seed, symbol in enumerate(("B", "A", "C"), 1)}
    candles = pl.concat([frame.with_columns(symbol=pl.lit(symbol)) for symbol, frame in frames.items()])
    found = calculate_symbols(candles, threads=3)
    assert found["symbol"].unique(maintain_order=True).to_list() == ["B", "A", "C"]
    for symbol, frame in frames.items():
        one = found.filter(symbol=symbol)
        assert one["opened_at"].equals(frame["opened_at"])
        assert one.select(OUTPUTS).equals(calculate(frame), null_equal=True)
    mixed = candles.sort("opened_at", "symbol")  # as a store answers
    assert calculate_symbols(mixed).sort("symbol", "opened_at").equals(found.sort("symbol", "opened_at"))


def test_many_symbols_are_checked() -> None:
    """I1: unsorted candles give values that look right; the message must say whose they are."""
    candles = random_frame(40).with_columns(symbol=pl.lit("BTC/USDT"))
    with pytest.raises(DataError, match="BTC/USDT do not rise"):
        calculate_symbols(candles.reverse())
    with pytest.raises(DataError, match="no column symbol"):
        calculate_symbols(candles.drop("symbol"))
    hole = pl.when(pl.col("opened_at") == START + timedelta(minutes=7)).then(None).otherwise(pl.col("close"))
    with pytest.raises(DataError, match="BTC/USDT: close of bar 7"):
        calculate_symbols(candles.with_columns(close=hole))
    assert calculate_symbols(candles.head(0)).columns == ["symbol", "opened_at", *OUTPUTS]


@pytest.mark.parametrize("period", [1, 2, 14, 37])
def test_both_ways_through_a_window_are_the_same(monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    """I1: a series that grows past the border between both would change its numbers, and a backtest its trades."""
    draw = np.random.default_rng(period)
    values = draw.lognormal(0, 3, 2000) * (draw.random(2000) > 0.1)
    uppers, lowers = values + draw.uniform(0, 2, 2000), values - draw.uniform(0, 2, 2000)
    asked = (
        lambda: windows.window_sums(values, period),
        lambda: windows.logarithms(values),
        lambda: windows.shares_not_over(values, period),
        lambda: np.array(windows.ratchet(uppers, lowers, values)),
    )
    plain = [ask() for ask in asked]
    monkeypatch.setattr(windows, "LONG", 1)
    for mine, theirs in zip(plain, [ask() for ask in asked], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_window_worked_by_hand() -> None:
    """I1: 1 + 2, 2 + 4, 4 + 1; of the two values until each, how many are not over it."""
    values = np.array([1.0, 2.0, 4.0, 1.0])
    assert windows.window_sums(values, 2).tolist() == [3.0, 6.0, 5.0]
    assert windows.shares_not_over(values, 2).tolist() == [1.0, 1.0, 0.5]
    assert windows.window_sums(values, 5).tolist() == []


@pytest.mark.parametrize("period", [3, 14])
def test_a_quotient_without_a_division_has_the_bits_of_one(period: int) -> None:
    """I1: Wilder's averages and %K are divided by a product of two parts; one last bit off would stay in them."""
    from numba import njit

    from triplegain_pipelines.indicators import kernels

    @njit
    def divided(values: Array) -> Array:
        out = np.empty(len(values))
        for place in range(len(values)):
            out[place] = kernels._divided(values[place], period)
        return out

    draw = np.random.default_rng(period)
    values = draw.uniform(1, 2, 300_000) * 2.0 ** draw.integers(-900, 900, 300_000)
    near = np.nextafter(np.floor(draw.uniform(1, 1e15, 10_000)) * period, draw.choice([-1e300, 1e300], 10_000))
    for some in (values, near, np.zeros(1)):
        np.testing.assert_array_equal(divided(some), some / period)


def test_a_decision_needs_no_compiler() -> None:
    """Start-up of every live process: numba takes half a second and more to load."""
    program = (
        "import sys; from evidence_frames import random_frame;"
        "from triplegain_pipelines.indicators.registry import WINDOW, read_indicators;"
        "import triplegain_pipelines.indicators.batch, triplegain_pipelines.indicators.stream;"
        "read_indicators(random_frame(WINDOW)); print('numba' in sys.modules)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"


def test_a_workspace_begins_with_a_line_of_the_cache() -> None:
    """Speed: vectors that lie across two lines take twice as long."""
    assert batch.workspace().ctypes.data % 64 == 0
