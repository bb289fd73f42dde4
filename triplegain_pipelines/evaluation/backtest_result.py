"""What a backtest gives, whichever engine ran it: trades, equity, and what they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import polars as pl

from triplegain_pipelines.domain.timeframes import Timeframe

_UTC = pl.Datetime("us", "UTC")

TRADES: dict[str, pl.DataType | type[pl.DataType]] = {
    "symbol": pl.String,
    "direction": pl.Int8,  # 1 long, -1 short
    "decided_bar": pl.Int64,  # bar whose close decided the entry; the entry is in the next one
    "entry_bar": pl.Int64,
    "exit_bar": pl.Int64,
    "entered_at": _UTC,
    "exited_at": _UTC,
    "entry_price": pl.Float64,  # average of its fills, slippage included
    "exit_price": pl.Float64,
    "quantity": pl.Float64,  # base currency
    "stop_price": pl.Float64,  # the initial stop
    "fees": pl.Float64,  # quote currency
    "profit": pl.Float64,  # quote currency, net of fees
    "r_multiple": pl.Float64,  # profit over what was at risk at the entry
    "entry_reason": pl.String,
    "exit_reason": pl.String,  # an ExitReason, or the strategy's own words after 'signal: '
}
"""Closed trades, flat to flat, in the order of their exits."""

EQUITY: dict[str, pl.DataType | type[pl.DataType]] = {
    "at": _UTC,
    "equity": pl.Float64,
    "positions_value": pl.Float64,
    "external_flow": pl.Float64,
}
"""Equity marked to market, at least once a UTC day, sorted: the columns that evaluation/performance.py takes."""


class ExitReason(StrEnum):
    """How a trade ended."""

    SIGNAL = "signal"
    STOP = "stop"
    TAKE_PROFIT = "take_profit"


@dataclass(frozen=True)
class BacktestResult:
    """One strategy over one stretch of history.

    `costs` are the terms it was run under, as a document; `refusals` counts by reason code what risk refused or cut
    (the kernel, which knows no risk engine, has none); `open_at_end` are positions not closed by the last bar.
    """

    strategy: str
    parameters: Mapping[str, float | int | str | bool]
    symbols: tuple[str, ...]
    timeframe: Timeframe
    engine: str
    starts_at: datetime
    ends_at: datetime
    bars: int
    starting_equity: float
    costs: Mapping[str, float]
    trades: pl.DataFrame
    equity: pl.DataFrame
    open_at_end: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
