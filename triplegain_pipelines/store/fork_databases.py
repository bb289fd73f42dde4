"""Databases that are forks: copies of a sealed template, which nobody connects to and nobody can change."""

import psycopg
from psycopg import sql

from triplegain_pipelines.store.forks import holding

_TEMPLATE_SECONDS = 60  # to copy a template of some hundred megabytes, four at a time


def make_template(connection: psycopg.Connection, name: str) -> bool:
    """Make an empty database to be filled and sealed; False where a sealed one has the name already.

    One that was left half filled is thrown away.

    Args:
        connection: on autocommit.
        name: ends in `_template`.
    """
    found = connection.execute("SELECT datallowconn FROM pg_database WHERE datname = %s", [name]).fetchone()
    if found is not None and not found[0]:
        return False
    drop_database(connection, name)
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return True


def seal_template(connection: psycopg.Connection, name: str) -> int:
    """Let nobody connect to a filled template any more, and say how many bytes it takes."""
    connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
    row = connection.execute("SELECT pg_database_size(%s)", [name]).fetchone()
    return int(row[0]) if row else 0


def fork_database(connection: psycopg.Connection, template: str, name: str) -> None:
    """Copy a sealed template: one at a time, for a template must have no session while it is copied.

    Args:
        connection: on autocommit.
        template: the sealed database.
        name: of the copy.
    """
    with holding(connection, f"triplegain.template.{template}", _TEMPLATE_SECONDS):
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def drop_database(connection: psycopg.Connection, name: str) -> None:
    """Drop a fork's database or a template with whoever is connected to it; nothing where there is none.

    Args:
        connection: on autocommit.
        name: of the database.
    """
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def fork_databases(connection: psycopg.Connection) -> list[str]:
    """The databases of this server that are forks of ours, by name, whether or not a row knows them."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || '_fork_')"
        )
    ]
