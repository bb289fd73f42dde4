"""The charts of a backtest's report, as plotly figures in JSON. What surrounds them is backtest_page.py's.

Curves are thinned to what a screen shows; a drawdown keeps the deepest mark of each step, so that no fall is hidden.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.evaluation.backtest_benchmarks import SAME_EXPOSURE, bars_of
from triplegain_pipelines.evaluation.backtest_result import ExitReason
from triplegain_pipelines.evaluation.backtest_verdict import Judgement, WalkForward
from triplegain_pipelines.evaluation.benchmarks import CASH
from triplegain_pipelines.evaluation.performance import drawdown_curve
from triplegain_pipelines.evaluation.report_charts import ACCOUNT, GAIN, LOSS, MUTED
from triplegain_pipelines.evaluation.wording import number
from triplegain_pipelines.market.series import Floats
from triplegain_pipelines.store.chart import largest_triangles

if TYPE_CHECKING:
    from plotly import graph_objects as go

_COLOURS = ("#e08a1e", "#9b5de5", "#14a3a8", "#c2528b", "#7a8b2f", "#6f6ff0")
_POINTS = 1200  # more than a screen has pixels, few enough for a phone
_STEPS = 400  # of a drawdown
SHOWN_TRADES = 240  # on one chart; more are a smear
_EXITS = {ExitReason.STOP.value: "stopped out", ExitReason.TAKE_PROFIT.value: "target reached"}
_WIDE = 5  # from which highest over lowest a straight axis shows one curve only
_HEAT_AXES = 2
_PARTS_A_POINT, _EXTREMES = 4, 2
_DIVERGING = [[0.0, LOSS], [0.5, "#f4f1ea"], [1.0, GAIN]]


def equity_chart(judged: Judgement) -> str:
    """The strategy's equity against its benchmarks, all from the same starting equity.

    Where holding multiplied the money the axis is logarithmic: equal steps are equal shares.
    """
    from plotly import graph_objects as go

    figure, result = go.Figure(), judged.case.result
    shown = {judged.hold.name, SAME_EXPOSURE, CASH}
    colours = cycle(_COLOURS)
    for one in sorted(judged.benchmarks, key=lambda one: one.name not in shown):
        at, value = _thin(one.curve["at"], one.curve["value"])
        dashed = {"dash": "dot", "color": MUTED} if one.name == CASH else {"color": next(colours)}
        figure.add_scatter(
            x=at,
            y=value.round(2),
            name=one.name,
            mode="lines",
            line={"width": 1.3, **dashed},
            visible=True if one.name in shown else "legendonly",
        )
    marks = drawdown_curve(result.equity, result.starts_at, result.starting_equity)
    at, value = _thin(marks["at"], marks["equity"])
    figure.add_scatter(
        x=at, y=value.round(2), name=result.strategy, mode="lines", line={"color": ACCOUNT, "width": 2.5}
    )
    figure.update_layout(hovermode="x unified")
    if is_logarithmic(judged):
        # Written out: plotly spells what lies between two powers of ten as a bare 2 or 5.
        values = [digit * 10.0**power for power in range(-2, 12) for digit in (1, 2, 5)]
        figure.update_layout(
            yaxis={"type": "log", "tickvals": values, "ticktext": [f"{value:,.10g}" for value in values]}
        )
    return _json(figure)


def is_logarithmic(judged: Judgement) -> bool:
    """Whether the equity chart has a logarithmic axis."""
    curves = [one.curve["value"].to_numpy() for one in judged.benchmarks]
    curves += [judged.case.result.equity["equity"].to_numpy()] if judged.case.result.equity.height else []
    low, high = min(float(one.min()) for one in curves), max(float(one.max()) for one in curves)
    return low > 0 and high > _WIDE * low


def drawdown_chart(judged: Judgement) -> str:
    """How far the strategy, and holding, were below their peaks."""
    from plotly import graph_objects as go

    figure, result = go.Figure(), judged.case.result
    hold = judged.hold.curve
    worth = hold["value"].to_numpy()
    held = hold.select("at", drawdown=pl.Series(1 - worth / np.maximum.accumulate(worth)))
    own = drawdown_curve(result.equity, result.starts_at, result.starting_equity).select("at", "drawdown")
    styles: tuple[tuple[str, pl.DataFrame, dict[str, Any]], ...] = (
        (judged.hold.name, held, {"line": {"color": MUTED, "width": 1.2}}),
        (
            result.strategy,
            own,
            {"line": {"color": LOSS, "width": 1.5}, "fill": "tozeroy", "fillcolor": "rgba(217,72,59,0.16)"},
        ),
    )
    for name, curve, style in styles:
        deepest = _deepest(curve)
        figure.add_scatter(x=deepest["at"], y=(-100 * deepest["drawdown"]).round(3), name=name, mode="lines", **style)
    figure.update_layout(yaxis={"ticksuffix": " %"}, hovermode="x unified")
    return _json(figure)


def price_chart(judged: Judgement, symbol: str) -> str:
    """The symbol's price with the entry and exit of its trades; of very many, every so-manyth."""
    from plotly import graph_objects as go

    figure = go.Figure()
    bars = bars_of(judged.case.result, judged.case.series[symbol])
    closed = pl.Series(bars.closed_at).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    at, value = _thin(closed, pl.Series(bars.close))
    figure.add_scatter(x=at, y=value, name="price", mode="lines", line={"color": MUTED, "width": 1.2})
    trades = judged.case.result.trades.filter(pl.col("symbol") == symbol)
    step = -(-trades.height // SHOWN_TRADES) if trades.height else 1
    trades = trades.gather_every(step)
    for name, colour, chosen in (
        ("lost", LOSS, trades.filter(pl.col("profit") <= 0)),
        ("won", GAIN, trades.filter(pl.col("profit") > 0)),
    ):
        if chosen.height:
            _add_trades(figure, name, colour, chosen)
    figure.update_layout(showlegend=False)
    return _json(figure)


def random_chart(judged: Judgement) -> str:
    """What the same trades made when they were entered at random, and where the strategy stands among them."""
    from plotly import graph_objects as go

    random = judged.random
    figure = go.Figure()
    if random is not None:
        counts, edges = np.histogram(100 * random.draws, bins=40)
        figure.add_bar(
            x=((edges[:-1] + edges[1:]) / 2).round(3),
            y=counts,
            width=float(edges[1] - edges[0]) * 0.9,
            marker={"color": MUTED},
            hovertemplate="%{x:.1f} %: %{y} draws<extra></extra>",
        )
        mine = 100 * random.strategy
        figure.add_vline(x=mine, line={"color": ACCOUNT, "width": 2.5})
        figure.add_annotation(
            x=mine,
            y=1,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            text=judged.case.result.strategy,
            font={"color": ACCOUNT},
        )
    figure.update_layout(
        xaxis={"ticksuffix": " %"}, yaxis={"title": "draws"}, showlegend=False, margin={"t": 30}, bargap=0
    )
    return _json(figure)


def walk_forward_chart(walk: WalkForward) -> str:
    """The Sharpe ratio of each window where its parameters were chosen, beside that of the bars after it."""
    from plotly import graph_objects as go

    figure = go.Figure()
    names = [f"{place}" for place in range(1, len(walk.windows) + 1)]
    for name, colour, values in (
        ("chosen on (in sample)", MUTED, [window.in_sample_sharpe for window in walk.windows]),
        ("not seen by the choice", ACCOUNT, [window.out_of_sample_sharpe for window in walk.windows]),
    ):
        figure.add_bar(x=names, y=values, name=name, marker={"color": colour})
    figure.update_layout(barmode="group", xaxis={"type": "category"}, yaxis={"title": "Sharpe ratio"})
    return _json(figure)


def heat_axes(judged: Judgement) -> tuple[str, str] | None:
    """The two parameters of which most values were tried; None where not two were varied."""
    trials = judged.case.trials
    if trials is None or "sharpe" not in trials.columns:
        return None
    counts = {name: trials[name].n_unique() for name in trials.columns if name in judged.case.result.parameters}
    varied = sorted((name for name, count in counts.items() if count > 1), key=lambda name: -counts[name])
    return (varied[0], varied[1]) if len(varied) >= _HEAT_AXES else None


def heat_chart(judged: Judgement, axes: tuple[str, str]) -> str:
    """The Sharpe ratio over two parameters, the median over all others; the chosen combination is marked."""
    from plotly import graph_objects as go

    assert judged.case.trials is not None  # noqa: S101 - there are axes
    across, up = axes
    cells = judged.case.trials.group_by(across, up).agg(pl.col("sharpe").median()).sort(up, across)
    columns, rows = cells[across].unique().sort().to_list(), cells[up].unique().sort().to_list()
    known = {(one[across], one[up]): one["sharpe"] for one in cells.to_dicts()}
    grid = [[known.get((column, row)) for column in columns] for row in rows]
    largest = max((abs(value) for line in grid for value in line if value is not None), default=1.0) or 1.0
    names = [f"{column:g}" for column in columns], [f"{row:g}" for row in rows]
    figure = go.Figure()
    figure.add_heatmap(
        x=names[0],
        y=names[1],
        z=[[None if value is None else round(value, 3) for value in line] for line in grid],
        zmin=-largest,
        zmax=largest,
        colorscale=_DIVERGING,
        colorbar={"title": "Sharpe", "thickness": 12},
        hovertemplate=f"{across} %{{x}}, {up} %{{y}}: %{{z:.2f}}<extra></extra>",
    )
    chosen = judged.case.result.parameters
    if chosen[across] in columns and chosen[up] in rows:
        figure.add_scatter(
            x=[f"{chosen[across]:g}"],
            y=[f"{chosen[up]:g}"],
            mode="markers",
            marker={"symbol": "square-open", "size": 22, "color": "#16202e", "line": {"width": 3}},
            hovertemplate="chosen<extra></extra>",
        )
    figure.update_layout(
        xaxis={"title": {"text": across, "standoff": 4}, "type": "category"},
        yaxis={"title": up, "type": "category"},
        showlegend=False,
        margin={"b": 64, "l": 64},
    )
    return _json(figure)


def comparison_chart(judged: Sequence[Judgement]) -> str:
    """How far each strategy's Sharpe ratio lies above that of holding, by market."""
    from plotly import graph_objects as go

    strategies = list(dict.fromkeys(one.case.result.strategy for one in judged))
    markets = list(dict.fromkeys(market_name(one) for one in judged))
    gaps = {(one.case.result.strategy, market_name(one)): _gap(one) for one in judged}
    grid = [[gaps.get((strategy, market)) for market in markets] for strategy in strategies]
    largest = max((abs(value) for line in grid for value in line if value is not None), default=1.0) or 1.0
    figure = go.Figure()
    figure.add_heatmap(
        x=markets,
        y=strategies,
        z=grid,
        text=[[number(value, signed=True) for value in line] for line in grid],
        texttemplate="%{text}",
        textfont={"color": "#16202e"},
        zmin=-largest,
        zmax=largest,
        colorscale=_DIVERGING,
        showscale=False,
        xgap=3,
        ygap=3,
        hovertemplate="%{y}, %{x}: %{z:+.2f}<extra></extra>",
    )
    figure.update_layout(yaxis={"autorange": "reversed"})
    return _json(figure)


def market_name(judged: Judgement) -> str:
    """Symbols and timeframe of a result."""
    result = judged.case.result
    return f"{', '.join(result.symbols)} {result.timeframe.value}"


def _gap(judged: Judgement) -> float | None:
    mine, theirs = judged.figures.portfolio.sharpe, judged.hold_sharpe
    return None if mine is None or theirs is None else round(mine - theirs, 3)


def _add_trades(figure: "go.Figure", name: str, colour: str, trades: pl.DataFrame) -> None:
    moments: list[Any] = []
    prices: list[float | None] = []
    words: list[str] = []
    for trade in trades.iter_rows(named=True):
        side = "long" if trade["direction"] > 0 else "short"
        multiple = "" if trade["r_multiple"] is None else f" ({trade['r_multiple']:+.2f} R)"
        how = _EXITS.get(trade["exit_reason"], trade["exit_reason"])
        moments += [trade["entered_at"], trade["exited_at"], None]
        prices += [trade["entry_price"], trade["exit_price"], None]
        words += [f"{side}: {trade['entry_reason']}", f"{how}, {trade['profit']:+,.2f}{multiple}", ""]
    figure.add_scatter(
        x=moments,
        y=prices,
        name=name,
        text=words,
        mode="lines+markers",
        line={"color": colour, "width": 1.6},
        marker={"color": colour, "size": 6, "symbol": ["triangle-right", "square", "circle"] * trades.height},
        hovertemplate="%{x}<br>%{y:,.6~f}<br>%{text}<extra></extra>",
    )


def _thin(at: pl.Series, value: pl.Series) -> tuple[pl.Series, pl.Series]:
    """What a screen shows: the extremes of many small parts, and of these the largest triangles (MinMaxLTTB)."""
    extremes = _extremes(value.to_numpy())
    few_at, few = at.gather(extremes), value.gather(extremes)
    kept = largest_triangles(few_at.to_physical().to_list(), few.to_list(), _POINTS)
    return few_at.gather(kept), few.gather(kept)


def _extremes(values: Floats) -> npt.NDArray[np.int64]:
    # The lowest and the highest of each part; what does not fill a part at the end stays whole.
    size = len(values) // (_PARTS_A_POINT * _POINTS)
    if size <= _EXTREMES:
        return np.arange(len(values))
    whole = len(values) // size * size
    parts = values[:whole].reshape(-1, size)
    begin = np.arange(0, whole, size)
    chosen = (begin + parts.argmin(axis=1), begin + parts.argmax(axis=1), np.arange(whole, len(values)))
    return np.unique(np.concatenate(([0], *chosen, [len(values) - 1])))


def _deepest(curve: pl.DataFrame) -> pl.DataFrame:
    if curve.height <= _POINTS:
        return curve
    parts = pl.int_range(curve.height, eager=True) * _STEPS // curve.height
    picked = [pl.col("at").sort_by("drawdown").last(), pl.col("drawdown").max()]
    return curve.group_by(parts.alias("part"), maintain_order=True).agg(picked).sort("at")


def _json(figure: "go.Figure") -> str:
    margin = {"l": 48, "r": 16, "t": 12, "b": 32} | (figure.layout.margin.to_plotly_json() or {})
    figure.update_layout(template="none", margin=margin)
    text: str = figure.to_json()
    return text
