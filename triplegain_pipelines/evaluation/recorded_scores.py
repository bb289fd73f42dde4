"""A model's scores of headlines beside those of our sentiment agent: whether they agree, not who is right."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from triplegain_pipelines.domain.recorded import RecordedScore

NEUTRAL = 0.05
"""A score of ours within this of 0 is neutral, as VADER's authors have it."""

_SIDES = ("bad", "neutral", "good")


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """Two scorers on the same headlines, each headline once.

    `sides` counts headlines by (the model's side, ours). `by_chance` is the agreement that two scorers with these very
    shares would reach without reading a word, and `kappa` how much of what is left they reach (Cohen 1960; None where
    nothing is left). `rank_correlation` is Spearman's, None where one of them gave every headline the same score.
    """

    headlines: int
    repeated: int
    first: datetime
    last: datetime
    sides: Mapping[tuple[str, str], int]
    agreement: float
    by_chance: float
    kappa: float | None
    rank_correlation: float | None

    @property
    def limits(self) -> tuple[str, ...]:
        """What the comparison cannot tell."""
        hours = (self.last - self.first).total_seconds() / 3600
        return (
            f"{self.headlines} headlines of {hours:.1f} hours: many tell one story, so they are worth far fewer.",
            "Neither the model nor its wording is recorded, and its five steps of score are coarse.",
            "That two scorers agree does not make either right: nobody measured what prices did afterwards.",
        )


def compare_scores(scores: Sequence[RecordedScore], tone: Callable[[str], float]) -> ScoreAgreement:
    """Compare recorded scores with ours.

    Args:
        scores: of one file, at least one; of a headline that stands there again the first counts.
        tone: our score of a headline, from -1 to 1.
    """
    once = list({one.headline: one for one in reversed(scores)}.values())
    ours = [tone(one.headline) for one in once]
    sides = Counter((_side(one.score), _side(own, NEUTRAL)) for one, own in zip(once, ours, strict=True))
    count = len(once)
    agreement = sum(sides[side, side] for side in _SIDES) / count
    theirs, own_sides = (Counter[str]() for _ in range(2))
    for (their, our), number in sides.items():
        theirs[their] += number
        own_sides[our] += number
    by_chance = sum(theirs[side] * own_sides[side] for side in _SIDES) / count**2
    return ScoreAgreement(
        headlines=count,
        repeated=len(scores) - count,
        first=min(one.published_at for one in scores),
        last=max(one.published_at for one in scores),
        sides=dict(sides),
        agreement=agreement,
        by_chance=by_chance,
        kappa=(agreement - by_chance) / (1 - by_chance) if by_chance < 1 else None,
        rank_correlation=_spearman([one.score for one in once], ours),
    )


def _side(score: float, neutral: float = 0.0) -> str:
    if abs(score) <= neutral:
        return "neutral"
    return "good" if score > 0 else "bad"


def _spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    if len(set(one)) == 1 or len(set(other)) == 1:
        return None
    frame = pl.DataFrame({"one": one, "other": other})
    return float(frame.select(pl.corr("one", "other", method="spearman")).item())
