"""The six seats through the real litellm: the offline provider and a faulty one. HTTP is in test_seats_wire.py."""

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from model_apis import GOOD
from seats_data import MODELS, SEATS, make_prompt, make_snapshot, market_snapshot

from triplegain_pipelines.agents import offline
from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.calls import Notebook
from triplegain_pipelines.agents.providers import library
from triplegain_pipelines.agents.seats import ask_seats, plan_calls
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import Price

pytestmark = pytest.mark.integration

OUT_OF_RANGE = GOOD.replace('"p_up_4h":0.6', '"p_up_4h":1.6')
PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(2), as_of=date(2026, 11, 21), source="made up")
KNOWN = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "litellm_provider": "faulty", "mode": "chat"}


class Faults:
    """A litellm provider whose models fail in the way of their names. `conversations` is all that it was asked."""

    def __init__(self, litellm):
        self.rate_limit = litellm.RateLimitError("429: come back later", "faulty", "down")
        self.conversations = []
        self.together = None

    async def answer(self, model, messages):
        """Text of the answer, None for none."""
        self.conversations.append((model, list(messages)))
        if model.startswith("thinks-"):
            _, seconds, baseline = model.split("-")
            await asyncio.sleep(float(seconds))
            return offline.reply(baseline, messages).text
        if model == "slow":
            await asyncio.Event().wait()
        if model == "together":
            self.together = self.together or asyncio.Barrier(6)
            await self.together.wait()
        if model == "down":
            raise self.rate_limit
        if model == "crashes":
            raise ZeroDivisionError
        repaired = model == "repairs" and len(messages) > 2
        texts = {"prose": "I would BUY.", "range": OUT_OF_RANGE, "repairs": GOOD if repaired else "BUY", "empty": None}
        return texts.get(model, GOOD)


@pytest.fixture(scope="module")
def faults():
    litellm = library()
    behaviour = Faults(litellm)

    class Provider(litellm.CustomLLM):
        async def acompletion(self, model, messages, model_response, **_):
            model_response.model = "somebody-else" if model == "impostor" else model
            model_response.choices[0].message.content = await behaviour.answer(model, messages)
            model_response.usage = litellm.Usage(prompt_tokens=1000, completion_tokens=100, total_tokens=1100)
            return model_response

    litellm.custom_provider_map.append({"provider": "faulty", "custom_handler": Provider()})
    models = ("good", "slow", "together", "down", "crashes", "prose", "range", "repairs", "empty")
    litellm.register_model({f"faulty/{model}": KNOWN for model in models})
    return behaviour


def calls_for(*models, deadline=5.0, snapshot=None, llm_enabled=True, price=PRICE):
    """One call for each of six models, in the order of the seats."""
    snapshot = snapshot or make_snapshot()
    changes = {"deadline_seconds": deadline, "price": price, "reasoning": None, "max_tokens": 800, "answers_as": ()}
    seats = {
        name: seat.model_copy(update={"model": model, **changes})
        for (name, seat), model in zip(SEATS.items(), models, strict=True)
    }
    settings = MODELS.model_copy(update={"offline": False, "seats": seats})
    return plan_calls(snapshot.snapshot_id, make_prompt(snapshot), settings, llm_enabled=llm_enabled)


def ask(calls):
    return ask_seats(calls, Notebook())


def baseline_calls(snapshot):
    return plan_calls(snapshot.snapshot_id, make_prompt(snapshot), MODELS, llm_enabled=True)


def test_baselines_answer_through_litellm():
    """A9: without key or network all six seats answer, and every row says that a baseline did."""
    forecasts = ask_seats(baseline_calls(market_snapshot(0.002)))
    assert [one.seat for one in forecasts] == list(SEATS)
    for one in forecasts:
        assert (one.status, one.error, one.turns, one.cost_usd) == (ForecastStatus.ANSWERED, None, 1, 0)
        assert one.baseline
        assert one.model == f"offline/{SEATS[one.seat].baseline}"
        assert one.vendor == SEATS[one.seat].vendor
        assert SeatAnswer.model_validate_json(one.raw_answer).p_up_4h == one.p_up_4h
        assert one.input_tokens > 1000
        assert one.output_tokens > 10
        assert one.latency_ms > 0


def test_same_question_gets_the_same_answer():
    """X3: a replay of baselines must give the same forecasts under the same ids; only latency may differ."""

    def content(forecasts):
        return [(one.forecast_id, one.raw_answer, one.input_tokens, one.p_up_4h) for one in forecasts]

    calls = baseline_calls(make_snapshot())
    assert content(ask_seats(calls)) == content(ask_seats(calls))


def test_each_failure_is_an_abstention_with_its_reason(faults):
    """A4: a failed model that becomes HOLD or disappears would shift the vote unseen."""
    models = ("faulty/slow", "faulty/prose", "faulty/range", "faulty/down", "faulty/crashes", "faulty/impostor")
    # The slow one never answers; the others have seconds, of which a busy machine may need more than one.
    forecasts = ask([*calls_for(*models, deadline=1.0)[:1], *calls_for(*models, deadline=3.0)[1:]])
    assert [one.reason_code for one in forecasts] == [
        ReasonCode.SEAT_TIMEOUT,
        ReasonCode.SEAT_SCHEMA,
        ReasonCode.SEAT_OUT_OF_RANGE,
        ReasonCode.SEAT_RATE_LIMITED,
        ReasonCode.SEAT_PROVIDER_ERROR,
        ReasonCode.SEAT_WRONG_MODEL,
    ]
    for one in forecasts:
        assert one.status is ForecastStatus.ABSTAINED
        assert (one.action, one.confidence, one.p_up_4h, one.leverage) == (None, None, None, None)
    assert forecasts[1].raw_answer == "I would BUY."
    assert "429" in forecasts[3].error
    assert "ZeroDivisionError" in forecasts[4].error
    assert "p_up_4h: Input should be less than or equal to 1" in forecasts[2].error
    assert "impostor was asked, and somebody-else answered" in forecasts[5].error
    assert not any("File" in one.error for one in forecasts)


def test_one_repair_turn(faults):
    """A4: one chance to repair, with what was wrong; not none, not many."""
    faults.conversations.clear()
    models = ("faulty/repairs", "faulty/prose", "faulty/empty", "faulty/good", "faulty/good", "faulty/good")
    forecasts = ask(calls_for(*models))
    assert [(one.turns, one.status.value) for one in forecasts[:4]] == [
        (2, "answered"),
        (2, "abstained"),
        (2, "abstained"),
        (1, "answered"),
    ]
    repair = next(asked for model, asked in faults.conversations if model == "repairs" and len(asked) > 2)
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert "Invalid JSON" in repair[-1]["content"]


def test_cost_and_tokens_of_every_turn_are_recorded(faults):
    """A6: worked by hand: 1000 tokens at 1 USD and 100 at 2 USD a million are 0.0012 USD, twice with a repair."""
    models = ("faulty/good", "faulty/repairs", "faulty/prose", "faulty/down", "faulty/good", "faulty/good")
    good, repaired, failed, down = ask(calls_for(*models))[:4]
    assert good.cost_usd == Decimal("0.0012")
    assert (repaired.cost_usd, repaired.input_tokens, repaired.output_tokens) == (Decimal("0.0024"), 2000, 200)
    assert failed.cost_usd == Decimal("0.0024")
    assert (down.cost_usd, down.turns) == (0, 1)


def test_configured_prices_are_those_that_litellm_knows():
    """A6: a price that went out of date in one of two places shows here, before a bill does."""
    known = library().model_cost
    for seat in SEATS.values():
        listed = known.get(seat.model) or known.get(seat.model.partition("/")[2])
        if listed is None:
            assert seat.vendor == "ollama"
            continue
        per_token = (seat.price.input_usd / 1_000_000, seat.price.output_usd / 1_000_000)
        assert per_token == tuple(Decimal(repr(listed[f"{way}_cost_per_token"])) for way in ("input", "output"))


def test_no_model_is_asked_without_a_book():
    """A6: a call that nobody holds to the budget is a bill that nobody limits."""
    with pytest.raises(ValueError, match="with a book"):
        ask_seats(calls_for(*["faulty/good"] * 6))


def test_wall_time_is_the_slowest_seat(faults):
    """A4: each seat waits until all six are asked: one after the other none would ever answer."""
    faults.together = None
    forecasts = ask(calls_for(*["faulty/together"] * 6))
    assert {one.status for one in forecasts} == {ForecastStatus.ANSWERED}


def test_six_offline_seats_take_hardly_longer_than_the_slowest(faults):
    """A4, issue 5.2: six baselines that take their time, up to half a second, are done in 1.2 times that."""
    seats = [seat.baseline for seat in SEATS.values()]
    models = [f"faulty/thinks-{(place + 1) / 12}-{baseline}" for place, baseline in enumerate(seats)]
    calls = calls_for(*models, snapshot=market_snapshot(0.001))
    ask(calls)  # litellm's own first-time work
    started = monotonic_seconds()
    forecasts = ask(calls)
    took = monotonic_seconds() - started
    assert {one.status for one in forecasts} == {ForecastStatus.ANSWERED}
    assert took <= 1.2 * 0.5


def test_model_without_a_price_is_not_called(faults):
    """A6: a model whose cost nobody knows cannot be held to a budget."""
    faults.conversations.clear()
    free_lunch, *others = calls_for("faulty/free-lunch", *["faulty/good"] * 5)
    forecasts = ask([replace(free_lunch, price=None), *others])
    assert forecasts[0].reason_code is ReasonCode.SEAT_UNKNOWN_PRICE
    assert "free-lunch" in forecasts[0].error
    assert [model for model, _ in faults.conversations] == ["good"] * 5


def test_disabled_models_are_not_called(faults):
    """A6: LLM_ENABLED=false turns models off, and each seat says so."""
    faults.conversations.clear()
    off, on = (calls_for(*["faulty/good"] * 6, llm_enabled=enabled) for enabled in (False, True))
    assert {one.reason_code for one in ask(off)} == {ReasonCode.SEATS_DISABLED}
    assert faults.conversations == []
    # Other ids: an abstention of yesterday must not be taken for today's answer.
    assert not {call.conversation_id for call in off} & {call.conversation_id for call in on}


def test_unstorable_text_is_replaced(faults, monkeypatch):
    """DESIGN 3.7: an answer with NUL or half a character would make the whole batch fail to be stored."""

    async def answer(model, messages):
        return GOOD.replace("Test.", "Te\\u0000st\ud800")

    monkeypatch.setattr(faults, "answer", answer)
    for one in ask(calls_for(*["faulty/good"] * 6)):
        text = f"{one.raw_answer}{one.reasoning}{one.error}"
        assert "\0" not in text
        text.encode()
