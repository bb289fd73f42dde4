"""How far a Sharpe ratio can be luck: the published vector and the tables of the notes."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.sharpe import (
    deflated_sharpe_ratio,
    expected_best_sharpe,
    probabilistic_sharpe_ratio,
)

pytestmark = pytest.mark.unit

DAILY = 2.5 / math.sqrt(250)
PUBLISHED = {"trials": 100, "trial_variance": 0.5 / 250, "skew": -3, "kurtosis": 10}


def test_published_vector():
    """Issue 5.3: Bailey and Lopez de Prado (2014): 1,250 days, annual Sharpe 2.5, 100 trials: 0.1132 and 0.9004."""
    assert expected_best_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe_ratio(DAILY, 1250, **PUBLISHED) == pytest.approx(0.9004, abs=5e-5)


def test_published_remark():
    """The same paper: with 46 trials instead of 100 the strategy would have passed at 95 %."""
    assert deflated_sharpe_ratio(DAILY, 1250, **{**PUBLISHED, "trials": 46}) == pytest.approx(0.9505, abs=2e-4)


@pytest.mark.parametrize(
    ("trials", "days", "expected"),
    [(6, 90, 2.62), (24, 90, 3.99), (100, 90, 5.10), (6, 365, 1.30), (24, 365, 1.98), (100, 365, 2.53)],
)
def test_best_of_many_without_skill(trials, days, expected):
    """A7: the leader of six after 90 days shows an annual Sharpe of 2.6 by luck alone."""
    assert expected_best_sharpe(trials, 365 / days) == pytest.approx(expected, abs=0.006)


def test_best_of_many_agrees_with_a_simulation():
    """A7: the formula is an approximation; drawn maxima say how good."""
    drawn = np.random.default_rng(11).standard_normal((40_000, 24)).max(axis=1).mean()
    assert expected_best_sharpe(24, 1.0) == pytest.approx(drawn, rel=0.02)


def test_normal_returns():
    """A7: with normal returns the standard error is ((1 + SR^2 / 2) / (T - 1))^0.5 (Lo 2002)."""
    error = math.sqrt((1 + 0.1**2 / 2) / 251)
    assert probabilistic_sharpe_ratio(0.1, 252) == pytest.approx(norm.cdf(0.1 / error))
    assert probabilistic_sharpe_ratio(0.1, 252, benchmark=0.1) == 0.5


def test_more_trials_need_more():
    """A7: a variant that is not counted makes the leader look better than it is."""
    chances = [deflated_sharpe_ratio(0.1, 252, trials=n, trial_variance=1 / 252) for n in (1, 2, 6, 100)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == probabilistic_sharpe_ratio(0.1, 252)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sharpe": math.nan, "returns": 10},
        {"sharpe": 0.1, "returns": 1},
        {"sharpe": 0.1, "returns": 10, "skew": math.inf},
        {"sharpe": 2.0, "returns": 10, "skew": 3.0, "kurtosis": 0.0},
    ],
)
def test_what_has_no_sharpe_ratio_is_refused(arguments):
    """A7: NaN in, 'certain' out."""
    with pytest.raises(InputError):
        probabilistic_sharpe_ratio(**arguments)


@pytest.mark.parametrize(("trials", "variance"), [(0, 1.0), (3, -1.0), (3, math.nan)])
def test_trials_that_cannot_be_are_refused(trials, variance):
    """A7: nobody was tried, or their ratios have no variance."""
    with pytest.raises(InputError):
        expected_best_sharpe(trials, variance)
