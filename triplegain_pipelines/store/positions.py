"""Open positions and closed trades of an account."""

from dataclasses import fields
from typing import Any, LiteralString

import psycopg

from triplegain_pipelines.portfolio.positions import ClosedTrade, Position
from triplegain_pipelines.store.gathered import Change
from triplegain_pipelines.store.gathered import write as write_change
from triplegain_pipelines.store.statements import statement

_POSITION = tuple(field.name for field in fields(Position))
_TRADE = tuple(field.name for field in fields(ClosedTrade))
_HELD: LiteralString = """
    held AS (
        INSERT INTO {schema}.positions ({columns}) VALUES ({places})
        ON CONFLICT (account, symbol) DO UPDATE SET {excluded})"""
_TRADED: LiteralString = """
    flat AS (DELETE FROM {schema}.positions WHERE account = %s AND symbol = %s),
    traded AS (INSERT INTO {schema}.trades ({columns}) VALUES ({places}))"""


def read_all(connection: psycopg.Connection, schema: str, account: str) -> list[Position]:
    """The account's open positions, by symbol."""
    rows = connection.execute(
        statement("SELECT {columns} FROM {schema}.positions WHERE account = %s ORDER BY symbol", schema, _POSITION),
        [account],
    ).fetchall()
    return [Position(*row) for row in rows]


def read(connection: psycopg.Connection, schema: str, account: str, symbol: str) -> Position | None:
    """The account's open position in `symbol`, or None."""
    return next((held for held in read_all(connection, schema, account) if held.symbol == symbol), None)


def write(connection: psycopg.Connection, schema: str, position: Position) -> None:
    """Open a position, or replace the open one of its symbol."""
    row = frozenset(["held", (position.account, position.symbol)])
    write_change(connection, Change(statement(_HELD, schema, _POSITION), _values(position), row))


def close(connection: psycopg.Connection, schema: str, trade: ClosedTrade) -> None:
    """Move a position that is flat to the trades."""
    key = (trade.account, trade.symbol)
    write_change(
        connection, Change(statement(_TRADED, schema, _TRADE), [*key, *_values(trade)], frozenset(["traded", key]))
    )


def _values(row: Position | ClosedTrade) -> list[Any]:
    return [getattr(row, field.name) for field in fields(row)]
