"""Compiled performance figures of one walk, by the definitions of `evaluation.performance`.

Import it where numba may be imported.
"""

import math

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.compiled import compiled

FIGURES = np.dtype(
    [(name, np.float64) for name in ("final_equity", "total_return", "sharpe", "skew", "kurtosis")]
    + [("days", np.int64)]
    + [("max_drawdown", np.float64), ("trades", np.int64)]
    + [(name, np.float64) for name in ("win_rate", "profit_factor", "fees", "exposure")]
    + [("trades_hash", np.uint64)]
)
"""One combination of a sweep; NaN where a figure has no meaning."""

_YEARLY = math.sqrt(365)
_NO_VARIANCE = 1e-12
_FEWEST_RETURNS = 2

Floats = npt.NDArray[np.float64]


@compiled
def _daily_returns(equity: Floats, midnights: int, before: float, returns: Floats) -> int:
    """Returns from one midnight to the next into `returns`; how many there are.

    `before` is the equity at the first midnight where that is no mark, else 0. The series ends with the first day that
    leaves nothing to have a return on.
    """
    count, previous = 0, before
    for mark in range(midnights):
        value = equity[mark]
        if previous > 0.0:
            returns[count] = value / previous - 1.0
            count += 1
        if value <= 0.0:
            break
        previous = value
    return count


@compiled
def _moments(returns: Floats, count: int, row: np.void) -> None:
    """Daily Sharpe ratio over a year, skew and kurtosis (3 for normal returns), of the first `count` returns."""
    row["days"] = count
    row["sharpe"], row["skew"], row["kurtosis"] = np.nan, np.nan, np.nan
    if count < _FEWEST_RETURNS:
        return
    total = 0.0
    for place in range(count):
        total += returns[place]
    mean = total / count
    second, third, fourth = 0.0, 0.0, 0.0
    for place in range(count):
        away = returns[place] - mean
        square = away * away
        second += square
        third += square * away
        fourth += square * square
    deviation = math.sqrt(second / (count - 1))
    if deviation <= _NO_VARIANCE:
        return
    variance = second / count
    row["sharpe"] = mean / deviation * _YEARLY
    row["skew"] = third / count / (variance * math.sqrt(variance))
    row["kurtosis"] = fourth / count / (variance * variance)


@compiled
def _deepest_fall(equity: Floats, starting_equity: float) -> float:
    peak, deepest = starting_equity, 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = max(deepest, 1.0 - value / peak)
    return deepest


@compiled
def write_figures(
    totals: npt.NDArray[np.void],
    equity: Floats,
    midnights: int,
    from_midnight: bool,  # noqa: FBT001 - compiled functions take no keywords
    starting_equity: float,
    bars: int,
    returns: Floats,
    figures: npt.NDArray[np.void],
    place: int,
) -> None:
    """The figures of a walk into the row `place` of `figures`; `returns` has room for a number each mark."""
    sums, row = totals[0], figures[place]
    row["final_equity"] = sums["final_equity"]
    row["total_return"] = sums["final_equity"] / starting_equity - 1.0
    _moments(returns, _daily_returns(equity, midnights, starting_equity if from_midnight else 0.0, returns), row)
    row["max_drawdown"] = _deepest_fall(equity, starting_equity)
    trades = sums["trades"]
    row["trades"] = trades
    row["win_rate"] = sums["wins"] / trades if trades > 0 else np.nan
    row["profit_factor"] = sums["gross_wins"] / sums["gross_losses"] if sums["losses"] > 0 else np.nan
    row["fees"] = sums["fees"]
    row["exposure"] = sums["held_bars"] / bars
    row["trades_hash"] = sums["trades_hash"]
