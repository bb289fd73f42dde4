"""What one set of parameters shows on one stretch of bars: the kernel's figures, and the daily returns of a choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

YEARLY = math.sqrt(365)
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One set of parameters on one stretch: the sweep's figures and `daily_sharpe`, None where one has no value."""

    figures: Mapping[str, Any]
    trades_hash: str


@dataclass(frozen=True, slots=True)
class Walked:
    """A choice on its test bars: what each day returned, how many trades it made, and the longest one in bars."""

    returns: tuple[float, ...]
    trades: int
    longest_holding: int
    trades_hash: str


def evaluate(
    values: IndicatorValues,
    strategy: Strategy,
    parameters: Sequence[StrategyParameters],
    terms: Terms,
    start: int,
    stop: int,
    threads: int,
    on_walked: Callable[[int, Evaluated], None] = lambda *_: None,
) -> list[Evaluated]:
    """The figures of each set of parameters, traded in the bars `[start, stop)` and nowhere else, in their order.

    `on_walked` is told each of them by the thread that walked it, and before that begins another one.
    """
    from triplegain_pipelines.backtest.sweep import walk_each

    found: dict[int, Evaluated] = {}

    def keep(place: int, row: Mapping[str, Any]) -> None:
        found[place] = _evaluated(row)
        on_walked(place, found[place])

    walk_each(values, strategy, parameters, terms, start=start, stop=stop, threads=threads, on_walked=keep)
    return [found[place] for place in range(len(parameters))]


def walk(
    values: IndicatorValues,
    strategy: Strategy,
    parameters: StrategyParameters,
    terms: Terms,
    start: int,
    stop: int,
) -> Walked:
    """One set of parameters in the bars `[start, stop)`, with its daily returns."""
    from triplegain_pipelines.backtest.kernel import result_of, run
    from triplegain_pipelines.evaluation.performance import daily_returns

    signals = strategy.function(values, parameters)
    done = run(values.series, signals, terms, start=start, stop=stop)
    result = result_of(done, values.series, signals, terms, strategy, parameters)
    returns = daily_returns(result.equity, result.starts_at, result.ends_at, result.starting_equity)
    held = result.trades["exit_bar"] - result.trades["entry_bar"]
    longest = max(held.to_list(), default=0)
    return Walked(tuple(returns), result.trades.height, longest, done.trades_hash)


def nothing_walked(values: IndicatorValues, start: int, stop: int) -> Walked:
    """What it is to choose nothing: cash on every full day of the stretch."""
    opened, closed = int(values.series.opened_at[start]), int(values.series.closed_at[stop - 1])
    return Walked((0.0,) * ((closed - opened) // _DAY), 0, 0, "")


def _evaluated(row: Mapping[str, Any]) -> Evaluated:
    figures: dict[str, Any] = {name: _known(value) for name, value in row.items() if name != "trades_hash"}
    yearly = figures["sharpe"]
    figures["daily_sharpe"] = None if yearly is None else yearly / YEARLY
    return Evaluated(figures, str(row["trades_hash"]))


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
