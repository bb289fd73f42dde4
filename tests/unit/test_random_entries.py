"""How much of a result is luck: random entries, and redrawn days beside a library's bootstrap."""

from dataclasses import replace

import numpy as np
import pytest
from backtest_cases import BTC, Traded, candles, every, knowing, traded, wandering

from triplegain_pipelines.evaluation.random_entries import (
    block_length,
    random_entries,
    sharpe_bootstrap,
    sharpe_difference_p,
)

pytestmark = pytest.mark.unit


def test_entries_at_random_times_are_not_significant() -> None:
    """Issue 6: trades without skill may have a p value under 0.05 in one of twenty, and not much oftener."""
    small = 0
    for seed in range(100):
        series = wandering(24 * 60, seed)
        starts = np.sort(np.random.default_rng(seed + 1000).choice(140, 30, replace=False)) * 10 + 1
        result = traded(series, [Traded(int(start), int(start) + 5) for start in starts])
        found = random_entries(result, {BTC: series}, draws=200, seed=seed)
        assert found is not None
        small += found.p_value <= 0.05
    assert small <= 12, f"{small} of 100 seeds are significant"  # 12 or more have a chance of 0.4 %


def test_a_planted_edge_is_found() -> None:
    """Issue 6: somebody who knows the future is told from luck, or nobody ever is."""
    series = wandering(24 * 60, seed=1)
    found = random_entries(traded(series, knowing(series, 5, 30)), {BTC: series}, seed=1)
    assert found is not None
    assert found.p_value == pytest.approx(1 / 1001)
    assert found.percentile == 1


def test_the_strategys_growth_is_that_of_its_account() -> None:
    """B1: the yardstick must be the same for both: what the closed trades made of the starting equity."""
    series = wandering(500, seed=3)
    result = traded(series, every(20, 20, 7))
    found = random_entries(result, {BTC: series}, draws=10)
    assert found is not None
    assert found.strategy == pytest.approx(result.trades["profit"].sum() / result.starting_equity)


def test_trades_that_leave_no_choice_come_out_as_they_were() -> None:
    """B1: with as many bars as are held there is one place to enter, so every draw is the strategy, costs and all."""
    series = candles(100 * 1.01 ** np.arange(11))
    result = traded(series, [Traded(0, 10)])
    found = random_entries(result, {BTC: series}, draws=50)
    assert found is not None
    assert found.draws == pytest.approx([found.strategy] * 50)
    assert (found.p_value, found.percentile) == (1.0, pytest.approx(0.5, abs=0.5))


def test_trades_of_a_draw_never_overlap() -> None:
    """B1: ten trades of ten bars in a hundred fill every bar; held twice, a move would count twice."""
    series = wandering(101, seed=8)
    moved = [replace(one, entry=one.entry - 1, exit=one.exit - 1) for one in every(10, 10, 10)]
    result = traded(series, moved)
    found = random_entries(result, {BTC: series}, draws=50)
    assert found is not None
    assert found.draws == pytest.approx([found.strategy] * 50)


def test_short_trades_earn_where_the_price_falls() -> None:
    """B1: a draw keeps directions; in a market that only falls every short entry earns."""
    series = candles(100 * 0.999 ** np.arange(400))
    found = random_entries(traded(series, every(5, 50, 20, direction=-1)), {BTC: series}, draws=100)
    assert found is not None
    assert found.draws.min() > 0


def test_a_trade_that_ended_inside_its_entry_bar_pays_open_to_close() -> None:
    """B1: a stop in the entry bar takes no bar; treating it as none would make it a loss of costs only."""
    series = candles(100 * 0.99 ** np.arange(200))
    found = random_entries(traded(series, every(5, 10, 0, reason="stop")), {BTC: series}, draws=100)
    assert found is not None
    left = 0.99 * (1 - 0.0005) / 1.0005
    fell = 0.2 * (left - 1 - 0.001 * (1 + left))
    # The first candle alone opens where it closes.
    assert np.median(found.draws) == pytest.approx((1 + fell) ** 5 - 1)


def test_the_same_seed_draws_the_same() -> None:
    """A p value that changes when the report is written again is no evidence."""
    series = wandering(2000, seed=5)
    result = traded(series, every(30, 50, 9))
    first, again, other = (random_entries(result, {BTC: series}, draws=100, seed=seed) for seed in (7, 7, 8))
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first.draws == again.draws).all()
    assert not (first.draws == other.draws).all()


def test_no_trades_have_no_luck() -> None:
    """B1: nothing to enter is no p value of one."""
    series = wandering(100, seed=6)
    assert random_entries(traded(series, []), {BTC: series}) is None


def test_the_bootstrap_agrees_with_a_library_on_the_same_blocks() -> None:
    """B1: the interval must be that of the circular block bootstrap, up to the noise of other draws."""
    from arch.bootstrap import CircularBlockBootstrap

    returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    mine = sharpe_bootstrap(returns.tolist(), draws=2000, seed=2)
    theirs = CircularBlockBootstrap(block_length(500), returns, seed=np.random.default_rng(3)).conf_int(
        lambda drawn: drawn.mean() / drawn.std(ddof=1) * 365**0.5, reps=2000, method="percentile"
    )
    assert mine is not None
    assert mine.low == pytest.approx(theirs[0, 0], abs=0.15)
    assert mine.high == pytest.approx(theirs[1, 0], abs=0.15)


def test_days_that_hang_together_widen_the_interval() -> None:
    """B1: days drawn one by one would make a trending equity look twice as certain as it is."""
    steps = np.random.default_rng(4).normal(0, 0.01, 800)
    together = np.convolve(steps, np.ones(5) / 5**0.5, mode="valid") + 0.001
    blocks = sharpe_bootstrap(together.tolist(), seed=1)
    alone = sharpe_bootstrap(np.random.default_rng(5).permutation(together).tolist(), seed=1)
    assert blocks is not None
    assert alone is not None
    assert blocks.high - blocks.low > 1.4 * (alone.high - alone.low)


def test_the_difference_to_the_same_series_is_luck() -> None:
    """B1: nothing is better than itself; a twin with a better mean is."""
    returns = np.random.default_rng(6).normal(0, 0.01, 400)
    assert sharpe_difference_p(returns.tolist(), returns.tolist()) == 1.0
    better = sharpe_difference_p((returns + 0.003).tolist(), returns.tolist())
    assert better is not None
    assert better < 0.01


def test_two_series_without_a_difference_are_seldom_told_apart() -> None:
    """B1: of a hundred pairs alike about five may have a p value under 0.05."""
    small = 0
    for seed in range(100):
        draws = np.random.default_rng(seed).normal(0, 0.01, (2, 400))
        chance = sharpe_difference_p(draws[0].tolist(), draws[1].tolist(), draws=200, seed=seed)
        assert chance is not None
        small += chance <= 0.05
    assert small <= 12, f"{small} of 100 seeds are significant"


def test_too_few_days_and_days_that_never_move_have_no_interval() -> None:
    """Trading engines notes 6.2: a defined answer for short and for constant series."""
    assert sharpe_bootstrap([0.01, -0.01] * 4) is None
    assert sharpe_bootstrap([0.0] * 50) is None
    assert sharpe_difference_p([0.0] * 50, [0.01, -0.01] * 25) is None
    assert sharpe_difference_p([], []) is None
    assert sharpe_bootstrap([0.01, -0.01] * 5) is not None
