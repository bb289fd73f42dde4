"""Issue 4, point 7: whole commands that are told to end in the middle: `up` with a run, a replay, a rehearsal."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from builders import decision, store_decisions
from homes import PROGRAM, Home, imported_home
from services_of_home import eventually, processes_of, up

from triplegain_pipelines.domain.clock import SystemClock, monotonic_seconds
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.desks import current_prices, paper_desk
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.outbox import OutboxStatus
from triplegain_pipelines.store.server import database_urls

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.long]

IN_TIME = 10
_UNRECORDED = """
SELECT client_order_id FROM paper_venue.orders v WHERE NOT EXISTS (
    SELECT 1 FROM paper_trading.orders o WHERE o.client_order_id = v.client_order_id AND o.submitted_at IS NOT NULL)
"""


def ports() -> dict[str, str]:
    """A free port for each part that listens."""
    with ExitStack() as open_now:
        probes = [open_now.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        names = ("TRIPLEGAIN_WEBSERVER_PORT", "TRIPLEGAIN_MLFLOW_PORT", "TRIPLEGAIN_REPORTS_PORT")
        return {name: str(probe.getsockname()[1]) for name, probe in zip(names, probes, strict=True)}


@contextmanager
def desk_of(home: Home) -> Iterator[Desk]:
    """The desk of the home's account in this process; the server has to run."""
    own = load_settings(Environment(home=home.path, profile="demo", database_url=None))
    clock, profile = SystemClock(), own.profile
    session = Session(profile.account, profile.venue, profile.symbols, replay=False, settings=own, clock=clock)
    database = Database(database_urls(own).triplegain)
    yield paper_desk(database, session, clock, current_prices(session))
    database.close()


def rows(desk: Desk, query: str) -> list[tuple[object, ...]]:
    with desk.database.connection() as connection:
        return connection.execute(query.encode()).fetchall()


def test_up_is_ended_in_the_middle_of_a_run(home: Home) -> None:
    """O9: runs, guardian and sensors wait for the database at that moment, and all of them leave, in time and clean."""
    with up(home, **ports()) as service:
        service.printed("  daemon ")
        service.printed("  guardian ")
        with desk_of(home) as desk:
            beat = "SELECT 1 FROM ops.heartbeats WHERE name = '{}'"
            for name in ("breakers", "guardian"):
                eventually(lambda name=name: rows(desk, beat.format(name)), f"the heartbeat of {name}")
            at = desk.clock.now()
            price = float(desk.prices.quote("BTC/USDT", at).price)
            made = decision("BTC/USDT", at, account=desk.account, venue=desk.market, price=price, atr=price / 100)
            store_decisions(desk.database, [made])
            queue_decisions(desk, [made])
            with suppress(TransientError), account_transaction(desk, None):
                waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
                eventually(lambda: runs(home), "a run")
                eventually(lambda: len(rows(desk, waiting)) >= 2, "the run and the sensor to wait for the books")
                code, seconds = service.stop()
    assert (code, seconds < IN_TIME) == (0, True), (seconds, service.lines)
    assert processes_of(home) == []
    assert "Traceback" not in (home.path / "logs" / "guardian.log").read_text()

    server = EmbeddedPostgres(home.path / "postgres")
    server.ensure()
    try:
        with desk_of(home) as desk:
            assert rows(desk, _UNRECORDED) == []
            guard(desk)
            with OrderPath(desk) as path:
                assert path.execute(made.decision_id) is OutboxStatus.DONE
    finally:
        server.stop()


def runs(home: Home) -> list[psutil.Process]:
    """Runs at work: children of the code server."""
    servers = [one for one in processes_of(home) if "grpc" in one.cmdline()]
    return [child for one in servers for child in one.children() if "spawn_main" in " ".join(child.cmdline())]


@contextmanager
def running(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command at work; what it prints is thrown away."""
    with subprocess.Popen(
        [str(PROGRAM), *arguments],
        env=home.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, float]:
    started = monotonic_seconds()
    process.terminate()
    reader = threading.Thread(target=process.stderr.read, daemon=True)  # type: ignore[union-attr]
    reader.start()
    return process.wait(60), monotonic_seconds() - started


def test_a_replay_is_ended_in_the_middle_of_its_walk(tmp_path: Path, recorded_data: Path) -> None:
    """O9: it stops the server that it started, and what its venue has done by then is in its books."""
    home = imported_home(tmp_path / "home", recorded_data)
    days = ("--from", "2024-08-08", "--to", "2024-08-10")
    with home.rows() as connection:
        connection.autocommit = True
        with running(home, "replay", "--symbols", "BTC/USDT,ETH/USDT", *days, "--json") as process:
            events = "SELECT 1 FROM paper_trading.trading_events OFFSET 5 LIMIT 1"
            eventually(lambda: connection.execute(events).fetchall(), "the walk")
            code, seconds = ended(process)
        assert connection.execute(_UNRECORDED.encode()).fetchall() == []
    assert code != 0
    assert seconds < IN_TIME
    assert processes_of(home) == []


def test_a_rehearsal_is_ended_with_all_its_processes(home: Home) -> None:
    """O9: its trader, its exchange and its server are processes of their own, and none may stay."""
    with running(home, "rehearse", "--minutes", "600") as process:
        family = psutil.Process(process.pid)
        eventually(lambda: len(family.children(recursive=True)) > 3, "its processes", 90)
        children = family.children(recursive=True)
        code, seconds = ended(process)
    assert code != 0
    assert seconds < IN_TIME
    eventually(lambda: not [one for one in children if lives(one)], "its processes to end", 10)


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
