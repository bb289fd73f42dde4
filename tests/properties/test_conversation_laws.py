"""Laws of a conversation with a seat, whatever a provider does in whatever order."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_apis import GOOD
from pydantic import ValidationError
from seats_data import AS_OF, MODELS, make_prompt, make_snapshot

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.conversation import Question, proceed
from triplegain_pipelines.agents.seats import plan_calls, recall
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode

pytestmark = pytest.mark.unit

SNAPSHOT = make_snapshot()
CALL = plan_calls(
    SNAPSHOT.snapshot_id,
    make_prompt(SNAPSHOT),
    MODELS.model_copy(update={"offline": False}),
    llm_enabled=True,
)[0]
SENT = ModelCall(
    call_id=deterministic_id("call", "one"),
    purpose="forecast",
    conversation_id=CALL.conversation_id,
    snapshot_id=CALL.snapshot_id,
    prompt_hash=CALL.prompt.prompt_hash,
    template_hash=CALL.prompt.template_hash,
    seat=CALL.seat,
    vendor=CALL.vendor,
    model=CALL.model,
    baseline=False,
    code_version=CALL.code_version,
    parameters=CALL.parameters,
    turn=1,
    attempt=1,
    asked_at=AS_OF,
    status=CallStatus.SENT,
    reason_code=None,
    retry_in_seconds=None,
    raw_answer=None,
    parsed=None,
    answered_by=None,
    input_tokens=0,
    output_tokens=0,
    worst_case_usd=Decimal("0.1"),
    cost_usd=Decimal("0.1"),
    latency_ms=0.0,
    http_status=None,
    error=None,
)

texts = st.one_of(st.text(max_size=40), st.just(GOOD), st.floats(0, 3).map(lambda one: GOOD.replace("0.6", repr(one))))
names = st.sampled_from(
    [*CALL.names, "gpt-5.6-2026-08-01", "openai/gpt-5.6", "gpt-5.60", "gpt-5.6-luna", "gpt-5", None]
)
answers = st.tuples(texts, names).map(
    lambda one: {"status": CallStatus.ANSWERED, "raw_answer": one[0], "answered_by": one[1]}
)
failures = st.one_of(
    st.sampled_from([CallStatus.TIMEOUT, CallStatus.BROKEN, CallStatus.WITHHELD]).map(
        lambda status: {"status": status, "reason_code": ReasonCode.SEAT_PROVIDER_ERROR}
    ),
    st.one_of(st.none(), st.floats(0, 5)).map(
        lambda wait: {
            "status": CallStatus.REFUSED,
            "reason_code": ReasonCode.SEAT_RATE_LIMITED,
            "retry_in_seconds": wait,
        }
    ),
    st.just({"status": CallStatus.SENT}),
)


def is_valid(one: ModelCall) -> bool:
    try:
        SeatAnswer.model_validate_json(one.raw_answer or "")
    except ValidationError:
        return False
    return (one.answered_by or "").removeprefix("openai/") in {*CALL.names, "gpt-5.6-2026-08-01"}


@given(st.lists(st.one_of(answers, failures), min_size=12, max_size=12))
def test_conversations_end_and_only_a_valid_answer_of_the_seat_is_a_vote(outcomes):
    """A4: at most two answers are asked for, the last call decides, and stored calls come to the same."""
    made: list[ModelCall] = []
    while isinstance(step := proceed(CALL, made), Question):
        if len(made) == len(outcomes):
            return  # a provider that asks for patience for ever: the deadline ends it
        made.append(replace(SENT, turn=step.turn, attempt=step.attempt, **outcomes[len(made)]))
        assert step.turn <= 2
        assert len({(one.turn, one.attempt) for one in made}) == len(made)
    forecast = recall(CALL, made)
    assert forecast is not None
    last = made[-1]
    voted = forecast.status is ForecastStatus.ANSWERED
    assert voted is (last.status is CallStatus.ANSWERED and is_valid(last))
    assert (forecast.p_up_4h is not None) is voted
    assert (forecast.reason_code is None) is voted
    assert sum(one.status is CallStatus.ANSWERED for one in made) <= 2
    assert forecast.cost_usd == sum(one.cost_usd for one in made)
    # Every earlier state of the same conversation is an open one: a replay of half of it is no forecast.
    assert all(recall(CALL, made[:count]) is None for count in range(len(made)))
