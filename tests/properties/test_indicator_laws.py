"""Laws of the indicators on markets that stand still, jump, gap and go without volume."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from indicator_markets import markets

from triplegain_pipelines.indicators import momentum, trend, volatility, volume, windows
from triplegain_pipelines.indicators.bars import bars_of
from triplegain_pipelines.indicators.batch import columns_of
from triplegain_pipelines.indicators.registry import INDICATORS, OUTPUTS, WINDOW, calculate
from triplegain_pipelines.indicators.values import Formula

pytestmark = pytest.mark.unit


@settings(deadline=None)
@given(markets(longest=WINDOW))
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
@given(markets(longest=WINDOW))
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


FORMULAS = [
    pytest.param(formula, dict(parameters), id=f"{formula.__name__}-{place}")
    for place, (formula, parameters) in enumerate(
        [(one.function, one.parameters) for one in INDICATORS]
        + [
            (trend.ema, {"period": 3}),
            (trend.sma, {"period": 200}),
            (trend.macd, {"fast": 5, "slow": 13, "signal": 4}),
            (trend.donchian, {"period": 55}),
            (trend.supertrend, {"period": 7, "multiple": 1.5}),
            (momentum.rsi, {"period": 5}),
            (momentum.stochastic, {"period": 5, "slowing": 1, "smoothing": 8}),
            (volatility.atr, {"period": 5}),
            (volatility.atr_rank, {"period": 3, "span": 40}),
            (volatility.bollinger, {"period": 10, "deviations": 1.5}),
            (volatility.choppiness, {"period": 30}),
            (volume.vwap, {"period": 90}),
        ]
    )
]


@pytest.mark.parametrize(("formula", "parameters"), FORMULAS)
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(frame=markets(longest=700), cut=st.integers(0, 700))
def test_no_formula_sees_a_later_bar(
    monkeypatch: pytest.MonkeyPatch,
    formula: Formula,
    parameters: dict[str, float],
    compiled: bool,  # noqa: FBT001
    frame: pl.DataFrame,
    cut: int,
) -> None:
    """I1: an indicator that looks ahead makes every backtest a lie; not one bit may depend on a later bar.

    With the future cut off, and with another future, everything before is the same.
    """
    monkeypatch.setattr(windows, "LONG", 1 if compiled else 5_000)
    index = pl.int_range(pl.len())
    later = frame.with_columns(pl.when(index >= cut).then(pl.all() * 7).otherwise(pl.all()))
    whole = formula(bars_of(frame), **parameters)
    for other in (frame.head(cut), later):
        if not other.is_empty():
            for one, mine in zip(whole, formula(bars_of(other), **parameters), strict=True):
                np.testing.assert_array_equal(one[:cut], mine[:cut])


@settings(deadline=None, max_examples=30)
@given(markets(longest=WINDOW), st.integers(0, WINDOW))
def test_later_bars_change_nothing_earlier(frame: pl.DataFrame, cut: int) -> None:
    """I1: the same of the whole set, with its warm-ups, as decisions read it and as research does."""
    index = pl.int_range(pl.len())
    later = frame.with_columns(pl.when(index >= cut).then(pl.all() * 7).otherwise(pl.all()))
    assert calculate(frame).head(cut).equals(calculate(later).head(cut))
    assert calculate(frame.head(cut)).equals(calculate(frame).head(cut))
    whole = columns_of(bars_of(frame))[:, :cut]
    np.testing.assert_array_equal(columns_of(bars_of(later))[:, :cut], whole)
    np.testing.assert_array_equal(columns_of(bars_of(frame.head(cut))), whole)
