"""Puts together what a window is to hold in MLflow, out of its report, its leaderboard and the rows behind them."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.evaluation.leaderboard import Leaderboard
from triplegain_pipelines.evaluation.leaderboard_document import board_document
from triplegain_pipelines.evaluation.performance import drawdown_curve
from triplegain_pipelines.evaluation.report import report_document
from triplegain_pipelines.evaluation.tracking_charts import (
    calibration_chart,
    cumulative_score_chart,
    day_end,
    equity_chart,
)
from triplegain_pipelines.evaluation.tracking_content import DailyPoint, TrackedWindow
from triplegain_pipelines.evaluation.tracking_runs import nested_runs, window_run
from triplegain_pipelines.evaluation.tracking_traces import decision_trace
from triplegain_pipelines.evaluation.validation import ValidationReport
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs
from triplegain_pipelines.store.traced_calls import TracedDecision


def tracked_window(
    report: ValidationReport,
    board: Leaderboard,
    forecasts: pl.DataFrame,
    decisions: Sequence[TracedDecision],
    mode: str,
) -> TrackedWindow:
    """All of a window. Equal rows give an equal window.

    Args:
        report: the account's trading, judged.
        board: of the same account and period.
        forecasts: behind the board, in the columns of `cumulative_score_chart`.
        decisions: those to be traced.
        mode: where the answers came from: record, replay or offline.
    """
    inputs = report.inputs
    window_id = str(deterministic_id("window", inputs.account.account, inputs.start, inputs.end))
    daily = _daily(inputs)
    return TrackedWindow(
        window_id=window_id,
        start=inputs.start,
        end=inputs.end,
        judged=None if board.simulated else f"{inputs.end.isoformat()} {inputs.account.account}",
        run=window_run(report, board, mode, daily),
        nested=nested_runs(report, board, mode),
        charts={
            "calibration.png": calibration_chart(board),
            "cumulative_score.png": cumulative_score_chart(board, forecasts),
            "equity.png": equity_chart(board, inputs, {point.day: point.values["equity"] for point in daily}),
        },
        documents={"report.json": report_document(report), "leaderboard.json": board_document(board)},
        traces=tuple(decision_trace(window_id, decision) for decision in decisions),
    )


def _daily(inputs: ValidationInputs) -> tuple[DailyPoint, ...]:
    curve = drawdown_curve(inputs.equity, inputs.start, inputs.portfolio.starting_equity)
    days = curve.group_by(day_end("at"), maintain_order=True).agg(pl.last("equity"), pl.max("drawdown"))
    return tuple(DailyPoint(day, {"equity": equity, "drawdown": drawdown}) for day, equity, drawdown in _rows(days))


def _rows(days: pl.DataFrame) -> list[tuple[datetime, float, float]]:
    return days.select("day", "equity", "drawdown").rows()
