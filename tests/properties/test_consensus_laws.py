"""Laws of the consensus, over every combination of faults and any forecasts."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seats_data import DECISIONS, POOL, QUORUM, RANGING, SEATS, abstained, answered, make_snapshot

from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import decide, pool_forecasts, size_factor
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.reasons import ReasonCode

pytestmark = pytest.mark.unit

FAULTS = (
    None,
    ReasonCode.SEAT_TIMEOUT,
    ReasonCode.SEAT_SCHEMA,
    ReasonCode.SEAT_PROVIDER_ERROR,
    ReasonCode.SEAT_UNKNOWN_PRICE,
    ReasonCode.SEATS_DISABLED,
)
SNAPSHOT = make_snapshot()

probabilities = st.floats(0, 1)
actions = st.sampled_from(Action)
answers = st.tuples(probabilities, actions, st.floats(1, 10))
panels = st.lists(st.one_of(answers, st.sampled_from(FAULTS[1:])), min_size=6, max_size=6)
slopes = st.floats(0, 1).map(lambda value: Slope(value, 0.0, learnt=True))


def seated(panel):
    return [
        abstained(seat, one) if isinstance(one, ReasonCode) else answered(seat, *one)
        for seat, one in zip(SEATS, panel, strict=True)
    ]


def decision(forecasts, slope=Slope(0.3, 0.0, learnt=False)):  # noqa: B008 - frozen
    return decide(
        account="demo",
        snapshot=SNAPSHOT,
        regime=RANGING,
        forecasts=forecasts,
        slope=slope,
        quorum=QUORUM,
        pool=POOL,
        decisions=DECISIONS,
    )


def test_no_combination_of_faults_trades_below_the_quorum():
    """A4: 46,656 combinations of faults: never an order below the quorum, never a vote from a failure."""
    ok = {seat: answered(seat, 0.9, Action.BUY) for seat in SEATS}
    failed = {(seat, fault): abstained(seat, fault) for seat in SEATS for fault in FAULTS[1:]}
    for combination in itertools.product(FAULTS, repeat=6):
        panel = [
            ok[seat] if fault is None else failed[seat, fault] for seat, fault in zip(SEATS, combination, strict=True)
        ]
        answering = [seat for seat, fault in zip(SEATS, combination, strict=True) if fault is None]
        vendors = {SEATS[seat].vendor for seat in answering}
        enough = len(answering) >= 4 and len(vendors) >= 3
        pooled = pool_forecasts(panel, POOL.clip)
        assert (pooled.answers, pooled.vendors) == (len(answering), len(vendors))
        assert pooled.agreement == len(answering) / 6
        # Outcomes of decide() depend on the faults only through who answered: each such set is decided once.
        if all(fault in (None, ReasonCode.SEAT_TIMEOUT) for fault in combination):
            assert decision(panel).action is (Action.BUY if enough else Action.HOLD)
            assert decision(panel).unanimous is (len(answering) == 6)


@given(panels, slopes)
def test_abstentions_never_vote(panel, slope):
    """A4: what the seats that answered say is all that counts, whatever the reason of the others."""
    made = decision(seated(panel), slope)
    others = [ReasonCode.SEAT_SCHEMA if isinstance(one, ReasonCode) else one for one in panel]
    again = decision(seated(others), slope)
    assert (made.p_up, made.action, made.size_factor, made.leverage) == (
        again.p_up,
        again.action,
        again.size_factor,
        again.leverage,
    )
    if made.answers < QUORUM.answers:
        assert made.action is Action.HOLD
    if any(isinstance(one, ReasonCode) for one in panel):
        assert not made.unanimous


@given(panels, slopes, st.permutations(range(6)))
def test_order_of_seats_changes_nothing(panel, slope, order):
    """X3: answers come in any order; a sum that depends on it would give another decision on the next run."""
    forecasts = seated(panel)
    shuffled = [forecasts[place] for place in order]
    assert decision(shuffled, slope) == decision(forecasts, slope)
    assert pool_forecasts(shuffled, POOL.clip) == pool_forecasts(forecasts, POOL.clip)


@given(panels, slopes)
def test_decision_is_within_its_bounds(panel, slope):
    """A5: no pool is surer than its surest member, and no decision contradicts its own probability."""
    made = decision(seated(panel), slope)
    stated = [one[0] for one in panel if not isinstance(one, ReasonCode)]
    clipped = [min(0.98, max(0.02, p_up)) for p_up in stated] + [0.5]
    assert min(clipped) - 1e-9 <= made.p_up <= max(clipped) + 1e-9
    assert made.confidence == max(made.p_up, 1 - made.p_up)
    assert 0.5 <= made.size_factor <= 1
    assert 1 <= made.leverage <= 10
    assert 0 <= made.agreement <= 1
    assert made.action is not Action.BUY or made.p_up > 0.5
    assert made.action is not Action.SELL or made.p_up < 0.5


@given(st.floats(0, 10), st.floats(0, 10))
def test_more_disagreement_never_raises_size(one, other):
    """R2: disagreement can only make a position smaller."""
    calmer, wilder = sorted((one, other))
    assert size_factor(wilder, POOL.clip) <= size_factor(calmer, POOL.clip)


@given(st.floats(0.02, 0.98), st.floats(0, 2), st.floats(0, 2))
def test_seats_that_move_apart_never_raise_size(centre, one, other):
    """R2: two camps at the same mean, further apart: same direction, no larger size."""

    def apart(distance):
        middle = math.log(centre / (1 - centre))
        chances = [1 / (1 + math.exp(-(middle + side * distance))) for side in (1, -1) * 3]
        return decision([answered(seat, p_up) for seat, p_up in zip(SEATS, chances, strict=True)])

    calmer, wilder = sorted((one, other))
    clipped = abs(math.log(centre / (1 - centre))) + wilder > math.log(0.98 / 0.02)
    if not clipped:
        assert apart(wilder).size_factor <= apart(calmer).size_factor
        assert apart(wilder).p_up == pytest.approx(apart(calmer).p_up)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6), st.floats(1, 2))
def test_any_panel_stretched_about_its_mean_never_raises_size(log_odds, stretch):
    """R2: more disagreement about the same mean: same direction, and no more size."""
    mean = math.fsum(log_odds) / 6

    def panel(factor):
        chances = [1 / (1 + math.exp(-(mean + factor * (one - mean)))) for one in log_odds]
        return decision([answered(seat, p_up) for seat, p_up in zip(SEATS, chances, strict=True)])

    calmer, wilder = panel(1.0), panel(stretch)
    assert wilder.p_up == pytest.approx(calmer.p_up)
    # A rounding of the last bit must not decide at the step of a hundredth.
    assert wilder.size_factor <= calmer.size_factor or stretch < 1 + 1e-9


@given(panels, slopes)
def test_no_new_risk_below_the_quorum(panel, slope):
    """A4: below the quorum a position can be closed, and nothing is opened, whatever the answers are."""
    made = decision(seated(panel), slope)
    if not made.quorum_met:
        assert made.action in {Action.HOLD, Action.CLOSE}
        closing = sum(one[1] is Action.CLOSE for one in panel if not isinstance(one, ReasonCode))
        assert (made.action is Action.CLOSE) is (closing > 3)
