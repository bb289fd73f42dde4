"""Each shadow method against values worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.agents.shadow_pools import (
    Lessons,
    Voice,
    next_shares,
    pool_voices,
    shrunk_error,
    vote_weight,
)
from triplegain_pipelines.domain.shadows import ShadowMethod

pytestmark = pytest.mark.unit

CLIP = 0.02
FOUR = math.log(4)  # the log-odds of 0.8
VOICES = [Voice("a", 0.8, 0.9), Voice("b", 0.8, 0.6), Voice("c", 0.5, 0.1), Voice("d", 0.2, 0.4)]
LESSONS = Lessons(
    slope=0.3,
    slopes={"a": 0.5, "b": 0.0, "c": 1.0, "d": 0.25},
    votes={"a": 0.4, "b": 0.0, "c": 1.0, "d": 0.2},
    shares={"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1},
    errors={"a": 0.2, "b": 0.2, "c": 0.25, "d": 0.3},
)


@pytest.mark.parametrize(
    ("method", "log_odds"),
    [
        (ShadowMethod.MAJORITY, math.log(0.625 / 0.375)),  # two and a half of four
        (ShadowMethod.MEDIAN, 0.3 * FOUR / 2),  # between log 4 and 0
        (ShadowMethod.CONFIDENCE_WEIGHTED, 0.3 * (0.9 + 0.6 - 0.4) * FOUR / 2.0),
        (ShadowMethod.PER_MODEL_RECALIBRATED, (0.5 - 0.25) * FOUR / 4),
        (ShadowMethod.LEARNED_WEIGHTS, (0.4 + 0.0 - 0.2) / 4),
        (ShadowMethod.HEDGE, math.log(0.68 / 0.32)),  # .4 x .8 + .3 x .8 + .2 x .5 + .1 x .2
        (ShadowMethod.BEST_SINGLE, FOUR),  # a and b are level
    ],
)
def test_method_by_hand(method, log_odds):
    """A5: a shadow that is computed wrongly would decide a comparison of methods years later."""
    assert pool_voices(VOICES, LESSONS, CLIP)[method] == pytest.approx(log_odds)


def test_abstention_is_left_out_of_every_mean():
    """A4: with b and c silent: Hedge (.4 x .8 + .1 x .2) / .5 = .68, majority one half, median 0."""
    pooled = pool_voices([VOICES[0], VOICES[3]], LESSONS, CLIP)
    assert pooled[ShadowMethod.HEDGE] == pytest.approx(math.log(0.68 / 0.32))
    assert pooled[ShadowMethod.MAJORITY] == 0.0
    assert pooled[ShadowMethod.MEDIAN] == pytest.approx(0.0)
    assert pooled[ShadowMethod.CONFIDENCE_WEIGHTED] == pytest.approx(0.3 * 0.5 * FOUR / 1.3)


def test_no_confidence_at_all_is_an_even_one():
    """A5: six seats that are sure of nothing must not divide by zero."""
    unsure = [Voice("a", 0.8, 0.0), Voice("d", 0.2, 0.0)]
    assert pool_voices(unsure, LESSONS, CLIP)[ShadowMethod.CONFIDENCE_WEIGHTED] == pytest.approx(0.0)


def test_certainty_is_clipped_in_every_method():
    """A5: six seats that say 1 would have infinite log-odds, and an infinite log loss once."""
    sure = [Voice(one, 1.0, 1.0) for one in "abcd"]
    for log_odds in pool_voices(sure, LESSONS, CLIP).values():
        assert abs(log_odds) <= math.log(49) + 1e-9


def test_hedge_by_hand():
    """A5: losses 0 and log 3 at rate 1 turn even shares into 3 : 1, then a hundredth is shared out evenly."""
    assert next_shares((0.5, 0.5), (0.0, math.log(3)), 1.0) == pytest.approx((0.7475, 0.2525))


def test_hedge_leaves_an_abstention_its_share():
    """A4: .4 and .4 of three become .6 and .2; who abstained neither gains nor loses."""
    shares = next_shares((0.4, 0.4, 0.2), (0.0, math.log(3), None), 1.0)
    assert shares == pytest.approx((0.99 * 0.6 + 0.01 / 3, 0.99 * 0.2 + 0.01 / 3, 0.99 * 0.2 + 0.01 / 3))


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=6, max_size=6))
def test_hedge_shares_sum_to_one(losses):
    """A5: shares that leak would let one seat fade for ever."""
    shares = next_shares((0.1, 0.1, 0.1, 0.1, 0.1, 0.5), losses, 0.5)
    assert math.fsum(shares) == pytest.approx(1)
    assert min(shares) >= 0.01 / 6


def test_vote_weight_by_hand():
    """A5: 60 right of 100 with 300 coins: 210 of 400 = .525; a seat that was mostly wrong is not turned round."""
    assert vote_weight(60.0, 100.0, 300.0) == pytest.approx(math.log(0.525 / 0.475))
    assert vote_weight(40.0, 100.0, 300.0) == 0.0
    assert vote_weight(0.0, 0.0, 300.0) == 0.0


def test_shrunk_error_by_hand():
    """A5: 20 over 100 with 300 forecasts that cost a quarter: 95 / 400; a lucky newcomer is not the best single."""
    assert shrunk_error(20.0, 100.0, 300.0) == pytest.approx(0.2375)
    assert shrunk_error(0.0, 1.0, 300.0) > shrunk_error(20.0, 100.0, 300.0)


@given(st.permutations(VOICES))
def test_order_of_voices_changes_nothing(shuffled):
    """X3: answers come in any order; the stored shadow must not depend on it."""
    assert pool_voices(shuffled, LESSONS, CLIP) == pool_voices(VOICES, LESSONS, CLIP)
