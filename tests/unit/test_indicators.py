"""The set of indicators: against TA-Lib, against values worked by hand, and on markets that stand still."""

import inspect

import numpy as np
import polars as pl
import pytest
import talib
from evidence_frames import random_frame

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.indicators import momentum, states, trend, volatility, volume
from triplegain_pipelines.indicators.bars import Bars
from triplegain_pipelines.indicators.registry import (
    INDICATORS,
    INDICATORS_VERSION,
    OUTPUTS,
    WINDOW,
    calculate,
    read_indicators,
)

pytestmark = pytest.mark.unit


def bars(closes: list[float], *, spread: float = 0.0, volumes: list[float] | None = None) -> Bars:
    close = np.array(closes, dtype=float)
    return Bars(close + spread, close - spread, close, np.array(volumes or [1.0] * len(closes), dtype=float))


def test_the_set_is_the_one_that_is_asked_for() -> None:
    """I1: an indicator that is missing, or named twice, would be None for everybody who reads it."""
    assert len(set(OUTPUTS)) == len(OUTPUTS)
    asked_for = (
        "ema_12 ema_26 sma_20 sma_50 rsi_14 macd_line macd_signal macd_histogram bollinger_upper bollinger_middle "
        "bollinger_lower atr_14 adx_14 stochastic_k stochastic_d obv vwap_20 donchian_upper donchian_lower "
        "keltner_upper keltner_middle keltner_lower cci_20 williams_r_14 supertrend_line supertrend_direction "
        "choppiness_14 atr_rank_100 ema_26_slope volatile_state trending_state choppy_state slope_state"
    )
    assert set(OUTPUTS) == set(asked_for.split())


def test_values_are_talibs() -> None:
    """I1: a parameter in the wrong place would give another indicator under the same name."""
    frame = random_frame(WINDOW)
    high, low, close, traded = (frame[name].to_numpy() for name in ("high", "low", "close", "volume"))
    line, signal, histogram = talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9)
    upper, middle, lower = talib.BBANDS(close, timeperiod=20, nbdevup=2, nbdevdn=2)
    k, d = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)
    expected = {
        "ema_12": talib.EMA(close, timeperiod=12),
        "ema_26": talib.EMA(close, timeperiod=26),
        "sma_20": talib.SMA(close, timeperiod=20),
        "sma_50": talib.SMA(close, timeperiod=50),
        "rsi_14": talib.RSI(close, timeperiod=14),
        "atr_14": talib.ATR(high, low, close, timeperiod=14),
        "adx_14": talib.ADX(high, low, close, timeperiod=14),
        "cci_20": talib.CCI(high, low, close, timeperiod=20),
        "williams_r_14": talib.WILLR(high, low, close, timeperiod=14),
        "obv": talib.OBV(close, traded),
        "donchian_upper": talib.MAX(high, timeperiod=20),
        "donchian_lower": talib.MIN(low, timeperiod=20),
        "macd_line": line,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "stochastic_k": k,
        "stochastic_d": d,
    }
    ours = calculate(frame)
    for name, values in expected.items():
        mine = ours[name].to_numpy()
        warm = ~np.isnan(mine)
        assert warm.any(), name
        np.testing.assert_array_equal(mine[warm], values[warm], err_msg=name)


def test_rsi_of_a_published_example() -> None:
    """I1: RSI must be Wilder's. Source: StockCharts ChartSchool, Relative Strength Index, spreadsheet cs-rsi."""
    closes = (
        "44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931 46.0328 45.6140 "
        "46.2820 46.2820 46.0028 46.0328 46.4116 46.2222 45.6439"
    )
    (values,) = momentum.rsi(bars([float(close) for close in closes.split()]), period=14)
    assert [round(float(value), 2) for value in values[14:]] == [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]


def test_stochastic_without_smoothing() -> None:
    """I1: with averages of one bar TA-Lib refused the check for standing still, and a sweep died of it.

    By hand: 100 x (2 - 1) / (4 - 1), then at the lowest price, then nothing, as three bars have one price.
    """
    highs, lows, closes = np.array([2.0, 4, 3, 2, 2, 2]), np.array([1.0, 2, 2, 2, 2, 2]), np.array([1.0, 3, 2, 2, 2, 2])
    k, d = momentum.stochastic(Bars(highs, lows, closes, np.ones(6)), period=3, slowing=1, smoothing=1)
    np.testing.assert_allclose(k, [np.nan, np.nan, 100 / 3, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(d, k)


def test_vwap_worked_by_hand() -> None:
    """I1: (10 x 1 + 20 x 3) / 4 = 17.5 and (20 x 3 + 30 x 0) / 3 = 20; nothing traded is no price, and not 0."""
    (values,) = volume.vwap(bars([10, 20, 30, 40], volumes=[1, 3, 0, 0]), period=2)
    np.testing.assert_array_equal(values, [np.nan, 17.5, 20.0, np.nan])


def test_a_spike_of_volume_leaves_nothing_behind() -> None:
    """I1: with a running sum the remains of a large volume would pass for turnover where nothing is traded."""
    (values,) = volume.vwap(bars([10.1] * 8, volumes=[0.1, 1e16, 0.3, 0, 0, 0, 0, 0]), period=3)
    assert np.isnan(values[5:]).all()


def test_choppiness_worked_by_hand() -> None:
    """I1: straight up 1 a bar without spread travels 3 over a range of 2 (bars 1 to 3): 100 x log10(1.5) / log10(3).

    Back and forth between 1 and 2 it travels 3 over a range of 1: 100, the most without gaps. Source of the formula:
    E. W. Dreiss, as in TradingView's 'Choppiness Index'.
    """
    (straight,) = volatility.choppiness(bars([1, 2, 3, 4]), period=3)
    (nowhere,) = volatility.choppiness(bars([1, 2, 1, 2]), period=3)
    assert straight[3] == pytest.approx(36.9070, abs=1e-4)
    assert nowhere[3] == pytest.approx(100.0)
    assert np.isnan(straight[:3]).all()


def test_keltner_worked_by_hand() -> None:
    """I1: closes of 50 with true ranges of 4 have the EMA 50 and the ATR 4, so the bands are at 50 +- 2 x 4."""
    upper, middle, lower = volatility.keltner(bars([50.0] * 9, spread=2.0), period=3, atr_period=2, multiple=2.0)
    assert (upper[-1], middle[-1], lower[-1]) == (58.0, 50.0, 42.0)


def test_supertrend_worked_by_hand() -> None:
    """I1: bands must ratchet, and the line must change sides at the close beyond it, not before and not after.

    True ranges: spread 1 either side, so 2 where the close stays, more where it jumps. Period 2, multiple 1:
    bar  close  TR   ATR            upper  lower  direction
    2    10     2    2              12     8      falling (start)
    3    10     2    2              12     8      falling: 10 is not over 12
    4    14     5    (2 + 5)/2=3.5  12     10.5   rising: 14 > 12 (17.5 is higher, and the close before was not over 12)
    5    15     2    2.75           17.75  12.25  rising: the upper band is free again, the close before was over 12
    6    13     3    2.875          15.875 12.25  rising: 10.125 would be lower; 13 is not under 12.25
    7    12     2    2.4375         14.4375 12.25 falling: 12 < 12.25
    Source of the rules: TradingView's built-in `ta.supertrend`.
    """
    line, direction = trend.supertrend(bars([10, 10, 10, 10, 14, 15, 13, 12], spread=1.0), period=2, multiple=1.0)
    np.testing.assert_array_equal(line[2:], [12, 12, 10.5, 12.25, 12.25, 14.4375])
    np.testing.assert_array_equal(direction[2:], [-1, -1, 1, 1, 1, -1])
    assert np.isnan(line[:2]).all()


def test_slope_worked_by_hand() -> None:
    """I1: closes that rise 1 a bar with true ranges of 4 have an EMA that rises 1 a bar: a quarter of an ATR."""
    (slope,) = trend.ema_slope(bars([float(n) for n in range(40)], spread=2.0), period=5, span=4, atr_period=3)
    assert slope[-1] == pytest.approx(1 / 4 * 4 / 4)
    assert np.isnan(slope[:8]).all()


def test_atr_rank_worked_by_hand() -> None:
    """I1: the widest bars of the span rank 1, the narrowest 1 / span."""
    spreads = np.concatenate([np.full(30, 1.0), [2.0, 1.5, 0.1]])
    close = np.full(33, 100.0)
    falling_back = Bars(close + spreads, close - spreads, close, np.ones(33))
    (rank,) = volatility.atr_rank(falling_back, period=1, span=4)
    assert rank[30:].tolist() == [1.0, 0.75, 0.25]


def test_a_state_is_entered_and_left_at_its_own_threshold() -> None:
    """A2: one threshold for both ways turns the state round with every bar that ends near it."""
    still = np.nan
    values = np.array([9.0, 7.0, 8.0, 5.5, 4.9, 7.9, still, 7.0, 8.0, still, 5.0])
    found = states._remembered(values, 2, enter=8.0, leave=5.0)
    # The 9 is from before the memory begins; 7 lies between and is over the middle; a bar without a value has no state.
    assert np.array_equal(found, [still, 1, 1, 1, 0, 0, still, 0, 1, still, 1], equal_nan=True)
    assert states._remembered(values[:0], 2, enter=8.0, leave=5.0).tolist() == []


def test_states_are_the_memory_of_their_measures() -> None:
    """A2: a state that is read off another measure, or over other thresholds, than the docs say, sets other limits."""
    values = calculate(random_frame(4 * WINDOW, seed=11))
    edges = {
        "volatile_state": ("atr_rank_100", 0.95, 0.80),
        "trending_state": ("adx_14", 25, 23),
        "choppy_state": ("choppiness_14", 61.8, 50),
        "slope_state": ("ema_26_slope", 0.02, -0.02),
    }
    for name, (measure, enter, leave) in edges.items():
        on = values[name] > 0
        assert on.any()
        assert not on.all()
        assert on.filter(values[measure] >= enter).all(), name
        assert not on.filter(values[measure] < leave).any(), name
        turned = (on != on.shift()).fill_null(value=False)
        between = (values[measure] < enter) & (values[measure] >= leave)
        assert not (turned & between).any(), name


def test_nothing_is_said_before_the_warm_up() -> None:
    """I1, trap 28: an RSI of 50 bars is 0.4 points off, and nobody would see it."""
    values = calculate(random_frame(WINDOW))
    for indicator in INDICATORS:
        for output in indicator.outputs:
            first = values[output].is_not_null().arg_max()
            assert first == indicator.warm_up - 1, output


def test_the_warm_up_is_long_enough() -> None:
    """I1, trap 28: with exactly the warm-up, a value must be what a history ten times as long gives."""
    frame = random_frame(4000, seed=3)
    whole = calculate(frame)
    scale = {"rsi_14": 100.0, "adx_14": 100.0, "supertrend_direction": 1.0, "ema_26_slope": 1.0, "atr_rank_100": 1.0}
    for indicator in INDICATORS:
        short = calculate(frame.tail(indicator.warm_up))
        for output in indicator.outputs:
            # One has no level of its own, the other moves in steps, and a state remembers what the short frame has not.
            if output not in {"obv", "atr_rank_100"} and not output.endswith("_state"):
                full = whole[output][-1]
                assert short[output][-1] == pytest.approx(full, abs=5e-4 * scale.get(output, 1.0)), output


def test_the_longest_warm_up_fits_into_the_window() -> None:
    """I1: an indicator that needs more bars than the window has would never say anything."""
    assert max(indicator.warm_up for indicator in INDICATORS) <= WINDOW
    assert None not in read_indicators(random_frame(WINDOW)).values()


def test_reading_is_the_last_row() -> None:
    """I1: what is stored and what is drawn must be the same numbers."""
    frame = random_frame(WINDOW)
    assert read_indicators(frame) == calculate(frame).row(-1, named=True)


def test_a_market_that_stands_still() -> None:
    """I1: TA-Lib's 0 on a flat stretch reads as 'deeply oversold', and a quotient of rounding errors as anything."""
    still = random_frame(WINDOW).with_columns(pl.lit(0.1).alias(name) for name in ("open", "high", "low", "close"))
    readings = read_indicators(still)
    moving = {"ema_12", "ema_26", "sma_20", "sma_50", "vwap_20", "donchian_upper", "donchian_lower"}
    zero = {"macd_line", "macd_signal", "macd_histogram", "cci_20"}
    for name, value in readings.items():
        if name in moving:
            assert value == pytest.approx(0.1), name
        elif name in zero:
            assert value == pytest.approx(0.0, abs=1e-12), name
        elif name != "obv":
            assert value is None, name


@pytest.mark.parametrize("name", ["atr_14", "adx_14", "supertrend_line", "keltner_middle"])
def test_a_market_that_stands_still_after_its_first_bar(name: str) -> None:
    """I1: the first bar of a frame has no true range, so its spread is no movement: an ATR of 0 came of that."""
    (warm_up,) = (one.warm_up for one in INDICATORS if name in one.outputs)
    first = np.arange(warm_up) == 0
    frame = random_frame(warm_up).with_columns(
        close=pl.lit(100.0), high=pl.Series(np.where(first, 101.0, 100.0)), low=pl.Series(np.where(first, 99.0, 100.0))
    )
    assert read_indicators(frame)[name] is None


def test_no_volume_is_no_vwap() -> None:
    """I1: a minute market without trades must not have a VWAP of 0 or NaN."""
    readings = read_indicators(random_frame(WINDOW).with_columns(volume=pl.lit(0.0)))
    assert readings["vwap_20"] is None
    assert readings["rsi_14"] is not None


@pytest.mark.parametrize("broken", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("column", ["high", "low", "close", "volume"])
def test_a_hole_is_refused(broken: float | None, column: str) -> None:
    """I1, trap 29: one NaN turns every later EMA of the series into NaN."""
    frame = random_frame(60)
    values = frame[column].to_list()
    values[17] = broken
    with pytest.raises(DataError, match=f"{column} of bar 17"):
        read_indicators(frame.with_columns(pl.Series(column, values)))


def test_a_missing_column_is_refused() -> None:
    """I1: the message must say which column."""
    with pytest.raises(DataError, match="volume"):
        read_indicators(random_frame(60).drop("volume"))


def test_more_than_the_window_is_refused() -> None:
    """I1: a reading of a longer history differs in the last bits from the replay's, and so does the decision's hash."""
    with pytest.raises(DataError, match="window"):
        read_indicators(random_frame(WINDOW + 1))


def test_no_bars_are_no_values() -> None:
    """I1: a symbol without candles has no readings; it is not an error."""
    assert set(read_indicators(random_frame(0)).values()) == {None}
    assert set(read_indicators(random_frame(1)).values()) == {None}


def test_a_changed_formula_needs_a_new_version() -> None:
    """D1: stored readings are found by their version; if values change under the same version, a replay differs."""
    readings = {name: f"{value:.6g}" for name, value in read_indicators(random_frame(WINDOW)).items()}
    assert (INDICATORS_VERSION, content_hash(readings)[:12]) == ("indicators-ba5309d7bf6f", "da71b025a88f")


def test_functions_say_what_they_are() -> None:
    """I1: every function documents its formula; the tests of own formulas name their source."""
    assert all(inspect.getdoc(indicator.function) for indicator in INDICATORS)
