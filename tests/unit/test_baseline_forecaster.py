"""The forecaster without a seat."""

from dataclasses import replace

import numpy as np
import pytest
from seats_data import RANGING, make_snapshot, market_snapshot
from sklearn.linear_model import LogisticRegression

from triplegain_pipelines.agents.baseline_forecaster import (
    PRIOR_SPREAD,
    features_of,
    fit_coefficients,
    forecast_log_odds,
)
from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.domain.decisions import Bias, Regime
from triplegain_pipelines.domain.evidence import RegimeSignal, SentimentSignal, Signals, TechnicalSignal

pytestmark = pytest.mark.unit


def examples(count=400, seed=8):
    rng = np.random.default_rng(seed)
    features = np.column_stack([np.ones(count), rng.uniform(-1, 1, size=(count, 2))])
    chance = 1 / (1 + np.exp(-(0.2 + 1.5 * features[:, 1])))
    return features, rng.random(count) < chance


@pytest.mark.parametrize("overlap", [1.0, 0.25])
def test_fit_agrees_with_sklearn(overlap):
    """A7: golden value from an independent ridge logistic regression."""
    features, went_up = examples()
    oracle = LogisticRegression(C=PRIOR_SPREAD**2, fit_intercept=False, tol=1e-12, max_iter=1000)
    oracle.fit(features, went_up, sample_weight=np.full(len(went_up), overlap))
    assert fit_coefficients(features, went_up, overlap) == pytest.approx(oracle.coef_[0], abs=1e-6)


def test_nothing_settled_is_one_half():
    """B2: before any outcome the forecaster knows nothing, and does not pretend."""
    coefficients = fit_coefficients(np.empty((0, 3)), np.empty(0, dtype=bool), 0.25)
    assert coefficients.tolist() == [0.0, 0.0, 0.0]
    assert forecast_log_odds(coefficients, (1.0, 0.5, -1.0)) == 0.0


def test_log_odds_by_hand():
    """A7: 0.1 + 0.4 x 0.5 - 0.2 x 1 = 0.1."""
    assert forecast_log_odds((0.1, 0.4, -0.2), (1.0, 0.5, 1.0)) == pytest.approx(0.1)


def test_features_by_hand():
    """A7: each feature is the agent's word with its side; what a snapshot does not have is 0, never a guess."""
    signals = Signals(
        TechnicalSignal(Bias.SHORT, 0.6, ()),
        RegimeSignal(Regime.VOLATILE_BEAR, 0.8, ()),
        SentimentSignal(0.25, 3, ()),
    )
    assert features_of(make_snapshot(), signals) == (1.0, -0.6, -0.8, 0.25, *(0.0,) * 10)
    calm = replace(signals, technical=TechnicalSignal(Bias.NEUTRAL, 0.9, ()), regime=RANGING)
    assert features_of(make_snapshot(), calm)[1:3] == (0.0, 0.0)


@pytest.mark.parametrize(("drift", "side"), [(0.003, 1), (-0.003, -1)])
def test_features_of_a_market_have_its_side(drift, side):
    """A7: a swapped sign would make the baseline easy to beat."""
    snapshot = market_snapshot(drift)
    features = features_of(snapshot, assess(snapshot))
    assert len(features) == 14
    assert all(-1 <= one <= 1 for one in features)
    trend, rsi, direction = features[4], features[6], features[8]
    assert [one * side > 0 for one in (features[1], features[2], trend, rsi, direction)] == [True] * 5
