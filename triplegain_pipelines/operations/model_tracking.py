"""Shows a session's forecasters side by side in MLflow: reads the evidence, and has it projected."""

from datetime import datetime

import polars as pl

from triplegain_pipelines.evaluation.leaderboard import Leaderboard
from triplegain_pipelines.evaluation.tracking import ProjectedWindow, project_window
from triplegain_pipelines.evaluation.tracking_client import require_tracking
from triplegain_pipelines.evaluation.tracking_content import TrackedWindow
from triplegain_pipelines.evaluation.tracking_models import registered_models
from triplegain_pipelines.evaluation.tracking_traces import MOST_TRACES
from triplegain_pipelines.evaluation.tracking_window import tracked_window
from triplegain_pipelines.operations.leaderboard import make_leaderboard
from triplegain_pipelines.operations.reporting import validate_account
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.leaderboards import read_series
from triplegain_pipelines.store.outcomes import read_outcomes
from triplegain_pipelines.store.server import database_urls, with_driver
from triplegain_pipelines.store.traced_calls import read_seat_versions, read_traced_decisions

OFFLINE = "offline"


def compare_models(database: Database, session: Session, start: datetime, end: datetime) -> ProjectedWindow:
    """Project the account's window into MLflow, straight into its database: no server is needed for it.

    Raises:
        TransientError: MLflow does not answer; that is told before anything is calculated.
        InputError: the seats decided nothing in that time.
    """
    tracking_uri = with_driver(database_urls(session.settings).mlflow)
    require_tracking(tracking_uri)
    board = make_leaderboard(database, session, start, end)
    window = _window(database, session, board, start, end)
    with database.connection() as connection:
        known = read_seat_versions(connection)
    return project_window(
        window,
        registered_models(board, known),
        tracking_uri=tracking_uri,
        artifact_root=session.settings.home / "mlflow",
    )


def _window(database: Database, session: Session, board: Leaderboard, start: datetime, end: datetime) -> TrackedWindow:
    report = validate_account(database, session, start, end).report
    with database.connection() as connection:
        series = read_series(connection, session.account, start, end)
        outcomes = read_outcomes(connection, session.venue, session.symbols, session.clock.now())
        decisions = read_traced_decisions(connection, session.account, start, end, MOST_TRACES)
    settled = outcomes.filter(pl.col("horizon_hours") == board.horizon_hours).select("symbol", "as_of", "went_up")
    forecasts = series.join(settled, on=["symbol", "as_of"], how="left", maintain_order="left")
    mode = OFFLINE if session.baseline_seats else session.settings.models.calls.value
    return tracked_window(report, board, forecasts, decisions, mode)
