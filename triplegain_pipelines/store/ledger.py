"""The double-entry ledger. Balances follow it by a trigger, and a transaction that does not sum to zero is refused."""

from collections.abc import Sequence

import psycopg

from triplegain_pipelines.portfolio.ledger import Posting
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("account", "transaction", "posting", "currency", "amount", "booked_at")


def post(connection: psycopg.Connection, schema: str, postings: Sequence[Posting]) -> None:
    """Write `postings`. One that was written before is an error: nothing is booked twice."""
    insert = statement("INSERT INTO {schema}.ledger ({columns}) VALUES {values}", schema, _COLUMNS, len(postings))
    connection.execute(insert, [getattr(row, column) for row in postings for column in _COLUMNS])
