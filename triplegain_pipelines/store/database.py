"""The pool of connections to the database `triplegain`, and its migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.store.server import with_driver

_OPTIONS = {"options": "-c timezone=UTC", "connect_timeout": 5, "application_name": "triplegain"}
_WAIT_SECONDS = 10.0


class Database:
    """Connections to one database, each handed out as one transaction.

    Args:
        url: libpq URL. It holds the password, so it is never part of a message.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.place = f"{parts.hostname}:{parts.port or 5432}{parts.path}"
        self._pool = ConnectionPool(url, kwargs=_OPTIONS, min_size=0, max_size=8, open=False, name=self.place)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A pooled connection inside one transaction: committed at the end, rolled back on an error.

        Raises:
            UnavailableError: the server cannot be reached. Nothing is known then, least of all 'no rows'.
        """
        try:
            self._pool.open()
            connection = self._pool.getconn(timeout=_WAIT_SECONDS)
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise UnavailableError(self._unreachable()) from error
        try:
            with connection.transaction():
                yield connection
        finally:
            self._pool.putconn(connection)

    @contextmanager
    def autocommit(self) -> Iterator[psycopg.Connection]:
        """A connection of one's own, each statement its own transaction: for session advisory locks.

        Raises:
            UnavailableError: the server cannot be reached.
        """
        try:
            connection = psycopg.connect(self.url, autocommit=True, **_OPTIONS)  # type: ignore[arg-type]
        except psycopg.OperationalError as error:
            raise UnavailableError(self._unreachable()) from error
        with connection:
            yield connection

    def check(self) -> None:
        """Ask the server for an answer at once.

        Raises:
            UnavailableError: it gives none.
        """
        with self.autocommit() as connection:
            connection.execute("SELECT 1")

    def migrate(self) -> None:
        """Bring the schema to the newest revision; does nothing when it is there."""
        from alembic import command
        from alembic.config import Config

        configuration = Config()
        configuration.set_main_option("script_location", "triplegain_pipelines.store:migrations")
        configuration.attributes["url"] = with_driver(self.url, "psycopg")
        command.upgrade(configuration, "head")

    def analyze(self) -> None:
        """Renew the planner's statistics: of rows that came in bulk a moment ago it knows nothing yet.

        Without them a join over fresh tables can take minutes instead of a second.
        """
        with self.autocommit() as connection:
            connection.execute("ANALYZE")

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _unreachable(self) -> str:
        return (
            f"the database at {self.place} does not answer; start it with 'make up', or check TRIPLEGAIN_DATABASE_URL"
        )
