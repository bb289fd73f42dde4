"""Fixtures that every test may use: a PostgreSQL server, a fresh database, the recorded data.

The server is the embedded one, or the one that TRIPLEGAIN_TEST_TIMESCALE_URL names: a superuser's URL of any database
of a PostgreSQL with TimescaleDB, and with its toolkit if it has that. The tests are the same on both.
"""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from filelock import FileLock
from servers import NamedServer, Server, fresh_database, make_template

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.store import embedded
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
# Hundreds of thousands of objects of Dagster, MLflow and litellm live until the end. At the interpreter's own threshold
# of 700, going through them once more and again is a tenth of the tests' time.
gc.set_threshold(20_000, 10, 10)

# How long an example takes says how busy the machine is, and nothing about the law.
hypothesis.settings.register_profile("undisturbed", deadline=None)
hypothesis.settings.load_profile("undisturbed")

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"
MEMORY = Path("/dev/shm")  # noqa: S108 - folders of its own, which a password guards
ROOM = 2 << 30
_FIRST_WORKER = "gw0"
_REPEATED = {"properties", "e2e"}
_QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "max_wal_size": "'128MB'",
}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Each worker imports all tests and the whole project; watching one of them do so is enough, at ten seconds each.

    What is there then stays until the end: the collector of garbage need not go through it again.
    """
    coverage = getattr(session.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    watched = coverage if os.environ.get("PYTEST_XDIST_WORKER", _FIRST_WORKER) != _FIRST_WORKER else None
    if watched is not None:
        watched.pause()
    found = yield
    if watched is not None:
        watched.resume()
    gc.freeze()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow goes first and is not watched, nor are laws: they do the same thing very often.

    Last, a long file would leave the other workers idle. And the kernels that its commands compile, each of them once,
    are there for the tests after it; workers that begin with the backtests compile all of them at the same time.
    """
    items.sort(key=lambda item: "e2e" not in item.path.parts)
    for item in items:
        if item.get_closest_marker("slow") is not None or _REPEATED & set(item.path.parts):
            item.add_marker("no_cover")


@pytest.fixture(scope="session", autouse=True)
def no_cluster_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As root the clusters of temporary homes live outside of the temporary folder, and nobody would delete them."""
    yield
    _forget_clusters(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def no_venue_is_remembered() -> Iterator[None]:
    """A server of this test may get the port of one before it, whose markets a process remembers by their address."""
    yield
    exchange = sys.modules.get("triplegain_pipelines.market.venues.exchange")
    if exchange is not None:
        exchange._opened.cache_clear()


@pytest.fixture(scope="session")
def plain_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One embedded server for all workers; its template holds the migrated schema."""
    shared = _shared(tmp_path_factory)
    folder = _folder_in_memory(shared) or shared / "postgres"
    server = EmbeddedPostgres(folder, _QUICK)
    with FileLock(shared / "postgres.lock"):
        server.ensure()
        make_template(server)
    yield server
    with FileLock(shared / "postgres.lock"):
        _leave(server, folder)


@pytest.fixture(scope="session")
def timescale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedServer]:
    """The server that TRIPLEGAIN_TEST_TIMESCALE_URL names; the test is skipped where it names none."""
    url = os.environ.get("TRIPLEGAIN_TEST_TIMESCALE_URL")
    if not url:
        pytest.skip("no server with TimescaleDB: TRIPLEGAIN_TEST_TIMESCALE_URL is not set")
    shared = _shared(tmp_path_factory)
    server = NamedServer(url, shared)
    with FileLock(shared / "timescale.lock"):
        server.use()
        make_template(server)
    yield server
    with FileLock(shared / "timescale.lock"):
        server.leave()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Server:
    """The server of the tests: the one that was named, else the embedded one."""
    named = os.environ.get("TRIPLEGAIN_TEST_TIMESCALE_URL")
    server: Server = request.getfixturevalue("timescale" if named else "plain_postgres")
    return server


@pytest.fixture
def database(postgres: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh, migrated database of the test's own."""
    with fresh_database(postgres, request.node.nodeid) as opened:
        yield opened


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


def _shared(factory: pytest.TempPathFactory) -> Path:
    own = factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


def _folder_in_memory(shared: Path) -> Path | None:
    """A database for each test is hundreds of files: a disk takes twenty times as long to make them as memory does."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM):
        return None  # containers often have 64 MiB of it
    own = MEMORY / f"triplegain_{content_hash(str(shared))[:12]}"
    with FileLock(shared / "memory.lock"):
        for left_behind in MEMORY.glob("triplegain_*"):
            if left_behind != own and os.access(left_behind, os.W_OK):
                _leave(EmbeddedPostgres(left_behind), left_behind)
    return own


def _leave(server: EmbeddedPostgres, folder: Path) -> None:
    """Use the server no longer; the last one to leave takes its files away."""
    server.stop()
    if not server.is_running():
        _forget_clusters(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _forget_clusters(under: Path) -> None:
    for owner in embedded.ROOT_HOME.glob("*/belongs_to"):
        place = owner.parent
        if Path(owner.read_text()).is_relative_to(under) and not (place / "data" / "postmaster.pid").exists():
            shutil.rmtree(place, ignore_errors=True)
