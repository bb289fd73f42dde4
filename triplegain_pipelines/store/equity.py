"""The account marked to market: a row for each mark, with the quantities and prices behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

import psycopg

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.money import CAUTIOUS
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("account", "at", "cash", "positions_value", "equity", "peak", "marks", "external_flow")


@dataclass(frozen=True, slots=True)
class EquityMark:
    """What the account was worth at `at`. `marks` has quantity and price of each position, as text.

    `external_flow` was paid in, or out where it is negative, since the mark before; `equity` has it in it.
    """

    at: datetime
    cash: Decimal
    positions_value: Decimal
    equity: Decimal
    peak: Decimal
    marks: Mapping[str, Mapping[str, str]]
    external_flow: Decimal = Decimal(0)


def insert(connection: psycopg.Connection, schema: str, account: str, marks: Sequence[EquityMark]) -> None:
    """Write `marks`; a time that has a row already is an error, for a mark is never changed."""
    copy_in = statement("COPY {schema}.equity ({columns}) FROM STDIN", schema, _COLUMNS)
    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
        for mark in marks:
            money = (mark.cash, mark.positions_value, mark.equity, mark.peak)
            copy.write_row([account, mark.at, *money, canonical_json(mark.marks), mark.external_flow])


def newest(connection: psycopg.Connection, schema: str, account: str) -> tuple[datetime, Decimal] | None:
    """Time and equity of the newest mark, or None."""
    return connection.execute(
        statement("SELECT at, equity FROM {schema}.equity WHERE account = %s ORDER BY at DESC LIMIT 1", schema),
        [account],
    ).fetchone()


def since(connection: psycopg.Connection, schema: str, account: str, start: datetime) -> list[tuple[datetime, Decimal]]:
    """Time and equity of the marks from `start` on, oldest first, as they compare with what the account is worth now.

    Marks before a payment are scaled by what it did to the equity: a withdrawal is no loss.
    """
    rows = connection.execute(
        statement(
            "SELECT at, equity, external_flow FROM {schema}.equity WHERE account = %s AND at >= %s ORDER BY at", schema
        ),
        [account, start],
    ).fetchall()
    return comparable(rows)


def comparable(rows: Sequence[tuple[datetime, Decimal, Decimal]]) -> list[tuple[datetime, Decimal]]:
    """Time and equity of marks (time, equity, payment), oldest first, those before a payment scaled to after it.

    What came before a payment into an account without equity, or of all of it, compares with nothing and is left out.

    >>> at = [datetime(2024, 8, 1, hour) for hour in range(3)]
    >>> [str(worth) for _, worth in comparable([(at[0], Decimal(90), Decimal(0)), (at[1], Decimal(50), Decimal(-50))])]
    ['45.0', '50']
    """
    marks: list[tuple[datetime, Decimal]] = []
    factor = Decimal(1)
    with localcontext(CAUTIOUS):
        for at, worth, flow in reversed(rows):
            marks.append((at, worth if factor == 1 else worth * factor))
            if flow:
                if worth <= 0 or worth - flow <= 0:
                    break
                factor *= worth / (worth - flow)
    return marks[::-1]
