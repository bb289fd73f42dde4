"""How many voters six seats are worth."""

import numpy as np
import pytest

from triplegain_pipelines.agents.voters import known_correlation, known_voters, voters_in_words

pytestmark = pytest.mark.unit


def planted(correlation, *, count=20_000, voters=6, seed=4):
    """Chances near one half whose errors correlate as planted, and outcomes that they know a little about."""
    rng = np.random.default_rng(seed)
    went_up = rng.random(count) < 0.5
    common, own = rng.normal(size=(count, 1)), rng.normal(size=(count, voters))
    errors = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    return 1 / (1 + np.exp(-0.2 * errors - 0.02 * np.where(went_up, 1, -1)[:, None])), went_up


@pytest.mark.parametrize(("correlation", "effective"), [(0.0, 6.0), (0.3, 2.4), (0.6, 1.5), (0.8, 1.2)])
def test_effective_voters_by_the_formula(correlation, effective):
    """A5: the notes' own figures, 6 / (1 + 5 r); planted errors are found again, also near one half."""
    matrix = np.full((6, 6), correlation)
    assert known_voters(matrix) == pytest.approx(effective)
    found = known_correlation(*planted(correlation), 1.0)
    assert found[~np.eye(6, dtype=bool)] == pytest.approx(correlation, abs=0.03)
    assert known_voters(found) == pytest.approx(effective, rel=0.08)


def test_correlation_by_hand():
    """A5: errors are (0.5 - p)(2 y - 1): the same chances err alike, chances that mirror half of the others by none."""
    one = np.tile([0.6, 0.4, 0.6, 0.4], 10)
    went_up = np.tile([True, True, False, False], 10)
    mirrored = np.where(went_up, one, 1 - one)
    found = known_correlation(np.column_stack([one, mirrored, one]), went_up, 1.0)
    assert found == pytest.approx(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]), abs=1e-9)
    assert known_voters(found) == pytest.approx(3 / (1 + 2 / 3))


def test_seats_that_always_buy_are_one_voter():
    """A5: two seats that only ever say BUY are wrong together every time, however different their chances are."""
    _, went_up = planted(0.0, count=1000)
    found = known_correlation(np.tile([0.6, 0.9], (1000, 1)), went_up, 1.0)
    assert known_voters(found) == 1.0


def test_too_few_forecasts_tell_nothing():
    """A5: a correlation of a handful is noise: unknown is said to be unknown, pair by pair."""
    p_up, went_up = planted(0.5, count=119, voters=3)
    assert np.isnan(known_correlation(p_up, went_up, 0.25)).all()
    p_up, went_up = planted(0.5, count=120, voters=3)
    assert not np.isnan(known_correlation(p_up, went_up, 0.25)).any()
    p_up[0, 2] = np.nan
    found = known_correlation(p_up, went_up, 0.25)
    assert np.isnan(found[2]).all()
    assert not np.isnan(found[0, 1])
    assert known_voters(np.full((2, 2), np.nan)) is None


def test_opposite_seats_are_not_more_than_themselves():
    """A5: two seats that contradict each other are two voters, not a thousand."""
    assert known_voters(np.array([[1.0, -1.0], [-1.0, 1.0]])) == 2.0


def test_one_opinion_is_said_in_words():
    """A5: six seats that agree impress a reader; that they are one opinion must stand beside it."""
    seats = ("gpt", "grok")
    alike, apart = np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    text = voters_in_words(seats, alike, known_voters(alike), 500)
    assert "500 settled forecasts the 2 seats are worth 1.1 independent voters" in text
    assert "gpt and grok err most alike (correlation 0.90)" in text
    assert text.endswith("The consensus is close to one opinion.")
    assert "one opinion" not in voters_in_words(seats, apart, known_voters(apart), 500)
    assert "too few" in voters_in_words(seats, np.full((2, 2), np.nan), None, 3)
