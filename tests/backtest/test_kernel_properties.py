"""Laws of the fast engine: the bar contract in exact decimals, costs, and what lies outside of the stretch."""

from dataclasses import replace

import numpy as np
import pytest
from bar_contract import DAY, MINUTE, BarByBar, series_of, signals_of
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.backtest.kernel import Run, run
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals

pytestmark = pytest.mark.backtest

_CLOSE = 1e-9
_ENDS = ("signal", "stop", "take_profit")


def market(seed: int, bars: int, decimals: int, price: float, swing: float) -> tuple[CandleSeries, Signals]:
    """Candles on a grid of `decimals`, some of them missing, some after a gap, and targets that hold for some bars."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0, swing, bars)))
    gap = np.exp(rng.normal(0, swing, bars) * (rng.random(bars) < 0.2))
    opened = np.concatenate([[price], close[:-1]]) * gap
    high = np.maximum(opened, close) * (1 + np.abs(rng.normal(0, swing, bars)))
    low = np.minimum(opened, close) * (1 - np.minimum(np.abs(rng.normal(0, swing, bars)), 0.5))
    smallest = 10.0**-decimals
    grid = [np.maximum(np.round(one, decimals), smallest) for one in (opened, high, low, close)]
    rows = [(o, max(o, h, c), min(o, low_, c), c) for o, h, low_, c in np.array(grid).T.tolist()]
    steps = np.where(rng.random(bars) < 0.1, rng.integers(2, 900, bars), 1)
    first = 1_722_816_000_000_000 + int(rng.integers(0, 1440)) * MINUTE
    opened_at = (first + np.cumsum(steps) * MINUTE).tolist()
    targets = np.repeat(rng.integers(-1, 2, bars), rng.integers(1, 12, bars))[:bars]
    atr = np.abs(rng.normal(price * swing * 2, price * swing, bars))
    atr[rng.random(bars) < 0.05] = np.nan
    atr[rng.random(bars) < 0.02] = 0.0
    return series_of(rows, opened_at), replace(signals_of(targets.tolist()), atr=atr)


def assert_same(done: Run, expected: BarByBar) -> None:
    """Bars, reasons, prices and quantities to the last bit; sums of money to a billionth."""
    assert len(done.trades) == len(expected.done)
    for got, want in zip(done.trades, expected.done, strict=True):
        bars = (want.direction, want.decided_bar, want.entry_bar, want.exit_bar, want.exit_decided_bar)
        names = ("direction", "decided_bar", "entry_bar", "exit_bar", "exit_decided_bar")
        assert tuple(int(got[name]) for name in names) == bars
        assert (_ENDS[got["ended_by"]], bool(got["exited_inside"])) == (want.ended_by, want.inside)
        assert (got["quantity"], got["stop_price"]) == (float(want.quantity), float(want.stop))
        for name, fills, price in (
            ("entry_price", want.fills_in, want.entry_price),
            ("exit_price", want.fills_out, want.exit_price),
        ):
            assert got[name] == (float(price) if len(fills) == 1 else pytest.approx(float(price), rel=1e-14))
        assert got["fees"] == pytest.approx(float(want.fees), abs=_CLOSE)
        assert got["profit"] == pytest.approx(float(want.profit), abs=_CLOSE)
        assert got["risk"] == pytest.approx(float(want.risk), abs=_CLOSE)
    marks = expected.marks()
    assert done.marked_at.tolist() == [moment for moment, _ in marks]
    assert done.equity.tolist() == pytest.approx([float(equity) for _, equity in marks], abs=_CLOSE)
    assert int(done.totals["open_at_end"][0]) == (expected.trade is not None)


def within_reach(terms: Terms, decimals: int, price: float) -> Terms:
    """`terms` with a quantity step that floats can count: up to 10^10 steps an order, 10^7 where prices are off grid.

    Between two price steps the distance of a stop is the difference of two rounded numbers: 13 digits and not 16.
    """
    on_grid = (round(10**8 * terms.price_step) * 10**decimals) % 10**8 == 0 and terms.price_step <= 10**-decimals
    most, step = 1e10 if on_grid else 1e7, terms.quantity_step
    while terms.starting_equity / price / step > most:
        step = float(f"{step * 10:.0e}")
    return replace(terms, quantity_step=step)


terms_given = st.builds(
    Terms,
    starting_equity=st.sampled_from([100.0, 2100.0, 50_000.0]),
    fee=st.sampled_from([0.0, 0.001, 0.0026]),
    slippage=st.sampled_from([0.0, 0.0005, 0.013]),
    fill_rate=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(-5, 5),
    risk_per_trade=st.sampled_from([0.01, 0.03]),
    max_position=st.sampled_from([0.2, 1.0]),
    reward_to_risk=st.sampled_from([1.5, 2.0, 3.3]),
    price_step=st.sampled_from([0.01, 0.0001, 0.00000001, 0.5, 0.025]),
    quantity_step=st.sampled_from([0.000001, 0.00000001, 0.01, 1.0]),
    minimum_quantity=st.sampled_from([0.000001, 0.5]),
    minimum_cost=st.sampled_from([0.0, 5.0]),
    short_selling=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bars=st.integers(1, 300),
    market_of=st.sampled_from(
        [(2, 60_000.0, 0.003), (4, 0.6, 0.01), (2, 100.0, 0.05), (8, 0.00002, 0.2), (1, 30.0, 0.001)]
    ),
    terms=terms_given,
    stop_atr=st.sampled_from([0.5, 2.0, 3.7]),
    cut=st.floats(0, 1),
)
def test_the_kernel_makes_the_trades_of_the_bar_contract(
    seed: int, bars: int, market_of: tuple[int, float, float], terms: Terms, stop_atr: float, cut: float
) -> None:
    """B1: a sweep ranks strategies by trades that the slow, exact reading of the contract would not have made."""
    series, signals = market(seed, bars, *market_of)
    signals = replace(signals, stop_atr=stop_atr)
    terms = within_reach(terms, *market_of[:2])
    start = int(cut * (bars - 1))
    assert_same(run(series, signals, terms, start=start), BarByBar(series, signals, terms, start, bars).run())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), terms=terms_given)
def test_what_lies_outside_of_the_stretch_changes_nothing(seed: int, terms: Terms) -> None:
    """I5, trap 28: a walk-forward window that is traded with candles or targets of the next one."""
    series, signals = market(seed, 200, 2, 100.0, 0.02)
    start, stop = 60, 140
    within = run(series, signals, terms, start=start, stop=stop)
    part = replace(
        signals, target=signals.target[start:stop], reason=signals.reason[start:stop], atr=signals.atr[start:stop]
    )
    alone = run(series.part(start, stop), part, terms)
    assert within.equity.tolist() == alone.equity.tolist()
    for name in within.trades.dtype.names or ():
        shift = start * (name.endswith("_bar")) if name != "exit_decided_bar" else 0
        if name != "exit_decided_bar":
            assert (within.trades[name] - shift).tolist() == alone.trades[name].tolist()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    terms=terms_given,
    fees=st.sampled_from([(0.0, 0.0005), (0.001, 0.002)]),
    slippages=st.sampled_from([(0.0, 0.0), (0.0, 0.01), (0.0005, 0.003)]),
)
def test_higher_costs_never_make_a_trade_better(
    seed: int, terms: Terms, fees: tuple[float, float], slippages: tuple[float, float]
) -> None:
    """B1: costs that are booked on the wrong side make the strategy that trades most the best one.

    Bars and levels depend on the market alone, so the trades are the same ones, each a little worse.
    """
    series, signals = market(seed, 200, 2, 100.0, 0.02)
    whole = replace(terms, fill_rate=1.0)
    cheap, dear = (
        run(series, signals, replace(whole, fee=fee, slippage=slippage))
        for fee, slippage in zip(fees, slippages, strict=True)
    )
    known = {int(trade["entry_bar"]): trade for trade in cheap.trades}
    both = [(known[int(trade["entry_bar"])], trade) for trade in dear.trades if int(trade["entry_bar"]) in known]
    assert both or not len(dear.trades)
    for less, more in both:
        assert [more[name] for name in ("exit_bar", "ended_by", "stop_price")] == [
            less[name] for name in ("exit_bar", "ended_by", "stop_price")
        ]
        side = more["direction"]
        assert side * more["entry_price"] >= side * less["entry_price"]
        assert side * more["exit_price"] <= side * less["exit_price"]
        assert more["profit"] / more["quantity"] < less["profit"] / less["quantity"]


def test_equity_and_trades_tell_the_same_story() -> None:
    """B2: profits that do not add up to the equity hide money that was made of nothing."""
    series, signals = market(3, 2_000, 2, 100.0, 0.01)
    signals.target[-20:] = 0
    terms = Terms(fill_rate=0.5, short_selling=True)
    done = run(series, signals, terms)
    assert len(done.trades) > 30
    assert not done.totals["open_at_end"][0]
    assert done.equity[-1] == pytest.approx(terms.starting_equity + done.trades["profit"].sum(), abs=1e-8)
    assert done.totals["final_equity"][0] == done.equity[-1]
    assert (np.diff(done.marked_at) <= DAY).all()
