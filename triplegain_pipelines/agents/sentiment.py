"""The sentiment agent: the tone of the headlines in a snapshot, word by word, and the fear-and-greed index.

How a word weighs is VADER's, and `lexicon`'s for the words of the trade. A seat may score headlines in place of that
list (`headline_tones`). By default none does: a language model reads what a headline asks of it, a list cannot.

Headlines are untrusted. All that one can do here is to move the score by `HEADLINE_BOUND / LEAST_HEADLINES`, and all of
them together by `HEADLINE_BOUND`, whoever scores them; no text of a headline goes on from here. The index moves it by
no more than `INDEX_BOUND`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class SeatReading:
    """What a seat said of a snapshot's headlines: a tone for each from -1 to 1, or the reason why there is none.

    `conversation_id` is where its calls are stored, `reader` the seat with its model.
    """

    conversation_id: UUID
    said: tuple[float, ...] | ReasonCode
    reader: str = ""


def score_headlines(snapshot: Snapshot, reading: SeatReading | None = None) -> SentimentSignal:
    """The mean tone of the snapshot's headlines, moved a little by the fear-and-greed index, from -0.85 to 0.85.

    Without headlines their tone is 0 and labelled so; without a fresh index nothing is said of it. With a `reading` the
    tones are the seat's; where the seat gave none, the list of words scores, and the reasons say so.
    """
    titles = titles_of(snapshot)
    tone, reasons = _mean_tone(titles, reading)
    if snapshot.fear_greed is not None:
        moved = INDEX_BOUND * (snapshot.fear_greed - INDEX_NEUTRAL) / INDEX_NEUTRAL
        index = f"Fear and greed stands at {snapshot.fear_greed} of 100, which moves the score by {moved:+.2f}."
        tone, reasons = tone + moved, (*reasons, index)
    if reading is None:
        return SentimentSignal(round(tone, 6), len(titles), reasons)
    fallback = reading.said if isinstance(reading.said, ReasonCode) else None
    return SentimentSignal(round(tone, 6), len(titles), reasons, reading.conversation_id, fallback)


def titles_of(snapshot: Snapshot) -> tuple[str, ...]:
    """The headlines of a snapshot, the newest first."""
    return tuple(str(headline["title"]) for headline in snapshot.content["headlines"])


def _mean_tone(titles: Sequence[str], reading: SeatReading | None) -> tuple[float, tuple[str, ...]]:
    """The mean tone and what it is made of, in words."""
    if not titles:
        return 0.0, (f"{ReasonCode.NO_HEADLINES.value}: {ReasonCode.NO_HEADLINES.meaning}",)
    if reading is None:
        mean, words = _mean([headline_tone(title) for title in titles])
        return mean, (words,)
    if isinstance(reading.said, ReasonCode):
        mean, words = _mean([headline_tone(title) for title in titles])
        why = f"{reading.said.value}: {reading.said.meaning} The list of words scored the headlines instead."
        return mean, (words, why)
    mean, words = _mean([_bounded(tone) for tone in reading.said])
    return mean, (f"{reading.reader} read the headlines: {words}",)


def _mean(tones: Sequence[float]) -> tuple[float, str]:
    mean = sum(tones) / max(len(tones), LEAST_HEADLINES)
    above, below = sum(one > 0 for one in tones), sum(one < 0 for one in tones)
    return mean, f"{above} of {len(tones)} headlines are positive, {below} negative; mean tone {mean:+.2f}."


def headline_tone(title: str) -> float:
    """VADER's compound score with the words of the trade, bounded."""
    return _bounded(float(_analyzer().polarity_scores(title)["compound"]))


def _bounded(tone: float) -> float:
    return max(-HEADLINE_BOUND, min(HEADLINE_BOUND, tone))


@cache
def _analyzer() -> Any:  # noqa: ANN401 - a library without types
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(LEXICON)
    return analyzer
