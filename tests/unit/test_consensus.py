"""The consensus of six forecasts."""

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from seats_data import AS_OF, DECISIONS, POOL, QUORUM, RANGING, SEATS, abstained, answered, make_snapshot

from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import decide, pool_forecasts, size_factor
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.reasons import ReasonCode

pytestmark = pytest.mark.unit

PRIOR = Slope(0.3, 0.0, learnt=False)


def decision(forecasts, *, snapshot=None, slope=PRIOR, pool=POOL, account="demo"):
    return decide(
        account=account,
        snapshot=snapshot or make_snapshot(),
        regime=RANGING,
        forecasts=forecasts,
        slope=slope,
        quorum=QUORUM,
        pool=pool,
        decisions=DECISIONS,
    )


def all_seats(p_up, action=Action.HOLD, leverage=1.0):
    return [answered(seat, p_up, action, leverage) for seat in SEATS]


def test_pool_is_the_mean_of_log_odds():
    """A5: by hand: log-odds of .8 and .2 are +-log 4: mean log(4) / 3, 1 / (1 + exp(-0.3 * 0.4621)) = 0.53460."""
    made = decision([answered(seat, p) for seat, p in zip(SEATS, (0.8, 0.8, 0.8, 0.5, 0.5, 0.2), strict=True)])
    assert made.pooled_log_odds == pytest.approx(math.log(4) / 3)
    assert made.p_up == pytest.approx(0.53460, abs=1e-5)
    assert made.confidence == made.p_up
    assert (made.action, made.reason_code) == (Action.BUY, ReasonCode.CONSENSUS_REACHED)


def test_certainty_is_clipped():
    """A5: one seat that says 0 or 1 would otherwise decide alone, with infinite log-odds."""
    pooled = pool_forecasts([answered("gpt", 1.0), answered("grok", 0.0)], clip=0.02)
    assert pooled.log_odds == pytest.approx(0.0, abs=1e-12)
    assert pooled.disagreement == pytest.approx(math.log(0.98 / 0.02))


@pytest.mark.parametrize(
    ("p_up", "action", "reason"),
    [
        (0.57, Action.BUY, ReasonCode.CONSENSUS_REACHED),
        (0.52, Action.BUY, ReasonCode.CONSENSUS_REACHED),
        (0.5199, Action.HOLD, ReasonCode.CONSENSUS_UNDECIDED),
        (0.5, Action.HOLD, ReasonCode.CONSENSUS_UNDECIDED),
        (0.4801, Action.HOLD, ReasonCode.CONSENSUS_UNDECIDED),
        (0.479, Action.SELL, ReasonCode.CONSENSUS_REACHED),
    ],
)
def test_dead_band(p_up, action, reason):
    """A5: inside the band the edge does not pay for entry and exit."""
    made = decision(all_seats(p_up), slope=Slope(1.0, 0.0, learnt=True))
    assert made.p_up == pytest.approx(p_up)
    assert (made.action, made.reason_code) == (action, reason)


def test_no_dead_band_still_needs_an_edge():
    """A5: with a dead band of 0 a coin must not become a SELL."""
    made = decision(all_seats(0.5), pool=POOL.model_copy(update={"dead_band": 0.0}))
    assert made.action is Action.HOLD


def test_agreement_adds_nothing():
    """A5: the ancestor's defect 4: six seats at 0.6 are as sure as one of them, not surer."""
    assert decision(all_seats(0.6), slope=Slope(1.0, 0.0, learnt=True)).p_up == pytest.approx(0.6)


def test_three_answers_are_no_quorum():
    """A4: at least 4 of 6 must answer: three loud seats must not trade."""
    forecasts = [answered(seat, 0.95, Action.BUY) for seat in list(SEATS)[:3]]
    made = decision(forecasts + [abstained(seat) for seat in list(SEATS)[3:]])
    assert (made.action, made.reason_code, made.quorum_met) == (Action.HOLD, ReasonCode.QUORUM_NOT_MET, False)
    assert (made.answers, made.vendors) == (3, 3)


def test_vendors_count_too():
    """A4: four answers of two vendors are two opinions: the two Claude seats share one."""
    seats = {
        seat: replace(answered(seat, 0.95, Action.BUY), vendor="anthropic" if number else "openai")
        for number, seat in enumerate(SEATS)
    }
    made = decision(seats.values())
    assert (made.answers, made.vendors, made.reason_code) == (6, 2, ReasonCode.QUORUM_NOT_MET)


def test_no_answer_at_all_is_a_hold_without_an_opinion():
    """A4: with every provider down the pipeline goes on and says so."""
    made = decision([abstained(seat, ReasonCode.SEATS_DISABLED) for seat in SEATS])
    assert (made.p_up, made.action, made.reason_code) == (0.5, Action.HOLD, ReasonCode.QUORUM_NOT_MET)
    assert "abstained: Models are turned off" in made.explanation


def test_incomplete_snapshot_takes_no_new_risk():
    """M4: stale candles must not lead to an order, however sure the seats are."""
    made = decision(all_seats(0.95, Action.BUY), snapshot=make_snapshot(complete=False))
    assert (made.action, made.reason_code) == (Action.HOLD, ReasonCode.SNAPSHOT_INCOMPLETE)


@pytest.mark.parametrize(("closing", "action"), [(4, Action.CLOSE), (3, Action.BUY)])
def test_majority_for_close_closes(closing, action):
    """A4: half of the answers is no majority; more than half ends the position."""
    seats = list(SEATS)
    forecasts = [answered(seat, 0.9, Action.CLOSE) for seat in seats[:closing]]
    assert decision(forecasts + [answered(seat, 0.9, Action.BUY) for seat in seats[closing:]]).action is action


def test_what_most_of_six_want_closed_is_closed_below_the_quorum():
    """A4: too few vendors take no new risk, but four of six seats may still end a position; three may not."""

    def of_two_vendors(action, count):
        seats = [answered(seat, 0.9, action) for seat in list(SEATS)[:count]]
        seats = [replace(one, vendor="anthropic" if number else "openai") for number, one in enumerate(seats)]
        return decision([*seats, *(abstained(seat) for seat in list(SEATS)[count:])])

    closed = of_two_vendors(Action.CLOSE, 4)
    assert (closed.action, closed.reason_code, closed.quorum_met) == (Action.CLOSE, ReasonCode.CLOSE_AGREED, False)
    assert of_two_vendors(Action.CLOSE, 3).reason_code is ReasonCode.QUORUM_NOT_MET
    assert of_two_vendors(Action.BUY, 5).reason_code is ReasonCode.QUORUM_NOT_MET
    incomplete = decision(all_seats(0.9, Action.CLOSE), snapshot=make_snapshot(complete=False))
    assert incomplete.reason_code is ReasonCode.SNAPSHOT_INCOMPLETE


def test_unanimity_is_over_six():
    """A5: the ancestor's defect 3: five of five is not unanimous when a sixth timed out."""
    whole = decision(all_seats(0.9, Action.BUY))
    assert (whole.unanimous, whole.agreement) == (True, 1.0)
    lacking = decision([*all_seats(0.9, Action.BUY)[:5], abstained("qwen")])
    assert (lacking.unanimous, lacking.agreement) == (False, pytest.approx(5 / 6))


def test_leverage_is_the_median_of_those_who_want_it():
    """R1: one seat that shouts 10 must not set the leverage, nor a seat on the other side."""
    wanted = [
        answered(seat, 0.9, Action.BUY, leverage) for seat, leverage in zip(SEATS, (1, 2, 10, 2, 3), strict=False)
    ]
    made = decision([*wanted, answered("qwen", 0.1, Action.SELL, 9.0)])
    assert (made.action, made.leverage) == (Action.BUY, Decimal(2))


def test_leverage_is_one_where_no_seat_wants_what_was_decided():
    """R1: a leverage that nobody asked for would raise risk by itself."""
    made = decision(all_seats(0.9, Action.HOLD, leverage=5.0))
    assert (made.action, made.leverage) == (Action.BUY, Decimal(1))


@pytest.mark.parametrize(
    ("disagreement", "factor"), [(0.0, "1.00"), (math.log(49) / 2, "0.75"), (math.log(49), "0.50"), (99.0, "0.50")]
)
def test_size_factor(disagreement, factor):
    """R2: disagreement lowers size in a straight line; it never raises it, nor takes it all."""
    assert size_factor(disagreement, clip=0.02) == pytest.approx(Decimal(factor), abs=Decimal("0.01"))
    assert Decimal("0.5") <= size_factor(disagreement, clip=0.02) <= 1


def test_decision_names_all_it_rests_on():
    """D1: lineage from an order back to snapshot, forecasts and code versions starts here."""
    snapshot = make_snapshot()
    made = decision(all_seats(0.6))
    assert made.snapshot_id == snapshot.snapshot_id
    assert len(set(made.forecast_ids)) == 6
    assert made.valid_until == AS_OF + timedelta(minutes=10)
    assert (made.reference_price, made.atr) == (50000.0, 500.0)
    assert {"indicators", "snapshot", "technical", "regime", "sentiment", "template", "seats", "consensus"} <= set(
        made.code_versions
    )
    assert decision(all_seats(0.6)) == made
    assert decision(all_seats(0.6), account="paper").decision_id != made.decision_id


def test_explanation_says_who_said_what_and_labels_baselines():
    """DESIGN 3.8: a reader must not take a baseline for the model whose seat it keeps warm."""
    forecasts = [*all_seats(0.7, Action.BUY)[:5], abstained("qwen")]
    text = decision(forecasts).explanation
    assert text.startswith("BUY. ")
    assert "gpt (baseline momentum) says BUY, 70% up in 4 hours: Because." in text
    assert "qwen (baseline random) abstained: The seat did not answer before its deadline." in text
    assert "5 of 6 seats of 4 vendors answered" in text


def test_explanation_names_the_dissenters_and_what_they_cost():
    """A5: a reader must see who was against it, and that dissent only took from the size."""
    forecasts = [*all_seats(0.9, Action.BUY)[:4], answered("claude_opus", 0.2, Action.SELL), answered("qwen", 0.5)]
    made = decision(forecasts)
    assert "4 of 6 say BUY; against it: claude_opus (SELL); qwen (HOLD)." in made.explanation
    assert f"which leaves {made.size_factor:.0%} of the size" in made.explanation
    assert "Chance of a higher price in 4 hours: " in made.explanation
    assert f"{made.p_up:.1%} after a slope of 0.30 (the prior one)" in made.explanation


@pytest.mark.parametrize(
    ("forecasts", "words"),
    [
        (all_seats(0.9, Action.BUY), "All 6 say BUY: unanimous, which makes nothing larger."),
        (all_seats(0.9, Action.BUY)[:5], "5 of 6 say BUY, and nobody who answered says otherwise."),
        (
            [*all_seats(0.9, Action.BUY)[:3], *all_seats(0.1, Action.SELL)[3:]],
            "No action has the most voices: BUY: deepseek, gpt, grok; SELL: claude_opus, claude_sonnet, qwen.",
        ),
        ([], "Nobody said anything."),
    ],
)
def test_explanation_says_how_far_they_agree(forecasts, words):
    """A5: two camps of three are no majority for the first of them, and silence is no agreement."""
    silent = [abstained(seat) for seat in list(SEATS)[len(forecasts) :]]
    assert words in decision([*forecasts, *silent]).explanation


@pytest.mark.parametrize("given", [[], ["gpt"] * 6, list(SEATS)[:5]])
def test_every_seat_is_accounted_for(given):
    """A4: a forecast that was lost would silently shrink the denominator."""
    with pytest.raises(DataError, match="one forecast of each of 6 seats"):
        decision([answered(seat, 0.6) for seat in given])
