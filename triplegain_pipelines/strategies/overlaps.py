"""Which strategies are one bet: pairs whose daily returns move together, and what that leaves of their allocation.

Of k strategies with a mean correlation r only k / (1 + (k - 1) r) are different bets, so together they get that part of
what they would get apart: two that are the same get what one would.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.returns import Floats, StrategyReturns


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two strategies whose returns correlate over the threshold."""

    strategies: tuple[str, str]
    correlation: float
    days: int


def overlaps(returns: StrategyReturns, settings: MetaStrategySettings) -> tuple[Overlap, ...]:
    """The pairs over the threshold, sorted by their names."""
    pairs = (
        (pair, _correlation(returns.returns[pair[0]], returns.returns[pair[1]], settings.correlation_days))
        for pair in combinations(returns.strategies, 2)
    )
    return tuple(
        Overlap(pair, correlation, days)
        for pair, (correlation, days) in pairs
        if correlation is not None and correlation > settings.correlated_over
    )


def shares_left(found: tuple[Overlap, ...], strategies: frozenset[str]) -> dict[str, float]:
    """By strategy, of those of `strategies` that overlap with another of them, what is left of its allocation.

    Pairs that share a strategy are one group. Where a group's pairs are not all over the threshold, the mean is of
    those that are: the group may only be taken as nearer to one bet than it is, never as farther from it.
    """
    counted = [one for one in found if strategies.issuperset(one.strategies)]
    left: dict[str, float] = {}
    for group in _groups(counted):
        inside = [one.correlation for one in counted if group.issuperset(one.strategies)]
        mean = math.fsum(inside) / len(inside)
        left |= dict.fromkeys(sorted(group), 1 / (1 + (len(group) - 1) * mean))
    return left


def _groups(found: list[Overlap]) -> list[set[str]]:
    groups: list[set[str]] = []
    for one in found:
        touched = [group for group in groups if group & set(one.strategies)]
        groups = [group for group in groups if group not in touched]
        groups.append(set(one.strategies).union(*touched))
    return groups


def _correlation(one: Floats, other: Floats, least: int) -> tuple[float | None, int]:
    both = np.isfinite(one) & np.isfinite(other)
    days = int(both.sum())
    first, second = one[both], other[both]
    if days < least or first.max() == first.min() or second.max() == second.min():
        return None, days
    correlation = float(np.corrcoef(first, second)[0, 1])
    return (min(1.0, correlation), days) if np.isfinite(correlation) else (None, days)
