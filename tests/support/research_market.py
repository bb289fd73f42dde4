"""Markets for studies: one without memory, in which nobody has an edge, and one with a trend that lasts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.operations.studies import Question, plan_study
from triplegain_pipelines.settings.research import ResearchSettings, WalkForwardSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.studies import Study
from triplegain_pipelines.strategies.registry import STRATEGIES

SYMBOL = "BTC/USDT"
_START = 1_659_312_000_000_000  # 2022-08-01 00:00 UTC in microseconds
_HOUR = 3_600_000_000
_STEPS = 12  # of a price inside one candle

FREE = Terms(fee=0.0, slippage=0.0, fill_rate=1.0, short_selling=True)
"""Without costs luck has its best chance."""

RESEARCH = ResearchSettings(
    batch_trials=8,
    portion_trials=4,
    fork_hours=1.0,
    walk_forward=WalkForwardSettings(
        train_days=100, test_days=50, embargo_bars=12, longest_holding_bars=100, anchored=False
    ),
    significance_level=0.05,
    fewest_days=90,
    fewest_trades=20,
)


def random_walk(seed: int, bars: int = 24 * 400) -> CandleSeries:
    """Hourly candles of a price whose steps know nothing of each other."""
    return _candles(np.zeros(bars), seed)


def trending(seed: int, bars: int = 24 * 400) -> CandleSeries:
    """Hourly candles of a price that rises for some weeks, then falls for some weeks, and so on."""
    rng = np.random.default_rng([seed, 1])
    drift, sign = np.empty(bars), 1.0
    at = 0
    while at < bars:
        length = int(rng.integers(250, 500))
        drift[at : at + length] = sign * 0.0012
        at, sign = at + length, -sign
    return _candles(drift, seed)


def laboratory(database: Database, folder: Path, clock: Clock | None = None, hours: float = 1.0) -> Laboratory:
    """A laboratory of a test's own."""
    return Laboratory(database, folder / "sealed", clock or SystemClock(), timedelta(hours=hours))


def planned(
    series: CandleSeries,
    *,
    venue: str = "test",
    method: Method = Method.GRID,
    trials: int = 20,
    seed: int = 7,
    strategy: str = "breakout",
    research: ResearchSettings = RESEARCH,
) -> Study:
    """A study of a strategy, as a person would ask for it."""
    return plan_study(research, Question(STRATEGIES[strategy], venue, method, trials, seed, FREE), series)


def at(hours: float) -> datetime:
    """So long after the beginning of the markets."""
    return datetime(2022, 8, 1, tzinfo=UTC) + timedelta(hours=hours)


def _candles(drift: np.ndarray, seed: int) -> CandleSeries:
    rng = np.random.default_rng([seed, 0])
    steps = rng.standard_normal((len(drift), _STEPS)) * (0.008 / _STEPS**0.5) + drift[:, None] / _STEPS
    path = 20_000 * np.exp(np.cumsum(steps.reshape(-1))).reshape(-1, _STEPS)
    close = np.ascontiguousarray(path[:, -1])
    open_ = np.concatenate([[20_000.0], close[:-1]])
    return CandleSeries(
        SYMBOL,
        Timeframe.H1,
        _START + np.arange(len(drift), dtype=np.int64) * _HOUR,
        open_,
        np.maximum(path.max(axis=1), open_),
        np.minimum(path.min(axis=1), open_),
        close,
        np.ones(len(drift)),
    )
