"""`triplegain up` for real: everything starts and answers, stops in time, and leaves nothing behind."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from homes import Home
from services_of_home import Service, eventually, processes_of, up

from triplegain_pipelines.store.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_INSTIGATORS = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation {
    repositories { schedules { name scheduleState { status } } sensors { name sensorState { status } } } } } } } } }
"""


_LISTENING = ("webserver", "mlflow", "reports")
_VARIABLES = tuple(f"TRIPLEGAIN_{part.upper()}_PORT" for part in _LISTENING)


def free_ports() -> dict[str, str]:
    """A port for each listening part that nobody listens on now, in the variable that sets it."""
    with ExitStack() as open_now:
        probes = [open_now.enter_context(socket.socket()) for _ in _VARIABLES]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: str(probe.getsockname()[1]) for name, probe in zip(_VARIABLES, probes, strict=True)}


@dataclass(frozen=True)
class Running:
    """A home on which `triplegain up` has started everything."""

    home: Home
    ports: dict[str, str]
    service: Service

    @property
    def addresses(self) -> list[str]:
        """Where the listening parts are."""
        return [f"http://127.0.0.1:{port}" for port in self.ports.values()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`triplegain up`, all parts ready."""
    home, ports = Home(tmp_path_factory.mktemp("services") / "home"), free_ports()
    with up(home, **ports) as service:
        for part in ("mlflow", "reports", "code", "webserver", "daemon"):
            service.printed(f"  {part} ")
        yield Running(home, ports, service)


def fetched(address: str, body: dict[str, str] | None = None) -> bytes:
    """What a GET, or a POST of JSON, answers; an HTTP error is an exception."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
        return bytes(answer.read())


def states(address: str) -> dict[str, str]:
    """Name and state of every schedule and sensor, as the webserver tells them."""
    answer: dict[str, Any] = json.loads(fetched(f"{address}/graphql", {"query": _INSTIGATORS}))
    (location,) = answer["data"]["workspaceOrError"]["locationEntries"]
    (repository,) = location["locationOrLoadError"]["repositories"]
    schedules = {made["name"]: made["scheduleState"]["status"] for made in repository["schedules"]}
    return schedules | {made["name"]: made["sensorState"]["status"] for made in repository["sensors"]}


def answered(address: str) -> bool:
    """Whether the page gives its answer now."""
    try:
        return bool(states(address))
    except OSError:
        return False


def test_the_addresses_it_prints_answer(running: Running) -> None:
    """O9: a person who cannot find the pages, or finds them dead."""
    for part, address in zip(_LISTENING, running.addresses, strict=True):
        assert running.service.printed(f"  {part} ").split() == [part, address]
        assert b"<html" in fetched(address).lower()


def test_every_schedule_and_sensor_runs(running: Running) -> None:
    """D4: a system that is up and does nothing, because somebody would have to switch it on first."""
    names = (
        "allocation_schedule",
        "breaker_sensor",
        "budget_sensor",
        "decision_schedule",
        "execution_sensor",
        "expire_schedule",
        "market_data_schedule",
        "repair_schedule",
        "reports_schedule",
        "sweep_schedule",
    )
    # Rebalancing is a person's choice: it sells what the seats have bought.
    assert states(running.addresses[0]) == dict.fromkeys(names, "RUNNING") | {"rebalance_schedule": "STOPPED"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_second_one_of_the_same_home_is_refused(running: Running, *, elsewhere: bool) -> None:
    """Two daemons on one instance do every job twice; who is told of a port takes another one and has two."""
    refused = running.home.run("up", **(free_ports() if elsewhere else running.ports))
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"the services of {running.home.path} already run" in refused.stderr


def test_a_command_beside_it_leaves_it_running(running: Running) -> None:
    """The database server belongs to the home: a command that ends must not take it from the services."""
    assert [account["account"] for account in running.home.json("status")["accounts"]] == ["demo"]
    assert EmbeddedPostgres(running.home.path / "postgres").is_running()
    assert states(running.addresses[0])


def test_a_database_that_is_killed_comes_back(running: Running) -> None:
    """O9: without its database nothing trades, and nobody is there to start it again."""
    folder = running.home.path / "postgres"
    server = EmbeddedPostgres(folder)
    postmaster = psutil.Process(int((server.home / "data" / "postmaster.pid").read_text().split()[0]))
    postmaster.kill()
    eventually(lambda: not server.is_running(), "the database to be gone", 10)
    eventually(server.is_running, "the database to be back", 30)
    assert running.service.process.poll() is None, running.service.lines
    assert running.home.json("status")["accounts"]
    eventually(lambda: answered(running.addresses[0]), "the page to answer again", 30)


def test_a_signal_stops_everything_in_time(running: Running) -> None:
    """O9: a daemon, a run or a database server that outlives Ctrl-C would go on unseen."""
    left = processes_of(running.home)
    commands = " ".join(" ".join(process.cmdline()) for process in left)
    assert all(part in commands for part in ("dagster-webserver", "dagster-daemon", "api grpc", "mlflow", "postgres"))
    code, seconds = running.service.stop()
    assert code == 0, running.service.lines
    assert seconds < 10
    # Process 1 may take its time to reap what the database server left it.
    assert [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert processes_of(running.home) == []
    assert not EmbeddedPostgres(running.home.path / "postgres").is_running()


@pytest.mark.parametrize(("part", "variable"), list(zip(_LISTENING, _VARIABLES, strict=True)))
def test_a_port_in_use_is_one_clear_line(home: Home, part: str, variable: str) -> None:
    """A page of somebody else's behind our address, or a traceback for what a person can mend."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = home.run("up", **(free_ports() | {variable: str(port)}))
    assert refused.returncode == 1
    (line,) = refused.stderr.strip().splitlines()
    assert f"port {port} for {part} is in use" in line
    assert variable in line
    assert processes_of(home) == []
    assert not (home.path / "postgres").exists()
