"""What the database is and holds at a glance: for the doctor and the status page."""

from dataclasses import dataclass
from datetime import datetime

import psycopg


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Server version, whether it lets write, schema revision (None: not migrated), and the candles stored."""

    server_version: str
    writable: bool
    revision: str | None
    candles: int
    newest_candle: datetime | None


def read_catalogue(connection: psycopg.Connection) -> Catalogue:
    """Look at the server and the schema; works on an empty database."""
    version = connection.execute("SHOW server_version").fetchone()
    only_reads = connection.execute("SHOW transaction_read_only").fetchone()
    writable = only_reads == ("off",)
    migrated = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
    if not (migrated and migrated[0]):
        return Catalogue(version[0] if version else "?", writable, None, 0, None)
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    candles = connection.execute("SELECT count(*), max(opened_at) FROM market.candles").fetchone() or (0, None)
    return Catalogue(
        server_version=version[0] if version else "?",
        writable=writable,
        revision=revision[0] if revision else None,
        candles=candles[0],
        newest_candle=candles[1],
    )
