"""A sweep gives for each of its parameters what one backtest of them gives."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from bar_contract import MINUTE, BarByBar, series_of, signals_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from triplegain_pipelines.backtest.kernel import result_of, run
from triplegain_pipelines.backtest.sweep import sweep
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.performance import (
    daily_returns,
    portfolio_metrics,
    trade_metrics,
)
from triplegain_pipelines.indicators import values as indicator_values
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

pytestmark = pytest.mark.backtest

DAY = 1440 * MINUTE


class Bets(StrategyParameters):
    """Bets on nothing: the law is about what follows from targets, wherever they come from."""

    seed: int = 0
    often: float = 0.3


class Pair(StrategyParameters):
    """Two periods."""

    fast: int
    slow: int


def bets(values: IndicatorValues, parameters: Bets) -> Signals:
    """Targets that hold for some bars, with a range of 1 %."""
    rng, bars = np.random.default_rng(parameters.seed), len(values.series)
    changes = np.cumsum(rng.random(bars) < parameters.often)
    targets = rng.integers(-1, 2, bars + 1)[changes]
    return replace(signals_of(targets.tolist(), stop_atr=parameters.stop_atr), atr=values.series.close * 0.01)


STRATEGY = Strategy("bets", Bets, bets, lambda parameters: 0, {}, ("", "up", "down", "over"))  # noqa: ARG005


def hourly(seed: int, bars: int, first_hour: int) -> CandleSeries:
    """Hours on a grid of 0.01, some of them missing, from `first_hour` on."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars))), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    rows = [(o, max(o, c) + 0.3, min(o, c) - 0.3, c) for o, c in zip(opened.tolist(), close.tolist(), strict=True)]
    hours = first_hour + np.cumsum(np.where(rng.random(bars) < 0.03, rng.integers(2, 60, bars), 1))
    return series_of(rows, (1_722_816_000_000_000 + hours * 60 * MINUTE).tolist(), Timeframe.H1)


@dataclass(frozen=True)
class Closed:
    """A trade as `trade_metrics` takes it."""

    profit: float
    fees: float
    r_multiple: float | None


def expected(result: BacktestResult, exposure: float) -> dict[str, float | int | None]:
    """The figures by the definitions of `evaluation.performance`, and by scipy's of skew and kurtosis."""
    stretch = (result.starts_at, result.ends_at, result.starting_equity)
    whole = portfolio_metrics(result.equity, *stretch)
    returns = daily_returns(result.equity, *stretch)
    rows = result.trades.select("profit", "fees", "r_multiple").iter_rows()
    closed = trade_metrics([Closed(*row) for row in rows])  # type: ignore[misc]
    meant = whole.sharpe is not None
    return {
        "final_equity": whole.final_equity,
        "total_return": whole.total_return,
        "sharpe": whole.sharpe,
        "skew": float(stats.skew(returns)) if meant else None,
        "kurtosis": float(stats.kurtosis(returns, fisher=False)) if meant else None,
        "days": whole.days,
        "max_drawdown": whole.drawdown.depth,
        "trades": closed.closed,
        "win_rate": closed.win_rate,
        "profit_factor": closed.profit_factor,
        "fees": closed.fees,
        "exposure": exposure,
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bars=st.integers(2, 700),
    first_hour=st.sampled_from([0, 5, 23]),
    terms=st.builds(
        Terms,
        fee=st.sampled_from([0.0, 0.001]),
        fill_rate=st.sampled_from([0.5, 1.0]),
        short_selling=st.booleans(),
        max_position=st.sampled_from([0.2, 1.0]),
        risk_per_trade=st.sampled_from([0.01, 1.0]),
    ),
    cut=st.floats(0, 0.9),
)
def test_a_sweep_has_the_figures_of_single_backtests(
    seed: int, bars: int, first_hour: int, terms: Terms, cut: float
) -> None:
    """I5, B1: a study that ranks by other figures than its report shows picks parameters that nobody can check."""
    series = hourly(seed, bars, first_hour)
    values, start = IndicatorValues(series), int(cut * bars)
    tried = [Bets(seed=seed % 1000, often=often, stop_atr=stop) for often, stop in ((0.0, 1.0), (0.1, 1.0), (0.5, 3.0))]
    table = sweep(values, STRATEGY, tried, terms, start=start)
    assert table["place"].to_list() == [0, 1, 2]
    for parameters, row in zip(tried, table.iter_rows(named=True), strict=True):
        signals = bets(values, parameters)
        done = run(series, signals, terms, start=start)
        walked = BarByBar(series, signals, terms, start, bars).run()
        held = sum(trade.exit_bar - trade.entry_bar for trade in walked.done)
        held += bars - walked.trade.entry_bar if walked.trade is not None else 0
        result = result_of(done, series, signals, terms, STRATEGY, parameters)
        for name, value in expected(result, held / (bars - start)).items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)), name
        assert row["trades_hash"] == done.trades_hash


def test_the_number_of_threads_changes_no_bit() -> None:
    """B2: threads that share a buffer make results that nobody can make again."""
    values = IndicatorValues(hourly(5, 3_000, 3))
    tried = [Bets(seed=seed, often=0.2) for seed in range(60)]
    alone = sweep(values, STRATEGY, tried, Terms(fill_rate=0.7), threads=1)
    assert alone["trades"].min() > 50
    assert alone["trades_hash"].n_unique() == 60
    for threads in (2, 4):
        assert sweep(values, STRATEGY, tried, Terms(fill_rate=0.7), threads=threads).equals(alone)


def test_the_order_of_the_parameters_changes_no_row() -> None:
    """B2: a thread's memory is used again, and nothing of the combination before may be left in it."""
    values = IndicatorValues(hourly(6, 2_000, 3))
    tried = [Bets(seed=seed, often=often) for seed, often in ((1, 0.5), (2, 0.0), (3, 0.01), (4, 0.9))]
    forth = sweep(values, STRATEGY, tried, Terms(), threads=1)
    back = sweep(values, STRATEGY, tried[::-1], Terms(), threads=1)
    assert back.drop("place").reverse().equals(forth.drop("place"))


def test_neighbours_share_their_indicators(monkeypatch: pytest.MonkeyPatch) -> None:
    """P: ten years of minutes leave room for few averages; row by row each pair of a grid would compute one anew."""
    monkeypatch.setattr(indicator_values, "MOST_BYTES", 0)
    computed = []

    def average(bars: Bars, *, period: int) -> tuple[Array, ...]:
        computed.append(period)
        return (np.full(len(bars), float(period)),)

    def two(values: IndicatorValues, parameters: Pair) -> Signals:
        values.of(average, period=parameters.fast)
        values.of(average, period=parameters.slow)
        return bets(values, Bets())

    tried = [Pair(fast=fast, slow=slow) for fast in range(16) for slow in range(16, 32)]
    sweep(IndicatorValues(hourly(8, 50, 0)), replace(STRATEGY, function=two), tried, Terms(), threads=1)
    assert len(computed) <= len(tried) / 2


def test_what_the_hash_sees() -> None:
    """B2: rows whose figures agree to the last digit may still be of other trades."""
    values = IndicatorValues(hourly(7, 2_000, 3))
    tried = [Bets(seed=3, stop_atr=stop) for stop in (2.0, 2.0, 2.05)]
    same, again, other = sweep(values, STRATEGY, tried, Terms())["trades_hash"]
    assert same == again != other


def test_a_sweep_of_nothing_is_an_empty_table() -> None:
    """I5: the last batch of a study may be empty."""
    table = sweep(IndicatorValues(hourly(1, 50, 0)), STRATEGY, [], Terms())
    assert table.height == 0
    assert table.schema["trades_hash"] == pl.String
    assert table.schema["sharpe"] == pl.Float64


def test_a_strategy_that_fails_fails_the_sweep() -> None:
    """I5: an error that stays in a thread leaves rows of zeros, which rank above every losing strategy."""

    def broken(values: IndicatorValues, parameters: Bets) -> Signals:
        if parameters.seed == 3:
            msg = "no such indicator"
            raise InputError(msg)
        return bets(values, parameters)

    values = IndicatorValues(hourly(1, 50, 0))
    with pytest.raises(InputError, match="no such indicator"):
        sweep(values, replace(STRATEGY, function=broken), [Bets(seed=seed) for seed in range(6)], Terms())


def test_without_a_thread_there_is_no_sweep() -> None:
    """I5: a study on no thread would wait for ever."""
    with pytest.raises(InputError, match="at least one thread"):
        sweep(IndicatorValues(hourly(1, 50, 0)), STRATEGY, [], Terms(), threads=0)
