"""Laws of the indicators on markets that stand still, jump, gap and go without volume."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.indicators.registry import OUTPUTS, WINDOW, calculate

pytestmark = pytest.mark.unit


@st.composite
def markets(draw: st.DrawFn) -> pl.DataFrame:
    """Stretches of bars, each calm, wild or dead, on prices from a fraction of a cent to a fortune."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    tick = 10.0 ** draw(st.integers(-6, 2))
    moves = st.sampled_from([0, 0, 1, 30, 500])
    stretches = draw(st.lists(st.tuples(st.integers(1, 200), moves, st.booleans()), min_size=1, max_size=6))
    steps = np.concatenate([generator.integers(-move, move + 1, length) for length, move, _ in stretches])
    spreads = np.concatenate([generator.integers(0, move + 1, (2, length)) for length, move, _ in stretches], axis=1)
    traded = np.concatenate([np.full(length, float(volume)) for length, _, volume in stretches])
    close = 1000 + np.abs(np.cumsum(steps))
    opened = np.concatenate([close[:1], close[:-1]])
    return pl.DataFrame(
        {
            "high": (np.maximum(opened, close) + spreads[0]) * tick,
            "low": np.maximum(np.minimum(opened, close) - spreads[1], 1) * tick,
            "close": close * tick,
            "volume": traded * generator.uniform(0, 1e6, len(close)),
        }
    ).head(WINDOW)


@settings(deadline=None)
@given(markets())
def test_values_keep_their_bounds(frame: pl.DataFrame) -> None:
    """I1: RSI in 0 to 100, ATR positive, upper over middle over lower, everything finite or nothing."""
    values = calculate(frame)
    for name in OUTPUTS:
        assert values[name].is_finite().all(), name
    rounding = 1e-6
    for name in ("rsi_14", "adx_14", "stochastic_k", "stochastic_d"):
        assert values[name].is_between(-rounding, 100 + rounding).all(), name
    assert values["williams_r_14"].is_between(-100 - rounding, rounding).all()
    assert values["choppiness_14"].ge(-rounding).all()
    assert values["atr_14"].gt(0).all()
    assert values["atr_rank_100"].is_between(0.01, 1).all()
    assert values["supertrend_direction"].is_in([-1.0, 1.0]).all()
    assert values["slope_state"].is_in([-1.0, 1.0]).all()
    for state in ("volatile_state", "trending_state", "choppy_state"):
        assert values[state].is_in([0.0, 1.0]).all()
    for band in ("bollinger", "keltner"):
        assert (values[f"{band}_upper"] > values[f"{band}_middle"]).all()
        assert (values[f"{band}_middle"] > values[f"{band}_lower"]).all()


@settings(deadline=None)
@given(markets())
def test_prices_lie_where_they_must(frame: pl.DataFrame) -> None:
    """I1: a channel holds its closes, a VWAP lies among its bars, a Supertrend keeps to its side of the price."""
    values = calculate(frame).with_columns(frame["close"])
    slack = 1e-9 * values["close"]
    assert (values["donchian_upper"] >= values["close"]).all()
    assert (values["donchian_lower"] <= values["close"]).all()
    assert (values["vwap_20"] <= values["donchian_upper"] + slack).all()
    assert (values["vwap_20"] >= values["donchian_lower"] - slack).all()
    direction = values["supertrend_direction"]
    side = direction * (values["close"] - values["supertrend_line"])
    # At a change of sides on a bar with a long wick the close can lie beyond both bands.
    assert side.filter(direction == direction.shift()).ge(0).all()


@settings(deadline=None, max_examples=50)
@given(markets(), st.integers(0, WINDOW))
def test_later_bars_change_nothing_earlier(frame: pl.DataFrame, cut: int) -> None:
    """I1: an indicator that looks ahead makes every backtest a lie; not one bit may depend on a later bar."""
    later = frame.with_row_index().with_columns(
        pl.when(pl.col("index") >= cut).then(pl.col(name) * 7).otherwise(pl.col(name)).alias(name)
        for name in frame.columns
    )
    assert calculate(frame).head(cut).equals(calculate(later).head(cut))
    assert calculate(frame.head(cut)).equals(calculate(frame).head(cut))
