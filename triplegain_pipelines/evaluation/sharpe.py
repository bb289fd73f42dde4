"""How far a Sharpe ratio can be luck: its probability, and what the best of many tries shows without any skill.

Sharpe ratios here are for one period (mean / standard deviation of its returns, a day for daily returns) and never
annualised: divide an annual one by the root of the periods in a year. The ratio itself is `performance`'s.
"""

import math
from statistics import NormalDist

from triplegain_pipelines.domain.errors import InputError

_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # Euler's gamma: the mean of the extreme value distribution
_FEWEST_RETURNS = 2


def probabilistic_sharpe_ratio(
    sharpe: float, returns: int, *, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio is above `benchmark` (Bailey and Lopez de Prado 2012).

    N((SR - benchmark) (T - 1)^0.5 / (1 - skew SR + (kurtosis - 1) / 4 SR^2)^0.5)

    Args:
        sharpe: measured, for one period.
        returns: how many returns it was measured from, at least two.
        benchmark: the ratio to be above, for one period.
        skew: of the returns.
        kurtosis: of the returns; 3 is that of a normal distribution.

    Raises:
        InputError: fewer than two returns, a figure that is not finite, or skew and kurtosis that no returns have.
    """
    _finite(sharpe=sharpe, benchmark=benchmark, skew=skew, kurtosis=kurtosis)
    if returns < _FEWEST_RETURNS:
        msg = f"{returns} returns have no deviation; a Sharpe ratio needs at least {_FEWEST_RETURNS}"
        raise InputError(msg)
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if variance <= 0:
        msg = f"no returns have a skew of {skew:g} with a kurtosis of {kurtosis:g}; give kurtosis, not excess kurtosis"
        raise InputError(msg)
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((returns - 1) / variance))


def expected_best_sharpe(trials: int, trial_variance: float) -> float:
    """The Sharpe ratio that the best of `trials` independent strategies without skill is expected to show.

    V^0.5 ((1 - g) Z(1 - 1 / N) + g Z(1 - 1 / (N e))), with Euler's g and Z the normal quantile (Bailey and Lopez de
    Prado 2014, equation 1). 0 for one trial, which was not picked from any.

    Args:
        trials: every variant that was ever tried, not only those that are shown.
        trial_variance: variance of the trials' Sharpe ratios, in the square of the unit that is returned.

    Raises:
        InputError: no trial, or a variance that is negative or not finite.
    """
    _finite(trial_variance=trial_variance)
    if trials < 1 or trial_variance < 0:
        msg = f"{trials} trials with a variance of {trial_variance:g}: give at least one, and a variance of 0 or more"
        raise InputError(msg)
    if trials == 1:
        return 0.0
    usual, far = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(trial_variance) * ((1 - _EULER) * usual + _EULER * far)


def deflated_sharpe_ratio(
    sharpe: float, returns: int, *, trials: int, trial_variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio is above what the best of all trials shows by luck.

    `probabilistic_sharpe_ratio` with `expected_best_sharpe` as its benchmark (Bailey and Lopez de Prado 2014).

    Raises:
        InputError: as these two.
    """
    benchmark = expected_best_sharpe(trials, trial_variance)
    return probabilistic_sharpe_ratio(sharpe, returns, benchmark=benchmark, skew=skew, kurtosis=kurtosis)


def _finite(**figures: float) -> None:
    for name, figure in figures.items():
        if not math.isfinite(figure):
            msg = f"{name} is {figure}; leave out what has no Sharpe ratio"
            raise InputError(msg)
