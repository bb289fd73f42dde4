"""The forecaster without a seat: a logistic regression on what the agents that are code say.

The seats are shown the same numbers in their prompt. If they cannot beat this, they add nothing to it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.domain.decisions import Bias, Regime
from triplegain_pipelines.domain.evidence import Readings, Signals, Snapshot
from triplegain_pipelines.domain.timeframes import Timeframe

FEATURES_VERSION = "features-1"
"""Raise it with any change of `features_of`: forecasts with other features teach nothing."""

TIMEFRAMES = (Timeframe.H1, Timeframe.H4)

PRIOR_SPREAD = 0.25
"""Standard deviation of a coefficient before anything has settled: a full feature then moves the odds by a quarter."""

_STEPS = 25
_CLOSE = 1e-10
_DIGITS = 9  # so that the last bits of a matrix product, which differ between machines, do not reach a forecast

_TRENDS = {
    Regime.TRENDING_BULL: 1.0,
    Regime.VOLATILE_BULL: 1.0,
    Regime.TRENDING_BEAR: -1.0,
    Regime.VOLATILE_BEAR: -1.0,
}


def features_of(snapshot: Snapshot, signals: Signals) -> tuple[float, ...]:
    """The inputs, each from -1 to 1, and 0 where something is not known.

    A constant; the technical view, the regime's trend (signed by side, times confidence) and the sentiment; then for 1h
    and 4h the distance of EMA 12 over EMA 26 in ATRs, the MACD histogram in half ATRs, RSI's distance from 50 over 25,
    the place in the Bollinger band, and the direction of the Supertrend.
    """
    sides = {Bias.LONG: 1.0, Bias.SHORT: -1.0, Bias.NEUTRAL: 0.0}
    agents = (
        1.0,
        sides[signals.technical.bias] * signals.technical.confidence,
        _TRENDS.get(signals.regime.regime, 0.0) * signals.regime.confidence,
        signals.sentiment.score,
    )
    read = [_read(snapshot.readings(timeframe), snapshot.reference_price) for timeframe in TIMEFRAMES]
    return tuple(_within(value) for value in (*agents, *(value for part in read for value in part)))


def fit_coefficients(features: NDArray[np.float64], went_up: NDArray[np.bool_], overlap: float) -> NDArray[np.float64]:
    """The coefficients of the most likely logistic regression, shrunk toward 0 by a normal prior of `PRIOR_SPREAD`.

    Args:
        features: shape (n, features).
        went_up: the outcomes, shape (n,).
        overlap: how many independent forecasts each is worth, in (0, 1].
    """
    precision = 1 / PRIOR_SPREAD**2
    found = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(features @ found)))
        slope = overlap * (features.T @ (went_up - chance)) - precision * found
        curve = overlap * (features.T * (chance * (1 - chance))) @ features + precision * np.eye(len(found))
        step = np.linalg.solve(curve, slope)
        found += step
        if np.max(np.abs(step)) < _CLOSE:
            break
    return np.round(found, _DIGITS)


def forecast_log_odds(coefficients: Sequence[float], features: Sequence[float]) -> float:
    """The log-odds of a rise."""
    return math.fsum(weight * value for weight, value in zip(coefficients, features, strict=True))


def _read(readings: Readings, price: float | None) -> tuple[float, ...]:
    atr = readings.get("atr_14")
    fast, slow, histogram = (readings.get(name) for name in ("ema_12", "ema_26", "macd_histogram"))
    strength, direction = readings.get("rsi_14"), readings.get("supertrend_direction")
    middle, upper = readings.get("bollinger_middle"), readings.get("bollinger_upper")
    return (
        _over(None if fast is None or slow is None else fast - slow, atr),
        _over(histogram, None if atr is None else atr / 2),
        _over(None if strength is None else strength - 50, 25.0),
        _over(
            None if price is None or middle is None else price - middle,
            None if upper is None or middle is None else upper - middle,
        ),
        direction or 0.0,
    )


def _over(above: float | None, below: float | None) -> float:
    return 0.0 if above is None or not below else above / below


def _within(value: float) -> float:
    return max(-1.0, min(1.0, value))
