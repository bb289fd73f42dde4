"""What the books know that speaks for or against live trading: the last validation and the last reconciliation."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from triplegain_pipelines.store.statements import statement

_LAST_RECONCILIATION = """
    SELECT r.reconciled_at, (
        SELECT count(*) FROM jsonb_array_elements(r.differences) AS difference
        WHERE difference ->> 'outcome' = 'HALT')
    FROM {schema}.reconciliations r WHERE r.account = %s
    ORDER BY r.reconciled_at DESC, r.reconciliation_id DESC LIMIT 1"""


@dataclass(frozen=True, slots=True)
class StoredValidation:
    """A validation report of an account, with what its document says of the configuration and of what was real."""

    verdict: str
    counts_for_live: bool
    config_hash: str | None
    starts_at: datetime
    ends_at: datetime


def newest_validation(connection: psycopg.Connection, account: str, length: timedelta) -> StoredValidation | None:
    """The newest report of the account over at least `length`; a report over less validates nothing, and hides none."""
    row = connection.execute(
        """SELECT verdict, document -> 'counts_for_live' = 'true', document ->> 'config_hash', starts_at, ends_at
           FROM ops.reports WHERE account = %s AND ends_at - starts_at >= %s
           ORDER BY ends_at DESC, created_at DESC, report_id LIMIT 1""",
        [account, length],
    ).fetchone()
    return None if row is None else StoredValidation(row[0], bool(row[1]), *row[2:])


def last_reconciliation(connection: psycopg.Connection, schema: str, account: str) -> tuple[datetime, int] | None:
    """When books and venue were compared last, and how many differences a person has to look at; None for never."""
    row = connection.execute(statement(_LAST_RECONCILIATION, schema), [account]).fetchone()
    return (row[0], row[1]) if row else None
