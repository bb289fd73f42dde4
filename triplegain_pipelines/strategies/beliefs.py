"""What is believed of each strategy after its results: a Sharpe ratio, shrunk towards what all have in common.

A quarter of daily returns knows a Sharpe ratio to +-2 a year, so the best of six strategies is the luckiest one. The
normal hierarchical model (Gelman and others, "Bayesian Data Analysis", 3rd edition, chapter 5) says how much of a
difference to believe:

    common ~ N(0, common_spread)     own ~ N(common, spread)     in this regime ~ N(own, regime_spread)

`own` is seen through the days that began in other regimes, the last through those that began in this one, so that no
day counts twice. The error of an observed Sharpe ratio is Lo's ("The Statistics of Sharpe Ratios", Financial Analysts
Journal 2002): sqrt((1 + s^2 / 2) / days) for a daily ratio s, times sqrt(365) for a year. All of it is normal, so what
is believed is the normal distribution of what is not known given what was seen. The errors of two strategies are taken
as independent; what moves together is `overlaps`'.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.returns import Floats, StrategyReturns

_YEAR = 365
_PLACES = 9  # fewer than a float has, so that another processor gives the same figure


@dataclass(frozen=True, slots=True)
class Observed:
    """A Sharpe ratio a year and the variance of its error; both None where days are too few, or all the same."""

    days: int
    sharpe: float | None = None
    variance: float | None = None


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of a strategy in the present regime.

    Attributes:
        elsewhere: what was seen of it on days that began in other regimes.
        here: what was seen on days that began in this one.
        sharpe: the Sharpe ratio a year that is expected of it here.
        deviation: the standard deviation of that belief.
    """

    elsewhere: Observed
    here: Observed
    sharpe: float
    deviation: float

    @property
    def earns(self) -> float:
        """The probability that its Sharpe ratio is over 0 here."""
        return (1 + math.erf(self.sharpe / self.deviation / math.sqrt(2))) / 2


def beliefs(returns: StrategyReturns, settings: MetaStrategySettings) -> dict[str, Belief]:
    """By strategy what is believed of it in the newest regime of `returns`, of which all days count."""
    inside = returns.began_in(returns.regime)
    seen = {
        (name, here): _observed(returns.returns[name][inside == here], settings.least_days)
        for name in returns.strategies
        for here in (False, True)
    }
    means, deviations = _given(returns.strategies, seen, settings)
    return {
        name: Belief(seen[name, False], seen[name, True], mean, deviation)
        for name, mean, deviation in zip(returns.strategies, means, deviations, strict=True)
    }


def _observed(returns: Floats, least: int) -> Observed:
    known = returns[np.isfinite(returns)]
    days = len(known)
    if days < least or known.max() == known.min():
        return Observed(days)
    daily = float(known.mean() / known.std(ddof=1))
    return Observed(days, daily * math.sqrt(_YEAR), (1 + daily**2 / 2) / days * _YEAR)


def _given(
    strategies: tuple[str, ...], seen: Mapping[tuple[str, bool], Observed], settings: MetaStrategySettings
) -> tuple[list[float], list[float]]:
    """Means and standard deviations of the strategies' Sharpe ratios in this regime, given what was seen."""
    known = [(name, here, one.sharpe, one.variance) for (name, here), one in seen.items() if one.variance is not None]
    wanted = [(name, True) for name in strategies]
    labels = [(name, here) for name, here, _, _ in known]
    gain = np.linalg.solve(
        _together(labels, labels, settings) + np.diag([variance for *_, variance in known]),
        _together(labels, wanted, settings),
    ).T
    means = gain @ np.array([sharpe for _, _, sharpe, _ in known], dtype=np.float64)
    left = _together(wanted, wanted, settings) - gain @ _together(labels, wanted, settings)
    return np.round(means, _PLACES).tolist(), np.round(np.sqrt(np.diag(left)), _PLACES).tolist()


def _together(
    rows: Sequence[tuple[str, bool]], columns: Sequence[tuple[str, bool]], settings: MetaStrategySettings
) -> Floats:
    """Covariances before any data of Sharpe ratios, each of a strategy in this regime (True) or of its own (False)."""
    common, own, regime = settings.common_spread**2, settings.spread**2, settings.regime_spread**2
    found = [
        [
            common + (own if row[0] == column[0] else 0.0) + (regime if row == column and row[1] else 0.0)
            for column in columns
        ]
        for row in rows
    ]
    return np.array(found, dtype=np.float64).reshape(len(rows), len(columns))
