"""Which PostgreSQL server is used, and its three databases: `triplegain`, `dagster` and `mlflow`."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.embedded import EmbeddedPostgres

_NAMES = ("triplegain", "dagster", "mlflow")


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """libpq URLs of the three databases. They hold a password: never print or store one."""

    triplegain: str
    dagster: str
    mlflow: str


def with_driver(url: str, driver: str = "psycopg2") -> str:
    """`url` for SQLAlchemy with the driver spelled out.

    Left to itself SQLAlchemy chooses by its own version, and dagster-postgres runs on psycopg2 only.
    """
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def embedded_server(settings: Settings) -> EmbeddedPostgres | None:
    """The embedded server of this home, or None where `TRIPLEGAIN_DATABASE_URL` names another."""
    return None if settings.environment.database_url else EmbeddedPostgres(settings.home / "postgres")


def state_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders that are written to all the time: the home, and the embedded server's, which may lie elsewhere."""
    embedded = embedded_server(settings)
    return (settings.home,) if embedded is None else (settings.home, embedded.home)


def database_urls(settings: Settings) -> DatabaseUrls:
    """URLs of the three databases; with a server of one's own, beside the database that was named.

    Raises:
        UnavailableError: the embedded server was never started.
    """
    embedded = embedded_server(settings)
    if embedded is not None:
        try:
            return DatabaseUrls(*(embedded.url(name) for name in _NAMES))
        except FileNotFoundError as error:
            msg = f"the embedded PostgreSQL in {embedded.home} was never started; run 'make demo' or 'make up'"
            raise UnavailableError(msg) from error
    parts = urlsplit(settings.environment.database_url or "")
    name = parts.path.lstrip("/")
    siblings = _NAMES if name == "triplegain" else (name, f"{name}_dagster", f"{name}_mlflow")
    return DatabaseUrls(*(urlunsplit(parts._replace(path=f"/{sibling}")) for sibling in siblings))


def create_databases(urls: DatabaseUrls) -> None:
    """Create those of the three databases that are missing.

    Raises:
        UnavailableError: the server cannot be reached, or refuses.
    """
    parts = urlsplit(urls.triplegain)
    place = f"{parts.hostname}:{parts.port or 5432}"
    names = [urlsplit(url).path.lstrip("/") for url in (urls.triplegain, urls.dagster, urls.mlflow)]
    try:
        with _connect_anywhere(parts.geturl()) as connection:
            known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name in known:
                    continue
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
                if name != names[0]:
                    # Projections: a power cut may cost them their last moments. The trading database never.
                    connection.execute(
                        sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
                    )
    except psycopg.Error as error:
        cause = str(error).strip().splitlines()[0]
        msg = f"the database server at {place} did not let us in: {cause}; check TRIPLEGAIN_DATABASE_URL"
        raise UnavailableError(msg) from error


def _connect_anywhere(url: str) -> psycopg.Connection:
    parts = urlsplit(url)
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
        return psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True, connect_timeout=5)
