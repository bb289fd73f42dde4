"""The figures of a backtest, worked by hand, and what each is where there is nothing to work with."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from backtest_cases import EQUITY_AT_START, HOUR, START, Traded, candles, every, traded, wandering

from triplegain_pipelines.evaluation.backtest_performance import backtest_figures, longest_run
from triplegain_pipelines.evaluation.backtest_result import EQUITY, BacktestResult

pytestmark = pytest.mark.unit


def with_profits(*profits: float) -> BacktestResult:
    """A result whose trades, an hour each and two hours apart, made these profits after a fee of one each."""
    result = traded(wandering(48, seed=1), every(len(profits), apart=2, held=1))
    return replace(
        result,
        trades=result.trades.with_columns(
            profit=pl.Series(profits, dtype=pl.Float64),
            fees=pl.lit(1.0),
            r_multiple=pl.Series([one / 10 for one in profits], dtype=pl.Float64),
        ),
    )


def test_four_trades_worked_by_hand() -> None:
    """B1: +30, -10, -20, +20 after fees of 1 each: 24 before fees, so the fees ate a sixth; expectancy 5 +- 11.9."""
    figures = backtest_figures(with_profits(30, -10, -20, 20))
    trades = figures.trades
    assert (trades.closed, trades.wins, trades.losses, trades.net_profit) == (4, 2, 2, 20)
    assert trades.win_rate == 0.5
    assert trades.profit_factor == pytest.approx(50 / 30)
    assert trades.expectancy == pytest.approx(5)
    # deviations 25, -15, -25, 15: variance 1700/3, error the root of that over 4
    assert trades.expectancy_error == pytest.approx((1700 / 3 / 4) ** 0.5)
    assert trades.mean_r == pytest.approx(0.5)
    assert trades.fee_drag == pytest.approx(4 / 24)
    assert figures.fee_share == pytest.approx(4 / EQUITY_AT_START)
    assert figures.longest_loss_run == 2
    assert figures.best_share == pytest.approx(1.5)
    assert figures.mean_holding == HOUR


def test_turnover_counts_both_legs_against_mean_equity() -> None:
    """B1: a fifth of the equity bought and sold once is 0.4 of it; over two days that is 73 a year."""
    figures = backtest_figures(traded(candles([100.0] * 48), [Traded(1, 2)]))
    assert figures.turnover == pytest.approx(0.4, rel=2e-3)
    assert figures.turnover_yearly == pytest.approx(0.4 * 365 / 2, rel=2e-3)
    assert figures.traded_value == pytest.approx(0.4 * EQUITY_AT_START, rel=2e-3)


def test_exposure_sees_trades_between_daily_marks() -> None:
    """B1: an engine that marks once a day never sees a trade from noon to six; the exposure must see it."""
    figures = backtest_figures(traded(candles([100.0] * 48), [Traded(12, 18), Traded(36, 42, direction=-1)]))
    assert figures.portfolio.time_in_market == 0
    assert figures.time_in_market == pytest.approx(12 / 48)
    assert figures.mean_exposure == pytest.approx(0.2 * 12 / 48)
    assert figures.net_exposure == pytest.approx(0.0, abs=1e-6)
    assert figures.longs == 1


def test_a_position_that_is_never_closed_is_an_exposure() -> None:
    """B1: buying once and holding to the end has no closed trade, and is in the market all the same."""
    result = traded(candles([100.0] * 48), [])
    held = result.equity.with_columns(positions_value=pl.col("equity") / 2)
    figures = backtest_figures(replace(result, equity=held, open_at_end=1))
    assert figures.trades.closed == 0
    assert figures.time_in_market == pytest.approx(0.5)  # the first mark is after a day
    assert figures.mean_exposure == pytest.approx(0.25)


def test_overlapping_trades_are_in_the_market_once() -> None:
    """B1: two symbols held at a time are twice the exposure, and not twice the time."""
    figures = backtest_figures(traded(candles([100.0] * 40), [Traded(10, 20), Traded(15, 25), Traded(16, 18)]))
    assert figures.time_in_market == pytest.approx(15 / 40)


def test_no_trades_and_no_marks_have_defined_figures() -> None:
    """B1: an empty result must be a report, not a traceback, and no zero may pass for a figure."""
    figures = backtest_figures(replace(traded(candles([100.0] * 48), []), equity=pl.DataFrame(schema=EQUITY)))
    assert figures.trades.closed == figures.longest_loss_run == figures.traded_value == 0
    assert figures.turnover == 0
    for missing in (
        figures.trades.win_rate,
        figures.trades.profit_factor,
        figures.trades.expectancy,
        figures.trades.mean_r,
        figures.trades.fee_drag,
        figures.portfolio.sharpe,
        figures.portfolio.sortino,
        figures.portfolio.calmar,
        figures.mean_holding,
        figures.best_share,
        figures.growth,
    ):
        assert missing is None
    assert figures.portfolio.drawdown.depth == 0


def test_one_trade_has_a_mean_and_no_error() -> None:
    """B1: an error of one trade would be zero or NaN, and both would be read as certainty."""
    trades = backtest_figures(with_profits(7.0)).trades
    assert (trades.expectancy, trades.expectancy_error) == (7.0, None)
    assert (trades.win_rate, trades.profit_factor) == (1.0, None)


def test_all_wins_have_no_profit_factor_and_no_infinity() -> None:
    """Trading engines notes 6.2: print the count, not infinity."""
    trades = backtest_figures(with_profits(1, 2, 3)).trades
    assert trades.profit_factor is trades.average_loss is None
    assert trades.gross_losses == 0
    assert str(trades.gross_losses) == "0.0"  # and no minus zero


def test_equity_that_never_moves_has_no_ratio() -> None:
    """A library says 2.9e16 for it."""
    portfolio = backtest_figures(traded(candles([100.0] * 480), [])).portfolio
    assert portfolio.sharpe is portfolio.sortino is portfolio.sharpe_interval is None


def test_a_total_loss_is_not_clamped_and_has_no_growth() -> None:
    """DESIGN rule 10: equity below zero is shown as it is; nothing grows from it."""
    result = traded(wandering(24 * 400, seed=3), [])
    worth = pl.Series(np.linspace(EQUITY_AT_START, -100, result.equity.height))
    figures = backtest_figures(replace(result, equity=result.equity.with_columns(equity=worth)))
    assert figures.portfolio.drawdown.depth > 1
    assert figures.growth is None
    assert figures.portfolio.calmar is None


def test_growth_is_yearly_only_over_a_year() -> None:
    """B1: +1 % in a day is no 3,700 % a year."""
    days = 730
    result = traded(candles([100.0] * 24 * days), [])
    worth = pl.Series(np.linspace(EQUITY_AT_START, EQUITY_AT_START * 1.21, days))
    figures = backtest_figures(replace(result, equity=result.equity.with_columns(equity=worth)))
    assert figures.growth == pytest.approx(0.1)
    assert backtest_figures(with_profits(100.0)).growth is None


def test_trades_without_a_stop_are_counted_and_left_out_of_r() -> None:
    """Trading engines notes 6.2: trades without a stop are excluded and counted."""
    result = with_profits(10, 20, 30)
    unknown = result.trades.with_columns(r_multiple=pl.Series([1.0, None, float("nan")]))
    trades = backtest_figures(replace(result, trades=unknown)).trades
    assert (trades.mean_r, trades.without_stop) == (1.0, 2)


def test_longest_run_at_its_borders() -> None:
    """B1: a run at either end counts whole."""
    assert longest_run(np.array([], dtype=bool)) == 0
    assert longest_run(np.array([True])) == 1
    assert longest_run(np.array([True, True, False, True])) == 2


def test_a_period_without_length_is_refused() -> None:
    """An empty period has no figures; zeros would pass for some."""
    result = with_profits(1.0)
    with pytest.raises(ValueError, match="start < end"):
        backtest_figures(replace(result, ends_at=START))
    assert backtest_figures(replace(result, ends_at=START + timedelta(days=1))).portfolio.days == 1
