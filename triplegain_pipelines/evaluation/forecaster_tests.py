"""Whether differences between forecasters can be luck: tests on losses of the same events.

A loss matrix has one row for each moment, in order of time, and one column for each forecaster; losses of several
symbols at one moment are averaged first (`by_moment`), because they rise and fall together. Horizons overlap, so
`lag` is how many later moments share a part of one forecast's future (3 for hourly forecasts of 4 hours), and
`block_length`, the mean length of a block of the stationary bootstrap, is at least `lag` + 1. What may be said of a
leader, and from how many forecasts on, is `evidence_gate`'s.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.probability_scores import Floats

REPEATS = 1000

_FEWEST_MOMENTS = 8  # of fewer, no deviation is worth the name
_SAME = 9  # losses that agree to so many decimals are the same
_TIE_BREAK = 1e-12  # between forecasters whose losses differ by 1e-9 or more
_TIE = 1e-9  # of means divided by their deviation
_PERCENTILES = (2.5, 97.5)
_REPEATS_AT_ONCE = 100  # a year of hours takes seven megabytes


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of loss a - loss b (negative: a is better), its standard error, two-sided p, and 95 % interval.

    Where the difference is the same at every moment, as between one half and a seat that knows the outcome, the error
    is 0 and p that of the sign test over whole horizons.
    """

    mean: float
    standard_error: float
    p_value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MCSResult:
    """Model Confidence Set: `included` and `p_values` by column, both of the shape (models,).

    The set holds the best forecaster with a probability of at least 1 - size. All of them in it means: not told apart.
    """

    included: NDArray[np.bool_]
    p_values: Floats


@dataclass(frozen=True, slots=True)
class SPAResult:
    """p values of "no forecaster is better than the benchmark". `consistent` is the one to read (Hansen 2005).

    `lower` and `upper` bound it; `upper` is White's reality check.
    """

    lower: float
    consistent: float
    upper: float


def by_moment(losses: Floats, moments: NDArray[np.int64]) -> Floats:
    """Mean loss of all forecasts of a moment, in order of time: shape (moments,) or (moments, models).

    >>> by_moment(np.array([0.1, 0.5, 0.3]), np.array([7, 2, 7])).tolist()
    [0.5, 0.2]

    Args:
        losses: shape (n,) or (n, models).
        moments: a number that grows with time, the same for forecasts made at once; shape (n,).

    Raises:
        InputError: a loss is not finite, or the shapes differ.
    """
    _finite(losses)
    if losses.shape[:1] != moments.shape:
        msg = (
            f"losses of shape {losses.shape} do not fit moments of shape {moments.shape}; give one moment for each row"
        )
        raise InputError(msg)
    distinct, place = np.unique(moments, return_inverse=True)
    total = np.zeros((len(distinct), *losses.shape[1:]))
    np.add.at(total, place, losses)
    count = np.bincount(place, minlength=len(distinct))
    return np.asarray(total / count.reshape(-1, *(1,) * (losses.ndim - 1)))


def long_run_sum(values: Floats, lag: int) -> Floats:
    """The variance of each column's sum, its values taken as having mean 0: autocovariances up to `lag`, full weight.

    Full weight, as of Hansen and Hodrick (1980), because the overlap of horizons is known; the falling weights of
    Newey and West would miss a third of the variance of hourly forecasts of 4 hours. Where negative autocovariances
    win it is the plain sum of squares, so the estimate is never below that of independent values.

    Args:
        values: shape (n,) or (n, columns).
        lag: how many later rows share a part of a row's future, below n.

    Returns:
        Shape (columns,); (1,) for a single series.
    """
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    plain = np.sum(np.square(values), axis=0, keepdims=values.ndim == 1)
    full = np.diag(S_hac_simple(values, nlags=lag, weights_func=lambda lags: np.ones(lags + 1)))
    return np.asarray(np.maximum(plain, full), dtype=np.float64)


def paired_difference(a: Floats, b: Floats, *, lag: int) -> PairedDifference | None:
    """Test of equal loss by Diebold and Mariano (1995), with Harvey, Leybourne and Newbold's correction (1997).

    The mean of d = a - b over the root of its long-run variance / n, times ((n + 1 - 2h + h (h - 1) / n) / n)^0.5 with
    h = lag + 1, is compared with Student's t of n - 1 degrees.

    Args:
        a: losses of one forecaster, shape (n,).
        b: losses of another one on the same events, shape (n,).
        lag: see the module.

    Returns:
        None where nothing can be told: fewer than eight moments, fewer than two horizons, or no difference at all.

    Raises:
        InputError: a loss is not finite, the shapes differ, or the lag is negative.
    """
    if lag < 0:
        msg = f"a lag of {lag} moments is negative; give 0 where horizons do not overlap"
        raise InputError(msg)
    difference = _difference(a, b)
    count, horizon = len(difference), lag + 1
    if not _tellable(difference, horizon):
        return None
    mean = float(difference.mean())
    if not np.ptp(difference):
        return PairedDifference(mean, 0.0, 2 * _sign_test(count, horizon), mean, mean)
    from scipy.stats import t

    variance = float(long_run_sum(difference - mean, lag)[0]) / count**2
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    error = float(np.sqrt(variance / correction))
    margin = float(t.ppf(0.975, count - 1)) * error
    return PairedDifference(mean, error, 2 * float(t.sf(abs(mean) / error, count - 1)), mean - margin, mean + margin)


def paired_difference_by_bootstrap(
    a: Floats, b: Floats, *, block_length: int, seed: int, repeats: int = REPEATS
) -> PairedDifference | None:
    """The same question by the stationary bootstrap (Politis and Romano 1994), which assumes no distribution.

    p is the share of resampled means, moved to 0, that are as far from 0 as the mean is, the mean itself counted as one
    of them. The interval holds the middle 95 % of the resampled means.

    Args:
        a: losses of one forecaster, shape (n,).
        b: losses of another one on the same events, shape (n,).
        block_length: see the module.
        seed: the same one gives the same figures.
        repeats: number of resamples.

    Returns:
        None where nothing can be told, as in `paired_difference`.

    Raises:
        InputError: a loss is not finite, the shapes differ, or the block length is below 1.
    """
    _checked_block(block_length)
    difference = _difference(a, b)
    if not _tellable(difference, block_length):
        return None
    mean = float(difference.mean())
    if not np.ptp(difference):
        return PairedDifference(mean, 0.0, 2 * _sign_test(len(difference), block_length), mean, mean)
    from arch.bootstrap import StationaryBootstrap

    means = StationaryBootstrap(block_length, difference, seed=seed).apply(np.mean, repeats)[:, 0]
    beyond = int(np.sum(np.abs(means - mean) >= abs(mean)))
    low, high = np.percentile(means, _PERCENTILES)
    return PairedDifference(mean, float(means.std()), (1 + beyond) / (1 + repeats), float(low), float(high))


def model_confidence_set(
    losses: Floats, *, size: float = 0.10, block_length: int, seed: int, repeats: int = REPEATS
) -> MCSResult:
    """The forecasters that cannot be told from the best one (Hansen, Lunde and Nason 2011, by range statistic).

    Columns with the same losses share one p value. One column alone, or all the same, is included with p = 1, and so
    are all columns of fewer than eight moments or two blocks, of which nothing can be told.

    Args:
        losses: shape (n, models).
        size: chance that the best one is left out.
        block_length: see the module.
        seed: the same one gives the same figures.
        repeats: number of resamples.

    Raises:
        InputError: a loss is not finite, there is no column, or the block length is below 1.
    """
    _checked_table(losses, block_length)
    distinct, place = np.unique(losses.round(_SAME), axis=1, return_inverse=True)
    models = distinct.shape[1]
    values = np.ones(models)
    if models > 1 and len(losses) >= max(_FEWEST_MOMENTS, 2 * block_length):
        from arch.bootstrap import MCS

        # arch takes two statistics that are equal to the last bit for one model and loses both of them.
        apart = distinct + _TIE_BREAK * np.arange(models) ** 2
        test = MCS(apart, size, reps=repeats, block_size=block_length, method="R", bootstrap="stationary", seed=seed)
        test.compute()
        values[test.pvalues.index.to_numpy(dtype=np.int64)] = test.pvalues["Pvalue"].to_numpy()
    p_values = values[place.reshape(-1)]
    return MCSResult(p_values > size, p_values)


def superior_predictive_ability(
    benchmark_losses: Floats, losses: Floats, *, block_length: int, seed: int, repeats: int = REPEATS
) -> SPAResult:
    """Whether any of the forecasters is better than the benchmark, however many were tried (Hansen 2005).

    Each forecaster's difference is divided by its long-run deviation, so that a wild one does not hide a steady one.
    One that is better by the same at every moment has the p of the sign test over whole blocks, for all of them
    together (Bonferroni); one that is never better is no evidence. p is 1 where there are fewer than eight moments or
    two blocks.

    Args:
        benchmark_losses: shape (n,).
        losses: of the forecasters on the same events, shape (n, models).
        block_length: see the module.
        seed: the same one gives the same figures.
        repeats: number of resamples.

    Raises:
        InputError: a loss is not finite, the shapes do not belong together, or the block length is below 1.
    """
    _checked_table(losses, block_length)
    if benchmark_losses.shape != losses.shape[:1]:
        msg = f"benchmark losses of shape {benchmark_losses.shape} do not fit losses of shape {losses.shape}"
        raise InputError(msg)
    better_by = (benchmark_losses[:, None] - losses).round(_SAME)
    _finite(better_by)
    if len(losses) < max(_FEWEST_MOMENTS, 2 * block_length):
        return SPAResult(1.0, 1.0, 1.0)
    varies = np.ptp(better_by, axis=0) > 0
    always = min(1.0, losses.shape[1] * _sign_test(len(losses), block_length))
    steady = always if (better_by[0, ~varies] > 0).any() else 1.0
    if not varies.any():
        return SPAResult(steady, steady, steady)
    better_by = better_by[:, varies]
    lag = min(block_length, len(losses) - 1)
    mean = better_by.mean(axis=0)
    deviation = np.sqrt(long_run_sum(better_by - mean, lag) / len(losses))
    resampled = _resampled_means(better_by / deviation, block_length, seed, repeats)
    return SPAResult(*(min(steady, p_value) for p_value in _spa_p_values(mean / deviation, resampled, len(losses))))


def _spa_p_values(means: Floats, resampled: Floats, moments: int) -> tuple[float, float, float]:
    """Shares of resamples whose best mean, moved to what "no better" allows, is no worse than the best one seen.

    What it allows is 0 for whoever is better, and for whoever is worse their own mean (lower), 0 (upper), or the
    first only below -(2 w ln ln n / n)^0.5 with their variance w: too bad to count (Hansen 2005, consistent).
    """
    bound = -np.sqrt(resampled.var(axis=0) * 2 * np.log(np.log(moments)))
    centres = (np.maximum(means, 0), np.where(means >= bound, means, 0), means)
    seen = means.max() - _TIE  # losses of few values often tie: the last bit must not decide
    lower, consistent, upper = (float(np.mean(np.max(resampled - one, axis=1) >= seen)) for one in centres)
    return lower, consistent, upper


def _resampled_means(values: Floats, block_length: int, seed: int, repeats: int) -> Floats:
    """The mean of each column in each resample, shape (repeats, columns)."""
    parts = np.array_split(_resamples(len(values), block_length, seed, repeats), max(1, repeats // _REPEATS_AT_ONCE))
    return np.asarray(np.concatenate([part.astype(np.float64) @ values for part in parts]) / len(values))


@lru_cache(maxsize=2)
def _resamples(moments: int, block_length: int, seed: int, repeats: int) -> NDArray[np.uint16]:
    """How often each resample of the stationary bootstrap holds each moment, shape (repeats, moments).

    A leaderboard asks a dozen questions of the same moments: to draw anew for each was nearly all of its time.
    """
    from arch.bootstrap import StationaryBootstrap

    drawn = StationaryBootstrap(block_length, np.arange(moments), seed=seed).bootstrap(repeats)
    return np.array([np.bincount(taken, minlength=moments) for (taken,), _ in drawn], dtype=np.uint16)


def _difference(a: Floats, b: Floats) -> Floats:
    if a.shape != b.shape or a.ndim != 1:
        msg = f"losses of shapes {a.shape} and {b.shape} are no pairs; give two of shape (n,) on the same events"
        raise InputError(msg)
    difference = (a - b).round(_SAME)
    _finite(difference)
    return np.asarray(difference, dtype=np.float64)


def _tellable(difference: Floats, horizon: int) -> bool:
    return len(difference) >= max(_FEWEST_MOMENTS, 2 * horizon) and bool(difference.any())


def _sign_test(moments: int, horizon: int) -> float:
    """Chance that a coin falls on the same given side in every one of the whole horizons."""
    return float(0.5 ** (moments // horizon))


def _checked_table(losses: Floats, block_length: int) -> None:
    _checked_block(block_length)
    if losses.ndim != 2 or not losses.shape[1]:  # noqa: PLR2004 - moments by models
        msg = f"losses of shape {losses.shape} are no table of forecasters; give (moments, models), at least one model"
        raise InputError(msg)
    _finite(losses)


def _checked_block(block_length: int) -> None:
    if block_length < 1:
        msg = f"blocks of {block_length} moments cannot be drawn; give at least 1, and at least the horizon"
        raise InputError(msg)


def _finite(losses: Floats) -> None:
    if not np.isfinite(losses).all():
        msg = "a loss is not finite; compare forecasters on the events that all of them answered"
        raise InputError(msg)
