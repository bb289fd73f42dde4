"""Six seats, each in one of six states: every combination through the decision, a sample through the real fan-out."""

import itertools
from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pytest
from model_apis import GOOD, Behaviour, ModelApis, model_apis
from seats_data import AS_OF, DECISIONS, MODELS, POOL, QUORUM, RANGING, SEATS, make_prompt, make_snapshot

from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.calls import Notebook
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.seats import ask_seats, plan_calls, recall
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import Action, Decision, ForecastStatus
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode

pytestmark = pytest.mark.integration

SEED = 11
SURE = GOOD.replace('"p_up_4h":0.6', '"p_up_4h":0.9')
SLOPE = Slope(0.3, 0.0, learnt=False)
SNAPSHOT = make_snapshot()
DEADLINE, SILENT_DEADLINE = 5.0, 0.5

STATES = ("ok", "timeout", "bad JSON", "out of range", "429", "wrong model")
REASONS = dict(
    zip(
        STATES,
        (
            None,
            ReasonCode.SEAT_TIMEOUT,
            ReasonCode.SEAT_SCHEMA,
            ReasonCode.SEAT_OUT_OF_RANGE,
            ReasonCode.SEAT_RATE_LIMITED,
            ReasonCode.SEAT_WRONG_MODEL,
        ),
        strict=True,
    )
)
BEHAVIOURS = {
    "ok": Behaviour(text=SURE),
    "timeout": Behaviour(silent=True),
    "bad JSON": Behaviour(text='{"action": "BUY", "p_up_4h": 0.9'),
    "out of range": Behaviour(text=SURE.replace("0.9", "1.9")),
    "429": Behaviour(status=429, retry_after="600"),
    "wrong model": Behaviour(text=SURE, model="somebody-else"),
}


def calls_for(deadlines: Mapping[str, float]):
    seats = {name: seat.model_copy(update={"deadline_seconds": deadlines[name]}) for name, seat in SEATS.items()}
    models = MODELS.model_copy(update={"offline": False, "seats": seats})
    return plan_calls(SNAPSHOT.snapshot_id, make_prompt(SNAPSHOT), models, llm_enabled=True)


def row(call, turn: int, status: CallStatus, **ended) -> ModelCall:
    """A call as it is stored after it has ended."""
    unsaid = dict.fromkeys(
        ("reason_code", "retry_in_seconds", "raw_answer", "parsed", "answered_by", "http_status", "error")
    )
    return ModelCall(
        call_id=deterministic_id("call", call.conversation_id, turn),
        purpose="forecast",
        conversation_id=call.conversation_id,
        snapshot_id=call.snapshot_id,
        prompt_hash=call.prompt.prompt_hash,
        template_hash=call.prompt.template_hash,
        seat=call.seat,
        vendor=call.vendor,
        model=call.model,
        baseline=False,
        code_version=call.code_version,
        parameters=call.parameters,
        turn=turn,
        attempt=1,
        asked_at=AS_OF,
        status=status,
        input_tokens=1000,
        output_tokens=100,
        worst_case_usd=Decimal(1),
        cost_usd=Decimal("0.01"),
        latency_ms=5.0,
        **{**unsaid, **ended},
    )


def forecast_in(call, state: str) -> SeatForecast:
    """What the conversation comes to when the seat is in `state`, turn after turn."""
    if state == "timeout":
        made = [row(call, 1, CallStatus.TIMEOUT, reason_code=ReasonCode.SEAT_TIMEOUT)]
    elif state == "429":
        made = [row(call, 1, CallStatus.REFUSED, reason_code=ReasonCode.SEAT_RATE_LIMITED, http_status=429)]
    else:
        behaviour = BEHAVIOURS[state]
        said = {"raw_answer": behaviour.text, "answered_by": behaviour.model or call.names[0]}
        made = [row(call, turn, CallStatus.ANSWERED, **said) for turn in (1, 2)]
        if (first := recall(call, made[:1])) is not None:
            return first
    came_to = recall(call, made)
    assert came_to is not None
    return came_to


def decision(forecasts) -> Decision:
    return decide(
        account="demo",
        snapshot=SNAPSHOT,
        regime=RANGING,
        forecasts=forecasts,
        slope=SLOPE,
        quorum=QUORUM,
        pool=POOL,
        decisions=DECISIONS,
    )


def assert_lawful(states: Mapping[str, str], made: Decision) -> None:
    """No decision below the quorum, and no vote from a failure."""
    answering = [seat for seat, state in states.items() if state == "ok"]
    vendors = {SEATS[seat].vendor for seat in answering}
    enough = len(answering) >= 4 and len(vendors) >= 3
    assert made.action is (Action.BUY if enough else Action.HOLD), states
    assert (made.answers, made.vendors, made.quorum_met) == (len(answering), len(vendors), enough), states
    assert made.agreement == len(answering) / 6, states
    assert made.unanimous is (len(answering) == 6), states


@pytest.mark.no_cover
def test_no_combination_of_states_decides_below_the_quorum():
    """A4, issue 5.1: 46,656 combinations: a failed seat that votes in one of them is a bet nobody made."""
    calls = {call.seat: call for call in calls_for(dict.fromkeys(SEATS, DEADLINE))}
    forecasts = {(seat, state): forecast_in(call, state) for seat, call in calls.items() for state in STATES}
    for (seat, state), one in forecasts.items():
        assert one.reason_code is REASONS[state], (seat, state)
        assert (one.p_up_4h is None) is (state != "ok")
    count = 0
    for combination in itertools.product(STATES, repeat=6):
        states = dict(zip(SEATS, combination, strict=True))
        assert_lawful(states, decision([forecasts[key] for key in states.items()]))
        count += 1
    assert count == 46_656


@pytest.fixture
def apis(monkeypatch):
    with model_apis() as running:
        for name, value in running.environment("sk-of-a-provider-0123456789").items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.mark.no_cover
def test_sampled_combinations_through_the_real_fan_out(apis: ModelApis):
    """A4, issue 5.1: the same law where six providers are really asked; each seat has its own deadline."""
    # A first round takes litellm's own first-time work out of the measured ones.
    ask_seats(calls_for(dict.fromkeys(SEATS, 30.0)), Notebook())
    random = np.random.default_rng(SEED)
    for _ in range(10):
        # Ollama's answer names the model that was asked, whatever sits there: litellm keeps what it says to itself.
        states = {seat: STATES[random.integers(len(STATES) - (one.vendor == "ollama"))] for seat, one in SEATS.items()}
        apis.of_model = {SEATS[seat].model.partition("/")[2]: BEHAVIOURS[state] for seat, state in states.items()}
        deadlines = {seat: SILENT_DEADLINE if state == "timeout" else DEADLINE for seat, state in states.items()}
        book = Notebook()
        started = monotonic_seconds()
        forecasts = ask_seats(calls_for(deadlines), book)
        took = monotonic_seconds() - started
        assert {one.seat: one.reason_code for one in forecasts} == {
            seat: REASONS[state] for seat, state in states.items()
        }, SEED
        assert_lawful(states, decision(forecasts))
        assert took <= max(deadlines.values()) + 0.5, (SEED, states, took)
        for one in forecasts:
            answered = one.status is ForecastStatus.ANSWERED
            assert answered is (states[one.seat] == "ok")
            if states[one.seat] == "timeout":
                assert 1000 * SILENT_DEADLINE <= one.latency_ms <= 1000 * (SILENT_DEADLINE + 0.5), (SEED, states)
