"""The pictures beside a window's run: calibration, cumulative score, net worth. Each is one PNG.

A chart is data first, so that whether it changed can be told without drawing it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING, Any

import polars as pl

from triplegain_pipelines.evaluation.benchmarks import EQUAL_WEIGHT
from triplegain_pipelines.evaluation.leaderboard import (
    CalibrationBin,
    ForecasterKind,
    Leaderboard,
    LeaderboardRow,
    Variant,
)
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Daily = Mapping[datetime, float]

SERIES = ("kind", "forecaster", "model", "template_hash", "parameters_hash")
"""What makes a series of forecasts one."""

_OWN = "this account"
_COIN = 0.25  # the Brier score of always one half
_WIDTH, _HEIGHT = 4.2, 3.4  # inches of one panel
_ALONE = 2.2  # how much wider than that a picture of one panel is
_COLUMNS = 4
# As many as a board has seats, pools and holdings, and each of them twice: in full and pale.
_FULL = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
_PALE = ("#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5")
_COLOURS = _FULL + _PALE
_DIAGONAL = ((0.0, 0.0), (1.0, 1.0))
_JUDGED = (ForecasterKind.SEAT, ForecasterKind.BASELINE_SEAT, ForecasterKind.CONSENSUS)


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `weights` are the counts behind its points, none where they have none."""

    name: str
    points: tuple[tuple[datetime | float, float], ...]
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. `reference` is a line to compare with: the diagonal, or zero."""

    title: str
    lines: tuple[Line, ...]
    reference: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture: panels with the same axes."""

    title: str
    x_label: str
    y_label: str
    panels: tuple[Panel, ...]


def calibration_chart(board: Leaderboard) -> Chart:
    """How often the price rose after forecasts of each probability, a panel for each seat and the consensus."""
    panels = [_calibration_panel(row) for row in board.rows if row.variant.kind in _JUDGED and _bins(row)]
    return Chart(
        f"Calibration{_market(board)}: on the diagonal a forecast means what it says",
        "forecast probability of a rise",
        "share that rose",
        tuple(panels),
    )


def cumulative_score_chart(board: Leaderboard, forecasts: pl.DataFrame) -> Chart:
    """The sum of what each forecaster gained on a coin in Brier score, day by day; an abstention gains nothing.

    Args:
        board: whose forecasters are shown.
        forecasts: `kind`, `forecaster`, `model`, `template_hash`, `parameters_hash`, `as_of`, `p_up` (null: abstained),
            `went_up` (null: not settled).
    """
    names = {_series(row.variant): row.name for row in board.rows}
    gained = (
        forecasts.drop_nulls("went_up")
        .with_columns(
            gain=_COIN - (pl.col("p_up").fill_null(0.5) - pl.col("went_up").cast(pl.Float64)) ** 2,
            day=pl.col("as_of").dt.truncate("1d"),
        )
        .group_by(*SERIES, "day")
        .agg(pl.sum("gain"))
        .sort(*SERIES, "day")
        .with_columns(pl.col("gain").cum_sum().over(*SERIES))
    )
    lines = [
        Line(names[series], tuple(rows.select("day", "gain").iter_rows()))
        for series, rows in gained.group_by(*SERIES, maintain_order=True)
        if series in names
    ]
    return Chart(
        f"Cumulative score{_market(board)}: Brier score gained on always 50 %, above zero is better than a coin",
        "",
        "sum of gains",
        (Panel("", tuple(lines), reference=((0.0, 0.0),)),),
    )


def equity_chart(board: Leaderboard, inputs: ValidationInputs, equity: Daily) -> Chart:
    """What the account, each shadow book after its own bill, and holding made, in per cent since the beginning."""
    start = inputs.portfolio.starting_equity
    lines = [Line(_OWN, tuple((day, 100 * (value / start - 1)) for day, value in equity.items()))]
    for row in board.rows:
        book = row.shadow_book
        if book is not None and book.curve:
            capital = float(book.starting_equity)
            points = tuple((at, 100 * (worth / capital - 1)) for at, worth in book.curve)
            lines.append(Line(_book_name(row), points))
    held = {EQUAL_WEIGHT} | ({inputs.bitcoin.name} if inputs.bitcoin else set())
    for benchmark in inputs.benchmarks:
        if benchmark.name in held:
            days = benchmark.curve.group_by(day_end("at"), maintain_order=True).agg(pl.last("value"))
            lines.append(Line(benchmark.name, tuple((at, 100 * (worth / start - 1)) for at, worth in days.iter_rows())))
    return Chart(
        f"Net worth{_market(board)}", "", "per cent since the beginning", (Panel("", tuple(lines), ((0.0, 0.0),)),)
    )


def draw(chart: Chart) -> bytes:
    """The chart as a PNG: the same bytes for the same chart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, max(1, len(chart.panels)))
    rows = max(1, ceil(len(chart.panels) / columns))
    size = (_WIDTH * (_ALONE if columns == 1 else columns), _HEIGHT * rows * (1.4 if columns == 1 else 1))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(chart.title, fontsize=11)
    for place, panel in enumerate(chart.panels, 1):
        _draw_panel(figure.add_subplot(rows, columns, place), chart, panel)
    if not chart.panels:
        figure.text(0.5, 0.5, "nothing has settled yet", ha="center", va="center")
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()


def day_end(moment: str) -> pl.Expr:
    """The end of the UTC day of a column's moments; midnight is the end of the day before it."""
    return ((pl.col(moment) - timedelta(microseconds=1)).dt.truncate("1d") + timedelta(days=1)).alias("day")


def _draw_panel(axes: "Axes", chart: Chart, panel: Panel) -> None:
    axes.set_prop_cycle(color=_COLOURS)
    if len(panel.reference) == 1:
        axes.axhline(panel.reference[0][1], color="#8a94a6", linewidth=1, linestyle=":")
    elif panel.reference:
        axes.plot(*zip(*panel.reference, strict=True), color="#8a94a6", linewidth=1, linestyle=":")
    for line in panel.lines:
        if line.points:
            _draw_line(axes, line)
    axes.set(title=panel.title, xlabel=chart.x_label, ylabel=chart.y_label)
    axes.title.set_fontsize(9)
    axes.tick_params(labelsize=7)
    if len(panel.lines) > 1:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        axes.tick_params(axis="x", labelrotation=30)
    axes.grid(visible=True, linewidth=0.3)


def _draw_line(axes: "Axes", line: Line) -> None:
    xs, ys = zip(*line.points, strict=True)
    style: dict[str, Any] = {"linewidth": 2.2 if line.name == _OWN else 1.2}
    axes.plot(xs, ys, label=line.name, marker="o" if len(xs) == 1 or line.weights else None, markersize=3, **style)
    for x, y, count in zip(xs, ys, line.weights, strict=False):
        axes.annotate(f"{count}", (x, y), fontsize=6, textcoords="offset points", xytext=(3, 3))


def _calibration_panel(row: LeaderboardRow) -> Panel:
    bins = _bins(row)
    line = Line(row.name, tuple((one.mean_p_up, one.share_up) for one in bins), tuple(one.count for one in bins))
    return Panel(row.name if row.quality else f"{row.name}, not ranked", (line,), _DIAGONAL)


def _bins(row: LeaderboardRow) -> Sequence[CalibrationBin]:
    quality = row.quality or row.unranked_quality
    return () if quality is None else tuple(one for one in quality.calibration if one.count)


def _book_name(row: LeaderboardRow) -> str:
    # The consensus has no book beside the account: its own is the account's, with the bill of all seats deducted.
    own = row.variant.kind is ForecasterKind.CONSENSUS
    return f"{_OWN} after the bill of the seats" if own else f"shadow book of {row.name}"


def _series(variant: Variant) -> tuple[object, ...]:
    return (
        variant.kind.value,
        variant.forecaster,
        variant.model,
        variant.template_hash,
        variant.parameters_hash,
    )


def _market(board: Leaderboard) -> str:
    return " (simulated market)" if board.simulated else ""
