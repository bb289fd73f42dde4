"""Many parameters of one strategy over one series, on several threads.

Every combination goes through the same compiled walk as `kernel.run`, and keeps its figures and a hash of its trades
instead of the trades. A thread works in the same memory from one combination to the next; indicators are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from triplegain_pipelines.backtest.kernel_inputs import Marks
    from triplegain_pipelines.backtest.kernel_walk import WalkedBars

_NULLABLE = ("sharpe", "skew", "kurtosis", "win_rate", "profit_factor")


@dataclass(frozen=True, slots=True)
class _Work:
    """What all threads of a sweep share. `figures` has one row for each of the parameters."""

    values: IndicatorValues
    strategy: Strategy
    parameters: Sequence[StrategyParameters]
    terms: Terms
    start: int
    stop: int
    bars: WalkedBars
    marks: Marks
    figures: npt.NDArray[np.void]
    on_walked: Callable[[int, Mapping[str, Any]], None] | None


def sweep(
    values: IndicatorValues,
    strategy: Strategy,
    parameters: Sequence[StrategyParameters],
    terms: Terms,
    *,
    start: int = 0,
    stop: int | None = None,
    threads: int = 2,
) -> pl.DataFrame:
    """Trade every one of `parameters` in the bars `[start, stop)`; indicators see the whole series.

    Returns:
        One row each, in their order: `place`, `final_equity`, `total_return`, `sharpe` (of daily returns, a year of
        365 days), `skew` and `kurtosis` of these (3 for normal returns), `days` of them, `max_drawdown` (a fraction
        of the peak, on daily marks), `trades`, `win_rate`, `profit_factor`, `fees` of the closed trades, `exposure`
        (share of bars at whose close there was a position) and `trades_hash`, that of `kernel.Run`. Null where a
        figure has no meaning.

    Raises:
        InputError: the stretch is empty or outside of the series, there is no thread, or a strategy's signals are not
            as long as the series.
    """
    return _frame(walk_each(values, strategy, parameters, terms, start=start, stop=stop, threads=threads))


def walk_each(
    values: IndicatorValues,
    strategy: Strategy,
    parameters: Sequence[StrategyParameters],
    terms: Terms,
    *,
    start: int = 0,
    stop: int | None = None,
    threads: int = 2,
    on_walked: Callable[[int, Mapping[str, Any]], None] | None = None,
) -> npt.NDArray[np.void]:
    """As `sweep`, with the figures as an array of `kernel_figures.FIGURES`: NaN where one has no meaning.

    `on_walked` is told the place and the figures of each walk by the thread that walked it, before it begins another.
    """
    from triplegain_pipelines.backtest.kernel_figures import FIGURES
    from triplegain_pipelines.backtest.kernel_inputs import marks_of, stretch_of, walked_bars

    if threads < 1:
        msg = f"a sweep needs at least one thread, not {threads}"
        raise InputError(msg)
    start, stop = stretch_of(values.series, start, stop)
    figures = np.zeros(len(parameters), FIGURES)
    bars, marks = walked_bars(values.series), marks_of(values.series, start, stop)
    work = _Work(values, strategy, parameters, terms, start, stop, bars, marks, figures, on_walked)
    places = iter(_neighbours(parameters))
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(_walk_places, work, places) for _ in range(threads)]:
            done.result()
    return figures


def _walk_places(work: _Work, places: Iterator[int]) -> None:
    """Take one place after another, which no other thread has taken, until there are no more."""
    from triplegain_pipelines.backtest.kernel_figures import write_figures
    from triplegain_pipelines.backtest.kernel_inputs import followed, new_desk, terms_row, words_of
    from triplegain_pipelines.backtest.kernel_walk import walk

    desk, row = new_desk(work.marks, 0), terms_row(work.terms, 1.0)
    returns = np.empty(len(work.marks.at))
    bars, starting = len(work.values.series), work.terms.starting_equity
    for place in places:
        signals = work.strategy.function(work.values, work.parameters[place])
        target, atr = followed("target", signals.target, np.int8, bars), followed("atr", signals.atr, np.float64, bars)
        row["stop_atr"] = signals.stop_atr
        walk(work.bars, target, words_of(target), atr, row, work.start, work.stop, work.marks.bars, desk)
        write_figures(
            desk.totals,
            desk.equity,
            work.marks.midnights,
            work.marks.from_midnight,
            starting,
            work.stop - work.start,
            returns,
            work.figures,
            place,
        )
        if work.on_walked is not None:
            shown = dict(zip(work.figures.dtype.names or (), work.figures[place].item(), strict=True))
            work.on_walked(place, shown | {"trades_hash": _hex(shown["trades_hash"])})


def _neighbours(parameters: Sequence[StrategyParameters]) -> list[int]:
    """All places, those with most numbers in common side by side: what they share is at hand while it is asked for.

    The order is that of Morton's curve through the numbers ("A Computer Oriented Geodetic Data Base", 1966): it goes
    through ever larger tiles of a grid, so whatever memory there is holds the indicators of one of them.
    """
    if not parameters:
        return []
    columns: list[npt.NDArray[np.int64]] = []
    for name in type(parameters[0]).model_fields:
        numbers: dict[object, int] = {}
        columns.append(np.array([numbers.setdefault(getattr(one, name), len(numbers)) for one in parameters]))
    bits = max(1, *(int(column.max()).bit_length() for column in columns))
    order: list[int] = np.lexsort([column >> bit & 1 for bit in range(bits) for column in columns]).tolist()
    return order


def _frame(figures: npt.NDArray[np.void]) -> pl.DataFrame:
    import polars as pl

    names = figures.dtype.names or ()
    columns = {name: figures[name].copy() for name in names if name != "trades_hash"}
    digests = [_hex(digest) for digest in figures["trades_hash"].tolist()]
    return pl.DataFrame({"place": np.arange(len(figures)), **columns}).with_columns(
        pl.col(_NULLABLE).fill_nan(None), trades_hash=pl.Series(digests, dtype=pl.String)
    )


def _hex(digest: int) -> str:
    return f"{digest:016x}"
