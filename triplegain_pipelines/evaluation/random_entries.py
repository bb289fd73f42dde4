"""How much of a result is luck: its trades entered at random, and the spread of its Sharpe ratio over redrawn days.

Every draw keeps what the strategy chose about size, direction and time in the market, and takes from it only what it
claims to know: when to enter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.evaluation.backtest_benchmarks import bars_of
from triplegain_pipelines.evaluation.backtest_performance import equity_before
from triplegain_pipelines.evaluation.backtest_result import BacktestResult, ExitReason
from triplegain_pipelines.evaluation.performance import DAYS_PER_YEAR, Interval
from triplegain_pipelines.market.series import CandleSeries, Floats

Integers = npt.NDArray[np.int64]

DRAWS = 1_000
_AT_ONCE = 200_000  # entries drawn at a time, which bounds memory
_FEWEST_DAYS = 10  # a bootstrap of fewer days repeats the same few
_NO_VARIANCE = 1e-12
_NOTHING_LEFT = 1e-9  # of an account that lost everything


@dataclass(frozen=True, slots=True)
class RandomEntries:
    """The strategy among draws of random entries. Returns are fractions of the starting equity, after costs.

    Attributes:
        strategy: growth by the closed trades.
        draws: growth of each draw, sorted.
        percentile: share of the draws that the strategy did better than; ties count half.
        p_value: chance of doing at least as well with random entries: (1 + draws as good) / (1 + draws).
        seed: of the draws; the same gives the same.
    """

    strategy: float
    draws: Floats
    percentile: float
    p_value: float
    seed: int


@dataclass(frozen=True, slots=True)
class _Legs:
    """A symbol's trades as what a draw needs: bars held, whether the exit was inside a bar, size and direction."""

    held: Integers
    inside: npt.NDArray[np.bool_]
    sized: Floats  # signed share of the equity before


def random_entries(
    result: BacktestResult, series: Mapping[str, CandleSeries], *, draws: int = DRAWS, seed: int = 0
) -> RandomEntries | None:
    """Enter the trades of a result at random times; None without trades.

    In each draw the trades of a symbol come in random order, never two at a time, with all gaps between them equally
    likely. A trade is entered at an open and left after as many bars: at an open where the strategy left by a signal,
    at a close where a stop or take profit ended it inside the bar. Fee and slippage are paid both ways, and profits
    compound.

    Args:
        result: whose trades are entered.
        series: the candles of its symbols.
        draws: how many.
        seed: of the draws.

    Raises:
        DataError: there are no candles of a symbol in the period.
    """
    if not result.trades.height:
        return None
    generator = np.random.default_rng(seed)
    logs = np.zeros(draws)
    profits = result.trades["profit"].to_numpy()
    worth = np.maximum(equity_before(result), _NOTHING_LEFT)
    shares = profits / worth
    for symbol in sorted(set(result.trades["symbol"].unique())):
        bars = bars_of(result, series[symbol])
        legs = _legs(result, symbol, worth)
        step = max(1, _AT_ONCE // len(legs.held))
        for first in range(0, draws, step):
            logs[first : first + step] += _drawn(bars, legs, result, min(step, draws - first), generator)
    grown = np.sort(np.expm1(logs))
    strategy = float(np.expm1(_log_growth(shares[None, :])[0]))
    as_good = int((grown >= strategy).sum())
    percentile = (int((grown < strategy).sum()) + 0.5 * int((grown == strategy).sum())) / draws
    return RandomEntries(strategy, grown, percentile, (1 + as_good) / (1 + draws), seed)


def _legs(result: BacktestResult, symbol: str, worth: Floats) -> _Legs:
    chosen = (result.trades["symbol"] == symbol).to_numpy()
    trades = result.trades.filter(chosen)
    inside = trades["exit_reason"].is_in([ExitReason.STOP.value, ExitReason.TAKE_PROFIT.value]).to_numpy()
    held = (trades["exit_bar"] - trades["entry_bar"]).to_numpy().astype(np.int64)
    value = (trades["quantity"] * trades["entry_price"]).to_numpy() * trades["direction"].to_numpy()
    # A trade by signal that was left at the open it was entered at would take no bar at all.
    return _Legs(np.where(inside, held, np.maximum(held, 1)), inside, value / worth[chosen])


def _drawn(
    bars: CandleSeries, legs: _Legs, result: BacktestResult, draws: int, generator: np.random.Generator
) -> Floats:
    """Logarithm of the growth of each draw."""
    count = len(legs.held)
    order = generator.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)
    held, inside = legs.held[order], legs.inside[order]
    taken = held + inside
    before = np.cumsum(taken, axis=1) - taken
    # One bar more than is taken: a trade left at an open needs the bar that it is left in.
    free = max(0, len(bars) - 1 - int(legs.held.sum() + legs.inside.sum()))
    entry = np.minimum(np.sort(generator.integers(0, free + 1, (draws, count)), axis=1) + before, len(bars) - 1)
    leave = np.minimum(entry + held, len(bars) - 1)
    fee, slippage = (float(result.costs.get(name, 0.0)) for name in ("fee", "slippage"))
    sized = legs.sized[order]
    side = np.sign(sized)
    bought = bars.open[entry] * (1 + side * slippage)
    left = np.where(inside, bars.close[leave], bars.open[leave]) * (1 - side * slippage)
    ratio = left / bought
    return _log_growth(sized * (ratio - 1) - np.abs(sized) * fee * (1 + ratio))


def _log_growth(shares: Floats) -> Floats:
    # A loss of everything ends a draw: what is left is nothing, and nothing grows no more.
    grown: Floats = np.log(np.maximum(1 + shares, 1e-12)).sum(axis=1)
    return grown


def sharpe_bootstrap(returns: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """95 % interval of the yearly Sharpe ratio by the circular block bootstrap (Politis and Romano 1992).

    Blocks of n^(1/3) days keep what days have to do with their neighbours (Hall, Horowitz and Jing 1995). None for
    fewer than ten days, or without variance.
    """
    values = np.asarray(returns, np.float64)
    if len(values) < _FEWEST_DAYS or np.std(values, ddof=1) <= _NO_VARIANCE:
        return None
    ratios = _sharpes(values[_redrawn(len(values), draws, seed)])
    low, high = np.quantile(ratios[np.isfinite(ratios)], (0.025, 0.975))
    return Interval(float(low), float(high))


def sharpe_difference_p(
    returns: Sequence[float], others: Sequence[float], *, draws: int = DRAWS, seed: int = 0
) -> float | None:
    """Chance that a Sharpe ratio as much above that of `others` is luck; one-sided, days redrawn in pairs.

    The differences of the redrawn days, less the measured one, are what luck alone does around no difference at all
    (Ledoit and Wolf 2008, without studentising). None for fewer than ten days or without variance in either.
    """
    count = min(len(returns), len(others))
    mine, theirs = np.asarray(returns[:count], np.float64), np.asarray(others[:count], np.float64)
    if count < _FEWEST_DAYS or min(np.std(mine, ddof=1), np.std(theirs, ddof=1)) <= _NO_VARIANCE:
        return None
    days = _redrawn(count, draws, seed)
    measured = float(_sharpes(mine[None, :])[0] - _sharpes(theirs[None, :])[0])
    differences = _sharpes(mine[days]) - _sharpes(theirs[days])
    differences = differences[np.isfinite(differences)]
    as_far = int(np.count_nonzero(differences - measured >= measured))
    return (1 + as_far) / (1 + len(differences))


def block_length(days: int) -> int:
    """Days of a block: the cube root of how many there are.

    >>> block_length(365), block_length(10)
    (7, 2)
    """
    return max(1, round(math.cbrt(days)))


def _redrawn(days: int, draws: int, seed: int) -> Integers:
    length = block_length(days)
    starts = np.random.default_rng(seed).integers(0, days, (draws, -(-days // length)))
    return ((starts[:, :, None] + np.arange(length)) % days).reshape(draws, -1)[:, :days]


def _sharpes(returns: Floats) -> Floats:
    deviation = returns.std(axis=1, ddof=1)
    deviation = np.where(deviation > _NO_VARIANCE, deviation, np.nan)
    yearly: Floats = returns.mean(axis=1) / deviation * DAYS_PER_YEAR**0.5
    return yearly
