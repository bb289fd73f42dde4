"""The charts of the leaderboard's page, as plotly figures in JSON: calibration, and what the shadow books are worth."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from triplegain_pipelines.evaluation.leaderboard import ForecasterKind, LeaderboardRow
from triplegain_pipelines.evaluation.report_charts import ACCOUNT, MUTED

if TYPE_CHECKING:
    from plotly import graph_objects as go

_COLOURS = ("#e08a1e", "#9b5de5", "#14a3a8", "#c2528b", "#7a8b2f", "#6f6ff0")
_LARGEST = 26  # pixels across


def calibration_chart(rows: Sequence[LeaderboardRow]) -> str:
    """How often the price rose after forecasts of each probability; on the diagonal they mean what they say.

    Dots grow with the number of forecasts: a small one far off the diagonal is luck.
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="means what it says", mode="lines", line={"color": MUTED, "width": 1, "dash": "dot"}
    )
    most = max((one.count for row in rows if row.quality for one in row.quality.calibration), default=1)
    for row, colour in zip(rows, _colours(rows), strict=True):
        bins = row.quality.calibration if row.quality else ()
        figure.add_scatter(
            x=[round(one.mean_p_up, 4) for one in bins],
            y=[round(one.share_up, 4) for one in bins],
            name=row.name,
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"size": [6 + (_LARGEST - 6) * (one.count / most) ** 0.5 for one in bins], "opacity": 0.75},
            text=[f"{one.count:,} forecasts" for one in bins],
            hovertemplate="said %{x:.0%}, rose %{y:.0%}, %{text}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        xaxis={"range": [0, 1], "tickformat": ".0%"},
        yaxis={"range": [-0.03, 1.03], "tickformat": ".0%"},
    )
    return _json(figure)


def books_chart(rows: Sequence[LeaderboardRow]) -> str:
    """What each shadow book is worth after its own bill, in per cent since the beginning."""
    from plotly import graph_objects as go

    figure = go.Figure()
    for row, colour in zip(rows, _colours(rows), strict=True):
        book = row.shadow_book
        if book is None:
            continue
        started = float(book.starting_equity)
        figure.add_scatter(
            x=[at for at, _ in book.curve],
            y=[round(100 * (worth / started - 1), 3) for _, worth in book.curve],
            name=row.name,
            mode="lines",
            line={"color": colour, "width": 2.5 if row.seat is None else 1.5},
        )
    figure.update_layout(yaxis={"ticksuffix": " %"}, hovermode="x unified")
    return _json(figure)


def _colours(rows: Sequence[LeaderboardRow]) -> list[str]:
    others = cycle(_COLOURS)
    return [ACCOUNT if row.variant.kind is ForecasterKind.CONSENSUS else next(others) for row in rows]


def _json(figure: "go.Figure") -> str:
    figure.update_layout(template="none", margin={"l": 56, "r": 16, "t": 12, "b": 40})
    text: str = figure.to_json()
    return text
