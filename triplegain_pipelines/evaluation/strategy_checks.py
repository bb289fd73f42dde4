"""Whether a strategy's signals know the future, and whether they depend on where its history starts.

Both compute the signals again on a part of the candles and compare what both can have known: the results linter's
evidence, and what a test over the registry runs.
"""

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.evaluation.results_linter_terms import HistoryCheck, LookAheadCheck
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

_CUTS = 24
_STARTS = 3


def check_look_ahead(
    strategy: Strategy, parameters: StrategyParameters, series: CandleSeries, *, cuts: int = _CUTS
) -> LookAheadCheck:
    """Take the future away at `cuts` places, evenly spread past the warm-up, and count signals before that differ."""
    whole = _signals(strategy, parameters, series)
    places = np.unique(np.linspace(strategy.warm_up(parameters) + 1, len(series), cuts + 1, dtype=np.int64)[:-1])
    differences, first = 0, len(series)
    for stop in places[(places > 0) & (places < len(series))].tolist():
        differ = np.flatnonzero(_differ(_signals(strategy, parameters, series.part(0, stop)), whole, 0, stop))
        differences += len(differ)
        first = min(first, int(differ[0])) if len(differ) else first
    at = None if first == len(series) else EPOCH + np.timedelta64(int(series.opened_at[first]), "us").item()
    return LookAheadCheck(cuts=len(places), differences=differences, first_at=at)


def check_history(
    strategy: Strategy, parameters: StrategyParameters, series: CandleSeries, *, starts: int = _STARTS
) -> HistoryCheck:
    """Let the history start later, at `starts` places in its first half, and compare all bars past the warm-up."""
    whole = _signals(strategy, parameters, series)
    warm = strategy.warm_up(parameters)
    bars = differences = 0
    largest = 0.0
    for start in np.unique(np.linspace(0, len(series) // 2, starts + 1, dtype=np.int64)[1:]).tolist():
        later = _signals(strategy, parameters, series.part(start, len(series)))
        compared = slice(start + warm, len(series))
        bars += max(0, len(series) - start - warm)
        differences += int(np.count_nonzero(later.target[warm:] != whole.target[compared]))
        before, after = whole.atr[compared], later.atr[warm:]
        known = np.isfinite(before) & np.isfinite(after) & (before > 0)
        if known.any():
            largest = max(largest, float(np.abs(after[known] / before[known] - 1).max()))
    return HistoryCheck(bars=bars, differences=differences, largest_change=largest)


def _signals(strategy: Strategy, parameters: StrategyParameters, series: CandleSeries) -> Signals:
    return strategy.function(IndicatorValues(series), parameters)


def _differ(part: Signals, whole: Signals, start: int, stop: int) -> npt.NDArray[np.bool_]:
    span = slice(start, stop)
    same_atr = (part.atr == whole.atr[span]) | (np.isnan(part.atr) & np.isnan(whole.atr[span]))
    differ: npt.NDArray[np.bool_] = (part.target != whole.target[span]) | (part.reason != whole.reason[span])
    differ |= ~same_atr
    return differ
