"""Scores of probability forecasts against what happened: pure functions of arrays, all of them equal weight.

`p_up` holds forecasts in [0, 1] and `went_up` what happened, 1 or 0; both have the shape (n,). Abstentions are left
out by the caller: a value that is no probability is refused, because one NaN would quietly become the score.
Whether a difference between two scores means anything is `forecaster_tests`' and `evidence_gate`'s question.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.performance import Interval, wilson_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EVEN = 0.5
BINS = 10

_SMALLEST = 1e-15  # a wrong certainty costs about 35, not infinity


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Forecast against frequency, for each bin of equal width that holds a forecast; all arrays have one shape.

    `forecast` is the mean forecast of the bin, `happened` the share of rises in it, `count` its number of forecasts.
    """

    forecast: Floats
    happened: Floats
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HitRate:
    """Share of the forecasts on the right side of one half. Those of exactly one half are on no side and not counted.

    `trials` is how many independent forecasts those on a side are worth; the interval is Wilson's of that number.
    """

    value: float
    trials: float
    interval: Interval


def squared_errors(p_up: Floats, went_up: Bools) -> Floats:
    """The Brier loss of each forecast, (p - y)^2; shape (n,).

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    checked(p_up, went_up)
    return np.square(p_up - went_up)


def brier(p_up: Floats, went_up: Bools) -> float | None:
    """Mean squared distance of the forecast from what happened (Brier 1950): 0 is perfect, 0.25 is always one half.

    None without forecasts.

    >>> brier(np.array([0.75, 0.5]), np.array([True, False]))
    0.15625

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    return float(np.mean(squared_errors(p_up, went_up))) if len(p_up) else None


def log_loss(p_up: Floats, went_up: Bools) -> float | None:
    """Mean negative log-likelihood, natural logarithm; always one half scores 0.6931. None without forecasts.

    Forecasts are taken as at least 1e-15 from certainty, so that one wrong certainty does not hide all the others.

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    checked(p_up, went_up)
    if not len(p_up):
        return None
    clipped = np.clip(p_up, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(went_up, np.log(clipped), np.log1p(-clipped))))


def calibration_curve(p_up: Floats, went_up: Bools, *, bins: int = BINS) -> CalibrationCurve:
    """The reliability diagram over `bins` bins of equal width, closed below; 1 is in the last. Empty without forecasts.

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    checked(p_up, went_up)
    place = np.minimum((p_up * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    forecast = np.bincount(place, weights=p_up, minlength=bins)[held] / count[held]
    happened = np.bincount(place, weights=went_up, minlength=bins)[held] / count[held]
    return CalibrationCurve(forecast, happened, count[held])


def expected_calibration_error(p_up: Floats, went_up: Bools, *, bins: int = BINS) -> float | None:
    """Mean distance between forecast and frequency over the bins, weighted by count (Naeini et al. 2015).

    None without forecasts. Luck alone makes it about (bins / n)^0.5 / 2 for a perfect forecaster: it is no proper
    score, and small numbers of forecasts look uncalibrated.

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    if not len(p_up):
        return None
    curve = calibration_curve(p_up, went_up, bins=bins)
    return float(np.sum(curve.count * np.abs(curve.forecast - curve.happened)) / len(p_up))


def hit_rate(p_up: Floats, went_up: Bools, *, overlap: float = 1.0) -> HitRate | None:
    """How often the forecast was on the right side of one half; None where none was on a side.

    Args:
        p_up: forecasts, shape (n,).
        went_up: what happened, shape (n,).
        overlap: share of the forecasts that are independent: interval / horizon where horizons overlap.

    Raises:
        InputError: a forecast is no probability, or the shapes differ.
    """
    checked(p_up, went_up)
    on_a_side = p_up != EVEN
    trials = float(on_a_side.sum()) * overlap
    if not trials:
        return None
    value = float(np.mean((p_up > EVEN)[on_a_side] == went_up[on_a_side]))
    interval = wilson_interval(value * trials, trials)
    assert interval is not None  # noqa: S101 - there are trials
    return HitRate(value, trials, interval)


def checked(p_up: Floats, went_up: Bools) -> None:
    """Refuse forecasts that are no probabilities, and arrays that do not belong together.

    Raises:
        InputError: the shapes differ, or a forecast is NaN or outside [0, 1].
    """
    if p_up.shape != went_up.shape or p_up.ndim != 1:
        msg = f"forecasts of shape {p_up.shape} do not fit outcomes of shape {went_up.shape}; give (n,) and (n,)"
        raise InputError(msg)
    wrong = ~((p_up >= 0) & (p_up <= 1))
    if wrong.any():
        place = int(np.argmax(wrong))
        msg = f"forecast {place} is {p_up[place]}, which is no probability; leave abstentions out before scoring"
        raise InputError(msg)
