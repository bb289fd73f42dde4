"""Tests of differences between forecasters, against scipy, statsmodels, arch and simulated truth."""

import doctest

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import SPA
from scipy.stats import norm, ttest_rel

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation import forecaster_tests
from triplegain_pipelines.evaluation.forecaster_tests import (
    SPAResult,
    by_moment,
    long_run_sum,
    model_confidence_set,
    paired_difference,
    paired_difference_by_bootstrap,
    superior_predictive_ability,
)

pytestmark = pytest.mark.unit


def losses(seed, count=400, better=0.0, models=2):
    """Brier losses of seats that toss coins; the last one's are lower by `better`."""
    rng = np.random.default_rng(seed)
    drawn = np.square(rng.uniform(0.3, 0.7, size=(count, models)) - (rng.uniform(size=(count, 1)) < 0.5))
    drawn[:, -1] -= better
    return drawn


def overlapping(rng, count, lag):
    """Values whose futures overlap by `lag` moments: sums of lag + 1 draws."""
    drawn = np.cumsum(rng.standard_normal(count + lag + 1))
    return drawn[lag + 1 :] - drawn[: -lag - 1]


def test_examples():
    """A7: an example in a docstring that no longer holds misleads whoever reads it."""
    assert doctest.testmod(forecaster_tests).failed == 0


def test_losses_of_a_moment_are_one():
    """A7: four symbols that fall together are not four pieces of evidence."""
    table = by_moment(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 4.0]]), np.array([20, 10, 20]))
    assert table.tolist() == [[2.0, 0.0], [2.0, 2.0]]
    assert by_moment(np.empty((0, 2)), np.empty(0, dtype=int)).shape == (0, 2)


@pytest.mark.parametrize("lag", [0, 3, 7])
def test_long_run_sum_agrees_with_statsmodels(lag):
    """A7: an error that is too small makes luck look like skill. Oracle: OLS with the uniform kernel."""
    values = overlapping(np.random.default_rng(4), 500, 3)
    centred = values - values.mean()
    fit = sm.OLS(values, np.ones(500)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lag, "kernel": "uniform", "use_correction": False}
    )
    assert long_run_sum(centred, lag)[0] == pytest.approx((fit.bse[0] * 500) ** 2)


def test_long_run_sum_is_never_below_that_of_independent_values():
    """A7: the uniform kernel can make a variance negative, and a root of it NaN."""
    swinging = np.array([1.0, -1.0] * 20)
    assert long_run_sum(swinging, 1).tolist() == [40.0]


def test_without_overlap_it_is_the_paired_t_test():
    """A7: golden value from scipy."""
    a, b = losses(1).T
    found = paired_difference(a, b, lag=0)
    expected = ttest_rel(a, b)
    interval = expected.confidence_interval()
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_overlap_correction_by_hand():
    """A7: Harvey, Leybourne and Newbold: h = 4, n = 500: (501 - 8 + 12 / 500) / 500 = 0.986048."""
    values = overlapping(np.random.default_rng(4), 500, 3)
    fit = sm.OLS(values, np.ones(500)).fit(
        cov_type="HAC", cov_kwds={"maxlags": 3, "kernel": "uniform", "use_correction": False}
    )
    found = paired_difference(values, np.zeros(500), lag=3)
    assert found.standard_error == pytest.approx(fit.bse[0] / 0.986048**0.5)


def test_overlap_is_no_evidence():
    """Issue 5: equal forecasters of overlapping horizons differ in 5 % of the cases, not in a third of them."""
    rng = np.random.default_rng(12)
    pairs = [overlapping(rng, 400, 3) for _ in range(400)]
    zero = np.zeros(400)
    aware = np.mean([paired_difference(one, zero, lag=3).p_value < 0.05 for one in pairs])
    blind = np.mean([paired_difference(one, zero, lag=0).p_value < 0.05 for one in pairs])
    assert aware < 0.09
    assert blind > 0.25


def test_bootstrap_agrees_with_the_t_test():
    """A7: two ways to one answer; blocks of one moment are the plain bootstrap."""
    a, b = losses(2, better=0.02).T
    drawn = paired_difference_by_bootstrap(a, b, block_length=1, seed=1, repeats=4000)
    exact = paired_difference(a, b, lag=0)
    assert drawn.standard_error == pytest.approx(exact.standard_error, rel=0.05)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.1 * exact.standard_error)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.02)


def test_blocks_keep_the_overlap():
    """A7: resampled one by one, overlapping forecasts would look independent."""
    values = overlapping(np.random.default_rng(7), 2000, 3)
    short, long = (
        paired_difference_by_bootstrap(values, np.zeros(2000), block_length=length, seed=1, repeats=400)
        for length in (1, 20)
    )
    assert 1.5 < long.standard_error / short.standard_error < 2.3  # the root of 4, less what blocks cut


def test_same_seed_same_answer():
    """T-rule of the design: the same inputs give the same report, byte for byte."""
    table = losses(3, models=4)
    for test in (
        lambda: paired_difference_by_bootstrap(table[:, 0], table[:, 1], block_length=4, seed=5),
        lambda: superior_predictive_ability(table[:, 0], table[:, 1:], block_length=4, seed=5),
        lambda: list(model_confidence_set(table, block_length=4, seed=5).p_values),
    ):
        assert test() == test()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_tell_nothing(count):
    """A7: no difference is named, and nothing fails, where a window has just begun."""
    few = losses(1, count=count)
    assert paired_difference(few[:, 0], few[:, 1], lag=0) is None
    assert paired_difference_by_bootstrap(few[:, 0], few[:, 1], block_length=1, seed=1) is None
    assert model_confidence_set(few, block_length=1, seed=1).included.all()
    assert superior_predictive_ability(few[:, 0], few[:, 1:], block_length=1, seed=1) == SPAResult(1, 1, 1)


def test_fewer_than_two_horizons_tell_nothing():
    """A7: ten overlapping forecasts of one day are one."""
    table = losses(1, count=10)
    assert paired_difference(table[:, 0], table[:, 1], lag=23) is None


def test_equal_forecasters_do_not_differ():
    """A7: 0 / 0 is neither certain nor significant."""
    same = losses(1)[:, 0]
    assert paired_difference(same, same.copy(), lag=3) is None
    assert paired_difference(same, same + 1e-17, lag=3) is None
    assert paired_difference_by_bootstrap(same, same.copy(), block_length=4, seed=1) is None
    assert superior_predictive_ability(same, same[:, None], block_length=4, seed=1) == SPAResult(1, 1, 1)
    every = model_confidence_set(np.column_stack([same, same, same]), block_length=4, seed=1)
    assert every.included.tolist() == [True] * 3


def test_confidence_set_holds_the_best_and_drops_the_worst():
    """Issue 5: instead of a winner. In 60 draws the best is in at least 90 % of the sets, the bad one in none."""
    kept = np.zeros(4)
    for seed in range(60):
        table = losses(seed, count=200, models=4)
        table[:, 0] += 0.05
        table[:, 3] -= 0.003
        kept += model_confidence_set(table, size=0.10, block_length=2, seed=seed, repeats=100).included
    assert kept[3] >= 54
    assert kept[0] == 0
    assert kept[1] > 30  # too near to be told apart


def test_twins_share_their_place():
    """A7: two baselines with the same losses: 0 / 0 would drop one of them, or stop the report."""
    table = losses(5, models=3)
    table[:, 0] = table[:, 2] - 0.05
    twins = np.column_stack([table, table[:, 0]])
    found = model_confidence_set(twins, block_length=4, seed=2)
    assert found.p_values[0] == found.p_values[3] == 1
    assert found.included.tolist() == [True, False, False, True]
    assert found.p_values[:3] == pytest.approx(model_confidence_set(table, block_length=4, seed=2).p_values)


def test_mirrored_forecasters_are_four():
    """A7: statistics that tie to the last bit made the library drop winner and loser together."""
    u, v = np.random.default_rng(3).integers(0, 8, size=(2, 64)) / 16
    table = np.column_stack([u + 1, v, 1 - v, -u])
    assert np.isfinite(model_confidence_set(table, block_length=2, seed=1).p_values).all()
    assert model_confidence_set(table, block_length=2, seed=1).included.tolist() == [False, False, False, True]


def test_one_alone_is_in_its_set():
    """A7: a board with one forecaster."""
    assert model_confidence_set(losses(1)[:, :1], block_length=4, seed=1).included.tolist() == [True]


def test_one_forecaster_against_the_benchmark():
    """Issue 5: with one forecaster SPA is a one-sided test of a mean. Oracle: the normal distribution."""
    table = losses(8, count=1000, better=0.012)
    found = superior_predictive_ability(table[:, 0], table[:, 1:], block_length=1, seed=3, repeats=4000)
    better_by = table[:, 0] - table[:, 1]
    expected = norm.sf(better_by.mean() / better_by.std() * 1000**0.5)
    assert 0.001 < expected < 0.2
    assert found.consistent == pytest.approx(expected, abs=0.015)


def test_the_best_of_many_is_luck():
    """Issue 5: the best of six coin tossers beats the coin in at most about 5 % of the cases, however good it looks."""
    small, alone = 0, 0
    for seed in range(80):
        table = losses(seed, count=120, models=7)
        found = superior_predictive_ability(table[:, 0], table[:, 1:], block_length=1, seed=seed, repeats=100)
        small += found.consistent < 0.05
        best = table[:, 1:].mean(axis=0).argmin() + 1
        alone += ttest_rel(table[:, 0], table[:, best], alternative="greater").pvalue < 0.05
    assert small <= 10  # 5 % of 80 and three standard errors
    assert alone > 2 * small


def test_blocks_of_a_horizon_keep_sets_and_benchmarks_honest():
    """Issue 5: equal forecasters of overlapping horizons: drawn one by one, luck beats the benchmark."""
    rng = np.random.default_rng(15)
    beaten, dropped = {1: 0, 8: 0}, {1: 0, 8: 0}
    for seed in range(40):
        table = np.column_stack([overlapping(rng, 400, 3) for _ in range(3)])
        for length in (1, 8):
            found = superior_predictive_ability(table[:, 0], table[:, 1:], block_length=length, seed=seed, repeats=100)
            beaten[length] += found.consistent < 0.05
            kept = model_confidence_set(table, block_length=length, seed=seed, repeats=100).included
            dropped[length] += not kept[0]
    assert beaten[8] <= 6 < beaten[1]  # of 40; three standard errors above 5 %
    assert dropped[8] <= 9 < dropped[1]  # of 40; three above 10 %


def test_a_wild_forecaster_does_not_hide_a_steady_one():
    """Issue 5: the library's own `studentize` changes nothing; one wild baseline on the board would hide all skill."""
    rng = np.random.default_rng(6)
    benchmark = np.zeros(400)
    steady = rng.normal(-0.002, 0.01, size=400)
    table = np.column_stack([steady, rng.normal(0, 1, size=(400, 3))])
    assert superior_predictive_ability(benchmark, table, block_length=2, seed=1).consistent < 0.01
    bare = SPA(benchmark, table, block_size=2, reps=300, studentize=True, seed=1)
    bare.compute()
    assert bare.pvalues["consistent"] > 0.3


@pytest.mark.parametrize("seed", range(3))
def test_superior_predictive_ability_agrees_with_arch(seed):
    """Issue 5.3: resamples that several questions share must not change an answer. Oracle: arch, which draws anew."""
    table = losses(seed, count=150, models=5, better=0.01)
    table[:, 1] += 0.02
    ours = superior_predictive_ability(table[:, 0], table[:, 1:], block_length=4, seed=seed)
    better_by = (table[:, :1] - table[:, 1:]).round(9)
    deviation = np.sqrt(long_run_sum(better_by - better_by.mean(axis=0), 4) / 150)
    theirs = SPA(np.zeros(150), -better_by / deviation, block_size=4, reps=1000, nested=True, seed=seed)
    theirs.compute()
    assert [ours.lower, ours.consistent, ours.upper] == pytest.approx(list(theirs.pvalues), abs=1e-12)
    assert 0 < ours.consistent < 1


def test_a_tie_is_no_better_than_luck():
    """Issue 5.3: hits and misses tie in many resamples; the last bit of a mean decided whether those counted."""
    hits = (np.random.default_rng(3).random((400, 2)) < 0.5).astype(float)
    found = [
        superior_predictive_ability(hits[:, 0] * unit, hits[:, 1:] * unit, block_length=1, seed=1)
        for unit in (1, 0.1, 0.7)
    ]
    assert found[0] == found[1] == found[2]


def test_bounds_of_the_p_value():
    """Issue 5: Hansen's lower and upper p values enclose the consistent one."""
    table = losses(8, better=0.01, models=5)
    table[:, 1] += 0.2
    found = superior_predictive_ability(table[:, 0], table[:, 1:], block_length=4, seed=3)
    assert found.lower <= found.consistent <= found.upper


def test_who_sees_the_future_is_superior():
    """Issue 5.3: it stands alone in the confidence set and beats the coin, though their difference never varies."""
    table, coin = losses(1, models=6), np.full(400, 0.25)
    table[:, 2] = 0.0004
    assert model_confidence_set(table, block_length=4, seed=1).included.tolist() == [False] * 2 + [True] + [False] * 3
    assert superior_predictive_ability(coin, table, block_length=4, seed=1).upper < 1e-20
    assert superior_predictive_ability(coin, table[:, 2:3], block_length=4, seed=1).upper == 0.5**100
    assert superior_predictive_ability(table[:, 2], coin[:, None], block_length=4, seed=1) == SPAResult(1, 1, 1)
    for found in (
        paired_difference(table[:, 2], coin, lag=3),
        paired_difference_by_bootstrap(table[:, 2], coin, block_length=4, seed=1),
    ):
        assert (found.mean, found.standard_error, found.p_value) == (pytest.approx(-0.2496), 0, 0.5**99)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_refused(wrong):
    """A7: an abstention in the table would turn every p value into NaN, and NaN < 0.05 is False."""
    table = losses(1)
    table[5, 1] = wrong
    for test in (
        lambda: by_moment(table, np.arange(400)),
        lambda: paired_difference(table[:, 0], table[:, 1], lag=0),
        lambda: paired_difference_by_bootstrap(table[:, 0], table[:, 1], block_length=1, seed=1),
        lambda: model_confidence_set(table, block_length=1, seed=1),
        lambda: superior_predictive_ability(table[:, 0], table, block_length=1, seed=1),
        lambda: superior_predictive_ability(table[:, 1], table[:, :1], block_length=1, seed=1),
    ):
        with pytest.raises(InputError, match="not finite"):
            test()


def test_arguments_that_do_not_fit_are_refused():
    """A7: numpy would broadcast one forecaster's losses over another window."""
    table = losses(1)
    for test in (
        lambda: by_moment(table, np.arange(3)),
        lambda: paired_difference(table[:, 0], table[:5, 1], lag=0),
        lambda: paired_difference(table[:, 0], table[:, 1], lag=-1),
        lambda: paired_difference_by_bootstrap(table[:, 0], table[:, 1], block_length=0, seed=1),
        lambda: model_confidence_set(table[:, 0], block_length=1, seed=1),
        lambda: model_confidence_set(table[:, :0], block_length=1, seed=1),
        lambda: superior_predictive_ability(table[:5, 0], table, block_length=1, seed=1),
    ):
        with pytest.raises(InputError):
            test()
