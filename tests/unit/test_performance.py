"""Performance metrics against values worked by hand; definitions: trading engines notes, section 6.2."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.orders import Leg, Side
from triplegain_pipelines.evaluation.performance import (
    daily_returns,
    drawdown_curve,
    execution_metrics,
    maximum_drawdown,
    portfolio_metrics,
    sharpe,
    sharpe_interval,
    sortino,
    trade_metrics,
    wilson_interval,
    without_flows,
)
from triplegain_pipelines.store.performance import ExecutedOrder, TradeRecord

pytestmark = pytest.mark.unit

START = datetime(2024, 8, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def marks(
    *rows: tuple[float, float], positions: float = 0.0, paid: Mapping[float, float] | None = None
) -> pl.DataFrame:
    """An equity frame of (days after the start, equity), with what was `paid` in by day."""
    return pl.DataFrame(
        {
            "at": [START + timedelta(days=days) for days, _ in rows],
            "equity": [equity for _, equity in rows],
            "positions_value": [positions for _ in rows],
            "external_flow": [(paid or {}).get(days, 0.0) for days, _ in rows],
        },
        schema={
            "at": pl.Datetime("us", "UTC"),
            "equity": pl.Float64,
            "positions_value": pl.Float64,
            "external_flow": pl.Float64,
        },
    )


def trade(profit: str, r_multiple: str | None = None, fees: str = "1") -> TradeRecord:
    return TradeRecord(
        decision_id=UUID(int=1),
        symbol="BTC/USDT",
        direction=Direction.LONG,
        quantity=Decimal("0.01"),
        entry_price=Decimal(60000),
        exit_price=Decimal(61000),
        decided_price=Decimal(60000),
        fees=Decimal(fees),
        profit=Decimal(profit),
        initial_risk=None if r_multiple is None else Decimal(10),
        r_multiple=None if r_multiple is None else Decimal(r_multiple),
        exit_leg=Leg.EXIT,
        opened_at=START,
        closed_at=START + HOUR,
        p_up=0.6,
        regime=Regime.RANGING,
        answers=6,
        explanation="",
        risk_reasons=(),
    )


def order(leg: Leg, side: Side, wanted: str, price: str, wait: float = 0.5) -> ExecutedOrder:
    return ExecutedOrder(
        symbol="BTC/USDT",
        leg=leg,
        side=side,
        quantity=Decimal(1),
        value=Decimal(price),
        decided_price=Decimal(wanted) if leg in {Leg.ENTRY, Leg.EXIT} else Decimal(1),
        trigger_price=Decimal(wanted) if leg in {Leg.STOP, Leg.TAKE_PROFIT} else None,
        filled_at=START,
        latency_seconds=wait,
    )


def test_three_days_worked_by_hand() -> None:
    """B3: returns +10 %, -10 %, +20 %: Sharpe 2/sqrt(21) and Sortino 2/sqrt(3), each times sqrt(365)."""
    equity = marks((1, 1100), (2, 990), (3, 1188))
    returns = daily_returns(equity, START, START + 3 * DAY, 1000)
    assert returns == pytest.approx([0.1, -0.1, 0.2])
    assert sharpe(returns) == pytest.approx(2 / 21**0.5 * 365**0.5)
    assert sharpe(returns) == pytest.approx(8.338094, abs=1e-5)
    assert sortino(returns) == pytest.approx(2 / 3**0.5 * 365**0.5)
    metrics = portfolio_metrics(equity, START, START + 3 * DAY, 1000)
    assert metrics.total_return == pytest.approx(0.188)
    assert metrics.drawdown.depth == pytest.approx(0.1)
    assert metrics.calmar == pytest.approx(1.88)
    assert metrics.calmar_since_start


def test_the_interval_of_sharpe_is_lo_2002() -> None:
    """B3: few days must show how little a Sharpe ratio says: 8.34 plus or minus 23 after three days."""
    interval = sharpe_interval([0.1, -0.1, 0.2])
    assert interval is not None
    margin = 1.959964 * ((1 + (4 / 21) / 2) / 3) ** 0.5 * 365**0.5
    assert interval.low == pytest.approx(8.338094 - margin, abs=1e-4)
    assert interval.high == pytest.approx(8.338094 + margin, abs=1e-4)


def test_a_year_of_days_is_annualised_with_365_not_252() -> None:
    """Libraries say 2.35 for a true crypto Sharpe of 2.83 because they count trading days of shares."""
    draws = np.random.default_rng(7).normal(0.001, 0.01, 365).tolist()
    ratio = sharpe(draws)
    assert ratio == pytest.approx(np.mean(draws) / np.std(draws, ddof=1) * 19.104973, rel=1e-6)


def test_no_variance_has_no_sharpe() -> None:
    """A constant series gives 2.9e16 in a well-known library; here it has none."""
    assert sharpe([0.01] * 30) is None
    assert sharpe_interval([0.0] * 30) is None
    assert sortino([0.01, 0.02]) is None
    assert sharpe([0.01]) is None
    assert sharpe([]) is None


def test_days_without_marks_are_returns_of_zero() -> None:
    """Leaving quiet days out would raise the Sharpe ratio of an account that rarely trades."""
    assert daily_returns(marks((0.5, 1010)), START, START + 3 * DAY, 1000) == pytest.approx([0.01, 0, 0])


def test_days_are_utc_days_also_when_the_period_starts_at_noon() -> None:
    """A half day at either end is no daily return."""
    equity = marks((0.6, 1010), (1.5, 1111), (2.5, 2000))
    assert daily_returns(equity, START + DAY / 2, START + 2.5 * DAY, 1000) == pytest.approx([0.1])
    assert daily_returns(equity, START, START + 0.5 * DAY, 1000) == []


def test_drawdown_is_seeded_with_the_starting_capital() -> None:
    """A library misses a first-day loss: -5 % reported, -14.5 % true. Here 1000 -> 855 is 14.5 %."""
    equity = marks((0.25, 900), (0.5, 855), (2, 1000), (3, 950))
    fall = maximum_drawdown(equity, START, START + 4 * DAY, 1000)
    assert fall.depth == pytest.approx(0.145)
    assert fall.peak_at == START
    assert fall.trough_at == START + 0.5 * DAY
    assert fall.recovered_at == START + 2 * DAY
    assert fall.days == pytest.approx(2)
    # below the peak from day 0.25 to 2 and from 3 to the end
    assert fall.under_water == pytest.approx(2.75 / 4)


def test_a_drawdown_that_did_not_recover_lasts_to_the_end() -> None:
    """An open drawdown must not look as short as its fall."""
    fall = maximum_drawdown(marks((1, 1200), (2, 900)), START, START + 10 * DAY, 1000)
    assert (fall.depth, fall.recovered_at, fall.days) == (pytest.approx(0.25), None, pytest.approx(9))


def test_negative_equity_is_shown_and_not_clamped() -> None:
    """DESIGN rule 10: a loss of more than everything is over 100 %, and the series of returns ends there."""
    equity = marks((1, 500), (2, -100), (3, 400))
    assert daily_returns(equity, START, START + 4 * DAY, 1000) == pytest.approx([-0.5, -1.2])
    metrics = portfolio_metrics(equity, START, START + 4 * DAY, 1000)
    assert metrics.drawdown.depth == pytest.approx(1.1)
    assert metrics.days == 2


def test_an_account_without_marks_stood_still() -> None:
    """A report over a period without trading must be a report, not a traceback."""
    metrics = portfolio_metrics(marks(), START, START + 20 * DAY, 2100)
    assert (metrics.total_return, metrics.drawdown.depth, metrics.days) == (0, 0, 20)
    assert metrics.sharpe is metrics.sortino is metrics.calmar is None
    assert metrics.time_in_market == metrics.mean_exposure == 0


def test_calmar_over_more_than_a_year_uses_the_yearly_growth() -> None:
    """Over two years +21 % is 10 % a year; with a fall of 20 % Calmar is 0.5."""
    equity = marks((100, 800), (730, 1210))
    metrics = portfolio_metrics(equity, START, START + 730 * DAY, 1000)
    assert metrics.calmar == pytest.approx(0.5)
    assert not metrics.calmar_since_start


def test_time_in_market_holds_each_mark_until_the_next() -> None:
    """Without it a Sharpe ratio cannot be judged: half the time with a quarter of the equity in the market."""
    equity = marks((0, 1000), (1, 1000), (2, 1000)).with_columns(positions_value=pl.Series([250.0, 0.0, 250.0]))
    metrics = portfolio_metrics(equity, START, START + 4 * DAY, 1000)
    assert metrics.time_in_market == pytest.approx(0.75)
    assert metrics.mean_exposure == pytest.approx(0.1875)


def test_an_empty_period_is_refused() -> None:
    """Dividing by the length of nothing would put NaN into a report."""
    with pytest.raises(ValueError, match="start < end"):
        portfolio_metrics(marks(), START, START, 1000)


@given(st.lists(st.floats(min_value=1, max_value=1e6), min_size=1, max_size=40))
def test_drawdown_stays_between_nothing_and_everything(values: list[float]) -> None:
    """B1: with positive equity a drawdown lies in 0-100 %, and the deepest is on the curve."""
    equity = marks(*((1 + index, value) for index, value in enumerate(values)))
    fall = maximum_drawdown(equity, START, START + 50 * DAY, 1000)
    assert 0 <= fall.depth < 1
    assert fall.depth == drawdown_curve(equity, START, 1000)["drawdown"].max()
    assert fall.peak_at <= fall.trough_at
    assert 0 <= fall.under_water <= 1


def test_four_trades_worked_by_hand() -> None:
    """B3: +30, -10, 0, +20: half won, profit factor 5, expectancy 10 with an error of 9.1287."""
    metrics = trade_metrics([trade("30", "3"), trade("-10", "-1"), trade("0"), trade("20", "2")])
    assert (metrics.closed, metrics.wins, metrics.losses, metrics.break_even) == (4, 2, 1, 1)
    assert metrics.win_rate == 0.5
    assert metrics.profit_factor == 5
    assert metrics.expectancy == 10
    assert metrics.expectancy_error == pytest.approx(9.128709)
    assert (metrics.average_win, metrics.average_loss) == (25, -10)
    assert metrics.mean_r == pytest.approx(4 / 3)
    assert metrics.without_stop == 1
    assert (metrics.net_profit, metrics.fees, metrics.fee_drag) == (40, 4, pytest.approx(4 / 44))


def test_all_wins_have_counts_and_no_infinite_profit_factor() -> None:
    """An infinite profit factor after one lucky trade would top every table."""
    metrics = trade_metrics([trade("5"), trade("7")])
    assert metrics.profit_factor is None
    assert (metrics.wins, metrics.losses, metrics.gross_wins) == (2, 0, 12)
    assert metrics.average_loss is None


def test_no_trade_and_one_trade_have_defined_answers() -> None:
    """Empty and single inputs must not become NaN."""
    nothing = trade_metrics([])
    assert (nothing.closed, nothing.net_profit, nothing.fees) == (0, 0, 0)
    assert nothing.win_rate is nothing.expectancy is nothing.profit_factor is nothing.fee_drag is nothing.mean_r is None
    one = trade_metrics([trade("-3", "-1")])
    assert (one.win_rate, one.expectancy, one.expectancy_error, one.profit_factor) == (0, -3, None, 0)
    assert one.fee_drag is None


def test_fees_that_ate_the_profit_are_a_drag_over_one() -> None:
    """Gross +6 with fees of 8 is a drag of 133 %."""
    assert trade_metrics([trade("-2", fees="8")]).fee_drag == pytest.approx(8 / 6)


def test_slippage_is_a_cost_on_either_side() -> None:
    """X9: buying 5 bps over and selling 5 bps under the decided price are both +5 bps."""
    metrics = execution_metrics(
        [order(Leg.ENTRY, Side.BUY, "1000", "1000.5"), order(Leg.EXIT, Side.SELL, "1000", "999.5")], mean_equity=1000
    )
    assert metrics.slippage_bps == pytest.approx(5)
    assert metrics.turnover == pytest.approx(2)
    assert metrics.trigger_slippage_bps is None


def test_stops_are_measured_against_their_trigger() -> None:
    """A gap through a stop is slippage of the stop, not of the decision."""
    metrics = execution_metrics([order(Leg.STOP, Side.SELL, "900", "891")], mean_equity=1000)
    assert metrics.trigger_slippage_bps == pytest.approx(100)
    assert metrics.slippage_bps is metrics.latency_p95_seconds is None


def test_latency_p95_is_a_latency_that_happened() -> None:
    """B3: of twenty waits of 1..20 s the 95th percentile by nearest rank is 19 s."""
    orders = [order(Leg.ENTRY, Side.BUY, "1", "1", wait=float(wait)) for wait in range(20, 0, -1)]
    assert execution_metrics(orders, mean_equity=1000).latency_p95_seconds == 19


def test_no_orders_have_no_slippage() -> None:
    """Nothing filled is not a slippage of zero."""
    metrics = execution_metrics([], mean_equity=1000)
    assert metrics.slippage_bps is metrics.latency_p95_seconds is None
    assert (metrics.turnover, metrics.filled_orders) == (0, 0)


def test_wilson_interval_of_a_known_example() -> None:
    """81 of 263 is 0.2553 to 0.3662 (Newcombe 1998, table I)."""
    interval = wilson_interval(81, 263)
    assert interval is not None
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 0) is None


def test_returns_leave_payments_out() -> None:
    """B3: an account that doubled because its owner paid in has earned nothing, an emptied one has lost nothing."""
    # 1000 earns 10 %, 1100 is paid in, then 5 % are lost; 1990 are paid out, then 10 % are earned on 100.
    equity = marks((1, 1100), (1.5, 2200), (2, 2090), (2.5, 100), (3, 110), paid={1.5: 1100, 2.5: -1990})
    returns = daily_returns(equity, START, START + 3 * DAY, 1000)
    assert returns == pytest.approx([0.10, -0.05, 0.10])
    found = portfolio_metrics(equity, START, START + 3 * DAY, 1000)
    assert found.total_return == pytest.approx(1.1 * 0.95 * 1.1 - 1)
    assert (found.final_equity, found.paid_in) == (110, -890)
    assert found.drawdown.depth == pytest.approx(0.05)
    assert found.sharpe == pytest.approx(sharpe([0.10, -0.05, 0.10]))


def test_a_payment_brings_nothing_back_that_was_lost_altogether() -> None:
    """B3: money paid into an account that lost all of it is no recovery."""
    equity = marks((1, 0), (1.5, 500), (2, 600), paid={1.5: 500})
    found = portfolio_metrics(equity, START, START + 2 * DAY, 1000)
    assert (found.total_return, found.drawdown.depth) == (-1, 1)


def test_an_account_that_was_emptied_and_filled_again_goes_on_where_it_was() -> None:
    """B3: the time without money is neither a loss nor a gain."""
    equity = marks((1, 1200), (1.5, 0), (2, 0), (2.5, 50), (3, 55), paid={1.5: -1200, 2.5: 50})
    assert daily_returns(equity, START, START + 3 * DAY, 1000) == pytest.approx([0.2, 0.0, 0.1])


@given(
    growths=st.lists(st.floats(0.5, 2), min_size=2, max_size=12),
    payments=st.lists(st.floats(-0.8, 3), min_size=2, max_size=12),
)
def test_payments_change_no_return_whatever_their_size(growths: list[float], payments: list[float]) -> None:
    """B3: the same trading with other payments has the same returns (payments as fractions of what is there)."""
    worth, plain, rows, paid = 1000.0, [1000.0], [], {}
    for number, (growth, payment) in enumerate(zip(growths, payments, strict=False)):
        day = number / 4
        before = worth * growth
        worth = before * (1 + payment)
        rows.append((day, worth))
        paid[day] = worth - before
        plain.append(plain[-1] * growth)
    assert without_flows(marks(*rows, paid=paid))["equity"].to_list() == pytest.approx(plain[1:], rel=1e-9)


def test_without_payments_not_a_digit_changes() -> None:
    """B3: results of accounts without payments stay what they were."""
    equity = marks((1, 0.1 + 0.2), (2, 1 / 3))
    assert without_flows(equity)["equity"].to_list() == equity["equity"].to_list()
