"""The set of indicators, the one warm-up rule, and how they are read off a window of bars.

Formulas are in the modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.indicators import momentum, states, trend, volatility, volume
from triplegain_pipelines.indicators.bars import Array, Bars, bars_of
from triplegain_pipelines.indicators.warmup import EXPONENTIAL, WILDER, WINDOWED

if TYPE_CHECKING:
    import polars as pl

WINDOW = 400
"""Bars that a reading is computed from, at most. Live, replay and any partitioning see exactly these."""

_FORMULAS = 2  # raise when a formula changes while its parameters stay; 2: no bit depends on numpy's processor


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: its outputs, the bars it needs for a first value, and its parameters."""

    function: Callable[..., tuple[Array, ...]]
    outputs: tuple[str, ...]
    warm_up: int
    parameters: Mapping[str, float]

    def values(self, bars: Bars) -> tuple[Array, ...]:
        """One array for each output, NaN during the warm-up and where there is no value."""
        if len(bars) < self.warm_up:
            return tuple(np.full(len(bars), np.nan) for _ in self.outputs)
        arrays = self.function(bars, **self.parameters)
        for array in arrays:
            array[: self.warm_up - 1] = np.nan
        return arrays


VOLATILE = {"enter": 0.95, "leave": 0.80}
"""ATR / close is among the highest 5 % of the last 100 bars, until it is no more among the highest 20 %."""

TRENDING = {"enter": 25.0, "leave": 23.0}
"""Wilder's threshold of ADX, left a little under it: until 20, his 'no trend', whole weeks of standing still pass."""

CHOPPY = {"enter": 61.8, "leave": 50.0}
"""Dreiss's threshold of the choppiness index, until it is nearer to the one of a trend (38.2) than to it."""

SLOPE = {"beyond": 0.02}
"""ATR a bar: a slope is flatter than this on about every sixth hour of bitcoin's, and then says nothing of a side."""


def _indicator(
    function: Callable[..., tuple[Array, ...]], outputs: str, warm_up: int, **parameters: float
) -> Indicator:
    return Indicator(function, tuple(outputs.split()), warm_up, parameters)


_MACD = "macd_line macd_signal macd_histogram"
_BOLLINGER = "bollinger_upper bollinger_middle bollinger_lower"
_KELTNER = "keltner_upper keltner_middle keltner_lower"

INDICATORS = (
    _indicator(trend.ema, "ema_12", EXPONENTIAL * 12, period=12),
    _indicator(trend.ema, "ema_26", EXPONENTIAL * 26, period=26),
    _indicator(trend.sma, "sma_20", WINDOWED * 20, period=20),
    _indicator(trend.sma, "sma_50", WINDOWED * 50, period=50),
    _indicator(trend.macd, _MACD, EXPONENTIAL * (26 + 9), fast=12, slow=26, signal=9),
    _indicator(states.trending, "adx_14 trending_state", WILDER * (14 + 14), period=14, **TRENDING),
    _indicator(trend.donchian, "donchian_upper donchian_lower", WINDOWED * 20, period=20),
    _indicator(trend.supertrend, "supertrend_line supertrend_direction", WILDER * 10, period=10, multiple=3.0),
    _indicator(
        states.sloping,
        "ema_26_slope slope_state",
        max(EXPONENTIAL * 26 + 10, WILDER * 14),
        period=26,
        span=10,
        atr_period=14,
        **SLOPE,
    ),
    _indicator(momentum.rsi, "rsi_14", WILDER * 14, period=14),
    _indicator(
        momentum.stochastic, "stochastic_k stochastic_d", WINDOWED * 14 + 2 + 2, period=14, slowing=3, smoothing=3
    ),
    _indicator(momentum.cci, "cci_20", WINDOWED * 20, period=20),
    _indicator(momentum.williams_r, "williams_r_14", WINDOWED * 14, period=14),
    _indicator(volatility.atr, "atr_14", WILDER * 14, period=14),
    _indicator(states.volatile, "atr_rank_100 volatile_state", WILDER * 14 + 99, period=14, span=100, **VOLATILE),
    _indicator(volatility.bollinger, _BOLLINGER, WINDOWED * 20, period=20, deviations=2.0),
    _indicator(
        volatility.keltner, _KELTNER, max(EXPONENTIAL * 20, WILDER * 10), period=20, atr_period=10, multiple=2.0
    ),
    _indicator(states.choppy, "choppiness_14 choppy_state", WINDOWED * 14 + 1, period=14, **CHOPPY),
    _indicator(volume.obv, "obv", WINDOWED * 2),
    _indicator(volume.vwap, "vwap_20", WINDOWED * 20, period=20),
)
"""The whole set, in the order of its outputs."""

OUTPUTS = tuple(output for indicator in INDICATORS for output in indicator.outputs)

INDICATORS_VERSION = (
    "indicators-"
    + content_hash(
        [
            _FORMULAS,
            WINDOW,
            [[one.function.__name__, one.outputs, dict(one.parameters), one.warm_up] for one in INDICATORS],
        ]
    )[:12]
)
"""Changes with the parameter set, the warm-up rule and the formulas, and with nothing else."""


def calculate(bars: pl.DataFrame) -> pl.DataFrame:
    """Every output at every bar of a candle or roll-up frame, null during warm-up and where there is no value.

    Raises:
        DataError: a column is missing, or holds a null, a NaN or an infinite value.
    """
    import polars as pl

    columns = _columns(bars)
    return pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))


def read_indicators(bars: pl.DataFrame) -> dict[str, float | None]:
    """Every output at the last of at most `WINDOW` bars; None during warm-up and where there is no value.

    Raises:
        DataError: the frame is longer than the window, a column is missing, or holds a null, a NaN or an infinite
            value.
    """
    if bars.height > WINDOW:
        msg = f"{bars.height} bars are more than the window of {WINDOW}; readings would differ from those of a replay"
        raise DataError(msg)
    if bars.is_empty():
        return dict.fromkeys(OUTPUTS)
    lasts = {name: float(values[-1]) for name, values in _columns(bars).items()}
    return {name: value if math.isfinite(value) else None for name, value in lasts.items()}


def _columns(frame: pl.DataFrame) -> dict[str, Array]:
    bars = bars_of(frame)
    return {
        output: values
        for indicator in INDICATORS
        for output, values in zip(indicator.outputs, indicator.values(bars), strict=True)
    }
