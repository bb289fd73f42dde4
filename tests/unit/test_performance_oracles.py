"""Performance figures beside two libraries, told what they guess wrong: 365 days, and the starting capital."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from triplegain_pipelines.evaluation.performance import daily_returns, maximum_drawdown, portfolio_metrics

pytestmark = pytest.mark.unit

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
STARTING = 2100.0


def curve(seed: int, days: int, per_day: int = 1) -> pl.DataFrame:
    moves = np.random.default_rng(seed).standard_t(4, days * per_day) * 0.01 / per_day**0.5
    worth = STARTING * np.cumprod(1 + np.clip(moves, -0.5, 0.5))
    return pl.DataFrame(
        {
            "at": [START + (place + 1) * DAY / per_day for place in range(days * per_day)],
            "equity": worth,
            "positions_value": np.zeros(len(worth)),
            "external_flow": np.zeros(len(worth)),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize("seed", range(5))
def test_empyrical_agrees_when_told_365_days(seed: int) -> None:
    """B1, B3: its default of 252 days makes a Sharpe ratio of 2.83 one of 2.35."""
    import empyrical

    days = 400 + 37 * seed
    equity = curve(seed, days)
    metrics = portfolio_metrics(equity, START, START + days * DAY, STARTING)
    returns = np.array(daily_returns(equity, START, START + days * DAY, STARTING))
    assert metrics.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365), rel=1e-9)
    assert metrics.sortino == pytest.approx(empyrical.sortino_ratio(returns, annualization=365), rel=1e-9)
    assert -metrics.drawdown.depth == pytest.approx(empyrical.max_drawdown(returns), rel=1e-9)
    assert metrics.total_return == pytest.approx(empyrical.cum_returns_final(returns), rel=1e-9)
    assert metrics.calmar == pytest.approx(empyrical.calmar_ratio(returns, annualization=365), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_ffn_agrees_when_the_starting_capital_is_in_the_series(seed: int) -> None:
    """B1, B3: without the seed it says -5.0 % for a true fall of -14.5 % on the first day."""
    import ffn
    import pandas as pd

    days = 500
    equity = curve(seed, days)
    fall = maximum_drawdown(equity, START, START + days * DAY, STARTING)
    seeded = pd.Series([STARTING, *equity["equity"]], index=pd.date_range("2024-01-01", periods=days + 1))
    assert -fall.depth == pytest.approx(ffn.calc_max_drawdown(seeded), rel=1e-9)
    deepest = ffn.drawdown_details(ffn.to_drawdown_series(seeded)).sort_values("drawdown").iloc[0]
    assert -fall.depth == pytest.approx(deepest["drawdown"], rel=1e-9)
    metrics = portfolio_metrics(equity, START, START + days * DAY, STARTING)
    assert metrics.sharpe == pytest.approx(ffn.calc_sharpe(seeded.pct_change().dropna(), nperiods=365), rel=1e-9)
    assert metrics.sortino == pytest.approx(
        ffn.calc_sortino_ratio(seeded.pct_change().dropna(), nperiods=365), rel=1e-9
    )


@pytest.mark.parametrize("marks", [19_999, 20_000, 50_000])
def test_plain_and_compiled_passes_give_the_same_bits(marks: int) -> None:
    """An optimisation that changes a figure must not ship: both sides of the size that decides which of them runs."""
    from triplegain_pipelines.evaluation import performance_walk

    draws = np.random.default_rng(marks)
    at = np.cumsum(draws.integers(1, 10**9, marks))
    worth = 2100 * np.exp(np.cumsum(draws.normal(0, 0.01, marks)))
    positions = np.where(draws.random(marks) < 0.5, 0.0, worth * draws.normal(0, 0.3, marks))
    arrays = (at, worth, worth, positions)
    end = int(at[-1]) + 5
    plain = performance_walk._walk(*(one.tolist() for one in arrays), int(at[0]) - 5, end, 2100.0)
    assert performance_walk._compiled()(*arrays, int(at[0]) - 5, end, 2100.0) == plain
    chosen = performance_walk.walk_marks(*arrays, start=int(at[0]) - 5, end=end, seed=2100.0)
    assert (chosen.depth, chosen.wet, chosen.exposed, chosen.net) == (plain[0], plain[4], plain[6], plain[7])


def test_short_positions_are_an_exposure_and_a_negative_net_one() -> None:
    """B1: an account that is short all the time with half of its equity is exposed to a half, and minus a half net."""
    equity = curve(1, 30).with_columns(equity=pl.lit(STARTING), positions_value=pl.lit(-STARTING / 2))
    metrics = portfolio_metrics(equity, START + DAY, START + 31 * DAY, STARTING)
    assert metrics.mean_exposure == pytest.approx(0.5)
    assert metrics.net_exposure == pytest.approx(-0.5)


def test_marks_after_the_end_are_no_exposure() -> None:
    """B1: a frame that reaches past the period must not count time backwards."""
    equity = curve(1, 30).with_columns(equity=pl.lit(STARTING), positions_value=pl.lit(STARTING / 2))
    metrics = portfolio_metrics(equity, START, START + 10 * DAY + DAY / 2, STARTING)
    assert metrics.time_in_market == pytest.approx(9.5 / 10.5)  # the first mark is after a day
    assert metrics.mean_exposure == pytest.approx(4.75 / 10.5)
