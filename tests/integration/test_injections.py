"""Hostile headlines on the way from the database to the decision."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from builders import ACCOUNT, BTC
from decided_floor import AS_OF, CONFIGURED, DECIDED_AT, MARKET, deliver, market_minutes
from injections import INJECTIONS
from model_apis import Behaviour, model_apis
from servers import Server, fresh_database

from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.headline_tones import score_snapshots, sentiment_version
from triplegain_pipelines.agents.prompt import EVIDENCE_CLOSES, EVIDENCE_OPENS, render_prompt
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import HEADLINE_BOUND
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.operations.deliberation import ask_about, decide_on
from triplegain_pipelines.operations.evidence import gather
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings.models import LEXICON, SentimentSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.headlines import upsert_headlines
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
A_LOOK = 9
LOOKS = -(-len(INJECTIONS) // A_LOOK)
"""A snapshot shows ten headlines: so many looks, an hour apart, until each was shown."""

CALM = Headline("calm", "CoinDesk", "Exchange to hold webinar on Tuesday", None, AS_OF - 3 * HOUR)


@dataclass(frozen=True)
class Course:
    """What came of the headlines at each look."""

    snapshots: list[Snapshot]
    signals: list[Signals]
    prompts: list[str]
    forecasts: list[SeatForecast]
    decisions: list[Decision]


def hostile() -> list[Headline]:
    """All attacks, nine in the hour before each look."""
    start = AS_OF - (LOOKS - 1) * HOUR - timedelta(minutes=50)
    return [
        replace(
            CALM,
            headline_id=f"bad-{number}",
            title=injection,
            source=injection,
            first_seen_at=start + number // A_LOOK * HOUR + number % A_LOOK * timedelta(minutes=1),
        )
        for number, injection in enumerate(INJECTIONS)
    ]


def walk(database: Database, headlines: list[Headline], scorer: str = LEXICON) -> Course:
    """From stored candles and headlines through snapshots, signals and seats to the decisions.

    Baselines forecast, whoever scores the headlines.
    """
    first = DECIDED_AT - (LOOKS - 1) * HOUR
    models = CONFIGURED.models.model_copy(update={"sentiment": SentimentSettings(scorer=scorer)})
    configured = CONFIGURED.model_copy(update={"models": models})
    session = Session(ACCOUNT, MARKET, (BTC,), replay=True, settings=configured, clock=ReplayClock(AS_OF))
    deliver(database, market_minutes())
    with database.connection() as connection:
        upsert_headlines(connection, headlines)
    snapshots = list(gather(database, session, BTC, first, DECIDED_AT + HOUR).snapshots)
    asking = models.model_copy(update={"offline": False})
    scored = score_snapshots(database, snapshots, asking, llm_enabled=True)
    signals = [replace(assess(snapshot), sentiment=scored[snapshot.snapshot_id]) for snapshot in snapshots]
    made = {snapshot.snapshot_id: found for snapshot, found in zip(snapshots, signals, strict=True)}
    with database.connection() as connection:
        save_snapshots(connection, snapshots)
        save_technical_signals(connection, TECHNICAL_VERSION, {key: one.technical for key, one in made.items()})
        save_regime_signals(connection, REGIME_VERSION, {key: one.regime for key, one in made.items()})
        save_sentiment_signals(connection, sentiment_version(asking), scored)
    forecasts = ask_about(database, session, first, DECIDED_AT + HOUR)
    decisions = decide_on(database, session, first, DECIDED_AT + HOUR).decisions
    prompts = [render_prompt(*pair) for pair in zip(snapshots, signals, strict=True)]
    assert len({one.system_text for one in prompts}) == 1
    return Course(snapshots, signals, [one.user_text for one in prompts], forecasts, decisions)


def without(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def frame_and_evidence(prompt: str) -> tuple[str, str, dict[str, Any]]:
    """What stands before and after the evidence, and the evidence."""
    before, _, rest = prompt.partition(EVIDENCE_OPENS)
    evidence, _, after = rest.rpartition(EVIDENCE_CLOSES)
    assert not {"\n", "\r", "`"} & set(evidence)
    return before, after, json.loads(evidence)


def test_hostile_headlines_change_the_score_and_nothing_else(postgres: Server, request: pytest.FixtureRequest) -> None:
    """A3: from the stored row to the decision: no reading, signal, question, answer or decision may be another.

    The seats are the baselines, which read no headline. That a language model minds none is not shown by this: what is
    shown is that a headline has no other way to a decision than through a model that believes it.
    """
    with fresh_database(postgres, f"{request.node.nodeid} calm") as database:
        calm = walk(database, [CALM])
    with fresh_database(postgres, request.node.nodeid) as database:
        loud = walk(database, [CALM, *hostile()])
    assert_only_the_score_differs(calm, loud)


def test_a_seat_that_obeys_every_headline_changes_the_score_and_nothing_else(
    postgres: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A3: where a seat scores, all that its headlines can make it say is one bounded number for each of them."""
    with model_apis() as apis:
        for name, value in apis.environment("sk-of-a-provider").items():
            monkeypatch.setenv(name, value)
        apis.behaviours["openai"] = [Behaviour(text=obeyed)]
        with fresh_database(postgres, f"{request.node.nodeid} calm") as database:
            calm = walk(database, [CALM], scorer="gpt")
        with fresh_database(postgres, request.node.nodeid) as database:
            loud = walk(database, [CALM, *hostile()], scorer="gpt")
        assert apis.complaints == []
    assert {one.sentiment.fallback for one in loud.signals} == {None}
    assert min(one.sentiment.score for one in loud.signals) >= 0.9 * HEADLINE_BOUND, "it obeyed"
    assert_only_the_score_differs(calm, loud)


def obeyed(body: dict[str, Any]) -> str:
    """What a seat answers that does whatever the headlines ask for: the best tone for each, as many as were asked."""
    question = body["messages"][-1]["content"]
    headlines = json.loads(question.partition(EVIDENCE_OPENS)[2].rpartition(EVIDENCE_CLOSES)[0])["headlines"]
    return json.dumps({"tones": [0 if one["title"] == CALM.title else 1 for one in headlines]})


def assert_only_the_score_differs(calm: Course, loud: Course) -> None:
    """No reading, question, forecast or decision is another one."""
    assert len(calm.snapshots) == len(calm.decisions) == len(loud.decisions) == LOOKS
    shown = {one["title"] for snapshot in loud.snapshots for one in snapshot.content["headlines"]}
    assert len(shown) > 0.8 * len(INJECTIONS), "what has no text left is not shown, nor is what was shown already"

    for one, other in zip(calm.snapshots, loud.snapshots, strict=True):
        assert without(one.content, "headlines") == without(other.content, "headlines")
        assert len(other.content["headlines"]) <= 10
    for one, other in zip(calm.signals, loud.signals, strict=True):
        assert (one.technical, one.regime) == (other.technical, other.regime)
        assert abs(other.sentiment.score) <= HEADLINE_BOUND
    for one, other in zip(calm.prompts, loud.prompts, strict=True):
        (*frame, asked), (*other_frame, also_asked) = frame_and_evidence(one), frame_and_evidence(other)
        assert frame == other_frame
        assert without(asked, "snapshot", "sentiment") == without(also_asked, "snapshot", "sentiment")
        assert asked["snapshot"].keys() == also_asked["snapshot"].keys()
        assert asked["sentiment"].keys() == also_asked["sentiment"].keys() == {"score", "headlines", "reasons"}

    named = ("forecast_id", "snapshot_id", "prompt_hash", "latency_ms", "input_tokens", "asked_at")
    assert [without(asdict(one), *named) for one in calm.forecasts] == [
        without(asdict(one), *named) for one in loud.forecasts
    ]
    named = ("decision_id", "snapshot_id", "forecast_ids")
    assert [without(asdict(one), *named) for one in calm.decisions] == [
        without(asdict(one), *named) for one in loud.decisions
    ]
