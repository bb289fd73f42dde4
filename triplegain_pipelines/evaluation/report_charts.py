"""The charts of the validation report, as plotly figures in JSON. What surrounds them is report_page.py's.

Colours of lines are legible on white and on black; background, grid and text are set by the page, which knows which of
the two it is on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.evaluation.benchmarks import CASH, EQUAL_WEIGHT, Benchmark
from triplegain_pipelines.evaluation.performance import drawdown_curve
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs
from triplegain_pipelines.store.performance import TradeRecord

if TYPE_CHECKING:
    from plotly import graph_objects as go

ACCOUNT, GAIN, LOSS, MUTED = "#2f7de1", "#1a9a5c", "#d9483b", "#8a94a6"
_HOLDS = ("#e08a1e", "#9b5de5", "#14a3a8", "#c2528b", "#7a8b2f", "#6f6ff0")
_MOST_POINTS = 1500  # more than a screen has pixels, few enough for a phone
_MANY_TRADES = 15  # on one chart
_LADDER = (0.10, 0.15, 0.20)  # R5: half size, pause, lock
_EXITS = {Leg.STOP: "stopped out", Leg.TAKE_PROFIT: "target reached", Leg.EXIT: "closed by decision"}


def equity_chart(inputs: ValidationInputs) -> str:
    """The account's equity against every benchmark, all from the same starting equity, payments taken out."""
    from plotly import graph_objects as go

    figure = go.Figure()
    for benchmark, style in zip(_by_importance(inputs), _benchmark_styles(inputs), strict=True):
        figure.add_scatter(x=benchmark.curve["at"], y=benchmark.curve["value"].round(2), name=benchmark.name, **style)
    curve = drawdown_curve(inputs.equity, inputs.start, inputs.portfolio.starting_equity)
    marks = _thinned(curve, inputs, pl.col("at", "equity").last())
    figure.add_scatter(
        x=marks["at"],
        y=marks["equity"].round(2),
        name="this account",
        line={"color": ACCOUNT, "width": 2.5},
        mode="lines",
    )
    figure.update_layout(hovermode="x unified")
    return _json(figure)


def drawdown_chart(inputs: ValidationInputs) -> str:
    """The fall from the peak at each moment, with the steps of the drawdown ladder."""
    from plotly import graph_objects as go

    curve = drawdown_curve(inputs.equity, inputs.start, inputs.portfolio.starting_equity)
    # The deepest mark of each step, so that thinning never hides a fall.
    deepest = _thinned(curve, inputs, [pl.col("at").sort_by("drawdown").last(), pl.col("drawdown").max()]).sort("at")
    figure = go.Figure()
    figure.add_scatter(
        x=deepest["at"],
        y=(-100 * deepest["drawdown"]).round(3),
        name="drawdown",
        mode="lines",
        fill="tozeroy",
        line={"color": LOSS, "width": 1.5},
        fillcolor="rgba(217,72,59,0.16)",
        hovertemplate="%{y:.2f} %<extra></extra>",
    )
    floor = -100 * max(inputs.portfolio.drawdown.depth * 1.15, 0.02)
    for step, word in zip(_LADDER, ("half size", "pause", "lock"), strict=True):
        if -100 * step > floor * 1.6:
            figure.add_hline(y=-100 * step, line={"color": MUTED, "width": 1, "dash": "dot"})
            figure.add_annotation(
                x=0, xref="paper", xanchor="left", y=-100 * step, yanchor="bottom", showarrow=False, text=word
            )
            floor = min(floor, -100 * step * 1.08)
    figure.update_layout(yaxis={"range": [floor, -0.03 * floor], "ticksuffix": " %"}, showlegend=False)
    return _json(figure)


def price_chart(inputs: ValidationInputs, symbol: str) -> str:
    """The symbol's price with the entry and exit of each trade, joined by a line."""
    from plotly import graph_objects as go

    prices = inputs.prices.filter(pl.col("symbol") == symbol)
    trades = [trade for trade in inputs.trades if trade.symbol == symbol]
    figure = go.Figure()
    figure.add_scatter(
        x=prices["at"], y=prices["price"], name="price", mode="lines", line={"color": MUTED, "width": 1.2}
    )
    for name, colour, chosen in (
        ("won", GAIN, [trade for trade in trades if trade.profit > 0]),
        ("lost", LOSS, [trade for trade in trades if trade.profit <= 0]),
    ):
        if chosen:
            _add_trades(figure, name, colour, chosen)
    figure.update_layout(showlegend=False)
    return _json(figure)


def _add_trades(figure: "go.Figure", name: str, colour: str, trades: Sequence[TradeRecord]) -> None:
    moments: list[datetime | None] = []
    prices: list[float | None] = []
    words: list[str] = []
    for trade in trades:
        result = f"{trade.profit:+.2f}" + (f" ({trade.r_multiple:+.2f} R)" if trade.r_multiple is not None else "")
        moments += [trade.opened_at, trade.closed_at, None]
        prices += [float(trade.entry_price), float(trade.exit_price), None]
        words += [f"{trade.direction.lower()} opened", f"{_EXITS[trade.exit_leg]}, {result}", ""]
    figure.add_scatter(
        x=moments,
        y=prices,
        name=name,
        text=words,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={
            "color": colour,
            "size": 9 if len(trades) < _MANY_TRADES else 6,
            "symbol": ["triangle-right", "square", "circle"] * len(trades),
        },
        hovertemplate="%{x}<br>%{y:,.6~f}<br>%{text}<extra></extra>",
    )


def _by_importance(inputs: ValidationInputs) -> list[Benchmark]:
    first = {CASH: 0, EQUAL_WEIGHT: 1}
    return sorted(inputs.benchmarks, key=lambda item: (first.get(item.name, 2), item.name))


def _benchmark_styles(inputs: ValidationInputs) -> list[dict[str, Any]]:
    shown = {CASH, EQUAL_WEIGHT} | ({inputs.bitcoin.name} if inputs.bitcoin else set())
    colours = iter(_HOLDS * (1 + len(inputs.benchmarks) // len(_HOLDS)))
    return [
        {
            "mode": "lines",
            "line": {"width": 1.4, "color": MUTED if item.name == CASH else next(colours)}
            | ({"dash": "dot"} if item.name == CASH else {}),
            "visible": True if item.name in shown else "legendonly",
        }
        for item in _by_importance(inputs)
    ]


def _thinned(curve: pl.DataFrame, inputs: ValidationInputs, chosen: pl.Expr | list[pl.Expr]) -> pl.DataFrame:
    if curve.height <= _MOST_POINTS:
        return curve
    step = max(timedelta(seconds=1), (inputs.end - inputs.start) / _MOST_POINTS)
    bucket = (pl.col("at") - inputs.start).dt.total_seconds() // int(step.total_seconds())
    return curve.group_by(bucket.alias("bucket"), maintain_order=True).agg(chosen).sort("at")


def _json(figure: "go.Figure") -> str:
    figure.update_layout(template="none", margin={"l": 48, "r": 16, "t": 12, "b": 32})
    text: str = figure.to_json()
    return text
