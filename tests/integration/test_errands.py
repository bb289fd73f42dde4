"""Side questions to one seat: asked as forecasts are, stored, paid for, and kept apart from forecasts."""

import asyncio
import socket
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from model_apis import Behaviour, ModelApis, model_apis
from pydantic import BaseModel, ConfigDict, Field
from seats_data import MODELS, SEATS

from triplegain_pipelines.agents.conversation import NoAnswer
from triplegain_pipelines.agents.errands import Errand, conversation_of, run_errands
from triplegain_pipelines.agents.schemas import schema_text
from triplegain_pipelines.agents.seat_calls import FORECAST
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.forecasts import Prompt
from triplegain_pipelines.domain.model_calls import CallStatus
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import CallMode
from triplegain_pipelines.store.budgets import open_reservations, read_standings
from triplegain_pipelines.store.model_calls import read_calls
from triplegain_pipelines.store.seat_overview import read_activity

pytestmark = pytest.mark.integration

KEY = "sk-of-a-provider-0123456789"
RECORD = MODELS.model_copy(update={"offline": False, "calls": CallMode.RECORD})
REPLAY = RECORD.model_copy(update={"calls": CallMode.REPLAY})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    words: tuple[str, ...] = Field(description="Words.")


class Story(BaseModel):
    """A story in parts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    mood: float = Field(ge=-1, le=1, description="Its mood.")
    parts: list[_Part] = Field(description="Its parts.")


STORY = '{"mood": 0.5, "parts": [{"words": ["one", "two"]}]}'
TOLD = Story.model_validate_json(STORY)


@pytest.fixture
def apis(monkeypatch):
    with model_apis() as running:
        for name, value in running.environment(KEY).items():
            monkeypatch.setenv(name, value)
        for waiting in running.behaviours.values():
            waiting.append(Behaviour(text=STORY))
        yield running


def errand(seat: str = "gpt", question: str = "Tell a story.", purpose: str = "stories") -> Errand[Story]:
    system = f"Answer in JSON. {schema_text(Story)}"
    return Errand(purpose, seat, Prompt(content_hash([system, question]), "template", system, question), Story)


def run(database, *errands, models=RECORD, llm_enabled=True):
    return run_errands(database, errands, models, llm_enabled=llm_enabled)


def rows_of(database, one, models=RECORD):
    identity = conversation_of(one, models)
    with database.connection() as connection:
        return read_calls(connection, [identity]).get(identity, [])


def test_an_errand_goes_the_way_of_a_forecast(database, apis: ModelApis):
    """A6: one repair turn, a row for every turn, the money settled; and it is no forecast of anything."""
    apis.behaviours["openai"] = [Behaviour(text="Once upon a time."), Behaviour(text=STORY)]
    assert run(database, errand()) == [TOLD]
    rows = rows_of(database, errand())
    assert [(one.turn, one.status, one.reason_code) for one in rows] == [
        (1, CallStatus.ANSWERED, ReasonCode.SEAT_SCHEMA),
        (2, CallStatus.ANSWERED, None),
    ]
    assert {(one.purpose, one.snapshot_id, one.seat, one.model) for one in rows} == {
        ("stories", None, "gpt", SEATS["gpt"].model)
    }
    assert (rows[1].raw_answer, rows[1].parsed) == (STORY, TOLD.model_dump(mode="json"))
    at = SystemClock().now()
    with database.connection() as connection:
        assert open_reservations(connection) == []
        [activity] = read_activity(connection, at - timedelta(hours=1), at + timedelta(hours=1))
        spent = {one.seat: one.spent_usd for one in read_standings(connection, RECORD.budget, ["gpt"], at)}
        assert connection.execute("SELECT count(*) FROM research.seat_forecasts").fetchone() == (0,)
    assert (activity.answered, activity.abstained, activity.calls, activity.side_calls) == (0, 0, 2, 2)
    assert activity.cost_usd == spent["gpt"] == spent[None] == sum(one.cost_usd for one in rows) == Decimal("0.012")


def test_each_provider_takes_the_schema_of_an_errand(database, apis: ModelApis):
    """A4: nested parts and tuples must not make a provider refuse the question."""
    assert run(database, *(errand(seat) for seat in SEATS)) == [TOLD] * 6
    assert apis.complaints == []
    asked = apis.requests["openai"][0]["response_format"]["json_schema"]
    assert (asked["name"], asked["schema"]) == ("Story", Story.model_json_schema())


def test_the_same_errand_is_asked_once(database, apis: ModelApis, monkeypatch):
    """A6, X3: what was answered is not paid for twice, and a replay answers from it without a connection."""
    other = errand(question="Another story.")
    assert run(database, errand(), other, errand()) == [TOLD] * 3
    assert len(apis.requests["openai"]) == 2
    assert run(database, errand()) == [TOLD]
    run(database, errand(purpose="other stories"))
    assert len(apis.requests["openai"]) == 3

    def refuse(*_, **__):
        msg = "a replay opened a connection"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", refuse)
    unheard = errand(question="A story that was never told.")
    told, missing = run(database, errand(), unheard, models=REPLAY)
    assert told == TOLD
    assert missing.reason is ReasonCode.SEAT_NOT_RECORDED
    assert rows_of(database, unheard) == []


@pytest.mark.parametrize(
    ("models", "llm_enabled", "reason"),
    [
        (MODELS.model_copy(update={"offline": True}), True, ReasonCode.SEAT_OFFLINE),
        (RECORD, False, ReasonCode.SEATS_DISABLED),
    ],
    ids=["offline", "disabled"],
)
def test_nothing_is_asked_where_models_are_off(database, apis: ModelApis, models, llm_enabled, reason):
    """A6: a switch that stops forecasts and lets side questions through still spends money."""
    assert run(database, errand(), models=models, llm_enabled=llm_enabled) == [NoAnswer(reason, reason.meaning)]
    assert not any(apis.requests.values())


@pytest.mark.parametrize(
    ("behaviour", "reason", "asked"),
    [
        (Behaviour(text="Never."), ReasonCode.SEAT_SCHEMA, 2),
        (Behaviour(text=STORY.replace("0.5", "9")), ReasonCode.SEAT_OUT_OF_RANGE, 2),
        (Behaviour(text=STORY, model="gpt-6-mini"), ReasonCode.SEAT_WRONG_MODEL, 1),
        (Behaviour(status=401), ReasonCode.SEAT_PROVIDER_ERROR, 1),
        (Behaviour(status=429, retry_after="900"), ReasonCode.SEAT_RATE_LIMITED, 1),
        (Behaviour(cut_off=True), ReasonCode.SEAT_PROVIDER_ERROR, 1),
    ],
    ids=lambda one: one.name if isinstance(one, ReasonCode) else "",
)
def test_a_failure_has_a_reason_and_stays_one(database, apis: ModelApis, behaviour, reason, asked):
    """A4: an errand that fails is not asked again until it succeeds: who reads it later finds what was there."""
    apis.behaviours["openai"] = [behaviour]
    [failed] = run(database, errand())
    assert (failed.reason, len(apis.requests["openai"])) == (reason, asked)
    apis.behaviours["openai"] = [Behaviour(text=STORY)]
    [still] = run(database, errand())
    assert (still.reason, len(apis.requests["openai"])) == (reason, asked)


def test_an_errand_beyond_the_budget_or_to_a_benched_seat_is_not_made(database, apis: ModelApis):
    """A6: side questions are held to the same budget, and to the same bench, as forecasts."""
    poor = RECORD.model_copy(update={"budget": RECORD.budget.model_copy(update={"seat_day_usd": Decimal("0.001")})})
    [refused] = run(database, errand(), models=poor)
    assert refused.reason is ReasonCode.SEAT_BUDGET
    assert not apis.requests["openai"]
    nervous = RECORD.model_copy(update={"bench": RECORD.bench.model_copy(update={"failures": 1})})
    apis.behaviours["xai"] = [Behaviour(status=401)]
    questions = [errand("grok", question) for question in ("One.", "Two.")]
    reasons = [run(database, one, models=nervous)[0].reason for one in questions]
    assert reasons == [ReasonCode.SEAT_PROVIDER_ERROR, ReasonCode.SEAT_BENCHED]
    assert len(apis.requests["xai"]) == 1


def test_no_secret_and_nothing_unstorable_is_in_any_depth_of_an_answer(database, apis: ModelApis):
    """X9: JSON can hide a key's characters and a NUL behind escapes, which a look at the raw text does not find."""
    hidden = "".join(f"\\u{ord(sign):04x}" for sign in KEY)
    words = f'"a\\u0000b {hidden}"'
    apis.behaviours["openai"] = [Behaviour(text=STORY.replace('"one"', words))]
    [told] = run(database, errand())
    assert told.parts[0].words == ("a�b [secret]", "two")
    assert rows_of(database, errand())[0].parsed["parts"][0]["words"] == ["a�b [secret]", "two"]


@pytest.mark.parametrize("wrong", [errand("gtp"), errand(purpose=FORECAST)], ids=["no such seat", "a forecast"])
def test_what_is_no_errand_is_refused(database, wrong):
    """A9: a side question that looked like a forecast would stand in the forecasts' bill and traces."""
    with pytest.raises(ValueError, match="side questions go to one of gpt, grok"):
        run(database, wrong)


def test_the_kind_of_a_call_and_its_snapshot_belong_together(database, apis: ModelApis):
    """A6: a forecast's call about no snapshot, or an errand's about one, cannot be stored."""
    import psycopg

    from triplegain_pipelines.store.model_calls import insert_call

    run(database, errand())
    [row] = rows_of(database, errand())
    with pytest.raises(psycopg.errors.CheckViolation), database.connection() as connection:
        insert_call(connection, replace(row, call_id=row.conversation_id, attempt=2, purpose=FORECAST))
