"""The slope that turns the pool's log-odds into a probability, learnt from forecasts that have settled.

Raw pooled log-odds of correlated, overconfident forecasters are too large. A slope in [0, 1] shrinks
them; it is never negative, because a slope that may change sign loses hit rate on short histories, and
never above 1, because extremising is worse than a coin. Which forecasts
count as settled is decided by `council`; this module only fits.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.settings.models import PoolSettings

CALIBRATION_VERSION = "calibration-1"

_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Slope:
    """The slope, the number of independent settled forecasts, and whether they were enough to learn it from."""

    value: float
    settled_count: float
    learnt: bool


def effective_count(settled: int, interval: timedelta, horizon: timedelta) -> float:
    """How many independent forecasts `settled` overlapping ones are worth: count x interval / horizon.

    Forecasts of the next 4 hours made every hour share three quarters of their future.

    >>> effective_count(400, timedelta(hours=1), timedelta(hours=4))
    100.0
    """
    return settled * min(1.0, interval / horizon)


def fit_slope(
    log_odds: NDArray[np.float64], went_up: NDArray[np.bool_], settled_count: float, pool: PoolSettings
) -> Slope:
    """The slope for the next forecast.

    The prior slope until `pool.settled_needed` independent forecasts have settled. After that the
    maximum-likelihood slope of a logistic regression through the origin, within [0, 1], shrunk toward
    the prior with weight n / (n + settled_needed).

    Args:
        log_odds: pooled log-odds of the settled forecasts, before any slope; shape (n,).
        went_up: whether the price was higher at the horizon; shape (n,).
        settled_count: how many independent forecasts these are, from `effective_count`.
        pool: prior slope and the count that is needed.
    """
    if settled_count < pool.settled_needed:
        return Slope(pool.prior_slope, settled_count, learnt=False)
    weight = settled_count / (settled_count + pool.settled_needed)
    fitted = _logistic_slope(log_odds, went_up)
    return Slope(weight * fitted + (1 - weight) * pool.prior_slope, settled_count, learnt=True)


def _logistic_slope(log_odds: NDArray[np.float64], went_up: NDArray[np.bool_]) -> float:
    """The root in [0, 1] of the likelihood's derivative, which falls with the slope; else the nearer end.

    Halving the interval gives a multiple of 2**-20, so that last-bit differences between machines in
    `exp` do not reach the result.
    """
    low, high = 0.0, 1.0
    if _score(low, log_odds, went_up) <= 0:
        return low
    if _score(high, log_odds, went_up) >= 0:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(middle, log_odds, went_up) > 0:
            low = middle
        else:
            high = middle
    return low


def _score(slope: float, log_odds: NDArray[np.float64], went_up: NDArray[np.bool_]) -> float:
    return float(np.sum(log_odds * (went_up - 1 / (1 + np.exp(-slope * log_odds)))))
