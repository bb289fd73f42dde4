"""Headlines read by a seat: bounded, asked once, replaced by the list of words with a reason, and made again."""

import json
import socket
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import dagster as dg
import pytest
from builders import ACCOUNT, BTC
from decided_floor import AS_OF, CONFIGURED, assert_identical, deliver, make_decision, market_minutes
from evidence_frames import snapshot_with
from injections import INJECTIONS
from model_apis import Behaviour, ModelApis, model_apis
from pydantic import ValidationError

from assets.signals import sentiment_signals
from triplegain_pipelines.agents.headline_tones import HeadlineTones, read_again, score_snapshots, sentiment_version
from triplegain_pipelines.agents.prompt import EVIDENCE_CLOSES, EVIDENCE_OPENS
from triplegain_pipelines.agents.schemas import schema_text
from triplegain_pipelines.agents.sentiment import HEADLINE_BOUND, SENTIMENT_VERSION, score_headlines
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.operations.audit import verify
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings.models import CallMode, ModelSettings, SentimentSettings
from triplegain_pipelines.store.headlines import upsert_headlines
from triplegain_pipelines.store.model_calls import read_calls
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

WORDS = CONFIGURED.models
RECORD = WORDS.model_copy(
    update={"offline": False, "calls": CallMode.RECORD, "sentiment": SentimentSettings(scorer="gpt")}
)
READER = f"gpt ({RECORD.seats['gpt'].model})"
THREE = ["Bitcoin rallies", "Exchange hacked", "Webinar on Tuesday"]
TONES = '{"tones": [1, -0.5, 0.2]}'


@pytest.fixture
def apis(monkeypatch):
    with model_apis() as running:
        for name, value in running.environment("sk-of-a-provider").items():
            monkeypatch.setenv(name, value)
        running.behaviours["openai"] = [Behaviour(text=TONES)]
        yield running


def about(titles, symbol="BTC/USDT") -> Snapshot:
    """A snapshot that shows these headlines."""
    shown = snapshot_with({}, titles)
    document = canonical_json({**shown.content, "symbol": symbol})
    identity = deterministic_id("snapshot", document)
    return replace(shown, symbol=symbol, document=document, snapshot_id=identity, content_hash=content_hash(document))


def score(database, *snapshots, models=RECORD, llm_enabled=True):
    found = score_snapshots(database, snapshots, models, llm_enabled=llm_enabled)
    return [found[one.snapshot_id] for one in snapshots]


def calls_behind(database, signal):
    with database.connection() as connection:
        return read_calls(connection, [signal.conversation_id]).get(signal.conversation_id, [])


def test_a_seats_tones_are_bounded_and_averaged_as_those_of_the_list(database, apis: ModelApis):
    """A3: by hand: 1 counts as 0.75, and three headlines as five: (0.75 - 0.5 + 0.2) / 5 = 0.09."""
    [signal] = score(database, about(THREE))
    assert (signal.score, signal.headlines, signal.fallback) == (0.09, 3, None)
    assert signal.reasons == (
        f"{READER} read the headlines: 2 of 3 headlines are positive, 1 negative; mean tone +0.09.",
    )
    question = apis.requests["openai"][0]["messages"][-1]["content"]
    shown = json.loads(question.partition(EVIDENCE_OPENS)[2].rpartition(EVIDENCE_CLOSES)[0])
    assert shown == {"headlines": [{"number": number, "title": title} for number, title in enumerate(THREE, 1)]}


def test_each_provider_takes_the_question(database, apis: ModelApis):
    """A4: a parameter or schema that a provider refuses would leave the list to score for ever."""
    for waiting in apis.behaviours.values():
        waiting[:] = [Behaviour(text=TONES)]
    for seat in RECORD.seats:
        models = RECORD.model_copy(update={"sentiment": SentimentSettings(scorer=seat)})
        [signal] = score(database, about(THREE), models=models)
        assert (signal.score, signal.fallback) == (0.09, None), seat
    assert apis.complaints == []


def test_the_asset_stores_what_the_seat_said_under_the_seats_version(database, apis: ModelApis):
    """A6: signals of two scorers under one version would be one series, and the first of them would stand for both."""
    snapshot = about(THREE)
    with database.connection() as connection:
        save_snapshots(connection, [snapshot])
    configured = CONFIGURED.model_copy(update={"models": RECORD})
    session = Session(
        ACCOUNT, snapshot.venue, (BTC,), replay=True, settings=configured, clock=ReplayClock(snapshot.as_of)
    )
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [sentiment_signals],
            partition_key=f"{snapshot.as_of:%Y-%m-%d}",
            resources={"database": database, "session": session},
            instance=instance,
        )
    assert done.success
    with database.connection() as connection:
        [row] = connection.execute(
            "SELECT code_version, score, conversation_id, fallback FROM research.sentiment_signals"
        ).fetchall()
    [signal] = score(database, snapshot)
    assert row == (sentiment_version(RECORD), 0.09, signal.conversation_id, None)
    assert len(apis.requests["openai"]) == 1


def test_a_set_of_headlines_is_asked_once(database, apis: ModelApis):
    """A6: four symbols show the same headlines at the same hour: that is one question."""
    first, second, other = about(THREE), about(THREE, "ETH/USDT"), about(THREE[::-1])
    one, two, three, empty = score(database, first, second, other, about([]))
    assert len(apis.requests["openai"]) == 2
    assert one == two
    assert three.conversation_id != one.conversation_id
    assert empty == score_headlines(about([])), "without headlines there is nothing to ask"
    assert score(database, first) == [one]
    assert len(apis.requests["openai"]) == 2


def test_the_wording_is_one_for_any_number_of_headlines(database, apis: ModelApis):
    """A6: the version names the wording; a schema that said how many would make ten series of one scorer."""
    apis.behaviours["openai"] = [Behaviour(text='{"tones": [0.5]}'), Behaviour(text=TONES)]
    signals = score(database, about(THREE[:1])) + score(database, about(THREE))
    templates = {call.template_hash for signal in signals for call in calls_behind(database, signal)}
    assert [signal.fallback for signal in signals] == [None, None]
    [template] = templates
    assert sentiment_version(RECORD) == f"{SENTIMENT_VERSION}+gpt/{RECORD.seats['gpt'].model}+{template[:12]}"
    assert sentiment_version(WORDS) == SENTIMENT_VERSION
    assert schema_text(HeadlineTones) in apis.requests["openai"][0]["messages"][0]["content"]


POOR = RECORD.model_copy(update={"budget": RECORD.budget.model_copy(update={"day_usd": Decimal(0)})})
NO_ANSWERS = [
    (RECORD, True, "[1, 1, 1]", ReasonCode.SEAT_SCHEMA),
    (RECORD, True, '{"tones": [1, 1]}', ReasonCode.SEAT_SCHEMA),
    (RECORD, True, '{"tones": [1, 1, 1, 1]}', ReasonCode.SEAT_SCHEMA),
    (RECORD, True, '{"tones": [1, 1, 1], "action": "BUY"}', ReasonCode.SEAT_SCHEMA),
    (RECORD, True, '{"tones": [1, 1, 99]}', ReasonCode.SEAT_OUT_OF_RANGE),
    (RECORD, True, '{"tones": [1, 1, NaN]}', ReasonCode.SEAT_OUT_OF_RANGE),
    (POOR, True, TONES, ReasonCode.SEAT_BUDGET),
    (RECORD.model_copy(update={"calls": CallMode.REPLAY}), True, TONES, ReasonCode.SEAT_NOT_RECORDED),
    (RECORD.model_copy(update={"offline": True}), True, TONES, ReasonCode.SEAT_OFFLINE),
    (RECORD, False, TONES, ReasonCode.SEATS_DISABLED),
]


@pytest.mark.parametrize(("models", "llm_enabled", "said", "reason"), NO_ANSWERS)
def test_where_a_seat_gives_no_tones_the_list_scores_and_says_so(
    database, apis: ModelApis, models: ModelSettings, llm_enabled, said, reason
):
    """A3: a score by the list under a seat's name would be believed to be the seat's."""
    apis.behaviours["openai"] = [Behaviour(text=said)]
    [signal] = score(database, about(THREE), models=models, llm_enabled=llm_enabled)
    plain = score_headlines(about(THREE))
    assert (signal.score, signal.headlines, signal.fallback) == (plain.score, 3, reason)
    why = f"{reason.value}: {reason.meaning} The list of words scored the headlines instead."
    assert signal.reasons == (*plain.reasons, why)
    again = read_again(about(THREE), signal, calls_behind(database, signal))
    assert score_headlines(about(THREE), again) == signal


@pytest.mark.parametrize("start", range(0, len(INJECTIONS), 10))
def test_what_headlines_make_a_seat_write_is_no_more_than_numbers(database, apis: ModelApis, start):
    """A3: a seat that repeats its headlines in every place of its answer gets none of them any further."""
    titles = INJECTIONS[start : start + 10]
    tones = json.dumps([1] * len(titles))
    for written in (f'{{"tones": {tones}, "note": {json.dumps(titles)}}}', json.dumps({"tones": titles})):
        apis.behaviours["openai"] = [Behaviour(text=written)]
        [signal] = score(database, about(titles, symbol=written[:40]))
        assert signal.fallback is ReasonCode.SEAT_SCHEMA
        assert abs(signal.score) <= HEADLINE_BOUND
        assert not any(title in "".join(signal.reasons) for title in titles)


def test_an_order_on_a_seats_tones_is_verified_without_a_network(database, apis: ModelApis, monkeypatch):
    """O3, A3: the signal is made again from the stored call, also when another scorer is set by then."""
    deliver(database, market_minutes())
    headlines = [
        Headline(f"h{number}", "CoinDesk", title, None, AS_OF - timedelta(hours=2, minutes=number))
        for number, title in enumerate(THREE)
    ]
    with database.connection() as connection:
        upsert_headlines(connection, headlines)
    decided = make_decision(database, RECORD)
    assert len(apis.requests["openai"]) == 1
    monkeypatch.setattr(socket.socket, "connect", lambda *_, **__: pytest.fail("a connection was opened"))
    assert_identical(database, decided)
    assert len(apis.requests["openai"]) == 1
    with database.connection() as connection:
        connection.execute("UPDATE research.sentiment_signals SET score = 0.4")
    broken = [step for step in verify(database, decided.entry, CONFIGURED).steps if not step.identical]
    assert "signals" in {step.name for step in broken}


def test_an_answer_about_other_headlines_is_not_taken_for_one_about_these(database, apis: ModelApis):
    """A6: numbers fit any headlines of the same number; only the stored question says which were meant."""
    [signal] = score(database, about(THREE))
    calls = calls_behind(database, signal)
    assert score_headlines(about(THREE), read_again(about(THREE), signal, calls)) == signal
    for snapshot, made in ((about(THREE[::-1]), calls), (about(THREE), [])):
        with pytest.raises(DataError, match="no seat's answer to today's question"):
            read_again(snapshot, signal, made)
    with pytest.raises(DataError, match="does not fit the schema"):
        read_again(about(THREE), signal, [replace(calls[0], raw_answer='{"tones": [1]}')])


def test_a_scorer_that_is_no_seat_stops_the_start():
    """A3: with a misspelt seat every headline would be scored by nobody, and found out an hour later."""
    with pytest.raises(
        ValidationError, match=r"sentiment\.scorer: there is no seat 'gtp'; write 'lexicon' or one of gpt"
    ):
        ModelSettings.model_validate({**WORDS.model_dump(), "sentiment": {"scorer": "gtp"}})
