"""Whether a strategy saw the future: what it says of the past must not change when the future is cut off."""

from collections.abc import Sequence

import numpy as np

from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters


def leaking_bars(
    strategy: Strategy, parameters: StrategyParameters, series: CandleSeries, cuts: Sequence[int]
) -> list[int]:
    """Of `cuts` those after which bars were still known to a bar before: any bit of target, reason or range differs."""
    whole = strategy.function(IndicatorValues(series), parameters)
    leaks = []
    for cut in cuts:
        part = strategy.function(IndicatorValues(series.part(0, cut)), parameters)
        same = all(
            np.array_equal(getattr(whole, name)[:cut].view(f"u{size}"), getattr(part, name).view(f"u{size}"))
            for name, size in (("target", 1), ("reason", 1), ("atr", 8))
        )
        if not same:
            leaks.append(cut)
    return leaks
