"""Daily returns of strategies for tests of the meta-strategy."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.returns import StrategyReturns

FIRST = datetime(2024, 5, 2, tzinfo=UTC)
SETTINGS: MetaStrategySettings = load_settings(Environment(profile="demo"), CONFIG).meta_strategy
NAMES = ("momentum", "macd", "rsi_reversion", "bollinger", "breakout", "stochastic")


def settings(**changes: float) -> MetaStrategySettings:
    """The shipped settings with some of them changed, and checked again."""
    return MetaStrategySettings(**(SETTINGS.model_dump() | changes))


def day(number: int) -> datetime:
    """When day `number` was over; day 0 with the beginning of `FIRST`."""
    return FIRST + timedelta(days=number)


def returns_of(
    series: Mapping[str, object], regimes: list[Regime] | Regime = Regime.RANGING, *, first: int = 0
) -> StrategyReturns:
    """Returns of one day after another, in the given regimes."""
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in series.items()}
    days = max((len(one) for one in arrays.values()), default=0)
    return StrategyReturns(
        tuple(day(first + number) for number in range(days)),
        arrays,
        tuple(regimes) if isinstance(regimes, list) else (regimes,) * days,
    )


def noise(days: int, seed: int, sharpe: float = 0.0) -> np.ndarray:
    """Returns of 1 % a day around 0, moved and scaled to have exactly that Sharpe ratio a year."""
    drawn = np.random.default_rng(seed).normal(0, 0.01, days)
    unit = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return 0.01 * (unit + sharpe / np.sqrt(365))


def unlike(days: int, seed: int, sharpes: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Returns as of `noise` that do not correlate at all with one another, on every day but the first.

    Of the first day nobody knows in which regime it began, so it has no return: all the others are of one regime.
    """
    columns: list[np.ndarray] = []
    for drawn in np.random.default_rng(seed).normal(0, 1, (len(sharpes), days - 1)):
        one = drawn - drawn.mean()
        for other in columns:
            one = one - (one * other).mean() * other
        one = one - one.mean()
        columns.append(one / one.std())
    scale = np.sqrt((days - 2) / (days - 1))
    return {
        name: np.append(np.nan, 0.01 * (one * scale + sharpe / np.sqrt(365)))
        for (name, sharpe), one in zip(sharpes.items(), columns, strict=True)
    }
