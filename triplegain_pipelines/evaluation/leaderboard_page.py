"""The leaderboard as one page that a trader reads in two minutes: the honest verdict first, then what it rests on.

The template only places text. Everything that comes from a row is untrusted text and is escaped.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from triplegain_pipelines.evaluation.leaderboard import (
    Evidence,
    ForecasterKind,
    ForecastQuality,
    Leaderboard,
    LeaderboardRow,
)
from triplegain_pipelines.evaluation.leaderboard_baselines import BEST_CONSTANT, MEANINGS
from triplegain_pipelines.evaluation.leaderboard_charts import books_chart, calibration_chart
from triplegain_pipelines.evaluation.leaderboard_words import BASELINES_SIT, SIMULATED, fullest, suspects
from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.evaluation.report_page import PLOTLY_FILE
from triplegain_pipelines.evaluation.wording import (
    NOTHING,
    between,
    meaning,
    milliseconds,
    moment,
    number,
    percent,
    tone,
)

_SEATS = (ForecasterKind.SEAT, ForecasterKind.BASELINE_SEAT)
_CHARTED = (*_SEATS, ForecasterKind.CONSENSUS)
_SMALLEST = 0.001
_HASH = 7


def render_board(board: Leaderboard, generated_at: datetime) -> str:
    """The page as HTML. It expects `plotly.min.js` in its own folder and nothing else from anywhere."""
    from markupsafe import Markup

    forecasters = [row for row in board.rows if row.variant.kind is not ForecasterKind.BASELINE]
    # Where nobody has enough data the headline says so, once.
    told = all(row.gate is not None for row in forecasters)
    judged = [row for row in forecasters if row.quality and row.variant.kind in _CHARTED]
    books = [row for row in forecasters if row.shadow_book]
    charts = {"calibration": calibration_chart(judged)} if judged else {}
    charts |= {"books": books_chart(books)} if books else {}
    holdings = [(one.name, percent(one.total_return, signed=True), percent(one.max_drawdown)) for one in board.holdings]
    return render_template(
        "leaderboard.html",
        title=f"Leaderboard of {board.account}",
        board=board,
        pill=_pill(board),
        # What the labels say already is not said twice.
        sentences=[one for one in board.verdict[1:] if one not in {BASELINES_SIT, SIMULATED}],
        period=f"{moment(board.start)} to {moment(board.end)} UTC",
        labels=_labels(board),
        tiles=_tiles(board),
        forecasters=[_line(row, told=told) for row in forecasters],
        baselines=[_baseline(row) for row in board.rows if row.variant.kind is ForecasterKind.BASELINE],
        doubtful=[_doubtful(row) for row in forecasters if row.unranked_quality],
        books=[_book(row) for row in books],
        holdings=holdings,
        calls=[_calls(row) for row in forecasters if row.seat is not None],
        # plotly writes a '<' as an escape of JSON, so a chart cannot leave its script element.
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704
        plotly_file=PLOTLY_FILE,
        generated_at=moment(generated_at),
    )


def _pill(board: Leaderboard) -> tuple[str, str]:
    """The verdict in two words, and the class that colours it."""
    if suspects(board):
        return "SUSPECTED LEAK", "failed"
    if len(board.leaders) == 1:
        return "ONE LEADS", "passed"
    if board.leaders:
        return "NO WINNER", "unsure"
    if fullest(board) < board.needed:
        return "NOT ENOUGH DATA", "unsure"
    return "NOBODY LEADS", "failed"


def _labels(board: Leaderboard) -> list[tuple[str, str]]:
    found = []
    if board.simulated:
        found.append(("Simulated market", "Prices are made up. Nothing here says anything about a real market."))
    if any(row.variant.kind is ForecasterKind.BASELINE_SEAT for row in board.rows):
        found.append(("Baselines in the seats", "Plain rules sit in the seats. Nothing here is about any model."))
    return found


def _tiles(board: Leaderboard) -> list[dict[str, str]]:
    voters = board.effective_voters
    return [
        _tile("Settled events", f"{board.events:,}", f"{board.compared:,} put to all that are compared"),
        _tile("Independent forecasts", f"{int(fullest(board)):,}", f"of {board.needed:,} needed to show 53 %"),
        _tile("Series ever tried", f"{board.trials:,}", "each raises the bar: the best of many is lucky"),
        _tile("Independent voters", number(voters, places=1), "that the seats are worth, by how alike they err"),
    ]


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _line(row: LeaderboardRow, *, told: bool) -> dict[str, Any]:
    quality = row.quality
    return {
        "rank": row.rank or NOTHING,
        "name": row.name,
        "kind": row.variant.kind.value,
        "series": _series(row),
        # In a word: the sentence stands at the top.
        "note": row.leak.partition(":")[0] if row.leak else "" if told else row.gate or "",
        "alarm": row.leak is not None,
        "cells": _quality_cells(quality) if quality else [("", NOTHING, "")] * 5,
        "kept": _yes(row.in_confidence_set),
        "p": _p_value(row.beats_baselines_p),
        "shapley": NOTHING if row.shapley is None else f"{1e4 * row.shapley:+.1f}",
        "shapley_tone": tone(row.shapley),
    }


def _quality_cells(quality: ForecastQuality) -> list[tuple[str, str, str]]:
    """Class, text and note of each figure."""
    bias = quality.mean_p_up - quality.share_up
    return [
        ("", f"{quality.settled:,}", f"worth {quality.independent:,.0f}"),
        ("", f"{quality.brier:.4f}", between(quality.brier_interval, ".3f")),
        ("", percent(quality.hits), between(quality.hits_interval, ".0%")),
        ("", f"{quality.log_loss:.4f}", f"off by {quality.calibration_error:.3f}"),
        ("", percent(quality.mean_p_up), f"bias {bias:+.1%}"),
    ]


def _baseline(row: LeaderboardRow) -> dict[str, Any]:
    quality = row.quality
    beaten = NOTHING if row.spa_p is None else "yes" if row.spa_p <= 0.05 else "not shown"  # noqa: PLR2004 - the usual level
    return {
        "name": row.name,
        "meaning": MEANINGS[row.variant.forecaster],
        "brier": NOTHING if quality is None else f"{quality.brier:.4f}",
        "compared": number(row.compared_brier, places=4),
        "hits": NOTHING if quality is None else percent(quality.hits),
        "beaten": "yardstick" if row.variant.forecaster == BEST_CONSTANT else beaten,
        "p": _p_value(row.spa_p),
    }


def _doubtful(row: LeaderboardRow) -> dict[str, Any]:
    quality = row.unranked_quality
    assert quality is not None  # noqa: S101 - the caller chose those that have it
    kinds = [f"{count:,} {kind.value}" for kind, count in row.evidence.items() if not Evidence(kind).ranked]
    return {"name": row.name, "why": ", ".join(kinds), "cells": _quality_cells(quality)}


def _book(row: LeaderboardRow) -> dict[str, Any]:
    book = row.shadow_book
    assert book is not None  # noqa: S101 - the caller chose those that have it
    return {
        "name": row.name,
        "net": percent(book.net_return, signed=True),
        "tone": tone(book.net_return),
        "gross": percent(book.gross_return, signed=True),
        "bill": f"{book.bill_usd:,.2f}",
        "worth": f"{book.final_equity:,.2f}",
        "fall": percent(book.max_drawdown),
        "trades": f"{book.trades:,}",
        "sharpe": number(book.sharpe),
        "deflated": NOTHING if book.deflated_sharpe is None else percent(book.deflated_sharpe),
    }


def _calls(row: LeaderboardRow) -> dict[str, Any]:
    calls = row.calls
    reasons = sorted(calls.reasons.items(), key=lambda item: (-item[1], item[0]))
    return {
        "name": row.name,
        "asked": f"{calls.asked:,}",
        "coverage": percent(calls.coverage),
        "abstained": f"{calls.asked - calls.answered:,}",
        "why": "; ".join(f"{count:,} {meaning(code)}" for code, count in reasons) or NOTHING,
        "p50": NOTHING if calls.latency_p50_ms is None else milliseconds(calls.latency_p50_ms),
        "p95": NOTHING if calls.latency_p95_ms is None else milliseconds(calls.latency_p95_ms),
        "tokens": f"{calls.tokens:,}",
        "cost": f"{calls.cost_usd:,.4f}",
    }


def _series(row: LeaderboardRow) -> str:
    """What tells a series from another of the same forecaster."""
    if row.variant.kind not in _SEATS:
        return ""
    return f"{row.variant.model} · {row.variant.template_hash[:_HASH]} · {row.variant.parameters_hash[:_HASH]}"


def _p_value(value: float | None) -> str:
    return NOTHING if value is None else f"under {_SMALLEST}" if value < _SMALLEST else f"{value:.3f}"


def _yes(value: bool | None) -> str:  # noqa: FBT001 - three states of one question
    return NOTHING if value is None else "yes" if value else "no"


def board_table(board: Leaderboard) -> Sequence[dict[str, str]]:
    """The board in short, a row for each forecaster: for a terminal and for a materialisation."""
    return [
        {
            "rank": str(row.rank or NOTHING),
            "forecaster": row.name,
            "kind": row.variant.kind.value,
            "forecasts": NOTHING if row.quality is None else f"{row.quality.settled:,}",
            "Brier": NOTHING if row.quality is None else f"{row.quality.brier:.4f}",
            "right": NOTHING if row.quality is None else percent(row.quality.hits),
            "coverage": percent(row.calls.coverage),
            "cost USD": f"{row.calls.cost_usd:,.2f}",
            "alone, net": NOTHING if row.shadow_book is None else percent(row.shadow_book.net_return, signed=True),
            "note": row.leak or row.gate or "",
        }
        for row in board.rows
    ]
