"""A finished run of the event engine as a `BacktestResult`: trades with their reasons, equity at every UTC midnight."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from triplegain_pipelines.backtest.event_bars import DAY, moment
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.evaluation.backtest_result import EQUITY, TRADES, BacktestResult, ExitReason

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.backtest.event_desk import Closed, EventDesk
    from triplegain_pipelines.backtest.terms import Terms
    from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

ENGINE = "events"
_ENDS = {Leg.STOP: ExitReason.STOP, Leg.TAKE_PROFIT: ExitReason.TAKE_PROFIT}


def result_of(desk: EventDesk, strategy: Strategy, parameters: StrategyParameters, terms: Terms) -> BacktestResult:
    """What the desk came to, with the strategy's words for reasons."""
    grid = desk.grid
    series = next(iter(grid.tracks.values())).series
    return BacktestResult(
        strategy=strategy.name,
        parameters=parameters.model_dump(),
        symbols=tuple(grid.tracks),
        timeframe=series.timeframe,
        engine=ENGINE,
        starts_at=grid.at(0),
        ends_at=grid.at(-1),
        bars=max(track.stop - track.start for track in grid.tracks.values()),
        starting_equity=terms.starting_equity,
        costs=terms.document(),
        trades=_trades(desk, strategy.reasons),
        equity=_equity(desk),
        open_at_end=len(desk.account.books.positions),
        refusals=dict(sorted(desk.refusals.items())),
    )


def _trades(desk: EventDesk, reasons: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    signals = {lane.symbol: lane.signals for lane in desk.lanes}
    rows = [_row(one, signals[one.trade.symbol], reasons) for one in desk.trades]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in TRADES}
    return pl.DataFrame(columns, schema=dict(TRADES))


def _row(closed: Closed, signals: Signals, reasons: tuple[str, ...]) -> dict[str, Any]:
    trade = closed.trade
    return {
        "symbol": trade.symbol,
        "direction": trade.direction.sign,
        "decided_bar": closed.decided_bar,
        "entry_bar": closed.entry_bar,
        "exit_bar": closed.exit_bar,
        "entered_at": trade.opened_at,
        "exited_at": trade.closed_at,
        "entry_price": float(trade.entry_price),
        "exit_price": float(trade.exit_price),
        "quantity": float(trade.quantity),
        "stop_price": None if closed.stop_price is None else float(closed.stop_price),
        "fees": float(trade.fees),
        "profit": float(trade.profit),
        "r_multiple": None if trade.r_multiple is None else float(trade.r_multiple),
        "entry_reason": reasons[signals.reason[closed.decided_bar]],
        "exit_reason": _exit_words(closed, signals, reasons),
    }


def _exit_words(closed: Closed, signals: Signals, reasons: tuple[str, ...]) -> str:
    reason = _ENDS.get(closed.trade.exit_leg, ExitReason.SIGNAL)
    words = reasons[signals.reason[closed.exit_decided_bar]] if reason is ExitReason.SIGNAL else ""
    return f"{reason.value}: {words}" if words else reason.value


def _equity(desk: EventDesk) -> pl.DataFrame:
    """At every UTC midnight after the start, and at the end. Where nothing was held, the cash is all there was."""
    import polars as pl

    moments = desk.grid.moments
    begins, ends = int(moments[0]), int(moments[-1])
    midnights = np.arange(begins // DAY + 1, ends // DAY + 1, dtype=np.int64) * DAY
    at = midnights if len(midnights) and midnights[-1] == ends else np.append(midnights, ends)
    happened = np.array([place for place, _ in desk.cash])
    rows = []
    for marked_at, place in zip(at.tolist(), np.searchsorted(moments, at).tolist(), strict=True):
        if place in desk.marks:
            equity, value = desk.marks[place]
        else:
            before = int(np.searchsorted(happened, place)) - 1
            equity, value = desk.cash[before][1], Decimal(0)
        rows.append((moment(marked_at), float(equity), float(value), 0.0))
    return pl.DataFrame(rows, schema=dict(EQUITY), orient="row")
