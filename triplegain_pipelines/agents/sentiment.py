"""The sentiment agent: the tone of the headlines in a snapshot, word by word, and the fear-and-greed index.

How a word weighs is VADER's, and `lexicon`'s for the words of the trade. No seat scores headlines: a language model
reads what a headline asks of it, and a list of words cannot.

Headlines are untrusted. All that one can do here is to move the score by `HEADLINE_BOUND / LEAST_HEADLINES`; no text of
a headline goes on from here. The index moves it by no more than `INDEX_BOUND`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from triplegain_pipelines.agents.lexicon import LEXICON
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.evidence import SentimentSignal, Snapshot
from triplegain_pipelines.domain.reasons import ReasonCode

SENTIMENT_VERSION = f"sentiment-3+{content_hash(dict(LEXICON))[:12]}"
"""Raise the number when the score is made otherwise; the words follow by themselves."""

HEADLINE_BOUND = 0.75
"""The most that one headline can score, either way."""

LEAST_HEADLINES = 5
"""Few headlines are averaged as if there were this many, so that no single one makes the mood."""

INDEX_BOUND = 0.1
"""The most that the fear-and-greed index moves the score, at 0 and at 100. Greed counts as good mood, fear as bad."""

INDEX_NEUTRAL = 50


def score_headlines(snapshot: Snapshot) -> SentimentSignal:
    """The mean tone of the snapshot's headlines, moved a little by the fear-and-greed index, from -0.85 to 0.85.

    Without headlines their tone is 0 and labelled so; without a fresh index nothing is said of it.
    """
    titles = [str(headline["title"]) for headline in snapshot.content["headlines"]]
    tone, reasons = _mean_tone(titles)
    if snapshot.fear_greed is None:
        return SentimentSignal(round(tone, 6), len(titles), (reasons,))
    moved = INDEX_BOUND * (snapshot.fear_greed - INDEX_NEUTRAL) / INDEX_NEUTRAL
    index = f"Fear and greed stands at {snapshot.fear_greed} of 100, which moves the score by {moved:+.2f}."
    return SentimentSignal(round(tone + moved, 6), len(titles), (reasons, index))


def _mean_tone(titles: Sequence[str]) -> tuple[float, str]:
    """The mean tone and what it is made of, in words."""
    if not titles:
        return 0.0, f"{ReasonCode.NO_HEADLINES.value}: {ReasonCode.NO_HEADLINES.meaning}"
    scores = [headline_tone(title) for title in titles]
    mean = sum(scores) / max(len(scores), LEAST_HEADLINES)
    above, below = sum(one > 0 for one in scores), sum(one < 0 for one in scores)
    return mean, f"{above} of {len(scores)} headlines are positive, {below} negative; mean tone {mean:+.2f}."


def headline_tone(title: str) -> float:
    """VADER's compound score with the words of the trade, bounded."""
    compound = float(_analyzer().polarity_scores(title)["compound"])
    return max(-HEADLINE_BOUND, min(HEADLINE_BOUND, compound))


@cache
def _analyzer() -> Any:  # noqa: ANN401 - a library without types
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(LEXICON)
    return analyzer
