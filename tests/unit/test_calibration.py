"""The slope of the pool."""

from datetime import timedelta

import numpy as np
import pytest
from seats_data import POOL
from sklearn.linear_model import LogisticRegression

from triplegain_pipelines.agents.calibration import Slope, effective_count, fit_slope

pytestmark = pytest.mark.unit

MANY = 1e12  # so many that nothing is left of the prior


def events(true_slope, count=20_000):
    """Forecasts whose right log-odds are `true_slope` times the stated ones."""
    rng = np.random.default_rng(11)
    log_odds = rng.normal(0, 1, count)
    return log_odds, rng.uniform(size=count) < 1 / (1 + np.exp(-true_slope * log_odds))


@pytest.mark.parametrize("planted", [0.2, 0.5, 0.8])
def test_planted_overconfidence_is_found(planted):
    """A5: a slope that does not find planted miscalibration would leave the pool overconfident."""
    assert fit_slope(*events(planted), MANY, POOL).value == pytest.approx(planted, abs=0.05)


def test_fit_agrees_with_sklearn():
    """A5: golden value from an independent logistic regression without intercept."""
    log_odds, went_up = events(0.4, count=500)
    oracle = LogisticRegression(fit_intercept=False, C=1e12, tol=1e-10).fit(log_odds[:, None], went_up).coef_[0, 0]
    assert fit_slope(log_odds, went_up, MANY, POOL).value == pytest.approx(oracle, abs=1e-5)


@pytest.mark.parametrize(("planted", "clamped"), [(-0.7, 0.0), (2.5, 1.0)])
def test_slope_stays_within_zero_and_one(planted, clamped):
    """A5: a negative slope would trade against the pool, one above 1 would extremise."""
    assert fit_slope(*events(planted), MANY, POOL).value == pytest.approx(clamped, abs=1e-6)


def test_prior_until_enough_has_settled():
    """A5: a slope fitted on a handful of events is noise."""
    log_odds, went_up = events(1.0, count=50)
    assert fit_slope(log_odds, went_up, 299.75, POOL) == Slope(0.3, 299.75, learnt=False)
    assert fit_slope(np.array([]), np.array([], dtype=bool), 0.0, POOL) == Slope(0.3, 0.0, learnt=False)


def test_fit_is_shrunk_toward_the_prior():
    """A5: worked by hand: at 300 of 300 needed the prior of 0.3 weighs one half, at 900 one quarter."""
    negative = events(-0.7)
    assert fit_slope(*negative, 300.0, POOL).value == pytest.approx(0.15)
    assert fit_slope(*negative, 900.0, POOL).value == pytest.approx(0.075)
    assert fit_slope(*negative, 300.0, POOL).learnt


def test_log_odds_of_zero_teach_nothing():
    """A5: a pool that was always undecided must not break the fit."""
    assert fit_slope(np.zeros(10), np.ones(10, dtype=bool), 300.0, POOL).value == pytest.approx(0.15)


@pytest.mark.parametrize(("interval", "effective"), [(1, 250.0), (4, 1000.0), (24, 1000.0)])
def test_overlapping_forecasts_count_for_less(interval, effective):
    """A5: hourly forecasts of 4 hours share three quarters of their future."""
    assert effective_count(1000, timedelta(hours=interval), timedelta(hours=4)) == effective
