"""What the same bars gave without the strategy, worked by hand."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from backtest_cases import BTC, EQUITY_AT_START, ETH, HOUR, START, Traded, candles, traded, wandering, without

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.evaluation.backtest_benchmarks import (
    SAME_EXPOSURE,
    align,
    backtest_benchmarks,
    bars_of,
    benchmark_returns,
    rebalanced,
)
from triplegain_pipelines.evaluation.backtest_result import EQUITY
from triplegain_pipelines.evaluation.benchmarks import CASH, EQUAL_WEIGHT, Benchmark, hold_name
from triplegain_pipelines.market.series import CandleSeries

pytestmark = pytest.mark.unit

PAID = 1.001 * 1.0005  # fee and slippage of a purchase


def found(*series: CandleSeries, exposure: float = 0.0, marks: pl.DataFrame | None = None) -> Mapping[str, Benchmark]:
    result = replace(traded(series[0], []), symbols=tuple(one.symbol for one in series))
    # Without marks of the strategy the benchmarks are marked at every close.
    result = replace(result, equity=pl.DataFrame(schema=EQUITY) if marks is None else marks)
    listed = backtest_benchmarks(result, {one.symbol: one for one in series}, exposure)
    return {one.name: one for one in listed}


def test_holding_pays_for_its_purchase_and_is_marked_at_the_end() -> None:
    """B1: bought at the first open of 100, 150 at the last close: +50 % less one fee and one slippage."""
    hold = found(candles([100, 80, 150]))[hold_name(BTC)]
    assert hold.total_return == pytest.approx(1.5 / PAID - 1)
    assert hold.max_drawdown == pytest.approx(1 - 0.8 / PAID)
    assert hold.curve["value"].to_list() == pytest.approx([2100, 2100 / PAID, 1680 / PAID, 3150 / PAID])
    assert hold.curve["at"].to_list() == [START, START + HOUR, START + 2 * HOUR, START + 3 * HOUR]


def test_equal_weight_buys_once() -> None:
    """B1: 100 to 150 and 10 to 10 in equal parts is +25 %, costs paid."""
    equal = found(candles([100, 80, 150]), candles([10, 5, 10], ETH))[EQUAL_WEIGHT]
    assert equal.total_return == pytest.approx(1.25 / PAID - 1)


def test_one_symbol_has_no_equal_weight_and_nothing_to_rebalance() -> None:
    """B1: the same line twice under two names is no comparison."""
    assert set(found(candles([100, 101]))) == {hold_name(BTC), SAME_EXPOSURE, CASH}


def test_thirds_are_restored_at_the_next_open_and_pay_for_it() -> None:
    """X5, B1: BTC doubles to a share of 0.66/1.33 at the second close; at the open after it all thirds are restored.

    Worth 1000: 330 + 330 + 340 cash. BTC doubled: 660 + 330 + 340 = 1330, shares 0.496 and 0.248: both off by more
    than 0.05. Restored at the third open without cost: 0.33 x 1330 = 438.9 in each; BTC then doubles again.
    """
    prices = align(
        replace(traded(candles([100, 200, 400]), []), symbols=(BTC, ETH)),
        {BTC: candles([100, 200, 400]), ETH: candles([10, 10, 10], ETH)},
    )
    assert rebalanced(prices, 1000, cost=0.0).tolist() == pytest.approx([1000, 1330, 1330 + 438.9])
    # With a cost the first purchase of 660 costs one hundredth of it, once.
    paid = rebalanced(prices, 1000, cost=0.01)
    assert paid[0] == pytest.approx(1000 - 6.6, rel=1e-3)
    assert paid[2] < 1330 + 438.9


@pytest.mark.parametrize("seed", range(4))
def test_rebalancing_in_chunks_equals_a_plain_loop(seed: int) -> None:
    """The fast way must hold what a loop over bars holds, over more bars than a chunk."""
    series = [wandering(9000, seed), wandering(9000, seed + 50, ETH)]
    prices = align(replace(traded(series[0], []), symbols=(BTC, ETH)), {one.symbol: one for one in series})
    held, cash, restore, worths = np.zeros(2), 1000.0, True, []
    for opening, close in zip(prices.open, prices.close, strict=True):
        if restore:
            worth = opening @ held + cash
            wanted = 0.33 * worth / opening
            held, cash = wanted, worth - wanted @ opening
        worth = close @ held + cash
        worths.append(worth)
        restore = bool((abs(close * held / worth - 0.33) > 0.05).any())
    assert rebalanced(prices, 1000, cost=0.0) == pytest.approx(worths)


def test_the_same_exposure_is_a_constant_share_of_each_move() -> None:
    """B1: a quarter in a market of -20 % and +50 % is -5 % and +12.5 %; half short is the other way round."""
    rising = candles([100, 80, 120])
    assert found(rising, exposure=0.25)[SAME_EXPOSURE].total_return == pytest.approx(0.95 * 1.125 - 1)
    assert found(rising, exposure=-0.5)[SAME_EXPOSURE].total_return == pytest.approx(1.1 * 0.75 - 1)


def test_cash_stays_cash() -> None:
    """B1: not to trade is an alternative too."""
    assert found(candles([100, 80]))[CASH].total_return == 0


def test_falls_are_measured_on_the_marks_of_the_result() -> None:
    """B1: an hour's dip that the strategy's daily marks cannot see must not make holding look worse than it."""
    series = candles([100.0] * 12 + [50.0] + [100.0] * 35)
    dipped = found(series)[hold_name(BTC)]
    marked = found(series, marks=traded(series, []).equity)[hold_name(BTC)]
    assert dipped.max_drawdown == pytest.approx(1 - 0.5 / PAID)
    assert marked.max_drawdown == pytest.approx(1 - 1 / PAID)
    assert marked.total_return == pytest.approx(dipped.total_return)


def test_daily_returns_of_a_benchmark_are_counted_as_the_strategys() -> None:
    """B1: two Sharpe ratios over other days cannot be compared."""
    series = wandering(24 * 30, seed=2)
    result = traded(series, [])
    hold = found(series, marks=result.equity)[hold_name(BTC)]
    returns = benchmark_returns(hold, result)
    assert len(returns) == 30
    assert np.prod(1 + np.array(returns)) == pytest.approx(1 + hold.total_return)


def test_bars_missing_in_one_symbol_keep_its_last_price() -> None:
    """B1: a gap of one symbol is no fall to zero and no shift of the other."""
    whole, gappy = wandering(50, seed=4), without(wandering(50, seed=5, symbol=ETH), [20, 21])
    prices = align(replace(traded(whole, []), symbols=(BTC, ETH)), {BTC: whole, ETH: gappy})
    assert len(prices.closed_at) == 50
    assert prices.close[21, 1] == prices.close[19, 1]
    assert prices.close[22, 1] == gappy.close[20]


def test_only_the_bars_of_the_period_count() -> None:
    """B1: a series that reaches further must not lengthen the benchmark."""
    series = wandering(100, seed=6)
    part = replace(traded(series, []), starts_at=START + 10 * HOUR, ends_at=START + 20 * HOUR)
    assert len(bars_of(part, series)) == 10
    with pytest.raises(DataError, match="no bar of BTC/USDT 1h"):
        bars_of(replace(part, starts_at=START + 500 * HOUR, ends_at=START + 600 * HOUR), series)


def test_missing_candles_are_named() -> None:
    """A benchmark that is silently left out would pass for one that was beaten."""
    result = replace(traded(candles([100, 101]), [Traded(0, 1)]), symbols=(BTC, ETH))
    with pytest.raises(DataError, match="ETH/USDT"):
        backtest_benchmarks(result, {BTC: candles([100, 101])}, 0.0)
    assert result.starting_equity == EQUITY_AT_START
