"""The shadows of a run of decisions: what they may know, and that they come out the same however they are made."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seats_data import AS_OF
from shadow_cases import WAIT, at_hour, case, random_cases, shadowed

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.shadows import ShadowMethod

pytestmark = pytest.mark.unit

HOURS = 200
CASES, SETTLED = random_cases(HOURS)
WHOLE = shadowed(CASES, SETTLED)
LAST = WHOLE[-1]


@settings(max_examples=12, deadline=None)
@given(st.integers(5, HOURS - 1))
def test_the_future_changes_nothing_before_it(hour):
    """B2: outcomes that settle after a decision, cut off or turned round, leave all shadows up to it as they were."""
    now = at_hour(hour)
    cut = {place: one for place, one in SETTLED.items() if one[0] <= now}
    turned = {place: (at, up if at <= now else not up) for place, (at, up) in SETTLED.items()}
    before = [one for one in WHOLE if one.panel.as_of <= now]
    cases = [one for one in CASES if one.snapshot.as_of <= now]
    assert shadowed(cases, cut) == before
    assert shadowed(CASES, turned)[: len(before)] == before


def test_the_past_does_change_something():
    """B2: the test above would pass for shadows that learn nothing: earlier outcomes must move later ones."""
    turned = {place: (at, not up) for place, (at, up) in SETTLED.items()}
    other = shadowed(CASES, turned)[-1]
    learning = (
        ShadowMethod.PER_MODEL_RECALIBRATED,
        ShadowMethod.LEARNED_WEIGHTS,
        ShadowMethod.HEDGE,
        ShadowMethod.BEST_SINGLE,
        ShadowMethod.BASELINE_FORECASTER,
    )
    assert [other.forecasts[one] != LAST.forecasts[one] for one in learning] == [True] * 5


@pytest.mark.parametrize("hour", [1, 37, 120])
def test_range_in_pieces_gives_the_same_shadows(hour):
    """X3: partitions, restarts and live runs must come to what one backfill comes to, to the last bit."""
    first = [one for one in CASES if one.snapshot.as_of < at_hour(hour)]
    early = shadowed(first, SETTLED)
    history = [one.panel for one in reversed(early)]
    assert early + shadowed(CASES[len(first) :], SETTLED, history) == WHOLE


def test_order_of_cases_and_seats_changes_nothing():
    """X3: the order in which rows come from a database is nobody's promise."""
    shuffled = [replace(one, forecasts=tuple(reversed(one.forecasts))) for one in reversed(CASES)]
    assert shadowed(shuffled, SETTLED) == WHOLE


def test_an_outcome_counts_from_the_moment_it_settles():
    """B2: made at hour 0, settled 4:02:10 later: known to the decision of exactly then, not of a second before."""
    settled = {(AS_OF, "BTC/USDT"): (AS_OF + WAIT, True)}
    first = case(0, (0.9,) * 6)

    def known(at):
        late = case(4, (0.6,) * 6)
        moved = replace(late.snapshot, as_of=at)
        return shadowed([first, replace(late, snapshot=moved)], settled)[-1].settled

    assert known(AS_OF + WAIT) == 1
    assert known(AS_OF + WAIT - timedelta(seconds=1)) == 0


def test_a_planted_seat_is_found():
    """A7: the seat that is right four times of five leads each method that learns; the others are noise."""
    [gpt] = [place for place, voter in enumerate(LAST.panel.voters) if voter.startswith("gpt ")]
    said = LAST.panel.p_up[gpt]
    assert LAST.forecasts[ShadowMethod.BEST_SINGLE].p_up == pytest.approx(said)
    right = [
        (one.forecasts[ShadowMethod.LEARNED_WEIGHTS].p_up > 0.5) == SETTLED[one.panel.as_of, one.panel.symbol][1]
        for one in WHOLE[HOURS:]
    ]
    assert np.mean(right) > 0.7


def test_the_baseline_learns_what_a_feature_knows():
    """A7: the technical view here is right nine times of ten; a baseline that does not find it is no yardstick."""
    right = [
        (one.forecasts[ShadowMethod.BASELINE_FORECASTER].p_up > 0.5) == SETTLED[one.panel.as_of, one.panel.symbol][1]
        for one in WHOLE[HOURS:]
    ]
    assert np.mean(right) > 0.85


def test_another_model_in_a_seat_begins_anew():
    """DESIGN 3.8: what one model earned must not be credited to the next one in its seat."""
    last = CASES[-1]
    others = tuple(replace(one, model="another") if one.seat == "gpt" else one for one in last.forecasts)
    changed = shadowed([*CASES[:-1], replace(last, forecasts=others)], SETTLED)[-1]
    assert (changed.settled, changed.effective_voters) == (0, None)
    assert LAST.settled > 0
    assert changed.forecasts[ShadowMethod.BASELINE_FORECASTER] == LAST.forecasts[ShadowMethod.BASELINE_FORECASTER]


def test_first_decision_has_every_method():
    """A5: a method that is missing at the start would be compared on other, easier events."""
    [only] = shadowed([case(0, (0.9, 0.8, 0.7, 0.6, 0.55, None))], {})
    assert list(only.forecasts) == list(ShadowMethod)
    for method in (ShadowMethod.LEARNED_WEIGHTS, ShadowMethod.BASELINE_FORECASTER):
        assert only.forecasts[method].p_up == 0.5
        assert only.forecasts[method].action is Action.HOLD
    assert only.forecasts[ShadowMethod.MAJORITY].action is Action.BUY
    assert "too few to tell" in only.words


def test_below_the_quorum_only_the_seatless_forecast():
    """A4: three seats are no panel: a shadow that forecast there would be scored where the consensus abstained."""
    [only] = shadowed([case(0, (0.9, 0.9, 0.9, None, None, None))], {})
    for method in ShadowMethod:
        forecast = only.forecasts[method]
        assert forecast.action is Action.HOLD
        assert (forecast.p_up is None) is (method is not ShadowMethod.BASELINE_FORECASTER)


def test_document_says_how_far_they_agree():
    """A5: unanimity, agreement and disagreement stand beside the shadows as they stand in the decision."""
    made = CASES[7].decision
    shadow = next(one for one in WHOLE if one.decision_id == made.decision_id)
    assert (shadow.unanimous, shadow.agreement, shadow.disagreement) == (
        made.unanimous,
        made.agreement,
        made.disagreement,
    )
    assert len(LAST.error_correlation) == 36
    assert 1 <= LAST.effective_voters <= 6
    assert "independent voters" in LAST.words
