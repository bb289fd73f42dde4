"""Money paid into an account or out of it, by a person's word. The ledger has the money, this has who and why."""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg

from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class Flow:
    """A payment: a row of `flows`. `amount` of `currency` was paid in, or out where it is negative."""

    flow_id: UUID
    account: str
    currency: str
    amount: Decimal
    paid_at: datetime
    recorded_by: str
    why: str


_COLUMNS = tuple(field.name for field in fields(Flow))


def insert(connection: psycopg.Connection, schema: str, flow: Flow) -> None:
    """Write a payment. One that was written before is an error: nothing is paid twice."""
    connection.execute(
        statement("INSERT INTO {schema}.flows ({columns}) VALUES ({places})", schema, _COLUMNS),
        [getattr(flow, column) for column in _COLUMNS],
    )


def read_all(connection: psycopg.Connection, schema: str, account: str) -> list[Flow]:
    """The account's payments, oldest first."""
    rows = connection.execute(
        statement(
            "SELECT {columns} FROM {schema}.flows WHERE account = %s ORDER BY paid_at, flow_id", schema, _COLUMNS
        ),
        [account],
    ).fetchall()
    return [Flow(*row) for row in rows]
