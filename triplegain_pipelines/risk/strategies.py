"""How the strategies have done lately: each settled forecast of a seat is a result of its strategy."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import fsum


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """One forecast of a strategy that has settled: what following its sign returned over its horizon, a fraction."""

    strategy: str
    settled_at: datetime
    result: float


def standings(results: Iterable[StrategyResult]) -> dict[str, tuple[int, float]]:
    """By strategy, how many results it has and their mean. The order of the results does not matter.

    >>> from datetime import UTC
    >>> at = datetime(2024, 8, 5, tzinfo=UTC)
    >>> standings([StrategyResult("gpt", at, 0.5), StrategyResult("gpt", at, -0.25)])
    {'gpt': (2, 0.125)}
    """
    by_strategy: dict[str, list[float]] = {}
    for one in results:
        by_strategy.setdefault(one.strategy, []).append(one.result)
    return {name: (len(values), fsum(values) / len(values)) for name, values in sorted(by_strategy.items())}
