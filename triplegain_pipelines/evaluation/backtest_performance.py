"""The figures of a backtest: of its equity, of its trades, and what trading cost. Definitions: performance.py.

What the figures are worth is not said here: backtest_benchmarks.py compares, results_linter.py doubts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.evaluation.performance import (
    DAYS_PER_YEAR,
    PortfolioMetrics,
    TradeMetrics,
    closed_trade_metrics,
    daily_returns,
    portfolio_metrics,
)
from triplegain_pipelines.market.series import Floats, Times

_DAY, _MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BacktestFigures:
    """What a backtest did. Shares are fractions; what has no meaning for the input is None.

    Attributes:
        portfolio: of the equity, open positions included.
        trades: of the closed trades, flat to flat, net of fees.
        returns: of each whole UTC day.
        growth: yearly, of 365 days; None under a year, where it would be a guess, and after a total loss.
        traded_value: quote currency, both legs of the closed trades.
        time_in_market: share of the period with a position. `mean_exposure` is the share of the equity that was in
            positions, `net_exposure` the same with short ones as a minus: both by what positions were worth at their
            entries, from the trades' own times, because an equity marked once a day does not see a trade between.
        turnover: traded value over mean equity; `turnover_yearly` scales it to a year of 365 days.
        fee_share: fees over starting equity: the return that fees took.
        longest_loss_run: most losing trades one after the other.
        mean_holding: of closed trades; None without any.
        longs: closed trades that were long.
        best_share: of the net profit, what the best trade made; None without net profit.
    """

    portfolio: PortfolioMetrics
    trades: TradeMetrics
    returns: tuple[float, ...]
    growth: float | None
    time_in_market: float
    mean_exposure: float
    net_exposure: float
    traded_value: float
    turnover: float | None
    turnover_yearly: float | None
    fee_share: float
    longest_loss_run: int
    mean_holding: timedelta | None
    longs: int
    best_share: float | None


def backtest_figures(result: BacktestResult) -> BacktestFigures:
    """The figures of a result; one without trades or marks has kept its starting equity.

    Raises:
        ValueError: the result covers no time, or starts without equity.
    """
    start, end, equity, trades = result.starts_at, result.ends_at, result.equity, result.trades
    portfolio = portfolio_metrics(equity, start, end, result.starting_equity)
    profits = trades["profit"].to_numpy()
    closed = closed_trade_metrics(profits, _finite(trades["r_multiple"]), float(trades["fees"].sum()))
    value = float((trades["quantity"] * (trades["entry_price"] + trades["exit_price"])).sum())
    turnover = _turnover(value, equity, result.starting_equity)
    years = (end - start) / (DAYS_PER_YEAR * _DAY)
    grown = 1 + portfolio.total_return
    held = (trades["exited_at"] - trades["entered_at"]).mean()
    in_market, exposure, net_exposure = _exposure(result)
    return BacktestFigures(
        portfolio=portfolio,
        trades=closed,
        returns=tuple(daily_returns(equity, start, end, result.starting_equity)),
        growth=grown ** (1 / years) - 1 if years >= 1 and grown > 0 else None,
        time_in_market=in_market,
        mean_exposure=exposure,
        net_exposure=net_exposure,
        traded_value=value,
        turnover=turnover,
        turnover_yearly=None if turnover is None else turnover / years,
        fee_share=closed.fees / result.starting_equity,
        longest_loss_run=longest_run(profits < 0),
        mean_holding=held if isinstance(held, timedelta) else None,
        longs=int((trades["direction"] > 0).sum()),
        best_share=float(profits.max()) / closed.net_profit if closed.net_profit > 0 else None,
    )


def equity_before(result: BacktestResult) -> Floats:
    """What the account had at each trade's entry: the starting equity and what the trades closed by then had made."""
    trades = result.trades
    booked = np.concatenate(([0.0], np.cumsum(trades["profit"].to_numpy())))
    entered, exited = (trades[name].to_physical().to_numpy() for name in ("entered_at", "exited_at"))
    return result.starting_equity + booked[np.searchsorted(exited, entered, side="right")]


def longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """How many flags are set one after the other, at most.

    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _exposure(result: BacktestResult) -> tuple[float, float, float]:
    # Closed trades by their own times; what is open at the end by the marks after the last exit.
    start, end, trades = result.starts_at, result.ends_at, result.trades
    period = (end - start) / _MICROSECOND
    held = exposed = net = 0.0
    if trades.height:
        entered, exited = (trades[name].to_physical().to_numpy() for name in ("entered_at", "exited_at"))
        worth = equity_before(result)
        value = (trades["quantity"] * trades["entry_price"]).to_numpy()
        shares = np.divide(value, worth, out=np.zeros(len(value)), where=worth > 0) * (exited - entered)
        held, exposed = float(_covered(entered, exited)), float(shares.sum())
        net = float((shares * trades["direction"].to_numpy()).sum())
    last = max(start, trades["exited_at"].max()) if trades.height else start  # type: ignore[type-var]
    if result.open_at_end and isinstance(last, datetime) and last < end:
        rest = portfolio_metrics(result.equity.filter(pl.col("at") >= last), last, end, result.starting_equity)
        span = (end - last) / _MICROSECOND
        held, exposed = held + rest.time_in_market * span, exposed + rest.mean_exposure * span
        net += rest.net_exposure * span
    return held / period, exposed / period, net / period


def _covered(entered: Times, exited: Times) -> int:
    # Length of the union of the trades' times: those of several symbols overlap.
    order = np.argsort(entered, kind="stable")
    begin, reached = entered[order], np.maximum.accumulate(exited[order])
    before = np.concatenate((begin[:1], reached[:-1]))
    return int((reached - np.maximum(begin, before)).clip(min=0).sum())


def _finite(multiples: pl.Series) -> Floats:
    values: Floats = multiples.drop_nulls().to_numpy()
    return values[np.isfinite(values)]


def _turnover(value: float, equity: pl.DataFrame, starting_equity: float) -> float | None:
    mean = float(equity["equity"].to_numpy().mean()) if equity.height else starting_equity
    return value / mean if mean > 0 else None
