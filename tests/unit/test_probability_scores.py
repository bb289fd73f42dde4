"""Scores of probability forecasts, against scikit-learn and by hand."""

import doctest

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss
from statsmodels.stats.proportion import proportion_confint

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation import probability_scores
from triplegain_pipelines.evaluation.probability_scores import (
    brier,
    calibration_curve,
    expected_calibration_error,
    hit_rate,
    log_loss,
    squared_errors,
)

pytestmark = pytest.mark.unit

SCORES = (squared_errors, brier, log_loss, calibration_curve, expected_calibration_error, hit_rate)
NOTHING = np.array([]), np.array([], dtype=bool)


def drawn(seed=3, count=1000):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=count), rng.uniform(size=count) < 0.5


def test_examples():
    """A7: an example in a docstring that no longer holds misleads whoever reads it."""
    assert doctest.testmod(probability_scores).failed == 0


def test_proper_scores_agree_with_sklearn():
    """A7: a score that is wrong by a factor ranks models by nothing."""
    p_up, went_up = drawn()
    assert brier(p_up, went_up) == pytest.approx(brier_score_loss(went_up, p_up))
    assert log_loss(p_up, went_up) == pytest.approx(sklearn_log_loss(went_up, p_up))


def test_calibration_curve_agrees_with_sklearn():
    """A7: a reliability diagram with its points in the wrong bins."""
    p_up, went_up = drawn()
    curve = calibration_curve(p_up, went_up, bins=8)
    happened, forecast = sklearn_curve(went_up, p_up, n_bins=8)
    assert curve.forecast == pytest.approx(forecast)
    assert curve.happened == pytest.approx(happened)
    assert curve.count.sum() == 1000


def test_empty_bins_are_left_out_and_certainty_is_in_the_last():
    """A7: a bin that nobody forecast in must not show a frequency of 0, and 1.0 must not fall off the end."""
    curve = calibration_curve(np.array([0.65, 0.65, 1.0, 0.0]), np.array([True, False, True, False]))
    assert curve.forecast.tolist() == [0.0, 0.65, 1.0]
    assert curve.happened.tolist() == [0.0, 0.5, 1.0]
    assert curve.count.tolist() == [1, 2, 1]


def test_wrong_certainty_is_finite():
    """A7: one forecast of 1 that failed must not make a report infinite."""
    assert 30 < log_loss(np.array([1.0]), np.array([False])) < 40


def test_calibration_error_by_hand():
    """A7: bin 0.6-0.7: forecast 0.65 twice, 1 of 2 rose: 0.15; bin 0.9-1: 1.0 twice, both rose: 0. Mean 0.075."""
    p_up, went_up = np.array([0.65, 0.65, 1.0, 1.0]), np.array([True, False, True, True])
    assert expected_calibration_error(p_up, went_up) == pytest.approx(0.075)


def test_error_of_a_calibrated_forecaster_tends_to_nothing():
    """Issue 5.3: a calibrated simulator must look calibrated, the more so the longer; an overconfident one never."""
    errors, overconfident = [], []
    for count in (100, 1_000, 10_000, 100_000, 1_000_000):
        p_up = np.random.default_rng(count).uniform(size=count)
        went_up = np.random.default_rng(count + 1).uniform(size=count) < p_up
        errors.append(expected_calibration_error(p_up, went_up))
        tripled = 1 / (1 + (1 / p_up - 1) ** 3)
        overconfident.append(expected_calibration_error(tripled, went_up))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.002
    assert errors[-1] < (10 / 1_000_000) ** 0.5  # falls with the root of the number of forecasts
    assert min(overconfident) > 0.08


def test_hit_rate_with_its_interval():
    """A7: a hit rate without its interval is read as skill. Oracle: statsmodels."""
    hits = hit_rate(np.array([0.9] * 8 + [0.1] * 2 + [0.5]), np.array([True] * 10 + [False]))
    assert (hits.value, hits.trials) == (0.8, 10)
    assert (hits.interval.low, hits.interval.high) == pytest.approx(proportion_confint(8, 10, method="wilson"))


def test_overlap_widens_the_interval():
    """A7: hourly forecasts of 4 hours are a quarter as many."""
    p_up, went_up = drawn(count=400)
    alone, overlapping = hit_rate(p_up, went_up), hit_rate(p_up, went_up, overlap=0.25)
    assert (alone.trials, overlapping.trials, alone.value) == (400, 100, overlapping.value)
    assert overlapping.interval.low < alone.interval.low


def test_one_half_is_on_no_side():
    """The ancestor's defect 2: always HOLD is neither right nor wrong."""
    assert hit_rate(np.array([0.5, 0.5]), np.array([True, False])) is None


@pytest.mark.parametrize("score", [brier, log_loss, expected_calibration_error, hit_rate])
def test_nothing_scores_nothing(score):
    """A7: no data is None, not a zero that looks like perfection."""
    assert score(*NOTHING) is None


def test_curve_of_nothing_is_empty():
    """A7: no data draws no points."""
    assert calibration_curve(*NOTHING).count.tolist() == []


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.01, 1.01])
def test_what_is_no_probability_is_refused(score, wrong):
    """A7: one NaN would quietly become the score of a thousand forecasts."""
    with pytest.raises(InputError, match=r"forecast 1 is .* no probability"):
        score(np.array([0.5, wrong]), np.array([True, False]))


@pytest.mark.parametrize("score", SCORES)
def test_arrays_that_do_not_belong_together_are_refused(score):
    """A7: numpy would broadcast one outcome over all forecasts."""
    with pytest.raises(InputError, match="do not fit"):
        score(np.array([0.5, 0.6]), np.array([True]))
