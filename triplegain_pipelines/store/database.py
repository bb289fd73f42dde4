"""The pool of connections to the database `triplegain`, and its migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from urllib.parse import urlsplit

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.secrets import passwords_in, remember
from triplegain_pipelines.store.extensions import create_extensions
from triplegain_pipelines.store.gathered import GatheringConnection
from triplegain_pipelines.store.hypertables import arrange_tables
from triplegain_pipelines.store.server import with_driver

# A correction of a whole archive may unpack more rows of TimescaleDB's column store than its limit of 100,000. A server
# without TimescaleDB takes the setting for a name it does not know, and ignores it.
_SESSION = "-c timezone=UTC -c timescaledb.max_tuples_decompressed_per_dml_transaction=0"
# A server, or a way to it, that vanishes without a word is noticed within half a minute, and so is a client by the
# server: until then a question waits for its answer, and an account's lock for its holder.
_NOTICED = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_SESSION += "".join(f" -c tcp_{name}={value}" for name, value in _NOTICED.items())
_OPTIONS = {"options": _SESSION, "connect_timeout": 5, "application_name": "triplegain", **_NOTICED}
_OPTIONS |= {"tcp_user_timeout": 25_000}  # milliseconds
_WAIT_SECONDS = 10.0
_ATTEMPT_SECONDS = 2.0  # the pool waits twice as long after each failed attempt: it is made to begin again
_PASSING = (
    psycopg.OperationalError,  # a full disk is one of these
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InternalError_,  # the server's own failures, such as a quota that is used up
)
_ADVICE: dict[type[psycopg.Error], str] = {
    psycopg.errors.ReadOnlySqlTransaction: "it only lets read now; let it write again",
    psycopg.errors.DiskFull: "its disk is full; free some space there",
}


class Database:
    """Connections to one database, each handed out as one transaction.

    Args:
        url: libpq URL. It holds the password, so it is never part of a message.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        remember(*passwords_in(url))
        parts = urlsplit(url)
        self.place = f"{parts.hostname}:{parts.port or 5432}{parts.path}"
        options = {**_OPTIONS, "autocommit": True}  # a transaction begins where `connection` says so
        self._pool = ConnectionPool(
            url,
            connection_class=GatheringConnection,
            kwargs=options,
            min_size=0,
            max_size=8,
            open=False,
            name=self.place,
            reconnect_timeout=_ATTEMPT_SECONDS,
        )

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A pooled connection inside one transaction: committed at the end, rolled back on an error.

        Raises:
            UnavailableError: the server cannot be reached, or ended the transaction. Nothing is known then, least of
                all 'no rows'; where it happened at the very end, not even whether the transaction was committed.
        """
        with self.statements() as connection, connection.transaction():
            yield connection

    @contextmanager
    def statements(self) -> Iterator[psycopg.Connection]:
        """A pooled connection, each statement its own transaction: for what one statement does.

        Raises:
            UnavailableError: the server cannot be reached, or broke off a statement: its outcome is not known then.
        """
        connection = self._pooled()
        try:
            with self._failures_named():
                yield connection
        except UnavailableError as error:
            if connection.closed or isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction):
                self._pool.drain()  # the others are as dead, or were opened while the server only let read
            raise
        finally:
            self._pool.putconn(connection)

    @contextmanager
    def autocommit(self) -> Iterator[psycopg.Connection]:
        """A connection of one's own, each statement its own transaction: for session advisory locks.

        Raises:
            UnavailableError: the server cannot be reached, or broke off a statement: its outcome is not known then.
        """
        try:
            connection = psycopg.connect(self.url, autocommit=True, **_OPTIONS)  # type: ignore[arg-type]
        except psycopg.OperationalError as error:
            raise UnavailableError(self._unreachable()) from error
        with self._failures_named(), connection:
            yield connection

    def check(self) -> None:
        """Ask the server for an answer at once.

        Raises:
            UnavailableError: it gives none.
        """
        with self.autocommit() as connection:
            connection.execute("SELECT 1")

    def migrate(self) -> None:
        """Bring the schema to the newest revision, and use TimescaleDB and its toolkit where the server has them.

        Does nothing when all is there. Then Alembic is not imported either, which would be a third of a quick command.
        """
        if not self._is_newest():
            from alembic import command
            from alembic.config import Config

            configuration = Config()
            configuration.set_main_option("script_location", "triplegain_pipelines.store:migrations")
            configuration.attributes["url"] = with_driver(self.url, "psycopg")
            command.upgrade(configuration, "head")
        create_extensions(self.autocommit)
        with self.autocommit() as connection:
            arrange_tables(connection)

    def _is_newest(self) -> bool:
        """Whether Alembic has noted the newest of our revisions, each of which is named as its file."""
        files = resources.files("triplegain_pipelines.store.migrations.versions").iterdir()
        newest = max(file.name[1:5] for file in files if file.name.startswith("r0") and file.name.endswith(".py"))
        with self.autocommit() as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return False
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]

    def analyze(self) -> None:
        """Renew the planner's statistics: of rows that came in bulk a moment ago it knows nothing yet.

        Without them a join over fresh tables can take minutes instead of a second.
        """
        with self.autocommit() as connection:
            connection.execute("ANALYZE")

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _pooled(self) -> GatheringConnection:
        """A connection of the pool, as soon as there is one."""
        deadline = monotonic_seconds() + _WAIT_SECONDS
        try:
            self._pool.open()
            while True:
                try:
                    return self._pool.getconn(timeout=_ATTEMPT_SECONDS)
                except PoolTimeout:
                    if monotonic_seconds() > deadline:
                        raise
        except psycopg.OperationalError as error:
            raise UnavailableError(self._unreachable()) from error

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """A server that dies, or ends a session or a statement, is a failure that may pass, not an error of ours.

        So is one that only lets read (a standby, or one whose disk is full), and one whose disk is full.
        """
        try:
            yield
        except _PASSING as error:
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            advice = _ADVICE.get(type(error), "it may work later")
            msg = f"the database at {self.place} broke off what was asked of it ({cause}); {advice}"
            raise UnavailableError(msg) from error

    def _unreachable(self) -> str:
        return (
            f"the database at {self.place} does not answer; start it with 'make up', or check TRIPLEGAIN_DATABASE_URL"
        )
