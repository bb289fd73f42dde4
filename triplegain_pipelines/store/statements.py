"""SQL for the trading tables, which exist once for paper and once for live: names go in as quoted identifiers."""

from functools import cache
from typing import LiteralString

from psycopg import sql


@cache
def statement(query: LiteralString, schema: str, columns: tuple[str, ...] = (), rows: int = 1) -> bytes:
    """`query` with its names filled in, composed once and then remembered.

    `{schema}` becomes the quoted schema, `{columns}` the quoted columns, `{places}` a placeholder for each of them,
    `{values}` as many rows of placeholders as `rows` says, and `{excluded}` the assignments of an upsert.

    >>> statement("SELECT {columns} FROM {schema}.orders", "paper_trading", ("state",))
    b'SELECT "state" FROM "paper_trading".orders'
    """
    names = [sql.Identifier(column) for column in columns]
    places = sql.SQL(", ").join([sql.Placeholder()] * len(names))
    return (
        sql.SQL(query)
        .format(
            schema=sql.Identifier(schema),
            columns=sql.SQL(", ").join(names),
            places=places,
            values=sql.SQL(", ").join([sql.SQL("({})").format(places)] * rows),
            excluded=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names),
        )
        .as_bytes(None)
    )
