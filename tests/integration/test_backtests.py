"""Backtests from stored candles to rows and pages, and the allocation that rests on the same engine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from research_home import VENUE, research_session, store
from research_market import SYMBOL, random_walk, trending
from seats_data import RANGING, make_snapshot

from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.domain.errors import DataError, InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.backtests import BacktestPlan, WrittenBacktests, run_backtests
from triplegain_pipelines.operations.strategy_allocation import allocate_strategies
from triplegain_pipelines.store.backtests import read_backtests, save_backtest
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.signals import save_regime_signals
from triplegain_pipelines.store.snapshots import save_snapshots
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.integration

SERIES = random_walk(seed=11, bars=24 * 120)
PLAN = BacktestPlan(
    strategies=("momentum", "stochastic"),
    venue=VENUE,
    symbols=(SYMBOL,),
    timeframe=Timeframe.H1,
    start=datetime(2022, 8, 1, tzinfo=UTC),
    end=datetime(2022, 11, 29, tzinfo=UTC),
)


def ran(database: Database, folder: Path, plan: BacktestPlan = PLAN) -> WrittenBacktests:
    session = research_session(folder)
    return run_backtests(database, session.settings, plan, session.clock)


def test_a_backtest_is_a_row_a_page_and_the_same_again(database: Database, tmp_path: Path) -> None:
    """B1, I3: a result that nobody can find again, or that is another one tomorrow, is worth nothing."""
    store(database, SERIES)
    first, second = ran(database, tmp_path), ran(database, tmp_path)
    assert first.content == second.content
    assert first.page.exists()
    assert {one.case.result.strategy for one in first.judged} == set(PLAN.strategies)
    with database.connection() as connection:
        rows = read_backtests(connection)
    assert [row.strategy for row in rows] == sorted(PLAN.strategies)
    assert all(row.bars == len(SERIES) and row.verdict and row.figures["trades"]["closed"] > 0 for row in rows)
    assert first.best.figures.portfolio.sharpe == max(one.figures.portfolio.sharpe or -9 for one in first.judged)


def test_other_trades_on_the_same_data_are_an_error(database: Database, tmp_path: Path) -> None:
    """DESIGN §5: an engine that is not deterministic, or that changed in silence, must not go unseen."""
    store(database, SERIES)
    ran(database, tmp_path)
    with database.connection() as connection:
        row = read_backtests(connection, "momentum")[0]
        with pytest.raises(DataError, match="gave other trades than before"):
            save_backtest(connection, replace(row, trades_hash="another"))


def test_a_bar_that_is_still_being_made_is_left_out(database: Database, tmp_path: Path) -> None:
    """M4: a period that reaches to now ends in a bar whose high, low and close nobody knows yet."""
    store(database, SERIES)
    last = SERIES.opened(len(SERIES) - 1)
    session = research_session(tmp_path, last + timedelta(minutes=59))
    open_end = replace(PLAN, strategies=("momentum",), end=last + timedelta(days=9))
    unfinished = run_backtests(database, session.settings, open_end, session.clock)
    assert unfinished.best.case.result.bars == len(SERIES) - 1
    later = research_session(tmp_path, last + timedelta(minutes=60))
    finished = run_backtests(database, later.settings, open_end, later.clock)
    assert finished.best.case.result.bars == len(SERIES)


def test_what_was_tried_cannot_be_unwritten(database: Database, tmp_path: Path) -> None:
    """DESIGN §3.7: a bad backtest that can be deleted makes the next one look like the first."""
    store(database, SERIES)
    ran(database, tmp_path)
    for statement in ("DELETE FROM research.backtests", "UPDATE research.backtests SET verdict = 'EDGE SHOWN'"):
        with pytest.raises(psycopg.errors.RaiseException, match="keeps its rows"), database.connection() as connection:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"strategies": ("momentun",)}, "there is no strategy momentun; the strategies are momentum"),
        ({"symbols": ()}, "name a strategy and a symbol"),
        ({"timeframe": Timeframe.H4}, "take bars of 1h or less"),
        ({"end": PLAN.start}, "must begin before"),
        ({"symbols": ("XRP/USDT",)}, "no 1h candles of XRP/USDT at binance are stored"),
    ],
)
def test_what_cannot_be_run_says_why(
    database: Database, tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    """A person who mistyped a name must not get the results of something else."""
    store(database, SERIES)
    with pytest.raises(InputError, match=words):
        ran(database, tmp_path, replace(PLAN, **changed))  # type: ignore[arg-type]


def test_allocation_follows_results_and_says_why(database: Database, tmp_path: Path) -> None:
    """I4: an allocation that forgets the one before it, or changes without a reason, cannot be trusted with money."""
    series = trending(seed=3, bars=24 * 150)
    store(database, series)
    last = series.opened(len(series) - 1)
    midnights = [
        datetime(2022, 9, 1, tzinfo=UTC) + timedelta(days=day) for day in range((last - series.opened(0)).days - 31)
    ]
    with database.connection() as connection:
        snapshots = [replace(make_snapshot(as_of=day), venue=VENUE, symbol=SYMBOL) for day in midnights]
        save_snapshots(connection, snapshots)
        regimes: dict[UUID, object] = {one.snapshot_id: RANGING for one in snapshots}
        save_regime_signals(connection, REGIME_VERSION, regimes)  # type: ignore[arg-type]
    first = allocate_strategies(database, research_session(tmp_path, midnights[-10]))
    second = allocate_strategies(database, research_session(tmp_path, midnights[-1]))
    assert set(first.weights) == set(STRATEGIES)
    assert sum(second.weights.values()) <= 1
    assert second.explanation
    with database.connection() as connection:
        rows = connection.execute("SELECT as_of, turnover, explanation FROM research.strategy_allocations ORDER BY 1")
        kept = rows.fetchall()
    assert [row[0] for row in kept] == [midnights[-10], midnights[-1]]
    assert kept[1][1] == second.turnover <= research_session(tmp_path).settings.meta_strategy.turnover + 1e-6
    again = allocate_strategies(database, research_session(tmp_path, midnights[-1]))
    assert again.weights == second.weights


def test_allocation_without_candles_is_an_error(database: Database, tmp_path: Path) -> None:
    """DESIGN §3.4: no candles must not read as strategies that earned nothing."""
    with pytest.raises(InputError, match="no strategy can be judged"):
        allocate_strategies(database, research_session(tmp_path))
