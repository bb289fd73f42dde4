"""The leak check: seats that see the future are named, honest ones are not."""

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.leak_check import MOST_POSSIBLE, looks_ahead

pytestmark = pytest.mark.unit

BARS = 4


def market(seed, count=1200, bars=BARS):
    """Log returns of the bars after each forecast, with the fat tails of crypto."""
    return 0.01 * np.random.default_rng(seed).standard_t(3, size=(count, bars))


def leaning(towards, *, noise, seed=1):
    """Probabilities that lean towards the sign of something, with noise."""
    drawn = np.random.default_rng(seed).standard_normal(len(towards))
    return 1 / (1 + np.exp(-0.3 * (np.sign(towards) + noise * drawn)))


def test_who_sees_the_horizon_is_named():
    """Issue 5.3: the seat that always leads is the one that the check names."""
    returns = market(1)
    found = looks_ahead(leaning(returns.sum(axis=1), noise=0), returns)
    assert found.named
    assert (found.first_bar, found.last_bar) == (1, BARS)
    assert found.note.startswith("looks ahead: a rank correlation of 0.")
    assert "bars 1 to 4" in found.note


@pytest.mark.parametrize("bar", [1, 2, 3, 4])
def test_one_bar_known_too_early_is_named(bar):
    """C-rule: a candle that has not closed yet, or a shifted column: one bar is known and no other."""
    returns = market(2)
    found = looks_ahead(leaning(returns[:, bar - 1], noise=1), returns)
    assert (found.named, found.first_bar, found.last_bar) == (True, bar, bar)


def test_a_day_known_too_early_is_named():
    """C-rule: no single hour shows that the sign of the whole day is known."""
    returns = market(3, count=2400, bars=24)
    p_up = leaning(returns.sum(axis=1), noise=0)
    assert looks_ahead(p_up, returns).named
    singles = [spearmanr(p_up, returns[:, bar]).statistic for bar in range(24)]
    assert np.median(singles) < MOST_POSSIBLE


def test_half_a_leak_is_named():
    """A7: noise on top of tomorrow's price hides it from the eye, not from the check."""
    returns = market(4)
    p_up = leaning(returns.sum(axis=1), noise=1.5)
    hits = np.mean((p_up > 0.5) == (returns.sum(axis=1) > 0))
    assert 0.7 < hits < 0.8
    assert looks_ahead(p_up, returns).named


def test_who_is_always_wrong_knows_the_future_too():
    """A7: a leak with its sign turned."""
    returns = market(5)
    found = looks_ahead(1 - leaning(returns.sum(axis=1), noise=0), returns)
    assert found.named
    assert found.correlation < 0 < found.at_least


@pytest.mark.parametrize("hit_rate", [0.5, 0.55, 0.57])
def test_honest_skill_is_not_named(hit_rate):
    """A7: what tests of models after their cutoff found is possible; a check that cries at skill is switched off."""
    returns = market(6, count=8760)
    rose = returns.sum(axis=1) > 0
    hits = np.random.default_rng(6).uniform(size=8760) < hit_rate
    assert not looks_ahead(np.where(hits == rose, 0.55, 0.45), returns).named


def test_noise_is_not_named():
    """A7: 300 seats without skill and few forecasts: the interval keeps luck from being named."""
    rng = np.random.default_rng(7)
    named = sum(looks_ahead(rng.uniform(size=200), market(seed, count=200)).named for seed in range(300))
    assert named == 0


def test_what_followed_the_past_is_not_named():
    """A7: momentum goes with the returns before it, which nobody gives to the check."""
    returns = market(8, count=3000, bars=1)[:, 0]
    after = np.lib.stride_tricks.sliding_window_view(returns, BARS)[4:]
    before = np.lib.stride_tricks.sliding_window_view(returns, 4).sum(axis=1)[: len(after)]
    assert not looks_ahead(leaning(before, noise=0), after).named


def test_figures_agree_with_scipy():
    """A7: golden values: Spearman's correlation, and its interval by Fieller over the one span there is."""
    returns = market(9, bars=1)
    p_up = leaning(returns[:, 0], noise=2)
    found = looks_ahead(p_up, returns)
    expected = spearmanr(p_up, returns[:, 0]).statistic
    assert found.correlation == pytest.approx(expected)
    assert found.at_least == pytest.approx(np.tanh(np.arctanh(expected) - norm.ppf(0.975) * (1.06 / 1197) ** 0.5))


def test_symbols_that_move_together_count_once():
    """A7: four symbols, one market: the interval is that of the independent forecasts."""
    returns = market(10)
    p_up = leaning(returns.sum(axis=1), noise=1.5)
    alone, together = looks_ahead(p_up, returns), looks_ahead(p_up, returns, independent=300)
    assert together.at_least < alone.at_least


def test_bars_that_have_not_closed_are_left_out():
    """A7: the newest forecasts have no returns yet; they must neither count nor stop the check."""
    returns = market(11)
    p_up = leaning(returns[:, 0], noise=1)
    returns[-3:, 1:] = np.nan
    assert looks_ahead(p_up, returns).named
    returns[:, 0] = np.nan
    assert not looks_ahead(p_up, returns).named


@pytest.mark.parametrize(
    ("p_up", "returns"),
    [
        (np.empty(0), np.empty((0, 4))),
        (np.full(500, 0.9), market(12, count=500)),
        (np.linspace(0, 1, 20), market(12, count=20)),
        (np.linspace(0, 1, 500), np.full((500, 4), np.nan)),
        (np.linspace(0, 1, 500), np.zeros((500, 4))),
    ],
)
def test_what_cannot_be_checked_says_so(p_up, returns):
    """A7: always BUY, or a week of forecasts: neither named nor cleared."""
    found = looks_ahead(p_up, returns)
    assert (found.named, found.first_bar, found.last_bar, found.correlation, found.at_least) == (False, *[None] * 4)
    assert found.note == "cannot be checked: too few forecasts, or always the same one"


def test_what_does_not_fit_is_refused():
    """A7: an abstention is no forecast, and returns of other forecasts tell nothing."""
    with pytest.raises(InputError, match="abstentions"):
        looks_ahead(np.array([0.5, np.nan]), np.zeros((2, 1)))
    with pytest.raises(InputError, match="do not fit"):
        looks_ahead(np.array([0.5, 0.6]), np.zeros((3, 1)))
    with pytest.raises(InputError, match="do not fit"):
        looks_ahead(np.array([0.5, 0.6]), np.zeros((2, 0)))
