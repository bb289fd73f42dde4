"""The fast engine: one strategy, one series, every trade.

It follows the bar contract. What is known at the close of a bar is traded at the open of the next bar that exists,
after slippage, on the price grid against the order. Inside a bar market orders come first, at the open, then the stop,
then the take profit; a gap through the stop fills at the open, a stop slips, a take profit does not. A position that
its stop or take profit ended is not entered again until the target changes; a reversal exits at one open and enters at
the next. Where that leaves a choice:

- A stretch begins flat, and what is wanted at its first close counts as changed. Only an entry uses a change up: one
  that is refused (no ATR, below a minimum, levels that risk would refuse) is tried again while the target stands.
- An exit under way is the only thing that reduces the position. Between its two fills neither stop nor take profit is
  alive, and its rest is filled whatever the target says by then.
- What ends a position cancels the rest of its entry. Stop and take profit stay where the first fill found them.
- `exit_bar` is that of the last fill. An exit at the open of a bar, or of a gap, is dated to the opening of the bar,
  one inside of it to its close, as `execution.matching.touch` does.

Prices, quantities and fees equal those of exact decimal arithmetic as long as an order has less than some 10^10 steps
and prices lie on the price grid; cash and profit are sums of floats. There is no
risk engine here: the account is one position at a time, sized by the risk per trade and the largest position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.evaluation.backtest_result import EQUITY, TRADES, BacktestResult, ExitReason
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

if TYPE_CHECKING:
    import polars as pl

ENGINE = "kernel"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENDS = np.array([ExitReason.SIGNAL.value, ExitReason.STOP.value, ExitReason.TAKE_PROFIT.value])


@dataclass(frozen=True, slots=True)
class Run:
    """What happened to one account in the bars `[start, stop)`.

    Attributes:
        start: the first bar whose close could decide.
        stop: the bar after the last.
        trades: closed trades, rows of `kernel_rows.TRADE`, in the order of their exits.
        marked_at: moments of the equity marks, in microseconds since the Unix epoch: every UTC midnight, and the end.
        equity: the account marked to market at these, in quote currency.
        positions_value: the signed value of its position at these.
        totals: one row of `kernel_rows.TOTALS`.
        midnights: how many of the marks are midnights.
        from_midnight: whether the first bar opened at a midnight.
    """

    start: int
    stop: int
    trades: npt.NDArray[np.void]
    marked_at: npt.NDArray[np.int64]
    equity: npt.NDArray[np.float64]
    positions_value: npt.NDArray[np.float64]
    totals: npt.NDArray[np.void]
    midnights: int
    from_midnight: bool

    @property
    def trades_hash(self) -> str:
        """The cheap hash over all trades that a sweep gives for the same parameters."""
        return f"{int(self.totals['trades_hash'][0]):016x}"

    @property
    def sha256(self) -> str:
        """SHA-256 over every column of every trade. What is faster and changes it does not ship."""
        return hashlib.sha256(self.trades.tobytes()).hexdigest()


def run(series: CandleSeries, signals: Signals, terms: Terms, *, start: int = 0, stop: int | None = None) -> Run:
    """Trade `signals` in the bars `[start, stop)` of `series`.

    Raises:
        InputError: the stretch is empty or outside of the series, or the signals are not as long as it.
    """
    from triplegain_pipelines.backtest.kernel_inputs import (
        followed,
        marks_of,
        new_desk,
        stretch_of,
        terms_row,
        walked_bars,
        words_of,
    )
    from triplegain_pipelines.backtest.kernel_walk import walk

    start, stop = stretch_of(series, start, stop)
    bars, marks = walked_bars(series), marks_of(series, start, stop)
    target = followed("target", signals.target, np.int8, len(series))
    words = words_of(target)
    atr = followed("atr", signals.atr, np.float64, len(series))
    row = terms_row(terms, signals.stop_atr)
    # An entry uses a change of the target up, so there are no more trades than these. What is not written to takes no
    # memory.
    desk = new_desk(marks, 1 + int(np.count_nonzero(np.diff(target[start:stop]))))
    walk(bars, target, words, atr, row, start, stop, marks.bars, desk)
    count = int(desk.totals["trades"][0])
    return Run(
        start,
        stop,
        desk.trades[:count],
        marks.at,
        desk.equity,
        desk.positions_value,
        desk.totals,
        marks.midnights,
        marks.from_midnight,
    )


def result_of(
    done: Run,
    series: CandleSeries,
    signals: Signals,
    terms: Terms,
    strategy: Strategy,
    parameters: StrategyParameters,
) -> BacktestResult:
    """The backtest that `run(series, signals, terms)` was, with the strategy's words for reasons."""
    closed_at = series.closed_at
    return BacktestResult(
        strategy=strategy.name,
        parameters=parameters.model_dump(),
        symbols=(series.symbol,),
        timeframe=series.timeframe,
        engine=ENGINE,
        starts_at=_moment(int(series.opened_at[done.start])),
        ends_at=_moment(int(closed_at[done.stop - 1])),
        bars=done.stop - done.start,
        starting_equity=terms.starting_equity,
        costs=terms.document(),
        trades=_trades(done.trades, series, signals, strategy.reasons),
        equity=_equity(done),
        open_at_end=int(done.totals["open_at_end"][0]),
    )


def _trades(
    trades: npt.NDArray[np.void], series: CandleSeries, signals: Signals, reasons: tuple[str, ...]
) -> pl.DataFrame:
    import polars as pl

    exit_bars = trades["exit_bar"]
    inside = trades["exited_inside"] == 1
    risk = np.where(trades["risk"] > 0, trades["risk"], np.nan)
    said = np.array([f"{ExitReason.SIGNAL.value}: {words}" if words else ExitReason.SIGNAL.value for words in reasons])
    decided = said[signals.reason[trades["exit_decided_bar"]]]  # of an exit that nobody decided it is the last bar's
    columns: dict[str, Any] = {name: trades[name].copy() for name in TRADES if name in (trades.dtype.names or ())}
    columns |= {
        "symbol": [series.symbol] * len(trades),
        "entered_at": series.opened_at[trades["entry_bar"]],
        "exited_at": np.where(inside, series.closed_at[exit_bars], series.opened_at[exit_bars]),
        "r_multiple": trades["profit"] / risk,
        "entry_reason": np.array(reasons)[signals.reason[trades["decided_bar"]]].tolist(),
        "exit_reason": np.where(trades["ended_by"] == 0, decided, _ENDS[trades["ended_by"]]).tolist(),
    }
    frame = pl.DataFrame({name: columns[name] for name in TRADES})
    return frame.with_columns(pl.col("r_multiple").fill_nan(None)).select(_typed(TRADES))


def _equity(done: Run) -> pl.DataFrame:
    import polars as pl

    columns = {
        "at": done.marked_at,
        "equity": done.equity,
        "positions_value": done.positions_value,
        "external_flow": np.zeros(len(done.equity)),
    }
    return pl.DataFrame(columns).select(_typed(EQUITY))


def _typed(columns: Mapping[str, pl.DataType | type[pl.DataType]]) -> list[pl.Expr]:
    import polars as pl

    return [pl.col(name).cast(kind) for name, kind in columns.items()]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
