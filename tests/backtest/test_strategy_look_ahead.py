"""Look-ahead: the future is cut off, and nothing that a strategy said before the cut may differ in a single bit.

One test over the registry, so a strategy that is added is tested with its first line; and leaks that are planted, so
that the test is known to find one.
"""

from dataclasses import replace

import numpy as np
import pytest
from look_ahead import leaking_bars
from price_paths import random_walk

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators import values as values_module
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.values import HigherValues, IndicatorValues
from triplegain_pipelines.strategies import momentum
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.rules import following
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

pytestmark = pytest.mark.backtest

BARS = 2500
CUTS = (1, 139, 140, 141, 500, 997, *range(1200, 1233), 1999, 2304, 2499)
"""Among them every bar of 8 hours, so that each place within an hour and within 4 hours is cut once."""

CASES = [
    *((one, one.parameters()) for one in STRATEGIES.values()),
    *(
        (momentum.STRATEGY, momentum.STRATEGY.parameters(fast=3, slow=10, trend_minutes=minutes, trend_period=5))
        for minutes in (60, 240, 1440)
    ),
]


@pytest.mark.parametrize(
    ("strategy", "parameters"),
    CASES,
    ids=lambda one: one.name if isinstance(one, Strategy) else "-".join(map(str, one.model_dump().values())),
)
@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_no_strategy_sees_the_future(strategy: Strategy, parameters: StrategyParameters, gaps: float) -> None:
    """B1, issue 6: a strategy that knows the next bar earns in every backtest and loses in every market."""
    series = random_walk(BARS, seed=21, gaps=gaps, first=3)
    cuts = [cut for cut in CUTS if cut <= len(series)]
    signals = strategy.function(IndicatorValues(series), parameters)
    assert np.count_nonzero(np.diff(signals.target)) > 5, "a strategy that says nothing leaks nothing"
    assert leaking_bars(strategy, parameters, series, cuts) == []


def by_next_close(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """Long before a bar that closes higher."""
    ahead = np.append(values.bars.close[1:], values.bars.close[-1:])
    target, reason = following(ahead, values.bars.close, warm_up=1)
    return Signals.of(values, parameters, target, reason)


def by_whole_average(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """Long under the average of all closes, those to come included: what normalising over the sample does."""
    average = values.bars.close.mean()
    target, reason = following(np.full_like(values.bars.close, average), values.bars.close, warm_up=1)
    return Signals.of(values, parameters, target, reason)


def by_running_hour(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """On the side of the hour that still runs: its close is written beside every bar of it."""
    hours = values.series.opened_at // (Timeframe.H1.minutes * 60_000_000)
    last = np.searchsorted(hours, hours, side="right") - 1
    close = values.bars.close[last]
    target, reason = following(close, values.bars.close, warm_up=1)
    return Signals.of(values, parameters, target, reason)


def centred(bars: Bars, *, period: int) -> tuple[Array, ...]:
    """An average that lies in the middle of its window."""
    return (np.convolve(bars.close, np.ones(period) / period, "same"),)


def by_centred_average(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """The leak is within an indicator, and of two bars only."""
    (average,) = values.of(centred, period=5)
    target, reason = following(values.bars.close, average, warm_up=140)
    return Signals.of(values, parameters, target, reason)


@pytest.mark.parametrize("planted", [by_next_close, by_whole_average, by_running_hour, by_centred_average])
def test_a_planted_leak_is_found(planted: object) -> None:
    """T2: a test that never fails proves nothing."""
    strategy = replace(momentum.STRATEGY, function=planted)
    found = leaking_bars(strategy, strategy.parameters(), random_walk(BARS, seed=21, first=3), CUTS)
    assert len(found) > len(CUTS) / 4


class TooEarly(HigherValues):
    """Shows a higher bar from the lower bar on that opens with it, by its final values."""

    def __init__(self, lower: IndicatorValues, timeframe: Timeframe) -> None:
        super().__init__(lower, timeframe)
        self.place = np.searchsorted(self.series.opened_at, lower.series.opened_at, side="right") - 1


def by_last_hour(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """On the side of the last hour that is over."""
    (hour,) = values.higher(Timeframe.H1).of(momentum.side, period=2)
    target, reason = following(hour, np.zeros_like(hour), warm_up=1)
    return Signals.of(values, parameters, target, reason)


def test_a_leak_through_a_longer_timeframe_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """I2, T2: aligned to the opening of the longer bar instead of its close: the leak that happens in practice."""
    strategy, series = replace(momentum.STRATEGY, function=by_last_hour), random_walk(BARS, seed=21, first=3)
    assert leaking_bars(strategy, strategy.parameters(), series, CUTS) == []
    monkeypatch.setattr(values_module, "HigherValues", TooEarly)
    assert len(leaking_bars(strategy, strategy.parameters(), series, CUTS)) > len(CUTS) / 4
