"""The double-entry ledger. Balances follow it by a trigger, and a transaction that does not sum to zero is refused."""

from collections.abc import Sequence

import psycopg

from triplegain_pipelines.portfolio.ledger import Posting
from triplegain_pipelines.store.statements import statement


def post(connection: psycopg.Connection, schema: str, postings: Sequence[Posting]) -> None:
    """Write `postings`. One that was written before is an error: nothing is booked twice."""
    connection.execute(
        statement(
            """INSERT INTO {schema}.ledger (account, transaction, posting, currency, amount, booked_at)
               SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[],
                   %s::timestamptz[])""",
            schema,
        ),
        [
            [row.account for row in postings],
            [row.transaction for row in postings],
            [row.posting.value for row in postings],
            [row.currency for row in postings],
            [row.amount for row in postings],
            [row.booked_at for row in postings],
        ],
    )
