"""Bulk traffic between polars and PostgreSQL: COPY out into a frame, COPY in through a staging table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql
from psycopg.abc import Params

if TYPE_CHECKING:
    import polars as pl


def copy_out(
    connection: psycopg.Connection,
    query: LiteralString | sql.Composed,
    parameters: Params,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
) -> pl.DataFrame:
    """The rows of `query` as a frame with the columns of `schema`, in the query's order.

    Times must be `pl.Datetime("us", "UTC")`; an empty answer is an empty frame with the same columns.
    """
    import polars as pl

    buffer = BytesIO()
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(sql.SQL(query) if isinstance(query, str) else query)
    with connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        for chunk in copy:
            buffer.write(chunk)
    if not buffer.tell():
        return pl.DataFrame(schema=schema)
    buffer.seek(0)
    times = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
    truths = [name for name, kind in schema.items() if kind == pl.Boolean]
    text = {name: pl.String() if name in times or name in truths else kind for name, kind in schema.items()}
    frame = pl.read_csv(buffer, has_header=False, new_columns=list(schema), schema=text)
    # PostgreSQL spells true and false as t and f.
    return frame.with_columns(*(_utc_time(name) for name in times), *(pl.col(name) == "t" for name in truths))


def stage(connection: psycopg.Connection, frame: pl.DataFrame, like: Sequence[str]) -> str:
    """Copy `frame` into a temporary table and return its name; the table goes with the transaction.

    Args:
        connection: in a transaction.
        frame: its columns must be columns of the table `like`.
        like: schema and name of the table whose column types are taken.
    """
    name = f"staged_{like[-1]}"
    columns = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    target = sql.Identifier(name)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(target))
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            target, columns, sql.Identifier(*like)
        )
    )
    copy_in = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(target, columns)
    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
        for chunk in frame.iter_slices(50_000):
            copy.write(chunk.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z").encode())
    return name


def _utc_time(name: str) -> pl.Expr:
    import polars as pl

    # PostgreSQL leaves out the fraction of a whole second: 2024-08-05 00:00:00+00
    return pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us").dt.convert_time_zone("UTC")
