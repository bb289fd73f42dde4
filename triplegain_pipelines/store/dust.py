"""What is left of closed positions and too small to be sold. The account still owns it."""

from dataclasses import fields

import psycopg

from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.store.statements import statement

_COLUMNS = tuple(field.name for field in fields(Dust))


def insert(connection: psycopg.Connection, schema: str, dust: Dust) -> None:
    """Write what was left of a position."""
    connection.execute(
        statement("INSERT INTO {schema}.dust ({columns}) VALUES ({places})", schema, _COLUMNS),
        [getattr(dust, column) for column in _COLUMNS],
    )


def read_all(connection: psycopg.Connection, schema: str, account: str) -> list[Dust]:
    """All dust of the account, oldest first."""
    rows = connection.execute(
        statement(
            "SELECT {columns} FROM {schema}.dust WHERE account = %s ORDER BY written_off_at, symbol", schema, _COLUMNS
        ),
        [account],
    ).fetchall()
    return [Dust(*row) for row in rows]
