"""Shows backtests and studies in MLflow: reads their rows, and has them projected."""

from datetime import datetime

from triplegain_pipelines.evaluation.tracking import ProjectedWindow, project_window
from triplegain_pipelines.evaluation.tracking_client import RESEARCH, require_tracking
from triplegain_pipelines.evaluation.tracking_research import backtest_windows, study_window
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.backtests import read_backtests
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import database_urls, with_driver
from triplegain_pipelines.store.studies import read_all


def track_research(database: Database, settings: Settings, since: datetime) -> dict[str, ProjectedWindow]:
    """Project what was tried since a moment into MLflow; by the name of each window's run.

    Raises:
        TransientError: MLflow does not answer; nothing else is touched then.
    """
    tracking_uri = with_driver(database_urls(settings).mlflow)
    require_tracking(tracking_uri)
    with database.connection() as connection:
        backtests = [one for one in read_backtests(connection) if one.created_at >= since]
        studies = [one for one in read_all(connection) if one.concluded_at is not None and one.concluded_at >= since]
    windows = [*backtest_windows(backtests), *map(study_window, studies)]
    return {
        window.run.name: project_window(
            window,
            (),
            tracking_uri=tracking_uri,
            artifact_root=settings.home / "mlflow",
            experiment=RESEARCH,
        )
        for window in windows
    }
