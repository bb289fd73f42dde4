"""Reports that were written: which, over what, with what verdict, and where the page is."""

from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.ids import deterministic_id


def save_report(
    connection: psycopg.Connection,
    *,
    account: str,
    start: datetime,
    end: datetime,
    verdict: str,
    document: object,
    path: str,
    created_at: datetime,
) -> UUID:
    """Keep a report. The same content over the same period is the same report, whatever its path.

    Args:
        connection: in the caller's transaction.
        account: whose report it is.
        start: beginning of the period.
        end: its end.
        verdict: `PASSED` or `FAILED`.
        document: the report as JSON values.
        path: where the page was written, relative to the reports' folder.
        created_at: when.
    """
    report_id = deterministic_id("report", account, start, end, content_hash(document))
    connection.execute(
        """INSERT INTO ops.reports (report_id, account, starts_at, ends_at, verdict, document, path, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (report_id) DO NOTHING""",
        (report_id, account, start, end, verdict, Jsonb(document), path, created_at),
    )
    return report_id


def latest_report(connection: psycopg.Connection, account: str) -> tuple[str, str, dict[str, object]] | None:
    """Verdict, path and document of the account's newest report, or None."""
    return connection.execute(
        """SELECT verdict, path, document FROM ops.reports WHERE account = %s
           ORDER BY created_at DESC, report_id LIMIT 1""",
        (account,),
    ).fetchone()
