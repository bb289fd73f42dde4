"""Has the reports of a session's account written, each at its place in the home."""

from datetime import datetime

from triplegain_pipelines.evaluation.data_quality import QualityReport, check_data_quality
from triplegain_pipelines.evaluation.report import WrittenReport, write_validation_report
from triplegain_pipelines.evaluation.tracking import ProjectedWindow, project_window
from triplegain_pipelines.execution.desk import PAPER
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import database_urls, with_driver


def validate_account(database: Database, session: Session, start: datetime, end: datetime) -> WrittenReport:
    """Write the validation report of the account over [start, end)."""
    return write_validation_report(
        database,
        PAPER,
        session.account,
        start,
        end,
        session.settings.home / "reports" / session.account,
        symbols=session.symbols,
        interval=session.settings.profile.decisions.interval,
        config_hash=session.settings.config_hash,
        simulated=session.simulated,
        baseline=session.baseline_seats,
        generated_at=session.clock.now(),
    )


def compare_models(database: Database, session: Session, start: datetime, end: datetime) -> ProjectedWindow:
    """Project the account's window into MLflow, straight into its database: no server is needed for it."""
    return project_window(
        validate_account(database, session, start, end).report,
        tracking_uri=with_driver(database_urls(session.settings).mlflow),
        artifact_root=session.settings.home / "mlflow",
    )


def check_quality(database: Database, session: Session) -> QualityReport:
    """Run the expectations on the stored tables and build the Data Docs."""
    return check_data_quality(database, session.settings.home / "data_docs")
