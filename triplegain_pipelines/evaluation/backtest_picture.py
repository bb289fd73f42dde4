"""One small picture of a backtest, for the Dagster page: equity, drawdown, trades on the price, and what was tried.

The report has the same things to look at closely; here they are small enough to be kept with an event.
"""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from triplegain_pipelines.evaluation.backtest_benchmarks import bars_of
from triplegain_pipelines.evaluation.backtest_charts import heat_axes, market_name
from triplegain_pipelines.evaluation.backtest_verdict import Judgement
from triplegain_pipelines.evaluation.performance import drawdown_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _DPI = (9.0, 5.6), 72
_POINTS = 600  # more are not seen
_OWN, _OTHER, _WON, _LOST = "#4f43dd", "#9aa3b2", "#1a7f4b", "#c0362c"


def backtest_picture(judged: Judgement) -> bytes:
    """A PNG of four panels: the same bytes for the same judgement."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{judged.case.result.strategy} on {market_name(judged)}: {judged.verdict.value}", fontsize=10)
    for place, draw in enumerate((_equity, _drawdown, _trades, _tried), 1):
        axes = figure.add_subplot(2, 2, place)
        draw(axes, judged)
        axes.tick_params(labelsize=6)
        axes.title.set_fontsize(8)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    return picture.getvalue()


def _equity(axes: "Axes", judged: Judgement) -> None:
    result, held = judged.case.result, judged.hold.curve
    for name, colour, frame, column in (
        ("strategy", _OWN, result.equity, "equity"),
        (judged.hold.name, _OTHER, held, "value"),
    ):
        thin = frame.gather_every(max(1, frame.height // _POINTS))
        worth = 100 * (thin[column] / result.starting_equity - 1)
        axes.plot(thin["at"].to_list(), worth.to_list(), color=colour, linewidth=1, label=name)
    axes.legend(fontsize=6, frameon=False)
    axes.set(title="per cent since the beginning")


def _drawdown(axes: "Axes", judged: Judgement) -> None:
    result = judged.case.result
    curve = drawdown_curve(result.equity, result.starts_at, result.starting_equity)
    thin = curve.gather_every(max(1, curve.height // _POINTS))
    axes.fill_between(thin["at"].to_list(), (-100 * thin["drawdown"]).to_list(), color=_LOST, alpha=0.5, linewidth=0)
    axes.set(title="per cent below the peak")


def _trades(axes: "Axes", judged: Judgement) -> None:
    result = judged.case.result
    symbol = result.symbols[0]
    bars = bars_of(result, judged.case.series[symbol])
    places = np.arange(0, len(bars), max(1, len(bars) // _POINTS))
    axes.plot(bars.closed_at[places].astype("datetime64[us]"), bars.close[places], color=_OTHER, linewidth=0.8)
    trades = result.trades.filter(pl.col("symbol") == symbol)
    for won, colour in ((True, _WON), (False, _LOST)):
        some = trades.filter((pl.col("profit") > 0) == won)
        axes.scatter(some["entered_at"].to_list(), some["entry_price"].to_list(), s=8, marker="^", color=colour)
        axes.scatter(some["exited_at"].to_list(), some["exit_price"].to_list(), s=8, marker="s", color=colour)
    axes.set(title=f"{symbol}: in (▲) and out (■), green where it won")


def _tried(axes: "Axes", judged: Judgement) -> None:
    chosen, trials = heat_axes(judged), judged.case.trials
    if chosen is None or trials is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no parameters were searched", ha="center", va="center", fontsize=8, color=_OTHER)
        return
    across, up = chosen
    cells = trials.group_by(across, up).agg(pl.col("sharpe").median()).sort(up, across)
    grid = cells.pivot(across, index=up, values="sharpe", sort_columns=False)
    values = grid.drop(up).to_numpy().astype(np.float64)
    largest = float(np.nanmax(np.abs(values))) or 1.0
    axes.imshow(values, cmap="RdYlGn", vmin=-largest, vmax=largest, origin="lower", aspect="auto")
    axes.set_xticks(range(grid.width - 1), grid.columns[1:])
    axes.set_yticks(range(grid.height), [f"{value:g}" for value in grid[up]])
    axes.set(title="yearly Sharpe ratio of what was tried, in sample", xlabel=across, ylabel=up)
    axes.xaxis.label.set_fontsize(7)
    axes.yaxis.label.set_fontsize(7)
