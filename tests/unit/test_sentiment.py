"""The sentiment agent: words of the trade, bounds, and headlines that try to give orders."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START
from evidence_frames import GRACE, random_frame, snapshot_of, snapshot_with, with_rollups
from hypothesis import given, settings
from hypothesis import strategies as st
from injections import INJECTIONS
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.headlines import MAXIMUM_LENGTH, clean_title
from triplegain_pipelines.agents.prompt import EVIDENCE_CLOSES, EVIDENCE_OPENS, render_prompt
from triplegain_pipelines.agents.regime import classify_regime
from triplegain_pipelines.agents.sentiment import HEADLINE_BOUND, INDEX_BOUND, LEAST_HEADLINES, score_headlines
from triplegain_pipelines.agents.technical import assess_technicals
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.headlines import Headline

pytestmark = pytest.mark.unit

ONE_HEADLINE = HEADLINE_BOUND / LEAST_HEADLINES


def test_no_headlines_are_neutral_and_said_to_be() -> None:
    """A3: silence must not pass for calm news."""
    signal = score_headlines(snapshot_with({}))
    assert (signal.score, signal.headlines) == (0.0, 0)
    assert signal.reasons[0].startswith(ReasonCode.NO_HEADLINES.value)


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        ("Bitcoin rallies to a record high as ETF inflows return", 1),
        ("SEC approves spot Ether fund", 1),
        ("Analysts turn bullish on Solana", 1),
        ("Ether soars after upgrade", 1),
        ("Exchange hacked, withdrawals halted", -1),
        ("Bitcoin plunges below 50,000 as liquidations mount", -1),
        ("Bridge exploit drains millions", -1),
        ("Lender files for insolvency", -1),
        ("Crypto selloff deepens", -1),
        ("Exchange to hold webinar on Tuesday", 0),
    ],
)
def test_words_of_the_trade(title: str, sign: int) -> None:
    """A3: plain VADER does not know 'bullish' and takes no offence at 'hacked'."""
    score = score_headlines(snapshot_with({}, [title])).score
    assert (score > 0) - (score < 0) == sign


def test_a_mean_worked_by_hand() -> None:
    """A3: 'bullish' scores 2.4 / sqrt(2.4^2 + 15) = 0.5267 (VADER's normalisation); one of at least five: 0.1053."""
    assert score_headlines(snapshot_with({}, ["bullish"])).score == pytest.approx(0.5267 / 5, abs=1e-5)
    ten = score_headlines(snapshot_with({}, ["bullish"] * 9 + ["bearish"]))
    assert ten.score == pytest.approx(0.5267 * 8 / 10, abs=1e-5)
    assert ten.reasons == ("9 of 10 headlines are positive, 1 negative; mean tone +0.42.",)


def indexed(score: int | None, titles: Sequence[str] = ()) -> Snapshot:
    """A snapshot with headlines and the fear-and-greed index, None where it has none."""
    snapshot = snapshot_with({}, titles)
    index = None if score is None else {"score": score, "age_minutes": 700}
    return replace(snapshot, document=canonical_json({**snapshot.content, "fear_greed": index}))


@pytest.mark.parametrize(("index", "moved"), [(0, -0.1), (25, -0.05), (50, 0.0), (60, 0.02), (100, 0.1)])
def test_the_index_moves_the_score_a_little_and_says_so(index: int, moved: float) -> None:
    """M6, A3: the mood of the market is one bounded input among the headlines, and its share is in the reasons."""
    for titles in ((), ["bullish"], ["hacked"] * 10):
        without, with_index = score_headlines(indexed(None, titles)), score_headlines(indexed(index, titles))
        assert with_index.score - without.score == pytest.approx(moved, abs=2e-6)
        assert with_index.headlines == len(titles)
        assert with_index.reasons == (
            *without.reasons,
            f"Fear and greed stands at {index} of 100, which moves the score by {moved:+.2f}.",
        )
        assert abs(with_index.score) <= HEADLINE_BOUND + INDEX_BOUND < 1


def test_snapshots_of_before_the_index_still_score() -> None:
    """D1: a past decision is computed again from its own document, which knows nothing of the index."""
    assert score_headlines(snapshot_with({}, ["bullish"])) == score_headlines(indexed(None, ["bullish"]))


AS_OF = START + timedelta(days=2) + GRACE
CALM = Headline("calm", "CoinDesk", "Exchange to hold webinar on Tuesday", None, AS_OF - timedelta(hours=2))


@pytest.fixture(scope="module")
def two_days() -> dict[Timeframe, pl.DataFrame]:
    """Candles that all injections are shown beside."""
    return with_rollups(random_frame(2 * 1440))


@pytest.mark.parametrize("place", ["title", "source"])
@pytest.mark.parametrize("injection", INJECTIONS)
def test_an_injected_headline_moves_the_score_within_its_bounds_and_nothing_else(
    two_days: dict[Timeframe, pl.DataFrame], injection: str, place: str
) -> None:
    """A3: a headline must not be able to give orders: no other reading, signal or word may change."""
    bad = replace(CALM, **{"headline_id": "bad", "title": "Bitcoin trades sideways", place: injection})
    before = snapshot_of(two_days, AS_OF, headlines=[CALM])
    after = snapshot_of(two_days, AS_OF, headlines=[CALM, bad])
    assert {key for key in after.content if after.content[key] != before.content[key]} <= {"headlines"}
    for shown in after.content["headlines"]:
        assert set(shown) == {"title", "source", "age_minutes"}
        for text in (shown["title"], shown["source"]):
            assert text.isprintable()
            assert len(text) <= MAXIMUM_LENGTH
            assert not re.search(r"[<>`\n]|://", text)
    assert assess_technicals(after) == assess_technicals(before)
    assert classify_regime(after) == classify_regime(before)
    moved = score_headlines(after)
    assert abs(moved.score - score_headlines(before).score) <= ONE_HEADLINE
    calm_reasons, moved_reasons = ("".join(one.reasons) for one in (score_headlines(before), moved))
    assert re.sub(r"[-+]?[\d.]+", "", moved_reasons) == re.sub(r"[-+]?[\d.]+", "", calm_reasons)
    assert_fenced(render_prompt(after, assess(after)).user_text, after)


def test_there_are_attacks_of_every_kind() -> None:
    """A3: a test-set that shrinks unseen proves less with every release."""
    assert len(set(INJECTIONS)) >= 40


@pytest.mark.parametrize("injection", INJECTIONS)
def test_the_fence_holds_without_the_cleaning_too(injection: str) -> None:
    """A3: the fence must not rest on the cleaning: whatever stands in a snapshot stays inside its block."""
    snapshot = snapshot_with({}, [injection])
    assert_fenced(render_prompt(snapshot, assess(snapshot)).user_text, snapshot)


@settings(deadline=None, max_examples=200)
@given(st.text(st.one_of(st.sampled_from('`~\n\r\u2028\u0085\\"{}$\0'), st.characters(codec="utf-8")), max_size=60))
def test_no_text_at_all_closes_the_fence(title: str) -> None:
    """A3: the attacks that nobody has thought of yet."""
    snapshot = snapshot_with({}, [title])
    assert_fenced(render_prompt(snapshot, assess(snapshot)).user_text, snapshot)


def assert_fenced(text: str, snapshot: Snapshot) -> None:
    """The prompt's evidence is one line of JSON that says what the snapshot says, whatever a headline holds."""
    evidence = text.partition(EVIDENCE_OPENS)[2].rpartition(EVIDENCE_CLOSES)[0]
    assert not {"\n", "\r", "`"} & set(evidence)
    assert text.count("```") == 2
    assert json.loads(evidence)["snapshot"] == snapshot.content


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=200).map(clean_title), max_size=10), st.text(max_size=200).map(clean_title))
def test_no_headline_has_more_than_its_share(titles: list[str], one_more: str) -> None:
    """A3: whatever it says, one headline among n moves the mean by no more than two bounds over max(n, 5)."""
    before, after = (score_headlines(snapshot_with({}, said)).score for said in (titles, [*titles, one_more]))
    assert abs(after) <= HEADLINE_BOUND
    assert abs(after - before) <= 2 * HEADLINE_BOUND / max(len(titles) + 1, LEAST_HEADLINES) + 1e-6


def test_the_lexicon_is_better_than_none(recorded_data: Path) -> None:
    """A3: on 100 recorded headlines scored by a language model, the words of the trade must add agreement."""
    recorded = pl.read_csv(recorded_data / "llm" / "llm_headline_scores_2025-07.csv").filter(pl.col("score") != 0)
    titles = [clean_title(title) for title in recorded["headline"]]
    plain = SentimentIntensityAnalyzer()
    ours = [score_headlines(snapshot_with({}, [title])).score for title in titles]
    theirs = [plain.polarity_scores(title)["compound"] for title in titles]
    agreed, agreed_plain = (
        sum(score * truth > 0 for score, truth in zip(scores, recorded["score"], strict=True))
        for scores in (ours, theirs)
    )
    assert agreed > agreed_plain
    assert agreed / len(titles) >= 0.6
