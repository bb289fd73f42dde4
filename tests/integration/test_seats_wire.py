"""What litellm really sends to each provider, and what becomes of every way in which a provider can fail."""

from decimal import Decimal

import pytest
from model_apis import GOOD, Behaviour, ModelApis, model_apis
from seats_data import MODELS, SEATS, make_prompt, make_snapshot

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.calls import Notebook
from triplegain_pipelines.agents.schemas import response_format
from triplegain_pipelines.agents.seats import ask_seats, plan_calls
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.model_calls import CallStatus
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import AnswerFormat

pytestmark = pytest.mark.integration

KEY = "sk-of-a-provider-0123456789"
VENDOR_OF = {"gpt": "openai", "grok": "xai", "deepseek": "deepseek", "claude_opus": "anthropic", "qwen": "ollama"}
PRICED = ("gpt", "grok", "deepseek", "claude_opus")


@pytest.fixture
def apis(monkeypatch):
    with model_apis() as running:
        for name, value in running.environment(KEY).items():
            monkeypatch.setenv(name, value)
        yield running


def ask(*, deadline=20.0, **seat_changes):
    """The forecasts of the configured seats by seat, and the notes of all calls; keywords change single seats."""
    changed = {
        name: seat.model_copy(update={"deadline_seconds": deadline, **seat_changes.get(name, {})})
        for name, seat in SEATS.items()
    }
    models = MODELS.model_copy(update={"offline": False, "seats": changed})
    snapshot = make_snapshot()
    book = Notebook()
    forecasts = ask_seats(plan_calls(snapshot.snapshot_id, make_prompt(snapshot), models, llm_enabled=True), book)
    return {one.seat: one for one in forecasts}, book.calls


def test_each_provider_takes_what_it_is_sent(apis: ModelApis):
    """A4, issue 5.7: a parameter that a provider refuses makes its seat abstain for ever."""
    forecasts, calls = ask()
    assert apis.complaints == []
    assert apis.others == []  # such as litellm asking Ollama what it can do, while everybody waits
    assert {name: (one.status.value, one.error) for name, one in forecasts.items()} == dict.fromkeys(
        SEATS, ("answered", None)
    )
    assert {vendor: len(asked) for vendor, asked in apis.requests.items()} == {
        "openai": 1,
        "anthropic": 2,
        "xai": 1,
        "deepseek": 1,
        "ollama": 1,
    }
    assert all(one.parsed == SeatAnswer.model_validate_json(GOOD).model_dump(mode="json") for one in calls)
    openai, xai, deepseek, ollama = (apis.requests[one][0] for one in ("openai", "xai", "deepseek", "ollama"))
    assert openai["response_format"] == xai["response_format"] == response_format(SeatAnswer)
    assert openai["max_completion_tokens"] == SEATS["gpt"].max_tokens
    assert openai["reasoning_effort"] == "low"
    assert xai["max_tokens"] == SEATS["grok"].max_tokens
    assert deepseek["response_format"] == {"type": "json_object"}
    assert deepseek["thinking"] == {"type": "disabled"}
    assert {one["model"]: one["max_tokens"] for one in apis.requests["anthropic"]} == {
        "claude-sonnet-5-5": SEATS["claude_sonnet"].max_tokens,
        "claude-opus-5-5": SEATS["claude_opus"].max_tokens,
    }
    assert ollama["format"] == SeatAnswer.model_json_schema()
    assert ollama["options"] == {"num_predict": SEATS["qwen"].max_tokens}


def test_cost_is_worked_out_from_the_tokens_that_were_told(apis: ModelApis):
    """A6: 1000 tokens in and 100 out by hand; xAI tells its 50 of reasoning beside the 100, and bills them."""
    forecasts, _ = ask()
    assert {name: one.cost_usd for name, one in forecasts.items()} == {
        "gpt": Decimal("0.006"),
        "grok": Decimal("0.0029"),
        "deepseek": Decimal("0.001716"),
        "claude_sonnet": Decimal("0.003"),
        "claude_opus": Decimal("0.006"),
        "qwen": Decimal(0),
    }
    assert (forecasts["grok"].input_tokens, forecasts["grok"].output_tokens) == (1000, 150)


def test_answer_without_usage_costs_the_worst_case(apis: ModelApis):
    """A6: a provider that tells no tokens must not look free."""
    apis.behaviours["openai"] = [Behaviour(usage=False)]
    forecasts, calls = ask()
    gpt = next(one for one in calls if one.seat == "gpt")
    assert forecasts["gpt"].cost_usd == gpt.worst_case_usd > Decimal("0.08")


def test_tool_as_the_way_to_an_answer(apis: ModelApis):
    """A4: a provider without structured output can be held to the schema by a tool that it must call."""
    forecasts, _ = ask(grok={"answer_format": AnswerFormat.TOOL})
    assert apis.complaints == []
    assert forecasts["grok"].status is ForecastStatus.ANSWERED
    sent = apis.requests["xai"][0]
    assert sent["tools"][0]["function"]["parameters"] == SeatAnswer.model_json_schema()
    assert sent["tool_choice"]["function"]["name"] == "SeatAnswer"
    assert "response_format" not in sent


@pytest.mark.parametrize("seat", VENDOR_OF)
def test_repair_turn_is_taken_by_each_provider(apis: ModelApis, seat: str):
    """A4: a conversation of four messages has rules of its own at each provider."""
    apis.behaviours[VENDOR_OF[seat]] = [Behaviour(text="I would BUY."), Behaviour()]
    forecasts, calls = ask(**({"claude_sonnet": {"price": None}} if seat == "claude_opus" else {}))
    assert apis.complaints == []
    assert (forecasts[seat].status.value, forecasts[seat].turns) == ("answered", 2)
    assert [(one.turn, one.reason_code) for one in calls if one.seat == seat] == [
        (1, ReasonCode.SEAT_SCHEMA),
        (2, None),
    ]


def test_every_provider_may_ask_for_patience(apis: ModelApis):
    """A4: a busy provider that says when to come back is asked again then, and not before."""
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(status=429, retry_after="1"), Behaviour()]
    started = monotonic_seconds()
    forecasts, calls = ask(claude_sonnet={"price": None})
    took = monotonic_seconds() - started
    assert {name: one.status.value for name, one in forecasts.items() if name != "claude_sonnet"} == dict.fromkeys(
        VENDOR_OF, "answered"
    )
    for seat in VENDOR_OF:
        first, second = (one for one in calls if one.seat == seat)
        assert (first.http_status, first.retry_in_seconds, first.cost_usd) == (429, 1.0, 0)
        assert (second.turn, second.attempt, second.status) == (1, 2, CallStatus.ANSWERED)
        assert second.latency_ms >= 1000
    assert 1 <= took < 5


def test_patience_beyond_the_deadline_is_an_abstention_at_once(apis: ModelApis):
    """A4: waiting past the deadline for a provider that said so would hold up the decision for nothing."""
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(status=429, retry_after="120")]
    started = monotonic_seconds()
    forecasts, calls = ask()
    assert monotonic_seconds() - started < 3
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_RATE_LIMITED}
    assert all(one.retry_in_seconds is None for one in calls)
    assert len(calls) == 6


@pytest.mark.parametrize("status", [500, 504, 529])
def test_server_errors_are_tried_again_until_the_deadline(apis: ModelApis, status: int):
    """A4: a passing failure of a provider costs no vote; a lasting one ends in time."""
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(status=status), Behaviour()]
    forecasts, calls = ask(claude_sonnet={"price": None})
    assert {name: one.status.value for name, one in forecasts.items() if name != "claude_sonnet"} == dict.fromkeys(
        VENDOR_OF, "answered"
    )
    refused = {one.http_status for one in calls if one.attempt == 1 and one.status is CallStatus.REFUSED}
    assert status in refused <= {status, 500}  # litellm calls some codes that it does not know 500
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(status=status)]
    started = monotonic_seconds()
    forecasts, calls = ask(deadline=1.0)
    assert monotonic_seconds() - started < 1.5
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_PROVIDER_ERROR}
    assert {one.cost_usd for one in forecasts.values()} == {0}
    assert max(one.attempt for one in calls) == 2


@pytest.mark.parametrize("status", [400, 401])
def test_refusals_are_not_repeated(apis: ModelApis, status: int, capfd, caplog):
    """A4, X9: what is wrong is as wrong the second time; and a refusal that repeats the key does not spread it."""
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(status=status, error=f"your key {KEY} is not good")]
    forecasts, calls = ask()
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_PROVIDER_ERROR}
    assert {one.http_status for one in calls} == {status}
    assert len(calls) == 6
    assert not any(KEY in f"{one}" for one in (*forecasts.values(), *calls))
    assert KEY not in "".join((*capfd.readouterr(), caplog.text))


def test_silent_and_cut_off_answers_cost_the_worst_case(apis: ModelApis):
    """A6: nobody knows what an answer that never came whole has cost; it is not asked for twice, and never free."""
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(silent=True)]
    started = monotonic_seconds()
    forecasts, calls = ask(deadline=1.0)
    assert monotonic_seconds() - started < 1.5
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_TIMEOUT}
    assert all(forecasts[seat].cost_usd == worst > 0 for seat, worst in worst_cases(calls).items())
    for vendor in apis.behaviours:
        apis.behaviours[vendor] = [Behaviour(cut_off=True)]
    forecasts, calls = ask()
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_PROVIDER_ERROR}
    assert {one.status for one in calls} == {CallStatus.BROKEN}
    assert len(calls) == 6
    assert all(forecasts[seat].cost_usd == worst > 0 for seat, worst in worst_cases(calls).items())


def worst_cases(calls):
    return {one.seat: one.worst_case_usd for one in calls if one.seat in PRICED}


def test_provider_that_is_not_there_costs_nothing(apis: ModelApis, monkeypatch):
    """A6: an outage of the network must not use up the day's budget with calls that never left."""
    for name in apis.environment(KEY):
        if name.endswith("_BASE"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
    forecasts, calls = ask()
    assert {one.reason_code for one in forecasts.values()} == {ReasonCode.SEAT_PROVIDER_ERROR}
    assert {one.cost_usd for one in calls} == {0}
    assert len(calls) == 6


def test_another_model_is_not_the_seat(apis: ModelApis):
    """A4: a provider that serves another model than the asked one would be scored under the wrong name."""
    other = {"openai": "gpt-5.6-luna", "xai": "grok-4.5", "deepseek": "deepseek-v4-flash", "anthropic": "claude-opus-5"}
    for vendor, model in other.items():
        apis.behaviours[vendor] = [Behaviour(model=model)]
    forecasts, _ = ask()
    abstained = {name for name, one in forecasts.items() if one.reason_code is ReasonCode.SEAT_WRONG_MODEL}
    assert abstained == {"gpt", "grok", "deepseek", "claude_opus", "claude_sonnet"}
    assert all(forecasts[name].p_up_4h is None and forecasts[name].cost_usd > 0 for name in abstained)
    assert "gpt-5.6 was asked, and gpt-5.6-luna answered" in forecasts["gpt"].error


def test_dated_and_other_names_of_the_same_model_are_it(apis: ModelApis):
    """A4: providers answer with the name of the build; an alias that is refused would silence a seat for ever."""
    names = {"openai": "gpt-5.6-sol-2026-07-09", "xai": "grok-4.7-0921", "deepseek": "deepseek-v4-pro-0813"}
    for vendor, model in names.items():
        apis.behaviours[vendor] = [Behaviour(model=model)]
    forecasts, calls = ask()
    assert {one.status.value for one in forecasts.values()} == {"answered"}
    assert {one.answered_by for one in calls} >= set(names.values())
