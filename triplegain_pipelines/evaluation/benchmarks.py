"""What doing nothing clever would have earned: buy-and-hold of each symbol, equal-weight hold, cash. Pure functions.

Benchmarks pay neither fees nor slippage, which makes them the harder to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

CASH = "cash"
EQUAL_WEIGHT = "equal-weight hold"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A value curve to compare with. `curve` has the columns `at` and `value` and starts with the starting equity."""

    name: str
    total_return: float
    max_drawdown: float
    curve: pl.DataFrame


def hold_name(symbol: str) -> str:
    """Name of the buy-and-hold benchmark of a symbol."""
    return f"buy and hold {symbol}"


def benchmarks(
    prices: pl.DataFrame, symbols: Sequence[str], start: datetime, end: datetime, starting_equity: float
) -> list[Benchmark]:
    """Buy-and-hold of every symbol that has prices, equal-weight hold of `symbols`, and cash.

    Equal weight puts the same money into each of `symbols` at its first price and never rebalances; it is left out
    while one of them has no price, because a hold of some would pass for a hold of all.

    Args:
        prices: `symbol`, `at`, `price`, sorted; the first row of a symbol is the price it can be bought at.
        symbols: what the account may trade; `prices` may hold more, such as BTC for comparison.
        start: where each curve starts, with the starting equity in cash.
        end: where each curve ends, with its last known price.
        starting_equity: in the account's currency.
    """
    by_symbol = {str(key[0]): frame for key, frame in prices.partition_by("symbol", as_dict=True).items()}
    grid = pl.concat([pl.Series("at", [start, end], dtype=pl.Datetime("us", "UTC")), prices["at"]]).unique().sort()
    values = {symbol: _held(frame, grid, starting_equity) for symbol, frame in sorted(by_symbol.items())}
    found = [_benchmark(hold_name(symbol), grid, value) for symbol, value in values.items()]
    if symbols and all(symbol in values for symbol in symbols):
        mean = pl.DataFrame([values[symbol].alias(symbol) for symbol in symbols]).mean_horizontal()
        found.append(_benchmark(EQUAL_WEIGHT, grid, mean))
    found.append(_benchmark(CASH, grid, pl.repeat(starting_equity, len(grid), dtype=pl.Float64, eager=True)))
    return found


def _held(prices: pl.DataFrame, grid: pl.Series, starting_equity: float) -> pl.Series:
    known = grid.to_frame("at").set_sorted("at").join_asof(prices.select("at", "price").set_sorted("at"), on="at")
    first = float(prices["price"][0])
    return known.select(pl.col("price").fill_null(first) * (starting_equity / first))["price"]


def _benchmark(name: str, grid: pl.Series, value: pl.Series) -> Benchmark:
    values = value.to_numpy()
    return Benchmark(
        name=name,
        total_return=float(values[-1] / values[0] - 1),
        max_drawdown=float((1 - values / np.maximum.accumulate(values)).max()),
        curve=pl.DataFrame({"at": grid, "value": value}),
    )
