"""The servers that tests run on, and databases of one test on them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.store.database import Database


class Server(Protocol):
    """What a test needs of a server: the URL of a database on it."""

    def url(self, database: str = "postgres") -> str:
        """The libpq URL of a database."""
        ...


class NamedServer:
    """A server that somebody else runs.

    Args:
        url: of any database on it, of a user who may create databases and extensions.
        shared: the folder that all workers of this run see.
    """

    def __init__(self, url: str, shared: Path) -> None:
        self._url = urlsplit(url)
        self.run = content_hash(str(shared))[:8]
        self._users = shared / "timescale.users"
        self._use: IO[str] | None = None

    def url(self, database: str = "postgres") -> str:
        """The libpq URL of a database."""
        return urlunsplit(self._url._replace(path=f"/{database}"))

    def use(self) -> None:
        """Say that this process uses the server."""
        self._use = self._users.open("a")
        fcntl.flock(self._use, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Drop what this run made, unless another worker still uses it."""
        assert self._use is not None
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            self._use.close()
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(_template(self))))


def make_template(server: Server) -> None:
    """Make the migrated database from which every test's database is copied, unless it is there.

    Nobody can connect to it: a database that a session uses cannot be copied, and TimescaleDB keeps one in each. Its
    jobs are not scheduled, or they would work in a test's database at times of their own.
    """
    name = _template(server)
    template = sql.Identifier(name)
    with psycopg.connect(server.url(), autocommit=True) as admin:
        if admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None:
            return
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(template))
        opened = Database(server.url(name))
        opened.migrate()
        with opened.autocommit() as connection:
            if connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None:
                connection.execute("SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs")
        opened.close()
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(template))
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))


@contextmanager
def fresh_database(server: Server, test: str, *, migrated: bool = True) -> Iterator[Database]:
    """A database of a test's own, empty or migrated, dropped at the end.

    Args:
        server: on which.
        test: name of the test, the same for no two.
        migrated: whether it is a copy of the template.
    """
    name = f"test_{_run(server)}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{content_hash(test)[:12]}"
    own = sql.Identifier(name)
    source = sql.Identifier(_template(server) if migrated else "template0")
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(own))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(own, source))
    opened = Database(server.url(name))
    try:
        yield opened
    finally:
        opened.close()
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(own))


def _run(server: Server) -> str:
    return server.run if isinstance(server, NamedServer) else "own"


def _template(server: Server) -> str:
    return f"migrated_{_run(server)}"
