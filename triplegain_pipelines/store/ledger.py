"""The double-entry ledger. Balances follow it by a trigger, and a transaction that does not sum to zero is refused."""

from collections.abc import Sequence

import psycopg

from triplegain_pipelines.portfolio.ledger import Posting
from triplegain_pipelines.store.statements import statement


def post(connection: psycopg.Connection, schema: str, postings: Sequence[Posting]) -> None:
    """Write `postings`. One that was written before is an error: nothing is booked twice."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement(
                """INSERT INTO {schema}.ledger (account, transaction, posting, currency, amount, booked_at)
                   VALUES (%s, %s, %s, %s, %s, %s)""",
                schema,
            ),
            [(row.account, row.transaction, row.posting, row.currency, row.amount, row.booked_at) for row in postings],
        )
