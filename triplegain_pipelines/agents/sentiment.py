"""The sentiment agent: the tone of the headlines in a snapshot, word by word.

Headlines are untrusted. All that one can do here is to move the score by `HEADLINE_BOUND / LEAST_HEADLINES`; no text of
a headline goes on from here.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from triplegain_pipelines.domain.evidence import SentimentSignal, Snapshot
from triplegain_pipelines.domain.reasons import ReasonCode

SENTIMENT_VERSION = "sentiment-1"

HEADLINE_BOUND = 0.75
"""The most that one headline can score, either way."""

LEAST_HEADLINES = 5
"""Few headlines are averaged as if there were this many, so that no single one makes the mood."""

LEXICON: Mapping[str, float] = MappingProxyType(
    {
        "adoption": 1.6,
        "approval": 1.8,
        "approves": 1.8,
        "bearish": -2.4,
        "breakout": 1.6,
        "bullish": 2.4,
        "delisting": -2.2,
        "downturn": -2.0,
        "exploit": -2.4,
        "exploited": -2.4,
        "hack": -2.8,
        "hacked": -2.8,
        "inflows": 1.8,
        "insolvency": -3.0,
        "liquidated": -2.2,
        "liquidations": -2.2,
        "outage": -2.0,
        "outflows": -1.8,
        "plunge": -2.6,
        "plunges": -2.6,
        "rallies": 2.2,
        "rally": 2.2,
        "selloff": -2.4,
        "soars": 2.6,
        "surges": 2.2,
        "tumbles": -2.2,
    }
)
"""Words of the trade that VADER does not know or takes for plain English, on its scale from -4 to 4."""


def score_headlines(snapshot: Snapshot) -> SentimentSignal:
    """The mean tone of the snapshot's headlines, from -1 to 1; 0 and labelled so where there are none."""
    titles = [str(headline["title"]) for headline in snapshot.content["headlines"]]
    if not titles:
        return SentimentSignal(0.0, 0, (f"{ReasonCode.NO_HEADLINES.value}: {ReasonCode.NO_HEADLINES.meaning}",))
    scores = [_tone(title) for title in titles]
    score = sum(scores) / max(len(scores), LEAST_HEADLINES)
    above, below = sum(one > 0 for one in scores), sum(one < 0 for one in scores)
    counts = f"{above} of {len(scores)} headlines are positive, {below} negative"
    return SentimentSignal(round(score, 6), len(scores), (f"{counts}; mean tone {score:+.2f}.",))


def _tone(title: str) -> float:
    """VADER's compound score with the words of the trade, bounded."""
    compound = float(_analyzer().polarity_scores(title)["compound"])
    return max(-HEADLINE_BOUND, min(HEADLINE_BOUND, compound))


@cache
def _analyzer() -> Any:  # noqa: ANN401 - a library without types
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update(LEXICON)
    return analyzer
