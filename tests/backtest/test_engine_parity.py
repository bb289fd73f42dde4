"""Two engines, one truth: kernel, event engine and database walk make the same trades, or a reason code says why not.

The kernel has no risk engine. So the first tests give risk nothing to say, and the trades must be the same to the last
bar, price, quantity and fee; then risk has its real limits, and the first trade that differs must be one it spoke of.
"""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builders import ACCOUNT, BTC, COSTS, INSTRUMENTS, decision, limits, store_decisions, walk_plan
from engine_cases import (
    HOUSE,
    after_a_week,
    by_events,
    by_kernel,
    drawn_signals,
    recorded,
    wandering_series,
    wide_limits,
)

from triplegain_pipelines.backtest.event_bars import moment
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.backtest.walk import walk_history
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.operations.research_terms import terms_for
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.backtest

EXACT = ["symbol", "direction", "decided_bar", "entry_bar", "exit_bar", "entered_at", "exited_at", "quantity"]
EXACT += ["stop_price", "entry_reason", "exit_reason"]
TERMS = Terms(seed=3, fill_rate=1.0)
PARTED = Terms(seed=3, fill_rate=0.5)


def require_same(kernel: BacktestResult, events: BacktestResult, *, parted: bool) -> None:
    """The same trades. Fees are whole hundred-millionths; a price that is the average of two fills is a quotient."""
    left, right = kernel.trades, events.trades
    assert left.select(EXACT).rows() == right.select(EXACT).rows()
    for name in ("entry_price", "exit_price"):
        if parted:
            assert np.allclose(left[name].to_numpy(), right[name].to_numpy(), rtol=1e-14, atol=0), name
        else:
            assert left[name].to_list() == right[name].to_list(), name
    units = [[round(fee * 1e8) for fee in trades["fees"]] for trades in (left, right)]
    assert units[0] == units[1]
    assert np.allclose(left["profit"].to_numpy(), right["profit"].to_numpy(), rtol=0, atol=1e-9)
    assert left["r_multiple"].is_null().to_list() == right["r_multiple"].is_null().to_list()
    assert np.allclose(left["r_multiple"].drop_nulls(), right["r_multiple"].drop_nulls(), rtol=1e-9, atol=1e-9)
    assert kernel.equity["at"].to_list() == events.equity["at"].to_list()
    for name in ("equity", "positions_value"):
        assert np.allclose(kernel.equity[name].to_numpy(), events.equity[name].to_numpy(), rtol=0, atol=1e-8), name
    assert kernel.open_at_end == events.open_at_end
    assert (kernel.starts_at, kernel.ends_at, kernel.bars) == (events.starts_at, events.ends_at, events.bars)


@pytest.mark.parametrize("terms", [TERMS, PARTED], ids=["whole fills", "parted fills"])
@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize(
    ("file", "timeframe", "rows"),
    [
        ("btcusdt_5m_binance_2022-08_2023-09", Timeframe.M5, slice(20_000, 28_000)),
        ("btcusdt_1h_binance_2018-01_2025-06", Timeframe.H1, slice(52_000, 57_000)),
    ],
)
def test_the_engines_make_the_same_trades_of_recorded_candles(
    recorded_data: Path, file: str, timeframe: Timeframe, rows: slice, name: str, terms: Terms
) -> None:
    """B2, issue 6: a sweep whose trades the honest engine would not have made chooses parameters for another market."""
    series, strategy = recorded(recorded_data, file, timeframe, rows), STRATEGIES[name]
    parameters = strategy.parameters()
    signals = strategy.function(IndicatorValues(series), parameters)
    start = after_a_week(series)
    kernel = by_kernel(series, signals, terms, start=start, strategy=strategy, parameters=parameters)
    run, events = by_events(
        series, signals, terms, wide_limits(terms), start=start, strategy=strategy, parameters=parameters
    )
    assert not [one for one in run.asked if one.refused]
    assert events.trades.height > 5
    require_same(kernel, events, parted=terms is PARTED)


@pytest.mark.parametrize("seed", range(12))
def test_the_engines_make_the_same_trades_of_generated_candles(seed: int) -> None:
    """B2: gaps, jumps, short positions, coarse grids and parted fills in every mixture, which recorded candles lack."""
    generator = np.random.default_rng(seed)
    terms = Terms(
        seed=seed,
        fill_rate=float(generator.choice([0.3, 0.9, 1.0])),
        slippage=float(generator.choice([0.0, 0.0005, 0.004])),
        price_step=float(generator.choice([0.01, 0.5, 25.0])),
        quantity_step=float(generator.choice([0.000001, 0.001])),
        reward_to_risk=float(generator.choice([1.5, 3.0])),
        risk_per_trade=float(generator.choice([0.0005, 0.01])),
        short_selling=bool(generator.random() < 0.6),
    )
    timeframe = (Timeframe.M5, Timeframe.M15, Timeframe.H1)[seed % 3]
    series = wandering_series(seed, 6_000, timeframe, missing=(0.02, 0.02, 0.001)[seed % 3] * (seed % 2))
    signals = drawn_signals(seed, series, change=float(generator.choice([0.03, 0.2])))
    start = after_a_week(series)
    kernel = by_kernel(series, signals, terms, start=start)
    run, events = by_events(series, signals, terms, wide_limits(terms), start=start)
    assert not [one for one in run.asked if one.refused], seed
    assert events.trades.height > 20, seed
    require_same(kernel, events, parted=terms.fill_rate < 1)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_with_the_real_limits_a_reason_code_stands_behind_the_first_difference(recorded_data: Path, name: str) -> None:
    """B2: a trade that is missing or smaller in the honest engine, and nobody can say why."""
    series = recorded(recorded_data, "btcusdt_5m_binance_2022-08_2023-09", Timeframe.M5, slice(20_000, 32_000))
    strategy = STRATEGIES[name]
    parameters = strategy.parameters()
    signals = strategy.function(IndicatorValues(series), parameters)
    start = after_a_week(series)
    kernel = by_kernel(series, signals, TERMS, start=start, strategy=strategy, parameters=parameters)
    run, events = by_events(series, signals, TERMS, HOUSE, start=start, strategy=strategy, parameters=parameters)
    wanted = {row["decided_bar"]: row["quantity"] for row in kernel.trades.iter_rows(named=True)}
    made = {row["decided_bar"]: row["quantity"] for row in events.trades.iter_rows(named=True)}
    different = sorted(bar for bar in wanted.keys() | made.keys() if wanted.get(bar) != made.get(bar))
    assert different, "the limits of config/risk.yaml cut every order to 100 USD"
    spoken_of = {one.decided_bar: one for one in run.asked}
    assert different[0] in spoken_of
    smaller = [bar for bar in different if bar in made and bar not in spoken_of]
    assert not smaller, "each trade of these limits is cut"
    assert sum(events.refusals.values()) == sum(len(one.codes) for one in run.asked)
    missing = [bar for bar in wanted if bar not in made and bar not in spoken_of]
    # What is not spoken of at its own bar was refused before and not asked for again, or the account was not flat.
    refused = sorted(one.decided_bar for one in run.asked if one.refused)
    held = list(zip(events.trades["entry_bar"], events.trades["exit_bar"], strict=True))
    for bar in missing:
        blocked = any(
            other <= bar and (signals.target[other : bar + 1] == signals.target[bar]).all() for other in refused
        )
        assert blocked or any(entered <= bar + 1 <= left for entered, left in held), (name, bar)


def test_the_database_walk_makes_the_same_fills(database: Database) -> None:
    """B2: the engine that a study uses, and the order path that trades, give the same fills for the same decisions."""
    hours, before = 9, 8 * 24
    series = wandering_series(5, (before + hours) * 60 + 5, Timeframe.M1, symbol=BTC, price=10_000.0, sigma=0.0008)
    signals = drawn_signals(5, series, change=0.08)
    start, stop = before * 60, (before + hours) * 60
    terms = Terms(fill_rate=1.0, price_step=0.01, quantity_step=1e-08, minimum_quantity=1e-08, max_position=0.3)
    terms = Terms(**{**terms.document(), "fee": float(COSTS.fee), "slippage": float(COSTS.slippage)})  # type: ignore[arg-type]
    risk = wide_limits(terms, limits())
    run, events = by_events(series, signals, terms, risk, start=start, stop=stop, instruments={BTC: INSTRUMENTS[BTC]})
    frame = pl.DataFrame(
        {name: getattr(series, name) for name in ("opened_at", "open", "high", "low", "close", "volume")}
    )
    frame = frame.with_columns(pl.col("opened_at").cast(pl.Datetime("us", "UTC")))
    actions = {-1: Action.CLOSE, 0: Action.CLOSE, 1: Action.BUY}
    target = signals.target
    decisions = [
        decision(
            BTC,
            moment(int(series.closed_at[bar])),
            actions[int(target[bar])],
            atr=float(signals.atr[bar]),
            price=float(series.close[bar]),
        )
        for bar in range(start, stop - 1)
        if bar == start or target[bar] != target[bar - 1]
    ]
    begins = moment(int(series.opened_at[start]))
    plan = walk_plan({BTC: frame[start:]}, decisions, begins, begins + timedelta(hours=hours), risk=risk)
    store_decisions(database, plan.decisions)
    walk_history(database, plan)
    with database.connection() as connection:
        columns = "opened_at, closed_at, quantity, entry_price, exit_price, fees, profit, exit_leg, initial_risk"
        query = f"SELECT {columns} FROM paper_trading.trades WHERE account = %s ORDER BY closed_at"  # noqa: S608
        walked = connection.execute(query.encode(), [ACCOUNT]).fetchall()
    trades = [one.trade for one in run.trades]
    told = [
        (
            one.opened_at,
            one.closed_at,
            one.quantity,
            one.entry_price,
            one.exit_price,
            one.fees,
            one.profit,
            str(one.exit_leg),
            one.initial_risk,
        )
        for one in trades
    ]
    assert len(walked) > 5
    assert [tuple(row) for row in walked] == told
    assert (
        events.equity["equity"][-1] == float(Decimal(2_100) + sum(one.profit for one in trades)) or events.open_at_end
    )


def test_studies_trade_positions_of_the_size_that_the_account_does() -> None:
    """I5, B1: a walk that trades four times the account's size shows returns that cannot stand beside the account's.

    The account orders for a sum of money, the kernel for a share of the equity: they part as the equity moves. What a
    breaker halves after losses is left out of it.
    """
    settings = load_settings()
    terms = terms_for(settings, Instrument("BTC/USDT"))
    limits = settings.risk.model_copy(update={"breakers": wide_limits(terms).breakers})
    series = wandering_series(1, 6_000, Timeframe.H1)
    signals = drawn_signals(1, series)
    start = after_a_week(series)
    kernel = by_kernel(series, signals, terms, start=start).trades
    events = by_events(series, signals, terms, limits, start=start)[1].trades
    wanted, made = (dict(one.select("decided_bar", "quantity").iter_rows()) for one in (kernel, events))
    sizes = [made[bar] / wanted[bar] for bar in wanted.keys() & made.keys()]
    assert len(sizes) > 10
    assert 0.9 < min(sizes) <= max(sizes) < 1.1
