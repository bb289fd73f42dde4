"""The supervisor with real processes: what it starts it stops, and what dies is said."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.services.supervisor import Part, Supervisor, only_one, require_free_port

pytestmark = pytest.mark.integration

# A child with a grandchild, as Dagster's webserver has: both must go.
_FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
_STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(name: str, code: str, **more: object) -> Part:
    """A part that runs a line of Python."""
    return Part(name=name, command=(sys.executable, "-c", code), **more)  # type: ignore[arg-type]


def test_a_signal_stops_every_process_and_grandchild(tmp_path: Path) -> None:
    """O9: a daemon that outlives Ctrl-C would go on trading unseen."""
    server = Part(
        name="server",
        command=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port := free_port())),
        port=port,
    )
    parts = [server, python("family", _FAMILY, after=("server",)), python("stubborn", _STUBBORN, after=("server",))]
    family: list[psutil.Process] = []

    def ready(part: Part) -> None:
        if part.name == "stubborn":
            while len(family) < 4:
                family[:] = psutil.Process().children(recursive=True)
            os.kill(os.getpid(), signal.SIGTERM)

    Supervisor(parts, {}, tmp_path).run(ready)
    assert len(family) == 4
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_part_that_dies_is_named_and_takes_the_rest_along(tmp_path: Path) -> None:
    """O9: half a system must not look like a running one."""
    parts = [python("steady", "import time; time.sleep(600)"), python("broken", "raise SystemExit(3)")]
    with pytest.raises(UnavailableError, match="broken ended with exit code 3"):
        Supervisor(parts, {}, tmp_path).run(lambda _part: None)
    assert not psutil.Process().children()


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """O9: after SIGKILL of the supervisor an orphaned daemon would go on placing orders."""
    code = (
        "import sys; from pathlib import Path; from triplegain_pipelines.services.supervisor import Part, Supervisor\n"
        "part = Part(name='child', command=(sys.executable, '-c', 'import time; time.sleep(600)'))\n"
        f"Supervisor([part], {{}}, Path({str(tmp_path)!r})).run(lambda part: print('ready', flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        (child,) = psutil.Process(supervisor.pid).children()
        supervisor.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_secrets_reach_the_environment_and_not_the_command_line(tmp_path: Path) -> None:
    """X8: everybody on a machine can read the arguments of a process."""
    part = python("keeper", "import os; raise SystemExit(len(os.environ['KEY']))", secrets={"KEY": "planted"})
    with pytest.raises(UnavailableError, match="exit code 7"):
        Supervisor([part], {}, tmp_path).run(lambda _part: None)
    assert "planted" not in " ".join(part.command)


def test_a_port_in_use_is_a_clear_error() -> None:
    """A person must learn which port, and which variable changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} for mlflow is in use.*TRIPLEGAIN_MLFLOW_PORT"):
            require_free_port("mlflow", port)


def test_two_supervisors_of_one_home_are_refused(tmp_path: Path) -> None:
    """Two daemons on one instance do every job twice."""
    refused = threading.Event()

    def second() -> None:
        try:
            with only_one(tmp_path):
                pass
        except InputError:
            refused.set()

    with only_one(tmp_path):
        other = threading.Thread(target=second)
        other.start()
        other.join()
    assert refused.is_set()


def test_a_part_that_may_restart_is_started_again(tmp_path: Path) -> None:
    """M3: a stream service that was killed must come back by itself, and the rest must go on meanwhile."""
    code = (
        "import os, signal, sys, time; from pathlib import Path; born = Path(sys.argv[1]) / 'births'; "
        "born.open('a').write('x'); births = born.stat().st_size; "
        "os.kill(*((os.getppid(), signal.SIGTERM) if births == 2 else (os.getpid(), signal.SIGKILL))); time.sleep(600)"
    )
    mortal = Part(name="mortal", command=(sys.executable, "-c", code, str(tmp_path)), restarts=True)
    Supervisor([python("steady", "import time; time.sleep(600)"), mortal], {}, tmp_path).run(lambda _part: None)
    assert (tmp_path / "births").read_text() == "xx"
