"""Fills: unique by venue and trade id, each with its postings in the ledger, and never changed."""

from collections.abc import Sequence
from dataclasses import fields
from typing import LiteralString

import psycopg

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Fill, Side
from triplegain_pipelines.portfolio.ledger import fill_postings
from triplegain_pipelines.store.statements import statement

_COLUMNS = ("account", *(field.name for field in fields(Fill)))
_POSTING = ("account", "transaction", "posting", "currency", "amount", "booked_at")
_NEW: LiteralString = """
    WITH new AS (
        INSERT INTO {schema}.fills ({columns}) VALUES {values} ON CONFLICT DO NOTHING RETURNING venue, trade_id)"""
_POSTED: LiteralString = """, posted AS (
        INSERT INTO {schema}.ledger ({columns}) SELECT {columns}
        FROM (VALUES {values}) AS meant ({columns}) JOIN new ON transaction = venue || ':' || trade_id)
    SELECT venue, trade_id FROM new"""


def insert(connection: psycopg.Connection, schema: str, account: str, fills: Sequence[Fill]) -> list[Fill]:
    """Write those of `fills` that are new, with their postings, and return them: only these may be booked further.

    Raises:
        DataError: one has the trade id of another fill, so one of the two would be lost.
    """
    if not fills:
        return []
    named = {(fill.venue, fill.trade_id): fill for fill in fills}
    postings = [posting for fill in named.values() for posting in fill_postings(account, fill)]
    rows = connection.execute(
        statement(_NEW, schema, _COLUMNS, len(named)) + statement(_POSTED, schema, _POSTING, len(postings)),
        [
            *(value for fill in named.values() for value in (account, *(getattr(fill, name) for name in _COLUMNS[1:]))),
            *(getattr(posting, name) for posting in postings for name in _POSTING),
        ],
    ).fetchall()
    new = set(rows)
    if len(new) < len(named):
        _require_known(connection, schema, [fill for name, fill in named.items() if name not in new])
    return [fill for name, fill in named.items() if name in new]


def every(connection: psycopg.Connection, schema: str, account: str) -> list[Fill]:
    """Every fill of the account, in the order of time."""
    rows = connection.execute(
        statement(
            "SELECT {columns} FROM {schema}.fills WHERE account = %s ORDER BY filled_at, venue, trade_id",
            schema,
            _COLUMNS,
        ),
        [account],
    ).fetchall()
    return [
        Fill(venue, trade_id, client_order_id, symbol, Side(side), *rest)
        for _, venue, trade_id, client_order_id, symbol, side, *rest in rows
    ]


def _require_known(connection: psycopg.Connection, schema: str, fills: Sequence[Fill]) -> None:
    """Those of `fills` that are stored must be what is stored: the same order, quantity and price."""
    rows = connection.execute(
        statement(
            """SELECT venue, trade_id, client_order_id, quantity, price FROM {schema}.fills
               WHERE (venue, trade_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))""",
            schema,
        ),
        [[fill.venue for fill in fills], [fill.trade_id for fill in fills]],
    ).fetchall()
    stored = {(venue, trade_id): rest for venue, trade_id, *rest in rows}
    for fill in fills:
        if stored[fill.venue, fill.trade_id] != [fill.client_order_id, fill.quantity, fill.price]:
            msg = (
                f"the venue says that trade {fill.venue}:{fill.trade_id} is {fill.quantity} at {fill.price} of order "
                f"{fill.client_order_id}, but it was booked otherwise; compare the account with the venue"
            )
            raise DataError(msg)
