"""TimescaleDB and its toolkit: whether a server has them, and making them where it permits that.

Every query gives the same answer without them; they make it cheaper.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import LiteralString

import psycopg

# Older ones lack the column store's procedures, or keep their list of outdated ranges elsewhere.
OLDEST_TIMESCALEDB = (2, 20)

_CREATE: dict[str, LiteralString] = {
    "timescaledb": "CREATE EXTENSION IF NOT EXISTS timescaledb",
    "timescaledb_toolkit": "CREATE EXTENSION IF NOT EXISTS timescaledb_toolkit SCHEMA public",
}
# Functions outside of the search path cannot be called by their plain names. `market.chart_1d` is the last thing that
# hypertables.py makes, and the three tables are where TimescaleDB says which part of an aggregate is out of date.
_FIND: LiteralString = """
    SELECT
        (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
        (SELECT extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE extname = 'timescaledb_toolkit' AND nspname = ANY(current_schemas(false))),
        to_regclass('market.chart_1d') IS NOT NULL
            AND to_regclass('_timescaledb_catalog.continuous_aggs_hypertable_invalidation_log') IS NOT NULL
            AND to_regclass('_timescaledb_catalog.continuous_aggs_materialization_invalidation_log') IS NOT NULL
            AND to_regclass('_timescaledb_catalog.continuous_aggs_materialization_ranges') IS NOT NULL,
        coalesce(current_setting('timescaledb.license', true), '')
"""
_OFFERED: LiteralString = "SELECT name, default_version FROM pg_available_extensions WHERE name = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a database has and uses.

    Attributes:
        timescaledb: its version where it was made in this database, else None.
        toolkit: the toolkit's version where its functions can be called, else None.
        aggregates: whether the tables are hypertables and have their continuous aggregates.
        license: of TimescaleDB: `apache` means without column store and continuous aggregates.
    """

    timescaledb: str | None = None
    toolkit: str | None = None
    aggregates: bool = False
    license: str = ""

    @property
    def lacks(self) -> str | None:
        """Why this TimescaleDB cannot be used, or None where it can, or where there is none."""
        if self.timescaledb is None:
            return None
        if _number(self.timescaledb) < OLDEST_TIMESCALEDB:
            return f"it is older than {'.'.join(map(str, OLDEST_TIMESCALEDB))}"
        return "its licence is apache, without column store" if self.license == "apache" else None


PLAIN = Extensions()


def find_extensions(connection: psycopg.Connection) -> Extensions:
    """What the connected database has; works on any PostgreSQL, migrated or not."""
    row = connection.execute(_FIND).fetchone()
    return Extensions(*row) if row else PLAIN


def offered_extensions(connection: psycopg.Connection) -> dict[str, str]:
    """What the server could make: name and version of those of the two whose files it has."""
    return dict(connection.execute(_OFFERED, (list(_CREATE),)).fetchall())


def create_extensions(connect: Callable[[], AbstractContextManager[psycopg.Connection]]) -> None:
    """Make what the server has and permits. What it does not permit stays as it is: the doctor shows it.

    Args:
        connect: opens a fresh connection, each statement its own transaction. TimescaleDB ends the session when the
            server has not loaded it at its start.
    """
    with connect() as connection:
        offered = offered_extensions(connection)
        found = find_extensions(connection)
    missing = {"timescaledb": found.timescaledb is None, "timescaledb_toolkit": found.toolkit is None}
    for name, create in _CREATE.items():
        if name in offered and missing[name]:
            _attempt(connect, create)


def _attempt(connect: Callable[[], AbstractContextManager[psycopg.Connection]], create: LiteralString) -> None:
    try:
        with connect() as connection:
            connection.execute(create)
    except psycopg.Error:
        # Not permitted, or TimescaleDB is not among shared_preload_libraries, which it answers with an internal error
        # and the end of the session. Where the server itself is gone the next statement says so.
        return


def _number(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int("".join(filter(str.isdigit, minor.split("-")[0])))
