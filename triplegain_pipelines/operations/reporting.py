"""Has the reports of a session's account written, each at its place in the home."""

from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.data_quality import QualityReport, write_quality_report
from triplegain_pipelines.evaluation.report import WrittenReport, write_validation_report
from triplegain_pipelines.execution.desk import LIVE, PAPER
from triplegain_pipelines.operations.narrating import narrator
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import decided_symbols
from triplegain_pipelines.store.overview import read_overviews


def validate_account(database: Database, session: Session, start: datetime, end: datetime) -> WrittenReport:
    """Write the validation report of the session's account over [start, end)."""
    return _validate(database, session, session.schema, start, end)


def _validate(database: Database, session: Session, schema: str, start: datetime, end: datetime) -> WrittenReport:
    return write_validation_report(
        database,
        schema,
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
        writer=narrator(database, session.settings),
    )


def report_hours(database: Database, settings: Settings, account: str | None, length: timedelta) -> WrittenReport:
    """Write the report of the last `length` of an account, up to its newest mark; of the one marked last if None.

    Raises:
        InputError: there is no such account.
    """
    with database.connection() as connection:
        overviews = [(schema, one) for schema in (PAPER, LIVE) for one in read_overviews(connection, schema)]
        marked = [(one.marked_at, schema, one) for schema, one in overviews if one.marked_at]
        wanted = [found for found in marked if account in {None, found[2].account}]
        if not wanted:
            known = ", ".join(one.account for _, one in overviews) or "none"
            msg = f"there is no account {account or 'with a mark'}; the accounts are: {known}"
            raise InputError(msg)
        end, schema, found = max(wanted, key=lambda one: one[0])
        symbols = decided_symbols(connection, found.account)
    session = Session(found.account, found.venue, symbols, replay=True, settings=settings, clock=SystemClock())
    return _validate(database, session, schema, end - length, end)


def check_quality(database: Database, session: Session, start: datetime, end: datetime) -> QualityReport:
    """Run the expectations on the rows of [start, end) and build the Data Docs."""
    return write_quality_report(
        database,
        session.settings.home / "data_docs",
        venue=session.venue,
        symbols=session.symbols,
        account=session.account,
        start=start,
        end=end,
        rules=session.settings.market.quality,
    )
