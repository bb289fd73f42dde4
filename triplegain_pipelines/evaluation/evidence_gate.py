"""When a forecaster may be said to lead: enough independent forecasts, skill that is no luck, better than a constant.

The hit rate that is looked for, the number of forecasts it takes, and the test belong together: the test is used from
that number on, at the level that the number was computed for. The level is that of one look. Of six coin tossers
one leads in 2 % of the cases at 1,208 forecasts, and at some time in 10 % for who looks after every sixth forecast from
there to 2,416: a lead is to be read at dates fixed in advance. The scores are `probability_scores`'.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.attribution import checked_matrix
from triplegain_pipelines.evaluation.forecaster_tests import long_run_sum
from triplegain_pipelines.evaluation.probability_scores import EVEN, Bools, Floats

EDGE = 0.05
"""The hit rate above one half that is looked for: 55 % is the least that a year of 4-hour forecasts can show."""

POWER = 0.8
ALPHA = 0.05

_COUNT_DECIMALS = 6
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the gate says of one forecaster.

    `independent` of `needed` forecasts were there. `skill` is how many standard errors its forecasts go with what
    happened, negative where they go against it; `p_value` is two-sided and for this forecaster alone. Both are None
    where forecast or outcome never changes, as for one that always says BUY. `leads` is never true without enough
    forecasts. `note` says in words why it leads or does not.
    """

    independent: float
    needed: int
    skill: float | None
    p_value: float | None
    leads: bool
    note: str

    @property
    def enough(self) -> bool:
        """Whether there are as many independent forecasts as the gate needs."""
        return self.independent >= self.needed


def minimum_forecasts(edge: float, *, forecasters: int, power: float = POWER, alpha: float = ALPHA) -> int:
    """How many independent forecasts show a hit rate of 0.5 + `edge` against tossing a coin.

    ((Z(1 - alpha / 2 / forecasters) 0.5 + Z(power) (p (1 - p))^0.5) / edge)^2 with p = 0.5 + edge, cut to a whole
    number: the normal approximation for one share (Fleiss, Levin and Paik 2003), two-sided, with Bonferroni's share
    of alpha for each forecaster.

    >>> minimum_forecasts(0.05, forecasters=6), minimum_forecasts(0.03, forecasters=6)
    (1208, 3360)

    Args:
        edge: hit rate above one half, in (0, 0.5).
        forecasters: how many are compared, every variant ever tried included; at least 1.
        power: chance to find it, in (0, 1).
        alpha: chance to find any where there is none, in (0, 1).

    Raises:
        InputError: an argument is outside its range.
    """
    if not (0 < edge < EVEN and 0 < power < 1 and 0 < alpha < 1 and forecasters >= 1):
        msg = (
            f"an edge of {edge} with power {power}, alpha {alpha} and {forecasters} forecasters has no number of "
            "forecasts; give an edge in (0, 0.5), power and alpha in (0, 1), and at least one forecaster"
        )
        raise InputError(msg)
    hit = EVEN + edge
    by_luck = _critical(forecasters, alpha) * EVEN
    by_skill = _NORMAL.inv_cdf(power) * math.sqrt(hit * (1 - hit))
    return int(((by_luck + by_skill) / edge) ** 2)


def independent_forecasts(went_up: Bools, moments: NDArray[np.int64], *, lag: int) -> float:
    """How many independent forecasts these are worth, overlap of horizons and likeness of symbols taken out.

    The number of independent outcomes whose sum would vary as these do: n x the variance of one over the long-run
    variance of the sums of each moment. At most n / (lag + 1), which is what one symbol is worth. 0 without forecasts.

    Args:
        went_up: what happened, shape (n,).
        moments: a number that grows with time, the same for forecasts made at once; shape (n,).
        lag: how many later moments share a part of one forecast's future.

    Raises:
        InputError: the shapes differ, or the lag is negative.
    """
    place, count = _places(went_up, moments, lag)
    if not count:
        return 0.0
    apart = went_up - went_up.mean()
    alone = float(np.sum(np.square(apart)))
    if not alone:  # nothing varied, so that nothing shows how alike the symbols are: each moment counts once
        return count / (lag + 1)
    together = float(long_run_sum(_sums(apart, place, count), min(lag, count - 1))[0])
    # Rounded, so that the last bit of a float does not make 1,208 forecasts 1,207.
    return round(min(len(went_up) * alone / together, len(went_up) / (lag + 1)), _COUNT_DECIMALS)


def standings(
    p_up: Floats,
    went_up: Bools,
    moments: NDArray[np.int64],
    *,
    lag: int,
    trials: int,
    edge: float = EDGE,
    alpha: float = ALPHA,
) -> list[Standing]:
    """What the gate says of each forecaster.

    One leads that has enough forecasts to show `edge`, whose forecasts go with what happened by more than luck, and
    whose Brier score is better than that of one half and of the base rate in hindsight. Skill is the sum of
    (p - mean p)(y - mean y) over its deviation where there is none: the score test of a logistic slope, for forecasts
    on two sides the same as a test of hits against the best constant (Pesaran and Timmermann 1992). A forecaster that
    says BUY in a rising market hits often, and has none. With `trials` forecasters without skill the chance that any
    leads is at most alpha / 2.

    Args:
        p_up: shape (n, forecasters); NaN where one abstained.
        went_up: what happened, shape (n,).
        moments: a number that grows with time, the same for forecasts made at once; shape (n,).
        lag: how many later moments share a part of one forecast's future.
        trials: every variant that was ever tried; at least the number of columns.
        edge: the hit rate above one half that is looked for.
        alpha: chance to name any where none has skill, both sides counted.

    Raises:
        InputError: shapes that do not belong together, a forecast that is no probability, fewer trials than columns.
    """
    checked_matrix(p_up, went_up)
    if trials < p_up.shape[1]:
        msg = f"{trials} trials for {p_up.shape[1]} forecasters; count every variant that was ever tried"
        raise InputError(msg)
    needed = minimum_forecasts(edge, forecasters=trials, alpha=alpha)
    critical = _critical(trials, alpha)
    standing = []
    for column in p_up.T:
        gave = ~np.isnan(column)
        forecast, outcome, moment = column[gave], went_up[gave], moments[gave]
        independent = independent_forecasts(outcome, moment, lag=lag)
        skill = _skill(forecast, outcome, moment, lag)
        note, leads = _verdict(forecast, outcome, independent, needed, skill, critical)
        p_value = None if skill is None else 2 * _NORMAL.cdf(-abs(skill))
        standing.append(Standing(independent, needed, skill, p_value, leads, note))
    return standing


def not_enough(independent: float, needed: int) -> str:
    """The sentence that stands in place of a rank.

    >>> not_enough(412, 3360)
    'not enough data: 412 of 3,360 forecasts needed'
    """
    return f"not enough data: {math.floor(independent + 1e-9):,} of {needed:,} forecasts needed"


def _verdict(
    p_up: Floats, went_up: Bools, independent: float, needed: int, skill: float | None, critical: float
) -> tuple[str, bool]:
    if independent < needed:
        return not_enough(independent, needed), False
    if skill is None:
        return "always the same forecast, or always the same outcome: nothing to tell skill by", False
    if skill <= critical:
        return f"no skill that luck would not show: {skill:.2f} standard errors, {critical:.2f} needed", False
    base_rate = float(went_up.mean())
    if float(np.mean(np.square(p_up - went_up))) >= min(EVEN**2, base_rate * (1 - base_rate)):
        return "tells rises from falls, but a constant has the better Brier score: too sure of itself", False
    return f"leads: {skill:.2f} standard errors of skill, {critical:.2f} needed", True


def _skill(p_up: Floats, went_up: Bools, moments: NDArray[np.int64], lag: int) -> float | None:
    if not len(p_up) or not np.ptp(p_up) or went_up.all() or not went_up.any():
        return None
    place, count = _places(went_up, moments, lag)
    together = (p_up - p_up.mean()) * (went_up - went_up.mean())
    sums = _sums(together, place, count)
    # The sums keep their mean: it is 0 without skill, and one that is always right would else divide by 0.
    deviation = float(np.sqrt(long_run_sum(sums, min(lag, count - 1))[0]))
    return float(sums.sum()) / deviation if deviation else None


def _places(went_up: Bools, moments: NDArray[np.int64], lag: int) -> tuple[NDArray[np.int64], int]:
    if went_up.shape != moments.shape or went_up.ndim != 1:
        msg = f"outcomes of shape {went_up.shape} do not fit moments of shape {moments.shape}; give one moment for each"
        raise InputError(msg)
    if lag < 0:
        msg = f"a lag of {lag} moments is negative; give 0 where horizons do not overlap"
        raise InputError(msg)
    distinct, place = np.unique(moments, return_inverse=True)
    return place, len(distinct)


def _sums(values: Floats, place: NDArray[np.int64], count: int) -> Floats:
    """The sum of the values of each moment."""
    return np.bincount(place, weights=values, minlength=count).astype(np.float64)


def _critical(forecasters: int, alpha: float) -> float:
    """Standard errors that one of so many must reach."""
    return _NORMAL.inv_cdf(1 - alpha / 2 / forecasters)
