"""What the same bars gave without the strategy: holding, holding in equal parts, rebalancing, cash.

Unlike the benchmarks of an account (benchmarks.py) these pay what the backtest pays: fee and slippage on everything
they buy and sell. A position that is still held at the end is marked, not sold, as the backtest's is.
Random entries, which answer how much of a result is luck, are in random_entries.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.benchmarks import CASH, EQUAL_WEIGHT, Benchmark, hold_name
from triplegain_pipelines.evaluation.performance import daily_returns
from triplegain_pipelines.market.series import CandleSeries, Floats, Times

REBALANCED = "rebalanced 33/33/33"
SAME_EXPOSURE = "hold with the same exposure"
BAND = 0.05  # X5: nothing is traded while every share is within this of its weight
_THIRD = 0.33
_FEWEST_WEIGHTS = 2
_CHUNK = 4096  # bars looked at for the next rebalancing


@dataclass(frozen=True, slots=True)
class Prices:
    """Opening and closing prices of symbols on the bars that all of them have begun by.

    `closed_at` counts microseconds since the Unix epoch. Columns are symbols; where one misses a bar that another has,
    its price stays what it was.
    """

    symbols: tuple[str, ...]
    closed_at: Times
    open: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]


def bars_of(result: BacktestResult, series: CandleSeries) -> CandleSeries:
    """The bars of the series that the result was run over.

    Raises:
        DataError: there is none.
    """
    start, end = _microseconds(result)
    first = int(np.searchsorted(series.opened_at, start, side="left"))
    last = int(np.searchsorted(series.closed_at, end, side="right"))
    if last <= first:
        msg = (
            f"no bar of {series.symbol} {series.timeframe} lies in {result.starts_at.isoformat()} to "
            f"{result.ends_at.isoformat()}; give the candles that the backtest was run on"
        )
        raise DataError(msg)
    return series.part(first, last)


def backtest_benchmarks(
    result: BacktestResult, series: Mapping[str, CandleSeries], net_exposure: float
) -> list[Benchmark]:
    """Holding each symbol, all in equal parts, thirds rebalanced, holding with the strategy's exposure, and cash.

    Args:
        result: whose bars, costs (`fee`, `slippage`) and starting equity count.
        series: the candles of each of its symbols.
        net_exposure: mean share of the equity that the strategy had in positions, short ones with a minus.

    Raises:
        DataError: candles of a symbol are missing.
    """
    prices = align(result, series)
    equity = result.starting_equity
    cost = _cost(result)
    holds = equity * prices.close / prices.open[0] / (1 + cost)
    found = [_benchmark(hold_name(symbol), result, prices, holds[:, at]) for at, symbol in enumerate(prices.symbols)]
    if len(prices.symbols) > 1:
        found.append(_benchmark(EQUAL_WEIGHT, result, prices, holds.mean(axis=1)))
        found.append(_benchmark(REBALANCED, result, prices, rebalanced(prices, equity, cost)))
    # The exposure is kept from bar to bar at no cost, which makes it the harder to beat.
    worth = np.concatenate(([1.0], (prices.close / prices.open[0]).mean(axis=1)))
    moves = np.diff(worth) / worth[:-1]
    found.append(_benchmark(SAME_EXPOSURE, result, prices, equity * np.cumprod(1 + net_exposure * moves)))
    found.append(_benchmark(CASH, result, prices, np.full(len(prices.closed_at), equity)))
    return found


def align(result: BacktestResult, series: Mapping[str, CandleSeries]) -> Prices:
    """The prices of the result's symbols on one grid of bars.

    Raises:
        DataError: candles of a symbol are missing.
    """
    missing = [symbol for symbol in result.symbols if symbol not in series]
    if missing:
        msg = f"the benchmarks of {result.strategy} need the candles of {', '.join(missing)}; give them with the result"
        raise DataError(msg)
    parts = [bars_of(result, series[symbol]) for symbol in result.symbols]
    grid = parts[0].closed_at if len(parts) == 1 else np.unique(np.concatenate([part.closed_at for part in parts]))
    grid = grid[grid >= max(part.closed_at[0] for part in parts)]
    places = [np.searchsorted(part.closed_at, grid, side="right") - 1 for part in parts]
    return Prices(
        result.symbols,
        grid,
        np.column_stack([part.open[place] for part, place in zip(parts, places, strict=True)]),
        np.column_stack([part.close[place] for part, place in zip(parts, places, strict=True)]),
    )


def rebalanced(prices: Prices, equity: float, cost: float, band: float = BAND) -> Floats:
    """Value at each close of equal weights, of at most a third each and the rest in cash.

    Weights are looked at after each close; once one is more than `band` off, all are restored at the next open. What is
    bought or sold pays `cost`, a share of its value.
    """
    count = len(prices.symbols)
    weight = min(_THIRD, 1 / count)
    bars = len(prices.closed_at)
    value = np.empty(bars)
    held, cash, bar = np.zeros(count), equity, 0
    while bar < bars:
        opening = prices.open[bar]
        held, cash = _restored(held, cash, opening, weight, cost)
        while bar < bars:
            closes = prices.close[bar : bar + _CHUNK]
            worth = closes @ held + cash
            drifted = np.abs(closes * held / worth[:, None] - weight).max(axis=1) > band
            upto = int(np.argmax(drifted)) + 1 if drifted.any() else len(closes)
            value[bar : bar + upto] = worth[:upto]
            bar += upto
            if drifted.any():
                break
    return value


def benchmark_returns(benchmark: Benchmark, result: BacktestResult) -> list[float]:
    """The benchmark's return of each whole UTC day, as the strategy's are counted."""
    marks = benchmark.curve.select("at", equity="value").with_columns(external_flow=pl.lit(0.0))
    return daily_returns(marks, result.starts_at, result.ends_at, result.starting_equity)


def _restored(held: Floats, cash: float, opening: Floats, weight: float, cost: float) -> tuple[Floats, float]:
    worth = float(opening @ held) + cash
    wanted = weight * worth / opening
    # The costs of restoring lower what there is to share out: a second pass leaves an error of cost squared.
    for _ in range(2):
        paid = float(np.abs(wanted - held) @ opening) * cost
        wanted = weight * (worth - paid) / opening
    paid = float(np.abs(wanted - held) @ opening) * cost
    return wanted, worth - paid - float(wanted @ opening)


def _cost(result: BacktestResult) -> float:
    fee, slippage = (float(result.costs.get(name, 0.0)) for name in ("fee", "slippage"))
    return (1 + slippage) * (1 + fee) - 1


def _benchmark(name: str, result: BacktestResult, prices: Prices, value: npt.NDArray[Any]) -> Benchmark:
    # On the marks of the result: a fall that is measured oftener is deeper, and would make holding look worse.
    start, end = _microseconds(result)
    marks = result.equity["at"].cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()
    marks = marks[(marks > start) & (marks <= end)] if len(marks) else prices.closed_at
    place = np.searchsorted(prices.closed_at, marks, side="right") - 1
    worth = np.concatenate(([result.starting_equity], np.where(place < 0, result.starting_equity, value[place])))
    at = pl.Series("at", np.concatenate(([start], marks))).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return Benchmark(
        name=name,
        total_return=float(worth[-1] / worth[0] - 1),
        max_drawdown=float((1 - worth / np.maximum.accumulate(worth)).max()),
        curve=pl.DataFrame({"at": at, "value": worth}),
    )


def _microseconds(result: BacktestResult) -> tuple[int, int]:
    times = pl.Series([result.starts_at, result.ends_at], dtype=pl.Datetime("us", "UTC")).to_physical()
    return int(times[0]), int(times[1])
