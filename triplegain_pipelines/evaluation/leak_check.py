"""Whether a forecaster seems to know what it cannot: forecasts that go with later returns more than is possible.

A leak makes a forecaster lead, so the check stands beside every leader. It cannot find a leak that is worth no more
than honest skill could be: against those stand sealed snapshots, stored hashes and cutoff dates.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.probability_scores import Floats

MOST_POSSIBLE = 0.2
"""The rank correlation with later returns that nobody has honestly.

Two-sided calls that are right 60 % of the time have about this one; tests of models after their cutoff found 51 to
57 %, and the hit rates above were of models that remembered the period.
"""

_ALPHA = 0.05
_FEWEST = 30  # independent forecasts under which the interval of a rank correlation means nothing
_FIELLER = 1.06  # variance of Fisher's z of a rank correlation, times n - 3 (Fieller, Hartley and Pearson 1957)


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """`named` says that the forecaster looks ahead. The other figures are of the bars with the clearest correlation.

    Those run from `first_bar` to `last_bar` after the forecast, 1 being the next one. `correlation` is Spearman's and
    `at_least` the end of its interval that is nearer to 0, without its sign. All four are None where nothing could be
    computed.
    """

    named: bool
    first_bar: int | None
    last_bar: int | None
    correlation: float | None
    at_least: float | None
    note: str


def looks_ahead(
    p_up: Floats, returns_at_lags: Floats, *, independent: float | None = None, most_possible: float = MOST_POSSIBLE
) -> LeakCheck:
    """Name a forecaster that goes with later returns, of one bar or of all up to one, beyond what is possible.

    For each bar alone and for the sum from the first to each bar: Spearman's correlation r with the forecasts, and the
    near end of its interval, tanh(atanh |r| - z (1.06 / (n - 3))^0.5), at 5 % over all of them together (Bonferroni).
    A forecaster that is reliably wrong knows the future too, so the sign does not count. Sums of k bars overlap and
    count as n / k forecasts.

    Args:
        p_up: forecasts, shape (n,).
        returns_at_lags: log returns of the bars after each forecast, column k that of the bar k + 1, each of which
            closes after the forecast; NaN where it has not closed yet; shape (n, bars).
        independent: how many forecasts these are worth where symbols are alike (`independent_forecasts`); n if None.
        most_possible: rank correlation in (0, 1) that an honest forecaster stays under.

    Raises:
        InputError: shapes that do not belong together, or a forecast that is NaN.
    """
    if returns_at_lags.ndim != 2 or p_up.shape != returns_at_lags.shape[:1] or not returns_at_lags.shape[1]:  # noqa: PLR2004
        msg = (
            f"forecasts of shape {p_up.shape} do not fit returns of shape {returns_at_lags.shape}; give (n,), (n, bars)"
        )
        raise InputError(msg)
    if np.isnan(p_up).any():
        msg = "a forecast is NaN; leave abstentions out, with their returns"
        raise InputError(msg)
    share = 1.0 if independent is None or not len(p_up) else independent / len(p_up)
    bars = returns_at_lags.shape[1]
    spans = [(bar, bar) for bar in range(1, bars + 1)] + [(1, bar) for bar in range(2, bars + 1)]
    certain = NormalDist().inv_cdf(1 - _ALPHA / 2 / len(spans))
    found = [
        (_near_end(value, count * share / (last - first + 1), certain), value, first, last)
        for first, last in spans
        for value, count in [_rank_correlation(p_up, returns_at_lags[:, first - 1 : last].sum(axis=1))]
        if value is not None and count * share / (last - first + 1) >= _FEWEST
    ]
    if not found:
        return LeakCheck(named=False, first_bar=None, last_bar=None, correlation=None, at_least=None, note=_NOTHING)
    at_least, value, first, last = max(found)
    named = at_least > most_possible
    return LeakCheck(named, first, last, value, at_least, _note(named, first, last, value, at_least, most_possible))


_NOTHING = "cannot be checked: too few forecasts, or always the same one"


def _rank_correlation(p_up: Floats, returns: Floats) -> tuple[float | None, int]:
    from scipy.stats import rankdata

    known = np.isfinite(returns)
    count = int(known.sum())
    if not count or not np.ptp(p_up[known]) or not np.ptp(returns[known]):
        return None, count
    return float(np.corrcoef(rankdata(p_up[known]), rankdata(returns[known]))[0, 1]), count


def _near_end(correlation: float, count: float, certain: float) -> float:
    distance = math.atanh(min(abs(correlation), 1 - 1e-12))
    return max(0.0, math.tanh(distance - certain * math.sqrt(_FIELLER / (count - 3))))


def _note(named: bool, first: int, last: int, value: float, at_least: float, most_possible: float) -> str:  # noqa: FBT001
    where = f"bar {first}" if first == last else f"bars {first} to {last}"
    figures = (
        f"a rank correlation of {value:.2f} with the return of {where} after the forecast, at least {at_least:.2f}"
    )
    if named:
        return f"looks ahead: {figures}, where {most_possible:.2f} is the most that is possible without"
    return f"no sign of looking ahead: {figures}, under {most_possible:.2f}"
