"""When a forecaster may be said to lead: the numbers, and simulated seats with and without skill."""

import doctest

import numpy as np
import pytest
from scipy.stats import binom, norm
from statsmodels.stats.power import normal_sample_size_one_tail

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation import evidence_gate
from triplegain_pipelines.evaluation.evidence_gate import (
    independent_forecasts,
    minimum_forecasts,
    not_enough,
    standings,
)

pytestmark = pytest.mark.unit

SEATS = 6
NEEDED = minimum_forecasts(0.05, forecasters=SEATS)
ENOUGH = NEEDED + 1
REPEATS = 1000


def judged(p_up, went_up, *, moments=None, lag=0, trials=SEATS):
    table = p_up if p_up.ndim == 2 else p_up[:, None]
    return standings(table, went_up, np.arange(len(went_up)) if moments is None else moments, lag=lag, trials=trials)


def sides(rng, went_up, hit_rates, lean=0.05):
    """Seats that say one half and `lean` more or less, right as often as `hit_rates` says."""
    hits = rng.uniform(size=(len(went_up), len(hit_rates))) < np.array(hit_rates)
    return np.where(hits == went_up[:, None], 0.5 + lean, 0.5 - lean)


def skilled(standing):
    """Whether the test of skill, at its level for six, takes the seat for a good one."""
    return standing.skill > 0 and standing.p_value < 0.05 / SEATS


def coin(rng, count):
    return rng.uniform(size=count) < 0.5


def test_examples():
    """A7: an example in a docstring that no longer holds misleads whoever reads it."""
    assert doctest.testmod(evidence_gate).failed == 0


@pytest.mark.parametrize(
    ("edge", "alone", "six"), [(0.01, 19_619, 30_270), (0.02, 4_903, 7_565), (0.03, 2_177, 3_360), (0.05, 782, 1_208)]
)
def test_table_of_the_notes(edge, alone, six):
    """Issue 5: the number below which nothing is ranked is computed, not remembered."""
    assert minimum_forecasts(edge, forecasters=1) == alone
    assert minimum_forecasts(edge, forecasters=6) == six


@pytest.mark.parametrize(("edge", "forecasters", "power", "alpha"), [(0.05, 6, 0.8, 0.05), (0.1, 20, 0.95, 0.01)])
def test_number_agrees_with_statsmodels(edge, forecasters, power, alpha):
    """A7: golden value from an independent source."""
    expected = normal_sample_size_one_tail(
        edge, power, alpha / 2 / forecasters, std_null=0.5, std_alternative=(0.25 - edge**2) ** 0.5
    )
    assert minimum_forecasts(edge, forecasters=forecasters, power=power, alpha=alpha) == int(expected)


def test_number_has_the_power_it_says():
    """A7: exact binomial power of the two-sided test at that number of forecasts is 80 %."""
    critical = NEEDED / 2 + norm.ppf(1 - 0.05 / 2 / SEATS) * NEEDED**0.5 / 2
    assert binom.sf(np.ceil(critical) - 1, NEEDED, 0.55) == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize(
    "arguments",
    [
        {"edge": 0.0, "forecasters": 6},
        {"edge": 0.5, "forecasters": 6},
        {"edge": 0.05, "forecasters": 0},
        {"edge": 0.05, "forecasters": 6, "power": 1.0},
        {"edge": 0.05, "forecasters": 6, "alpha": 0.0},
        {"edge": float("nan"), "forecasters": 6},
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments):
    """A7: an edge of nothing takes for ever; a number for nobody means nothing."""
    with pytest.raises(InputError, match="give an edge"):
        minimum_forecasts(**arguments)


def test_words_in_place_of_a_rank():
    """Issue 5: the sentence of the gate; 1,207.9 forecasts are not 1,208."""
    assert not_enough(412, 3360) == "not enough data: 412 of 3,360 forecasts needed"
    assert not_enough(1207.9, 1208) == "not enough data: 1,207 of 1,208 forecasts needed"


def test_forecasts_of_one_symbol():
    """A7: n forecasts without overlap are n; hourly ones of 4 hours a quarter of that."""
    went_up = coin(np.random.default_rng(1), 400)
    assert independent_forecasts(went_up, np.arange(400), lag=0) == pytest.approx(400)
    assert independent_forecasts(went_up, np.arange(400), lag=3) <= 100


def test_symbols_that_move_as_one_are_one():
    """A7: BTC, ETH, SOL and XRP falling together are one forecast, and four that go their own ways are four."""
    rng = np.random.default_rng(2)
    moments = np.repeat(np.arange(1000), 4)
    as_one = independent_forecasts(np.repeat(coin(rng, 1000), 4), moments, lag=0)
    apart = independent_forecasts(coin(rng, 4000), moments, lag=0)
    assert as_one == pytest.approx(1000)
    assert apart == pytest.approx(4000, rel=0.1)


def test_count_at_the_edges():
    """A7: nothing is nothing, and outcomes that never change show nothing of how alike symbols are."""
    assert independent_forecasts(np.empty(0, dtype=bool), np.empty(0, dtype=int), lag=3) == 0
    assert independent_forecasts(np.ones(8, dtype=bool), np.repeat([1, 2], 4), lag=1) == 1


def test_six_coin_tossers_are_not_led():
    """Issue 5.3: six 50 % seats, 1,000 times, just enough forecasts: someone leads in at most 5 % of them.

    The skill that leads is counted by itself too, because the Brier score would hide a test that is too easy.
    """
    rng = np.random.default_rng(41)
    led, lucky = 0, 0
    for _ in range(REPEATS):
        went_up = coin(rng, ENOUGH)
        standing = judged(sides(rng, went_up, [0.5] * SEATS, lean=0.02), went_up)
        led += any(one.leads for one in standing)
        lucky += any(skilled(one) for one in standing)
    assert led / REPEATS <= 0.05
    assert 0.005 < lucky / REPEATS <= 0.05


def test_overlap_and_stubbornness_do_not_lead():
    """Issue 5.3: the same for hourly forecasts of 4 hours by seats that keep their opinion for days."""
    rng = np.random.default_rng(42)
    count, lag, led, repeats = 4 * ENOUGH, 3, 0, 300
    for _ in range(repeats):
        path = np.cumsum(rng.standard_normal(count + 4))
        went_up = path[4:] > path[:-4]
        turns = rng.uniform(size=(count, SEATS)) < 0.03
        opinion = np.where(np.cumsum(turns, axis=0) % 2 == rng.integers(0, 2, SEATS), 0.52, 0.48)
        led += any(skilled(one) for one in judged(opinion, went_up, lag=lag))
    assert led / repeats <= 0.05


def test_symbols_that_move_together_do_not_lead():
    """Issue 5.3: four symbols that rise and fall together, about which each seat thinks much the same."""
    rng = np.random.default_rng(43)
    led, repeats, moments = 0, 300, np.repeat(np.arange(ENOUGH), 4)
    for _ in range(repeats):
        market, mood = rng.standard_normal((ENOUGH, 1)), rng.standard_normal((ENOUGH, 1, SEATS))
        went_up = (market + 0.5 * rng.standard_normal((ENOUGH, 4)) > 0).ravel()
        opinion = (mood + 0.5 * rng.standard_normal((ENOUGH, 4, SEATS))).reshape(-1, SEATS)
        led += any(skilled(one) for one in judged(0.5 + 0.02 * np.sign(opinion), went_up, moments=moments))
    assert led / repeats <= 0.05


def test_planted_skill_is_found_near_the_computed_number():
    """Issue 5.3: a 55 % seat among five coin tossers: found in 80 % of cases at 1,208, hardly missed at 2,400."""
    rng = np.random.default_rng(44)

    def found(count, repeats=300):
        times = 0
        for _ in range(repeats):
            went_up = coin(rng, count)
            times += judged(sides(rng, went_up, [0.55, *[0.5] * 5]), went_up)[0].leads
        return times / repeats

    assert found(ENOUGH) == pytest.approx(0.8, abs=0.07)
    assert found(2 * ENOUGH) > 0.97
    assert found(NEEDED - 1, repeats=20) == 0


@pytest.mark.parametrize("rises", [0.2, 0.5, 0.6, 0.9])
def test_constant_forecasters_never_lead(rises):
    """Issue 5.3: always HOLD, always BUY, always SELL and the base rate itself, in rising and falling markets."""
    went_up = np.random.default_rng(45).uniform(size=5000) < rises
    constants = np.tile([0.5, 0.99, 0.01, rises, went_up.mean()], (5000, 1))
    for one in judged(constants, went_up):
        assert (one.leads, one.skill, one.p_value) == (False, None, None)
        assert one.enough
        assert "always the same" in one.note


def test_always_buying_with_more_or_less_courage_does_not_lead():
    """Issue 5.3: a hit rate of 60 % in a market that rises 60 % of the time is no skill, whatever the confidence."""
    rng = np.random.default_rng(46)
    led, repeats = 0, 300
    for _ in range(repeats):
        went_up = rng.uniform(size=ENOUGH) < 0.6
        led += any(skilled(one) for one in judged(rng.uniform(0.55, 0.65, size=(ENOUGH, SEATS)), went_up))
    assert led / repeats <= 0.05


@pytest.mark.parametrize("lag", [0, 3])
def test_who_sees_the_future_leads(lag):
    """Issue 5.3: a seat with tomorrow's price always leads; from enough forecasts on, however sure it says it is."""
    rng = np.random.default_rng(47)
    for lean in (0.01, 0.2, 0.5):
        went_up = coin(rng, ENOUGH * (lag + 1))
        table = np.column_stack([np.where(went_up, 0.5 + lean, 0.5 - lean), sides(rng, went_up, [0.5] * 5)])
        standing = judged(table, went_up, lag=lag)
        assert standing[0].leads, standing[0].note
        assert not any(one.leads for one in standing[1:])
    few = coin(rng, 400)
    assert judged(few.astype(float), few)[0].note == "not enough data: 400 of 1,208 forecasts needed"


def test_skill_on_one_side_is_found():
    """A7: in a market that rises 60 % of the time, 55 % and 65 % told apart is skill, though it always says BUY."""
    rng = np.random.default_rng(53)
    p_up = np.where(coin(rng, 4000), 0.65, 0.55)
    standing = judged(p_up, rng.uniform(size=4000) < p_up)[0]
    assert standing.leads, standing.note


def test_skill_that_is_too_sure_of_itself_does_not_lead():
    """A7: right in 60 % and sure to 99 %: whoever bets by its probabilities loses against a coin."""
    rng = np.random.default_rng(48)
    went_up = coin(rng, 4000)
    boaster = judged(sides(rng, went_up, [0.6], lean=0.49), went_up)[0]
    assert boaster.p_value < 1e-6
    assert not boaster.leads
    assert "too sure of itself" in boaster.note


def test_who_is_always_wrong_does_not_lead():
    """A7: a two-sided p value is small for the worst seat as well."""
    went_up = coin(np.random.default_rng(49), ENOUGH)
    wrong = judged(np.where(went_up, 0.4, 0.6), went_up)[0]
    assert wrong.p_value < 1e-6
    assert wrong.skill < 0
    assert not wrong.leads
    assert wrong.note.startswith("no skill")


def test_skill_is_a_test_of_hits():
    """A7: on two sides and even odds, skill is (hits - n / 2) / (n^0.5 / 2), to the estimate of both means."""
    rng = np.random.default_rng(50)
    went_up = coin(rng, 20_000)
    p_up = sides(rng, went_up, [0.52])
    hits = ((p_up[:, 0] > 0.5) == went_up).sum()
    assert judged(p_up, went_up)[0].skill == pytest.approx((hits - 10_000) / 20_000**0.5 * 2, rel=0.01)


def test_each_counts_on_what_it_answered():
    """A7: who abstains when it is hard has fewer forecasts, not better ones; whoever never answers has none."""
    rng = np.random.default_rng(51)
    went_up = coin(rng, 2 * ENOUGH)
    p_up = sides(rng, went_up, [0.6, 0.6, 0.5])
    p_up[1000:, 1] = np.nan
    p_up[:, 2] = np.nan
    whole, half, silent = judged(p_up, went_up)
    assert whole.leads
    assert (half.independent, half.leads) == (pytest.approx(1000), False)
    assert (silent.independent, silent.skill, silent.leads) == (0, None, False)


def test_every_variant_counts():
    """Issue 5: every variant ever tried is counted: what leads among six does not among a thousand."""
    rng = np.random.default_rng(52)
    went_up = coin(rng, 2500)
    p_up = sides(rng, went_up, [0.54])
    assert judged(p_up, went_up, trials=1)[0].needed == 782
    assert judged(p_up, went_up, trials=1000)[0].needed > 2200
    with pytest.raises(InputError, match="every variant"):
        judged(np.full((10, 3), 0.5), np.ones(10, dtype=bool), trials=2)


def test_nothing_has_happened_yet():
    """A7: the first report of a window, and a market that only rose."""
    none = judged(np.empty((0, 2)), np.empty(0, dtype=bool))
    assert [one.note for one in none] == ["not enough data: 0 of 1,208 forecasts needed"] * 2
    rose = judged(np.random.default_rng(1).uniform(size=(2000, 1)), np.ones(2000, dtype=bool))[0]
    assert (rose.enough, rose.skill, rose.leads) == (True, None, False)


def test_what_does_not_fit_is_refused():
    """A7: a wrong shape, a moment too few, a probability above one, a negative lag."""
    went_up = np.ones(10, dtype=bool)
    for test in (
        lambda: judged(np.full((9, 2), 0.5), went_up),
        lambda: judged(np.full((10, 2), 1.5), went_up),
        lambda: judged(np.full((10, 2), 0.5), went_up, lag=-1),
        lambda: independent_forecasts(went_up, np.arange(9), lag=0),
    ):
        with pytest.raises(InputError):
            test()
