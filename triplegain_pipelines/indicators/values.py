"""The indicators of one series, each computed once however many strategies and parameters ask for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.market.series import CandleSeries

Formula = Callable[..., tuple[Array, ...]]


class IndicatorValues:
    """Values at every bar of `series`, by formula and parameters. Several threads may ask at once; nobody may write."""

    def __init__(self, series: CandleSeries) -> None:
        self.series = series
        self.bars = Bars(series.high, series.low, series.close, series.volume)
        self._known: dict[tuple[Formula, tuple[tuple[str, float], ...]], tuple[Array, ...]] = {}
        self._lock = Lock()

    def of(self, formula: Formula, **parameters: float) -> tuple[Array, ...]:
        """One array for each output of `formula`, as long as the series, NaN where it has no value."""
        key = (formula, tuple(sorted(parameters.items())))
        with self._lock:
            found = self._known.get(key)
            if found is None:
                found = formula(self.bars, **parameters)
                for one in found:
                    one.flags.writeable = False
                self._known[key] = found
        return found
