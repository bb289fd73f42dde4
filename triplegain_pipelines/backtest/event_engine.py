"""The honest engine: a backtest through the real risk engine, breakers, fill prices, positions and ledger, in memory.

It follows the bar contract of `kernel`, for any number of symbols that share one account and its limits. An entry that
risk refuses is asked for again at every bar while the target stands, as the kernel does. Bars at which nothing can
happen are passed without being looked at; that changes no result.

What it sees less of than live trading: bars stand for minutes, so a breaker looks at the account when a bar closes,
data is as old as the newest bar, no book is crossed, no order fails, and the strategies' own results trip nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from triplegain_pipelines.backtest.event_bars import grid_of
from triplegain_pipelines.backtest.event_desk import EventDesk
from triplegain_pipelines.backtest.event_lane import lane_of
from triplegain_pipelines.backtest.event_market import HourlyMarket
from triplegain_pipelines.backtest.event_results import result_of
from triplegain_pipelines.backtest.event_run import go_through
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

if TYPE_CHECKING:
    from triplegain_pipelines.indicators.values import IndicatorValues


def run_events(
    values_by_symbol: Mapping[str, IndicatorValues],
    signals: Mapping[str, Signals],
    *,
    strategy: Strategy,
    parameters: StrategyParameters,
    limits: RiskLimits,
    terms: Terms,
    instruments: Mapping[str, Instrument],
    start: datetime | None = None,
    stop: datetime | None = None,
) -> BacktestResult:
    """Trade the signals of one strategy in all symbols on one account.

    Args:
        values_by_symbol: bars by symbol, all of one timeframe of at most an hour; all of them tell how volatile the
            market is, also those before `start`.
        signals: what the strategy wants, by symbol, one value for each bar.
        strategy: for its name and its words.
        parameters: that it ran with.
        limits: what risk goes by. Sizes come from here, and from nowhere else.
        terms: starting equity, fee, slippage and the luck of partial fills; its other fields are the kernel's.
        instruments: the steps and minimums of each symbol.
        start: bars that open before are not traded; None for the first.
        stop: nor are bars that open at this time or later; None for the last.

    Raises:
        InputError: there is no bar, or no signal or instrument for a symbol, or bars are longer than an hour, or the
            symbols are paid in several currencies.
    """
    desk = prepared(values_by_symbol, signals, limits, terms, instruments, start, stop)
    go_through(desk)
    return result_of(desk, strategy, parameters, terms)


def prepared(
    values_by_symbol: Mapping[str, IndicatorValues],
    signals: Mapping[str, Signals],
    limits: RiskLimits,
    terms: Terms,
    instruments: Mapping[str, Instrument],
    start: datetime | None,
    stop: datetime | None,
) -> EventDesk:
    """The desk of `run_events` before its first moment."""
    missing = [symbol for symbol in values_by_symbol if symbol not in signals or symbol not in instruments]
    if missing or not values_by_symbol:
        msg = f"signals and an instrument are needed for each symbol; they are missing for {missing or 'all'}"
        raise InputError(msg)
    currencies = {instruments[symbol].quote for symbol in values_by_symbol}
    if len(currencies) > 1:
        msg = (
            f"one account has one currency, and the symbols are paid in {', '.join(sorted(currencies))}; run each alone"
        )
        raise InputError(msg)
    series = [values.series for values in values_by_symbol.values()]
    grid = grid_of(series, start, stop)
    short = limits.short_selling
    lanes = [
        lane_of(track, instruments[symbol], signals[symbol], short_selling=short)
        for symbol, track in grid.tracks.items()
    ]
    return EventDesk(grid, lanes, HourlyMarket(series), limits, terms)
