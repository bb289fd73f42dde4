"""Price paths for tests of strategies: hand-made ones, and random ones that move like a market."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals, Strategy

MINUTE = 60_000_000
START = 1_722_816_000_000_000
"""2024-08-05 00:00 UTC, in microseconds since the Unix epoch."""


def hand_made(closes: Sequence[float], timeframe: Timeframe = Timeframe.H1) -> IndicatorValues:
    """Bars that open and close at `closes`, with a high 1 over and a low 1 under them, from midnight on."""
    close = np.array(closes, dtype=np.float64)
    opened = START + np.arange(len(close), dtype=np.int64) * timeframe.minutes * MINUTE
    return IndicatorValues(
        CandleSeries("BTC/USDT", timeframe, opened, close, close + 1, close - 1, close, np.ones(len(close)))
    )


def random_walk(
    bars: int, seed: int, timeframe: Timeframe = Timeframe.M15, *, gaps: float = 0.0, first: int = 0
) -> CandleSeries:
    """A walk with quiet and wild stretches, without drift, that opens `first` bars after midnight.

    `gaps` is the share of candles that are missing.
    """
    draw = np.random.default_rng(seed)
    wild = np.repeat(draw.uniform(0.2, 3.0, bars // 50 + 1), 50)[:bars]
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.004, bars) * wild))
    opening = np.concatenate([[100.0], close[:-1]])
    reach = 1 + np.abs(draw.normal(0, 0.002, (2, bars)))
    high, low = np.maximum(opening, close) * reach[0], np.minimum(opening, close) / reach[1]
    opened = START + (np.arange(bars, dtype=np.int64) + first) * timeframe.minutes * MINUTE
    volume = np.round(draw.uniform(1, 50, bars), 3)
    kept = draw.random(bars) >= gaps
    return CandleSeries(
        "BTC/USDT", timeframe, opened[kept], *(one[kept] for one in (opening, high, low, close, volume))
    )


def changes(signals: Signals, strategy: Strategy) -> list[tuple[int, int, str]]:
    """Each bar at which the target changed, with the new one and its reason in words."""
    steps = enumerate(pairwise([0, *signals.target.tolist()]))
    return [(bar, after, strategy.reasons[signals.reason[bar]]) for bar, (before, after) in steps if before != after]
