"""Lets the fast engines be compiled before anything waits for them, so that whoever waits can be told why."""

from collections.abc import Sequence

import numpy as np

from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.registry import STRATEGIES

COMPILING = "compiling the engine, the first time only"
_BARS, _HOUR = 400, 3_600_000_000


def compile_strategies(names: Sequence[str]) -> None:
    """Compile what backtests of these strategies call, if it was not since the code changed; unknown ones are left out.

    It takes seconds then, and otherwise the moment that they need to be loaded in any case.
    """
    values = _made_up()
    for name in set(names) & set(STRATEGIES):
        STRATEGIES[name].function(values, STRATEGIES[name].parameters())


def compile_sweeps(names: Sequence[str]) -> None:
    """As `compile_strategies`, for studies of them, which takes three times as long."""
    from triplegain_pipelines.backtest.sweep import walk_each

    values = _made_up()
    for name in set(names) & set(STRATEGIES):
        walk_each(values, STRATEGIES[name], [STRATEGIES[name].parameters()], Terms(), threads=1)


def _made_up() -> IndicatorValues:
    """Some bars of a price that goes up and down."""
    close = 100 + np.sin(np.arange(_BARS) / 10)
    opened_at = np.arange(_BARS, dtype=np.int64) * _HOUR
    return IndicatorValues(
        CandleSeries("COMPILING", Timeframe.H1, opened_at, close, close + 1, close - 1, close, np.ones(_BARS))
    )
