"""The embedded PostgreSQL belongs to its folder: it goes with it, and serves nobody else."""

import shutil
from pathlib import Path

import psycopg
import pytest
from killable_postgres import killable_database

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.store.embedded import EmbeddedPostgres

pytestmark = pytest.mark.integration


def test_a_folder_made_again_has_no_old_data(tmp_path: Path) -> None:
    """A home that was deleted must not come back with its old account: as root its data lie in another place."""
    folder = tmp_path / "home" / "postgres"
    first = EmbeddedPostgres(folder)
    assert first.ensure()
    try:
        with psycopg.connect(first.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE remembered")
    finally:
        first.stop()
    assert first.ensure()  # started again, it has what it had
    with psycopg.connect(first.url("remembered")):
        pass
    first.stop()

    shutil.rmtree(tmp_path / "home")
    second = EmbeddedPostgres(folder)
    assert not second.is_running()
    assert second.ensure()
    try:
        with psycopg.connect(second.url()) as connection:
            assert connection.execute("SELECT 1 FROM pg_database WHERE datname = 'remembered'").fetchall() == []
    finally:
        second.stop()


def test_a_server_that_was_killed_comes_back_at_its_address(tmp_path: Path) -> None:
    """M3: running processes know the server by its address; at another one they would never find it again."""
    with killable_database(tmp_path) as (server, database):
        with database.connection() as connection:
            connection.execute("INSERT INTO ops.heartbeats VALUES ('breakers', 'demo', now())")
        assert not server.revive()
        server.kill()
        with pytest.raises(UnavailableError):
            database.check()
        assert server.revive()
        with database.autocommit() as connection:
            assert connection.execute("SELECT count(*) FROM ops.heartbeats").fetchone() == (1,)


def test_the_last_to_leave_stops_the_server(tmp_path: Path) -> None:
    """`make up` started while `make demo` was at work: the end of the demo must not take the server from it."""
    demo, services = EmbeddedPostgres(tmp_path), EmbeddedPostgres(tmp_path)
    assert demo.ensure()
    assert not services.ensure()
    demo.stop()
    assert services.is_running()
    services.stop()
    assert not services.is_running()


@pytest.mark.parametrize(("folder", "socket"), [("a 'home'", True), ("long" * 25, False)])
def test_it_is_reached_through_its_socket(tmp_path: Path, folder: str, *, socket: bool) -> None:
    """T2: loopback costs a tenth of a decision's time; where the path is too long for a socket it has to do."""
    server = EmbeddedPostgres(tmp_path / folder)
    server.ensure()
    try:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            (address,) = connection.execute("SELECT inet_client_addr()").fetchone() or ()
        assert (address is None) is (socket or len(str(server.home)) < len(folder))
    finally:
        server.stop()
