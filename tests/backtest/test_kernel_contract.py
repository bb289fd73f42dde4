"""The bar contract, clause by clause, on paths that were worked by hand.

Unless a test says otherwise: no fee, no slippage, whole fills, 1,000 USDT, 10 % of it at risk, prices on a grid of
0.01, an ATR of 1 and a stop 2 ATR away: a position entered at 100 is stopped at 98 and ends at 104. 50 pieces.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from bar_contract import MINUTE, series_of, signals_of

from triplegain_pipelines.backtest.kernel import Run, result_of, run
from triplegain_pipelines.backtest.luck import first_share
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import EQUITY, TRADES
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

pytestmark = pytest.mark.backtest

Bar = tuple[float, float, float, float]
FREE = Terms(
    starting_equity=1000.0,
    fee=0.0,
    slippage=0.0,
    fill_rate=1.0,
    risk_per_trade=0.1,
    max_position=1.0,
    quantity_step=1.0,
    minimum_quantity=1.0,
)
STILL = (100.0, 100.5, 99.5, 100.0)
FIRST = datetime(2024, 8, 5, tzinfo=UTC)


def trades(bars: list[Bar], targets: list[int], terms: Terms = FREE, atr: float | list[float] = 1.0) -> Run:
    """The run of `targets` over `bars`."""
    return run(series_of(bars), signals_of(targets, atr), terms)


def rows(done: Run, *names: str) -> list[tuple[float, ...]]:
    """Columns of the trades."""
    return [tuple(trade[name].item() for name in names) for trade in done.trades]


def test_a_signal_is_traded_at_the_next_open_and_never_at_its_own_close() -> None:
    """B1 clause 1, trap 28: a fill at the close that decided is a fill with knowledge of the future."""
    bars = [(90.0, 95.0, 89.0, 95.0), (100.0, 101.0, 99.0, 101.0), (102.0, 102.5, 101.0, 102.0), STILL]
    done = trades(bars, [1, 1, 0, 0])
    assert rows(done, "decided_bar", "entry_bar", "exit_decided_bar", "exit_bar") == [(0, 1, 2, 3)]
    assert rows(done, "entry_price", "exit_price", "quantity", "profit") == [(100.0, 100.0, 10.0, 0.0)]


def test_slippage_and_rounding_are_against_the_order() -> None:
    """B1 clause 1: rounding in the order's favour gives a step to every trade, which pays for many of them."""
    bars = [STILL, (100.01, 101.0, 99.0, 101.0), (102.03, 102.5, 101.0, 102.0), STILL]
    done = trades(bars, [1, 0, 0, 0], replace(FREE, slippage=0.0015))
    # 100.01 x 1.0015 = 100.160015, up; 102.03 x 0.9985 = 101.876955, down.
    assert rows(done, "entry_price", "exit_price") == [(100.17, 101.87)]


def test_slippage_that_ends_on_the_grid_is_not_rounded_further() -> None:
    """B1 clause 1: 100 x 1.0007 is 100.07 and not the 100.08 that floating point makes of it."""
    for price, wanted in ((100.0, 100.07), (1100.0, 1100.77), (300.0, 300.21), (70_000.0, 70_049.0)):
        bars = [(price, price, price, price)] * 3
        done = trades(bars, [1, 0, 0], replace(FREE, slippage=0.0007, starting_equity=1e6), atr=price / 50)
        assert rows(done, "entry_price") == [(wanted,)]


def test_fees_are_rounded_up_to_eight_decimals_at_each_fill() -> None:
    """B1 clause 7: 7 x 100.03 x 0.0011 = 0.770231 exactly; a fee of a tenth of a coin step is still a fee."""
    bars = [STILL, (100.03, 101.0, 99.0, 100.0), (100.03, 101.0, 99.0, 100.0), STILL]
    terms = replace(FREE, fee=0.0011, max_position=0.71)
    done = trades(bars, [1, 0, 0, 0], terms)
    assert rows(done, "quantity", "fees", "profit") == [(7.0, 1.540462, -1.540462)]
    dear = trades(bars, [1, 0, 0, 0], replace(terms, fee=0.0000000011))
    assert rows(dear, "fees") == [(1.56e-06,)]  # twice 7.70231e-7, each up to 7.8e-7


def test_a_stopped_position_is_not_entered_again_until_the_target_changes() -> None:
    """B1 clause 2: an engine that goes back in at once trades against its own stop all the way down."""
    falls = (100.0, 100.0, 97.0, 97.5)
    bars = [STILL, falls, STILL, STILL, STILL, STILL, STILL]
    done = trades(bars, [1, 1, 1, 0, 1, 1, 1])
    assert rows(done, "entry_bar", "exit_bar", "exit_price") == [(1, 1, 98.0)]
    assert done.totals["open_at_end"][0] == 1  # entered again at bar 5, after the target had changed at 3 and 4


def test_a_reversal_exits_at_one_open_and_enters_at_the_next() -> None:
    """B1 clause 3: the real order path closes first; an engine that turns round at once is a bar ahead of it."""
    bars = [STILL, STILL, STILL, STILL, STILL, STILL]
    done = trades(bars, [1, 1, -1, -1, 0, 0], replace(FREE, short_selling=True))
    assert rows(done, "direction", "entry_bar", "exit_bar") == [(1, 1, 3), (-1, 4, 5)]


def test_a_reversal_whose_target_is_gone_enters_nothing() -> None:
    """B1 clause 3: the target must still stand after the exit."""
    done = trades([STILL] * 6, [1, 1, -1, 0, 0, 0], replace(FREE, short_selling=True))
    assert rows(done, "direction", "entry_bar", "exit_bar") == [(1, 1, 3)]
    assert not done.totals["open_at_end"][0]


def test_without_short_selling_a_target_of_minus_one_only_closes() -> None:
    """B1 clause 3, R2: the account may not sell short."""
    done = trades([STILL] * 6, [1, 1, -1, -1, -1, -1])
    assert rows(done, "direction", "entry_bar", "exit_bar") == [(1, 1, 3)]
    assert not done.totals["open_at_end"][0]


@pytest.mark.parametrize("atr", [float("nan"), 0.0, -1.0, float("inf")])
def test_without_a_range_there_is_no_entry(atr: float) -> None:
    """B1 clause 4: a position without a stop has no size and no end."""
    assert len(trades([STILL] * 4, [1, 1, 0, 0], atr=atr).trades) == 0


def test_an_entry_that_was_refused_is_tried_again_while_the_target_stands() -> None:
    """B1 clause 2: only a target that was acted on is used up."""
    done = trades([STILL] * 5, [1, 1, 1, 0, 0], atr=[float("nan"), float("nan"), 1.0, 1.0, 1.0])
    assert rows(done, "decided_bar", "entry_bar", "exit_bar") == [(2, 3, 4)]


def test_levels_come_from_the_open_before_slippage_and_are_rounded_as_risk_rounds_them() -> None:
    """B1 clause 4: a long stop towards the entry, the take profit away from it."""
    bars = [STILL, (100.0, 100.5, 99.5, 100.0), (100.0, 110.0, 99.5, 100.0), STILL]
    done = trades(bars, [1, 1, 1, 1], replace(FREE, slippage=0.001, reward_to_risk=1.5), atr=1.0025)
    # 100 - 2.005 = 97.995, up to 98.00; 100 + 1.5 x 2 = 103, which neither slips nor is rounded.
    assert rows(done, "stop_price", "entry_price", "exit_price", "exit_bar") == [(98.0, 100.1, 103.0, 2)]


def test_the_levels_of_a_short_position_are_mirrored() -> None:
    """B1 clause 4: 100 + 2.005 = 102.005, down to 102.00; 100 - 1.5 x 2 = 97."""
    bars = [STILL, STILL, (100.0, 100.5, 96.0, 97.0), STILL]
    done = trades(bars, [-1, -1, -1, -1], replace(FREE, short_selling=True, reward_to_risk=1.5), atr=1.0025)
    assert rows(done, "direction", "stop_price", "exit_price", "profit") == [(-1, 102.0, 97.0, 30.0)]


def test_a_stop_beyond_zero_or_at_the_entry_is_refused() -> None:
    """B1 clause 4: risk refuses both, and so must the engine that ranks strategies."""
    assert len(trades([STILL] * 4, [1, 1, 0, 0], atr=60.0).trades) == 0
    assert len(trades([STILL] * 4, [1, 1, 0, 0], atr=0.001).trades) == 0  # 99.998 is rounded up to the entry


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"risk_per_trade": 0.01}, 5.0),  # 10 USDT at risk, 2 a piece
        ({"max_position": 0.35}, 3.0),  # 350 USDT pay for 3 pieces
        ({"quantity_step": 0.3, "minimum_quantity": 0.3}, 9.9),  # 10 pieces are 33 steps and a third
    ],
)
def test_the_size_is_the_smaller_of_risk_and_position_on_the_grid(changes: dict[str, float], quantity: float) -> None:
    """B1 clause 5: a size off the grid is refused by the venue, one that is too large by risk."""
    done = trades([STILL] * 4, [1, 1, 0, 0], replace(FREE, **changes))
    assert rows(done, "quantity") == [(quantity,)]


@pytest.mark.parametrize("changes", [{"minimum_quantity": 11.0}, {"minimum_cost": 1000.01}, {"quantity_step": 11.0}])
def test_below_a_minimum_there_is_no_entry(changes: dict[str, float]) -> None:
    """B1 clause 5: orders that the venue refuses make trades that never were."""
    assert len(trades([STILL] * 4, [1, 1, 0, 0], replace(FREE, **changes)).trades) == 0


def test_an_account_that_cannot_pay_for_an_order_any_more_is_left_alone() -> None:
    """B1 clause 5: ruined after its first trade, it makes no other one however often the target changes."""
    bars = [STILL, STILL, (10.0, 10.0, 9.0, 9.5)] + [STILL] * 7
    done = trades(bars, [1, 1, 1, 0, 1, 0, 1, 0, 1, 0], replace(FREE, minimum_cost=101.0))
    assert rows(done, "exit_price", "profit") == [(10.0, -900.0)]
    assert done.equity.tolist() == [100.0]
    able = trades(bars, [1, 1, 1, 0, 1, 0, 1, 0, 1, 0], replace(FREE, minimum_cost=100.0))
    assert rows(able, "entry_bar") == [(1,), (5,), (7,)]


def test_a_minimum_that_is_met_exactly_is_met() -> None:
    """B1 clause 5: 10 pieces at 100 are worth 1,000."""
    assert len(trades([STILL] * 4, [1, 1, 0, 0], replace(FREE, minimum_cost=1000.0, minimum_quantity=10.0)).trades) == 1


def test_stop_and_target_in_one_bar_are_a_stop() -> None:
    """B1 clause 6, trap 30: the order inside a bar is unknown, so the worse one is what happened."""
    bars = [STILL, STILL, (100.0, 105.0, 97.0, 104.0), STILL]
    done = trades(bars, [1, 1, 1, 1])
    assert rows(done, "ended_by", "exit_price", "exited_inside") == [(1, 98.0, 1)]


def test_stop_and_take_profit_are_alive_in_the_bar_of_the_entry() -> None:
    """B1 clause 6: a position that cannot lose in its first bar is the most profitable of all."""
    stopped = trades([STILL, (100.0, 101.0, 97.0, 100.0), STILL], [1, 1, 1])
    assert rows(stopped, "entry_bar", "exit_bar", "exit_price") == [(1, 1, 98.0)]
    gained = trades([STILL, (100.0, 104.0, 99.0, 100.0), STILL], [1, 1, 1])
    assert rows(gained, "entry_bar", "exit_bar", "exit_price") == [(1, 1, 104.0)]


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    """B1 clause 6, trap 29: a stop that fills at its trigger after a gap hides the worst losses there are."""
    bars = [STILL, STILL, (95.0, 99.0, 94.0, 98.0), STILL]
    done = trades(bars, [1, 1, 1, 1], replace(FREE, slippage=0.001))
    assert rows(done, "ended_by", "exit_price", "exited_inside") == [(1, 94.9, 0)]  # 95 x 0.999 = 94.905, down


def test_a_stop_slips_and_a_take_profit_does_not() -> None:
    """B1 clause 6: 98 x 0.999 = 97.902, down to 97.90; the target is filled at 104 even where the bar opens over it."""
    terms = replace(FREE, slippage=0.001)
    stopped = trades([STILL, STILL, (99.0, 99.0, 97.0, 98.0), STILL], [1, 1, 1, 1], terms)
    assert rows(stopped, "exit_price") == [(97.9,)]
    gained = trades([STILL, STILL, (106.0, 107.0, 105.0, 106.0), STILL], [1, 1, 1, 1], terms)
    assert rows(gained, "exit_price", "exited_inside") == [(104.0, 0)]


def test_a_market_exit_at_the_open_comes_before_the_stop_of_the_bar() -> None:
    """B1 clause 6: the order that was decided a bar ago is at the venue before the price has moved."""
    bars = [STILL, STILL, (101.0, 101.0, 90.0, 91.0), STILL]
    done = trades(bars, [1, 0, 0, 0])
    assert rows(done, "ended_by", "exit_bar", "exit_price") == [(0, 2, 101.0)]


def test_a_touch_is_enough() -> None:
    """B1 clause 6: a low at the stop has traded there."""
    done = trades([STILL, STILL, (99.0, 99.0, 98.0, 99.0), STILL], [1, 1, 1, 1])
    assert rows(done, "ended_by", "exit_price") == [(1, 98.0)]


def parted(leg: int, bar: int) -> tuple[int, float]:
    """A seed with which only the order of `leg` at `bar` is filled in two, and its first share."""
    opened_at = int(datetime(2024, 8, 5, 0, bar, tzinfo=UTC).timestamp()) * 1_000_000
    for seed in range(10_000):
        share = first_share(seed, opened_at, leg, 0.9)
        others = [first_share(seed, opened_at + shift * MINUTE, 1 - leg, 0.9) for shift in range(-5, 6)]
        if share < 1.0 and set(others) == {1.0}:
            return seed, share
    raise AssertionError


def test_the_rest_of_an_entry_is_filled_at_the_next_open() -> None:
    """B1 clause 7: the average of two fills, and one stop for both."""
    seed, share = parted(leg=0, bar=1)
    first = np.floor(10 * share)
    bars = [STILL, STILL, (101.0, 101.5, 100.5, 101.0), STILL, STILL]
    done = trades(bars, [1, 1, 1, 0, 0], replace(FREE, fill_rate=0.9, seed=seed))
    average = (first * 100 + (10 - first) * 101) / 10
    assert rows(done, "quantity", "entry_price", "stop_price", "exit_bar") == [(10.0, average, 98.0, 4)]
    assert done.trades["risk"][0] == pytest.approx(first * 2 + (10 - first) * 3)


def test_a_stop_in_the_bar_of_the_entry_cancels_its_rest() -> None:
    """B1 clause 7: the rest of an entry whose first part was stopped would open the position again."""
    seed, share = parted(leg=0, bar=1)
    bars = [STILL, (100.0, 100.0, 97.0, 97.5), STILL, STILL, STILL]
    done = trades(bars, [1, 1, 1, 1, 1], replace(FREE, fill_rate=0.9, seed=seed))
    assert rows(done, "quantity", "exit_bar") == [(float(np.floor(10 * share)), 1)]
    assert not done.totals["open_at_end"][0]


def test_an_exit_cancels_the_rest_of_the_entry() -> None:
    """B1 clause 7: what is not wanted any more is not bought."""
    seed, share = parted(leg=0, bar=1)
    done = trades([STILL] * 5, [1, 0, 0, 0, 0], replace(FREE, fill_rate=0.9, seed=seed))
    assert rows(done, "quantity", "exit_bar") == [(float(np.floor(10 * share)), 2)]


def test_the_rest_of_an_exit_is_sold_at_the_next_open_and_has_no_stop() -> None:
    """B1 clause 7: an exit that works reduces the position, and nothing may do so beside it."""
    seed, share = parted(leg=1, bar=2)
    first = np.floor(10 * share)
    bars = [STILL, STILL, (101.0, 101.0, 90.0, 91.0), (92.0, 110.0, 80.0, 92.0), STILL, STILL]
    done = trades(bars, [1, 0, 1, 1, 1, 1], replace(FREE, fill_rate=0.9, seed=seed))
    assert rows(done, "ended_by", "exit_decided_bar", "exit_bar") == [(0, 1, 3)]
    assert done.trades["exit_price"][0] == pytest.approx((first * 101 + (10 - first) * 92) / 10, rel=1e-14)
    assert done.totals["open_at_end"][0] == 1  # the target came back at bar 2, so it is fresh: in again at bar 4


def test_an_order_too_small_to_be_parted_is_filled_whole() -> None:
    """B1 clause 7: as `matching.first_part`; a part of nothing would leave an order that never ends."""
    done = trades([STILL] * 4, [1, 1, 0, 0], replace(FREE, fill_rate=0.0, max_position=0.1))
    assert rows(done, "quantity", "exit_bar") == [(1.0, 3)]


def test_a_position_at_the_last_bar_is_marked_and_not_closed() -> None:
    """B1 clause 8: a close at the end invents an exit that the strategy never made."""
    bars = [STILL, STILL, (100.0, 103.0, 99.5, 102.5)]
    done = trades(bars, [1, 1, 1])
    assert len(done.trades) == 0
    assert (done.equity[-1], done.positions_value[-1]) == (1025.0, 1025.0)
    assert done.totals["open_at_end"][0] == 1


def test_a_signal_on_the_last_bar_is_not_traded() -> None:
    """B1 clause 8: there is no next open."""
    done = trades([STILL] * 3, [0, 0, 1])
    assert not done.totals["open_at_end"][0]
    assert done.equity.tolist() == [1000.0]
    assert trades([STILL], [1]).equity.tolist() == [1000.0]


def test_after_missing_candles_the_next_bar_that_exists_is_traded() -> None:
    """B1 clause 1, trap 31: a fill in a minute that nobody recorded has a price that nobody knows."""
    at = int(FIRST.timestamp()) * 1_000_000
    series = series_of([STILL, (101.0, 101.5, 100.5, 101.0), STILL], [at, at + 90 * MINUTE, at + 91 * MINUTE])
    done = run(series, signals_of([1, 0, 0]), FREE)
    assert rows(done, "entry_bar", "entry_price", "exit_bar") == [(1, 101.0, 2)]


def test_equity_is_marked_at_every_utc_midnight_and_at_the_end() -> None:
    """B1: daily returns need the open position at midnight, and a day without candles is a return of zero."""
    start = int(datetime(2024, 8, 5, 22, tzinfo=UTC).timestamp()) * 1_000_000
    hours = [0, 1, 2, 51, 52]  # closes at 23:00 and midnight; then two days are missing
    closes = [100.0, 101.0, 102.0, 103.0, 103.5]
    bars = [(100.0, 103.9, 99.0, close) for close in closes]
    series = series_of(bars, [start + 60 * MINUTE * hour for hour in hours], Timeframe.H1)
    done = run(series, signals_of([1, 1, 1, 1, 1]), FREE)
    midnight = int(datetime(2024, 8, 6, tzinfo=UTC).timestamp()) * 1_000_000
    day = 1440 * MINUTE
    assert done.marked_at.tolist() == [midnight, midnight + day, midnight + 2 * day, start + 53 * 60 * MINUTE]
    assert done.equity.tolist() == [1010.0, 1020.0, 1020.0, 1035.0]
    assert not done.from_midnight
    assert done.midnights == 3


def test_trading_happens_in_the_stretch_and_begins_flat() -> None:
    """I5: a test window that inherits a position or a decision of the training window is not out of sample."""
    done = run(series_of([STILL] * 9), signals_of([1, 1, 1, 1, 1, 1, 0, 0, 0]), FREE, start=3, stop=8)
    assert rows(done, "decided_bar", "entry_bar", "exit_bar") == [(3, 4, 7)]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 2), (-1, 2), (3, 1)])
def test_a_stretch_that_is_none_is_refused(start: int, stop: int) -> None:
    """B1: a backtest of nothing has a Sharpe ratio of nothing, and ranks somewhere."""
    with pytest.raises(InputError, match="no stretch"):
        run(series_of([STILL] * 4), signals_of([0] * 4), FREE, start=start, stop=stop)


def test_signals_of_another_length_are_refused() -> None:
    """Trap 28: signals that are shifted by their warm-up trade the future."""
    with pytest.raises(InputError, match="one value for each of the 4 bars"):
        run(series_of([STILL] * 4), signals_of([0] * 3), FREE)


STRATEGY = Strategy(
    name="by_hand",
    parameters=StrategyParameters,
    function=lambda values, parameters: signals_of([0] * len(values.series)),  # noqa: ARG005
    warm_up=lambda parameters: 0,  # noqa: ARG005
    grid={},
    reasons=("", "went up", "went down", "over"),
)


def by_hand(targets: list[int], bars: list[Bar]) -> tuple[Run, CandleSeries, Signals]:
    """A run with all that its result needs."""
    series, signals = series_of(bars), signals_of(targets)
    return run(series, signals, FREE), series, signals


def test_the_result_has_words_for_reasons_and_the_agreed_columns() -> None:
    """B1: reports read these columns; a code for a reason explains nothing to a person."""
    falls = (100.0, 100.0, 97.0, 97.5)
    done, series, signals = by_hand([1, 1, 0, 1, 1, 0, 1, 1], [STILL, STILL, STILL, STILL, falls, STILL, STILL, STILL])
    result = result_of(done, series, signals, FREE, STRATEGY, StrategyParameters())
    assert (result.trades.schema, result.equity.schema) == (TRADES, EQUITY)
    assert result.trades["entry_reason"].to_list() == ["went up", "went up"]
    assert result.trades["exit_reason"].to_list() == ["signal: over", "stop"]
    assert result.trades["entered_at"].to_list() == [FIRST + timedelta(minutes=1), FIRST + timedelta(minutes=4)]
    assert result.trades["exited_at"].to_list() == [FIRST + timedelta(minutes=3), FIRST + timedelta(minutes=5)]
    assert result.trades["r_multiple"].to_list() == [0.0, -1.0]
    assert (result.starts_at, result.ends_at) == (FIRST, FIRST + timedelta(minutes=8))
    assert (result.open_at_end, result.bars, result.engine, result.strategy) == (1, 8, "kernel", "by_hand")
    assert result.costs == FREE.document()
    assert result.equity["at"].to_list() == [FIRST + timedelta(minutes=8)]


def test_a_result_without_trades_has_its_columns_too() -> None:
    """B1: a strategy that never trades is reported and not a crash."""
    done, series, signals = by_hand([0, 0, 0], [STILL] * 3)
    result = result_of(done, series, signals, FREE, STRATEGY, StrategyParameters())
    assert (result.trades.schema, result.trades.height, result.equity.height) == (TRADES, 0, 1)


def test_both_hashes_see_every_trade_and_every_bit() -> None:
    """B2: an optimisation that changes a result does not ship, and the hash is how that is seen."""
    bars = [STILL, STILL, STILL, (100.0, 100.0, 97.0, 97.5), STILL, STILL, STILL, STILL]
    targets = [1, 1, 0, 0, 1, 1, 0, 0]
    first, again = trades(bars, targets), trades(bars, targets)
    assert (first.trades_hash, first.sha256) == (again.trades_hash, again.sha256)
    for other in (replace(FREE, fee=1e-8), replace(FREE, slippage=0.0001), replace(FREE, max_position=0.9)):
        changed = trades(bars, targets, other)
        assert changed.trades_hash != first.trades_hash
        assert changed.sha256 != first.sha256
