"""Other ways to pool the same answers, each a pure function of the answers and of what had been learnt by then.

None of them is acted on. They are logged beside every decision, because ninety days cannot tell which is best: one
replaces the default only after a paired test over enough settled forecasts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from triplegain_pipelines.agents.consensus import to_log_odds
from triplegain_pipelines.domain.shadows import ShadowMethod

SHADOWS_VERSION = "shadows-1"

HEDGE_RATE = 0.5
"""How fast Hedge turns away from losses: the squared error of a probability is exp-concave up to this rate."""

HEDGE_SHARE = 0.01
"""What each round of Hedge shares out evenly again, so that a seat that was bad for long can come back."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One answer: who said it, the chance of a rise, and how sure it was."""

    voter: str
    p_up: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Lessons:
    """What outcomes that had settled before a decision say of its voters.

    `slope` is the consensus' own. `slopes` shrink each voter's log-odds, `votes` are the log-odds that a voter's side
    is right, `shares` are Hedge's and sum to 1 over the panel, `errors` are mean squared errors shrunk toward one
    quarter.
    """

    slope: float
    slopes: Mapping[str, float]
    votes: Mapping[str, float]
    shares: Mapping[str, float]
    errors: Mapping[str, float]


def pool_voices(voices: Sequence[Voice], lessons: Lessons, clip: float) -> dict[ShadowMethod, float]:
    """The log-odds of each method of the seats. There must be at least one voice; their order changes nothing.

    - majority: the share of those who lean up, half of those who lean nowhere; as said, agreement is no probability.
    - median and confidence-weighted mean of the log-odds, with the slope of the consensus.
    - per-model recalibrated: the mean of the log-odds, each with the slope of its voter.
    - learned weights: the mean of the sides, each worth what its voter was right before, never less than nothing.
    - Hedge: the mean of the chances by Hedge's shares.
    - best single: the voter with the smallest error so far; the mean of the log-odds of those that are level.
    """
    odds = [to_log_odds(one.p_up, clip) for one in voices]
    sure = [one.confidence for one in voices] if any(one.confidence for one in voices) else [1.0] * len(voices)
    shares = [lessons.shares[one.voter] for one in voices]
    smallest = min(lessons.errors[one.voter] for one in voices)
    return {
        ShadowMethod.MAJORITY: to_log_odds((1 + _mean([_side(one.p_up) for one in voices])) / 2, clip),
        ShadowMethod.MEDIAN: lessons.slope * median(odds),
        ShadowMethod.CONFIDENCE_WEIGHTED: lessons.slope * _weighted(odds, sure),
        ShadowMethod.PER_MODEL_RECALIBRATED: _mean(
            [lessons.slopes[one.voter] * value for one, value in zip(voices, odds, strict=True)]
        ),
        ShadowMethod.LEARNED_WEIGHTS: _mean([lessons.votes[one.voter] * _side(one.p_up) for one in voices]),
        ShadowMethod.HEDGE: to_log_odds(_weighted([one.p_up for one in voices], shares), clip),
        ShadowMethod.BEST_SINGLE: _mean(
            [value for one, value in zip(voices, odds, strict=True) if lessons.errors[one.voter] == smallest]
        ),
    }


def next_shares(shares: Sequence[float], losses: Sequence[float | None], rate: float) -> tuple[float, ...]:
    """Hedge with fixed share: the voters' shares after a round in which they lost `losses`, None where one abstained.

    Who abstained keeps its share among all, and those who answered redistribute theirs (Freund et al. 1997); then
    `HEDGE_SHARE` of everything is shared out evenly (Herbster and Warmuth 1998).
    """
    weighed = [
        share if loss is None else share * math.exp(-rate * loss) for share, loss in zip(shares, losses, strict=True)
    ]
    before = math.fsum(share for share, loss in zip(shares, losses, strict=True) if loss is not None)
    after = math.fsum(share for share, loss in zip(weighed, losses, strict=True) if loss is not None)
    again = before / after if after else 1.0
    kept = [share if loss is None else share * again for share, loss in zip(weighed, losses, strict=True)]
    return tuple((1 - HEDGE_SHARE) * share + HEDGE_SHARE / len(kept) for share in kept)


def vote_weight(right: float, counted: float, prior: float) -> float:
    """The log-odds that a side is right: `right` of `counted`, and `prior` coins more; never less than 0."""
    accuracy = (right + prior / 2) / (counted + prior)
    return max(0.0, math.log(accuracy / (1 - accuracy)))


def shrunk_error(total: float, counted: float, prior: float) -> float:
    """The mean squared error with `prior` forecasts of one half, which cost a quarter each, added."""
    return (total + prior / 4) / (counted + prior)


def _side(p_up: float) -> float:
    return float((p_up > 0.5) - (p_up < 0.5))  # noqa: PLR2004 - one half is on no side


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / math.fsum(weights)
