"""What each seat adds to the pool, and how far seats err together."""

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seats_data import SEATS, abstained, answered

from triplegain_pipelines.agents.consensus import pool_forecasts
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation import attribution
from triplegain_pipelines.evaluation.attribution import (
    effective_voters,
    error_correlation,
    leave_one_out_values,
    log_odds_pool,
    shapley_values,
)
from triplegain_pipelines.evaluation.probability_scores import brier

pytestmark = pytest.mark.unit

POOL = log_odds_pool(0.02, 0.3)


def council(seed=1, events=300, seats=6, silent=0.15):
    """Seats of different skill whose errors go together, some of whose answers are missing."""
    rng = np.random.default_rng(seed)
    signal, common = rng.standard_normal(events), rng.standard_normal(events)
    own = rng.standard_normal((events, seats))
    leaning = np.linspace(0, 0.4, seats) * signal[:, None] + 0.7 * common[:, None] + own
    p_up = np.where(rng.uniform(size=(events, seats)) < silent, np.nan, 1 / (1 + np.exp(-leaning)))
    return p_up, signal + 0.5 * rng.standard_normal(events) > 0


def mean_of_those_that_spoke(p_up):
    answered = ~np.isnan(p_up)
    return np.where(
        answered.any(axis=1), np.where(answered, p_up, 0).sum(axis=1) / np.maximum(answered.sum(axis=1), 1), 0.5
    )


def by_permutations(p_up, went_up, pool):
    """Shapley's definition word by word: the mean contribution over all orders in which seats can join."""
    seats = p_up.shape[1]
    total = np.zeros(seats)
    for order in itertools.permutations(range(seats)):
        present = np.full_like(p_up, np.nan)
        before = brier(pool(present), went_up)
        for seat in order:
            present[:, seat] = p_up[:, seat]
            after = brier(pool(present), went_up)
            total[seat] += before - after
            before = after
    return total / math.factorial(seats)


def test_examples():
    """A7: an example in a docstring that no longer holds misleads whoever reads it."""
    assert doctest.testmod(attribution).failed == 0


def test_pool_is_that_of_the_consensus():
    """A7: value to a consensus that nobody trades on. Oracle: the pool that decides."""
    for row in ([0.9, 0.2, np.nan, 0.999, 0.5, 0.6], [np.nan] * 6):
        seats = [
            abstained(seat, ReasonCode.SEAT_TIMEOUT) if np.isnan(p_up) else answered(seat, p_up, Action.HOLD, 1.0)
            for seat, p_up in zip(SEATS, row, strict=True)
        ]
        decided = 1 / (1 + math.exp(-0.3 * pool_forecasts(seats, 0.02).log_odds))
        assert log_odds_pool(0.02, 0.3)(np.array([row])) == pytest.approx([decided])


def test_values_by_hand():
    """A7: one event that rose, seats 0.75 and 0.5, pool the mean: v = 0, 0.1875, 0, 0.109375."""
    values = shapley_values(np.array([[0.75, 0.5]]), np.array([True]), mean_of_those_that_spoke)
    assert values == pytest.approx([(0.1875 + 0.109375) / 2, (0 - 0.078125) / 2])


def test_values_agree_with_the_definition():
    """Issue 5: exact Shapley values, not an estimate. Oracle: all 120 orders of five seats."""
    p_up, went_up = council(events=40, seats=5)
    assert shapley_values(p_up, went_up, POOL) == pytest.approx(by_permutations(p_up, went_up, POOL), abs=1e-15)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), silent=st.sampled_from([0.0, 0.3, 0.9]))
def test_laws_of_shapley_values(seed, silent):
    """Issue 5: the values add up to what the pool is worth; equals get the same; who never answers gets nothing."""
    p_up, went_up = council(seed, events=60, seats=6, silent=silent)
    p_up[:, 4] = p_up[:, 1]
    p_up[:, 5] = np.nan
    values = shapley_values(p_up, went_up, POOL)
    assert values.sum() == pytest.approx(0.25 - brier(POOL(p_up), went_up), abs=1e-12)
    assert values[4] == pytest.approx(values[1], abs=1e-15)
    assert values[5] == 0


def test_the_skilled_seat_has_the_most_value():
    """A7: value goes to who knows, and a seat that is always wrong costs."""
    rng = np.random.default_rng(5)
    went_up = rng.uniform(size=3000) < 0.5
    hits = rng.uniform(size=(3000, 6)) < np.array([0.5, 0.5, 0.7, 0.5, 0.5, 0.2])
    values = shapley_values(np.where(hits == went_up[:, None], 0.6, 0.4), went_up, POOL)
    assert values.argmax() == 2
    assert values.argmin() == 5
    assert values[5] < 0 < values[2]


def test_a_year_of_four_symbols_is_quick():
    """Issue 5: 64 coalitions over 35,000 events; the shape of the work, not its time, is what must not change."""
    p_up, went_up = council(events=35_040)
    asked = []

    def counting(present):
        asked.append(1)
        return POOL(present)

    shapley_values(p_up, went_up, counting)
    assert len(asked) == 64


def test_leave_one_out_by_hand():
    """A7: without the seat that said 0.75 the pool says 0.5; without the other one 0.75."""
    values = leave_one_out_values(np.array([[0.75, 0.5]]), np.array([True]), mean_of_those_that_spoke)
    assert values == pytest.approx([0.25 - 0.140625, 0.0625 - 0.140625])


def test_twins_are_worth_little_alone():
    """A7: either of two equal seats can go, which says nothing against both."""
    went_up = np.random.default_rng(2).uniform(size=500) < 0.5
    right = np.where(went_up, 0.6, 0.4)
    twins = np.column_stack([right, right])
    assert leave_one_out_values(twins, went_up, POOL) == pytest.approx([0, 0], abs=1e-15)
    assert (shapley_values(twins, went_up, POOL) > 0.001).all()


def test_slope_of_each_decision():
    """A7: the slope is learnt as time goes by; every decision has its own."""
    pooled = log_odds_pool(0.02, np.array([0.0, 1.0]))(np.array([[0.8, np.nan], [0.8, 0.8]]))
    assert pooled == pytest.approx([0.5, 0.8])


def test_no_forecasts_are_worth_nothing():
    """A7: a window without settled forecasts must not fail or show NaN."""
    nothing, none = np.empty((0, 6)), np.empty(0, dtype=bool)
    assert shapley_values(nothing, none, POOL).tolist() == [0] * 6
    assert leave_one_out_values(nothing, none, POOL).tolist() == [0] * 6
    assert effective_voters(error_correlation(nothing, none)) == 0


def test_coin_tossers_do_not_err_together():
    """Issue 5: y - p would show a correlation of nearly 1 for seats that have nothing in common but the outcome."""
    rng = np.random.default_rng(9)
    p_up, went_up = rng.uniform(0.4, 0.6, size=(5000, 3)), rng.uniform(size=5000) < 0.5
    matrix = error_correlation(p_up, went_up)
    assert np.abs(matrix[np.triu_indices(3, 1)]).max() < 0.05
    assert np.corrcoef((went_up[:, None] - p_up).T)[0, 1] > 0.9
    assert effective_voters(matrix) == pytest.approx(3, abs=0.2)


def test_correlation_by_hand():
    """Issue 5: errors on shared forecasts only: seat 0 errs by -0.1, 0.1, 0.2 and seat 1 by -0.2, 0.2, 0.4."""
    p_up = np.array([[0.6, 0.7, np.nan], [0.6, 0.7, 0.5], [0.3, 0.1, 0.5], [np.nan, 0.9, 0.5]])
    went_up = np.array([True, False, True, True])
    matrix = error_correlation(p_up, went_up)
    assert matrix[0, 1] == matrix[1, 0] == pytest.approx(1)
    assert np.isnan(matrix[2]).all()  # always one half: no opinion, no error


@pytest.mark.parametrize(("correlation", "voters"), [(0.0, 6.0), (0.3, 2.4), (0.6, 1.5), (0.8, 1.2), (1.0, 1.0)])
def test_effective_voters(correlation, voters):
    """Issue 5: the table of the notes: six models are not six votes."""
    matrix = np.full((6, 6), correlation)
    np.fill_diagonal(matrix, 1)
    assert effective_voters(matrix) == pytest.approx(voters, abs=1e-9)


def test_effective_voters_at_the_edges():
    """Issue 5: seats without an opinion do not vote, and disagreement makes no seventh voter."""
    assert effective_voters(np.array([[1.0, -0.9], [-0.9, 1.0]])) == 2
    assert effective_voters(np.array([[1.0, np.nan], [np.nan, np.nan]])) == 1
    assert effective_voters(np.full((6, 6), np.nan)) == 0


@pytest.mark.parametrize("function", [error_correlation, lambda p, y: shapley_values(p, y, POOL)])
@pytest.mark.parametrize(
    ("p_up", "went_up"),
    [(np.array([0.5]), [True]), (np.array([[0.5, 0.5]]), [True, False]), (np.array([[0.5, 1.1]]), [True])],
)
def test_what_does_not_fit_is_refused(function, p_up, went_up):
    """A7: numpy would broadcast, and attribute value to nobody's forecast."""
    with pytest.raises(InputError):
        function(p_up, np.array(went_up))


def test_a_pool_that_answers_nan_is_refused():
    """A7: a pool that leaves NaN where nobody answered would make every value NaN."""
    with pytest.raises(InputError, match="no probability"):
        shapley_values(np.array([[0.5]]), np.array([True]), lambda p_up: p_up[:, 0])


def test_too_many_seats_are_refused():
    """A7: 2^30 pools never come back."""
    with pytest.raises(InputError, match="at most 12"):
        shapley_values(np.full((1, 30), 0.5), np.array([True]), POOL)
