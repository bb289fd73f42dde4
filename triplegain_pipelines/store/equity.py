"""The account marked to market: a row for each mark, with the quantities and prices behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("account", "at", "cash", "positions_value", "equity", "peak", "marks")


@dataclass(frozen=True, slots=True)
class EquityMark:
    """What the account was worth at `at`. `marks` has quantity and price of each position, as text."""

    at: datetime
    cash: Decimal
    positions_value: Decimal
    equity: Decimal
    peak: Decimal
    marks: Mapping[str, Mapping[str, str]]


def insert(connection: psycopg.Connection, schema: str, account: str, marks: Sequence[EquityMark]) -> None:
    """Write `marks`; a time that has a row already is an error, for a mark is never changed."""
    copy_in = statement("COPY {schema}.equity ({columns}) FROM STDIN", schema, _COLUMNS)
    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
        for mark in marks:
            document = canonical_json(mark.marks)
            copy.write_row([account, mark.at, mark.cash, mark.positions_value, mark.equity, mark.peak, document])


def newest(connection: psycopg.Connection, schema: str, account: str) -> tuple[datetime, Decimal] | None:
    """Time and equity of the newest mark, or None."""
    return connection.execute(
        statement("SELECT at, equity FROM {schema}.equity WHERE account = %s ORDER BY at DESC LIMIT 1", schema),
        [account],
    ).fetchone()


def since(connection: psycopg.Connection, schema: str, account: str, start: datetime) -> list[tuple[datetime, Decimal]]:
    """Time and equity of the marks from `start` on, oldest first."""
    return connection.execute(
        statement("SELECT at, equity FROM {schema}.equity WHERE account = %s AND at >= %s ORDER BY at", schema),
        [account, start],
    ).fetchall()
