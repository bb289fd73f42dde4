"""Results of backtests made by hand: candles, trades in them, and the equity that follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import EQUITY, TRADES, BacktestResult
from triplegain_pipelines.evaluation.backtest_verdict import BacktestCase
from triplegain_pipelines.market.series import CandleSeries

START = datetime(2024, 1, 1, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"
HOUR = timedelta(hours=1)
EQUITY_AT_START = 2100.0
COSTS = {"fee": 0.001, "slippage": 0.0005, "price_step": 0.01}


@dataclass(frozen=True)
class Traded:
    """A trade by the bars of its entry and exit; `share` is of the equity before it."""

    entry: int
    exit: int
    direction: int = 1
    share: float = 0.2
    reason: str = "signal"
    symbol: str = BTC


def candles(closes: Sequence[float], symbol: str = BTC, timeframe: Timeframe = Timeframe.H1) -> CandleSeries:
    """Candles that open at the close before."""
    close = np.asarray(closes, np.float64)
    opened = np.concatenate((close[:1], close[:-1]))
    at = int(START.timestamp()) * 1_000_000 + np.arange(len(close)) * timeframe.minutes * 60_000_000
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return CandleSeries(symbol, timeframe, at, opened, high, low, close, np.ones(len(close)))


def wandering(bars: int, seed: int, symbol: str = BTC, drift: float = 0.0) -> CandleSeries:
    """A random walk of hourly candles that moves half a per cent an hour."""
    moves = np.random.default_rng(seed).normal(drift, 0.005, bars)
    return candles(100 * np.exp(np.cumsum(moves)), symbol)


def without(series: CandleSeries, missing: Sequence[int]) -> CandleSeries:
    """The series without some of its bars."""
    kept = np.setdiff1d(np.arange(len(series)), np.asarray(missing))
    names = ("opened_at", "open", "high", "low", "close", "volume")
    arrays: list[Any] = [getattr(series, name)[kept] for name in names]
    return CandleSeries(series.symbol, series.timeframe, *arrays)


def traded(series: CandleSeries, trades: Sequence[Traded], **changes: Any) -> BacktestResult:
    """The result of these trades in one symbol, one after the other: fills at opens with slippage, and fees."""
    rows, marks = [], []
    cash = EQUITY_AT_START
    step = series.timeframe.duration
    for one in trades:
        fee, slips = COSTS["fee"], COSTS["slippage"]
        entry = series.open[one.entry] * (1 + one.direction * slips)
        leave = (series.close if one.reason != "signal" else series.open)[one.exit] * (1 - one.direction * slips)
        quantity = one.share * cash / entry
        fees = quantity * (entry + leave) * fee
        profit = one.direction * quantity * (leave - entry) - fees
        risk = quantity * entry * 0.02
        rows.append(
            {
                "symbol": series.symbol,
                "direction": one.direction,
                "decided_bar": one.entry - 1,
                "entry_bar": one.entry,
                "exit_bar": one.exit,
                "entered_at": START + one.entry * step,
                "exited_at": START + (one.exit + (one.reason != "signal")) * step,
                "entry_price": entry,
                "exit_price": leave,
                "quantity": quantity,
                "stop_price": entry * 0.98,
                "fees": fees,
                "profit": profit,
                "r_multiple": profit / risk,
                "entry_reason": "the band was crossed",
                "exit_reason": one.reason,
            }
        )
        cash += profit
        marks.append((rows[-1]["exited_at"], cash))
    days = len(series) * step // timedelta(days=1)
    equity = [
        (START + (day + 1) * timedelta(days=1), EQUITY_AT_START)
        if not (past := [worth for at, worth in marks if at <= START + (day + 1) * timedelta(days=1)])
        else (START + (day + 1) * timedelta(days=1), past[-1])
        for day in range(days)
    ]
    result = BacktestResult(
        strategy="made by hand",
        parameters={"fast": 10, "slow": 50},
        symbols=(series.symbol,),
        timeframe=series.timeframe,
        engine="hand",
        starts_at=START,
        ends_at=START + len(series) * step,
        bars=len(series),
        starting_equity=EQUITY_AT_START,
        costs=COSTS,
        trades=pl.DataFrame(rows, schema=TRADES, orient="row") if rows else pl.DataFrame(schema=TRADES),
        equity=pl.DataFrame(
            {
                "at": [at for at, _ in equity],
                "equity": [worth for _, worth in equity],
                "positions_value": [0.0] * len(equity),
                "external_flow": [0.0] * len(equity),
            },
            schema=EQUITY,
        ),
    )
    return replace(result, **changes)


def every(count: int, apart: int, held: int, **changes: Any) -> list[Traded]:
    """Trades at even distances from bar one on."""
    return [Traded(1 + place * apart, 1 + place * apart + held, **changes) for place in range(count)]


def knowing(series: CandleSeries, held: int, count: int, share: float = 0.2) -> list[Traded]:
    """Long trades of somebody who knows the future: the best of each stretch."""
    size = len(series) // count
    best = []
    for place in range(count):
        begin = max(1, place * size)
        stretch = range(begin, min(begin + size, len(series)) - held - 1)
        entry = max(stretch, key=lambda bar: series.open[bar + held] / series.open[bar])
        best.append(Traded(entry, entry + held, share=share))
    return best


def case(series: CandleSeries, trades: Sequence[Traded], **changes: Any) -> BacktestCase:
    """A case of these trades."""
    return BacktestCase(traded(series, trades), {series.symbol: series}, **changes)
