"""Fixtures that every test may use: the embedded PostgreSQL, a fresh database, the recorded data."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from psycopg import sql

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.store import embedded
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


@pytest.fixture(scope="session", autouse=True)
def no_cluster_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As root the clusters of temporary homes live outside of the temporary folder, and nobody would delete them."""
    yield
    _forget_clusters(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One embedded server for all workers; its template holds the migrated schema."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    server = EmbeddedPostgres(shared / "postgres", _QUICK)
    with FileLock(shared / "postgres.lock"):
        server.ensure()
        _make_template(server)
    yield server
    with FileLock(shared / "postgres.lock"):
        server.stop()
        _forget_clusters(shared / "postgres")


@pytest.fixture
def database(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh, migrated database of the test's own."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{content_hash(request.node.nodeid)[:12]}"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE migrated").format(sql.Identifier(name)))
    opened = Database(postgres.url(name))
    yield opened
    opened.close()
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """An open connection of the fresh database, rolled back at the end."""
    with database.connection() as opened:
        yield opened


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded market data; the test is skipped where it is absent."""
    if not RECORDED.is_dir():
        pytest.skip("recorded market data is not here: it lies beside the project in shared/data")
    return RECORDED


def _forget_clusters(under: Path) -> None:
    for owner in embedded.ROOT_HOME.glob("*/belongs_to"):
        place = owner.parent
        if Path(owner.read_text()).is_relative_to(under) and not (place / "data" / "postmaster.pid").exists():
            shutil.rmtree(place, ignore_errors=True)


def _make_template(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = 'migrated'").fetchone():
            return
        admin.execute("CREATE DATABASE migrated TEMPLATE template0")
    template = Database(server.url("migrated"))
    template.migrate()
    template.close()
