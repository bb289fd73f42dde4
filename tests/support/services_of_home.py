"""Services of a home in processes of their own, and waiting for what they do."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from homes import PROGRAM, Home

from triplegain_pipelines.domain.clock import monotonic_seconds

_Seen = TypeVar("_Seen")
_POLL_SECONDS = 0.2

# What `triplegain up` does, with some of the parts only.
_SERVE = """
import sys
from triplegain_pipelines.operations.installation import process_environment, running_home
from triplegain_pipelines.services.parts import service_parts
from triplegain_pipelines.services.supervisor import Supervisor
from triplegain_pipelines.settings import settings
own = settings()
with running_home(own) as urls:
    parts = [part for part in service_parts(own, urls) if part.name in sys.argv[1:]]
    environment = process_environment(own, urls)
    Supervisor(parts, environment, own.home / "logs").run(lambda part: print(part.name, flush=True))
"""


def eventually(look: Callable[[], _Seen], awaited: str, seconds: float = 60) -> _Seen:
    """The first truthy answer of `look`; a failure that names what was `awaited` if none comes in time."""
    deadline = monotonic_seconds() + seconds
    while not (seen := look()):
        assert monotonic_seconds() < deadline, f"waited {seconds:.0f} s in vain for {awaited}"
        time.sleep(_POLL_SECONDS)
    return seen


@dataclass
class Service:
    """A running command, and the lines it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def printed(self, text: str, seconds: float = 120) -> str:
        """Wait for a line that holds `text`."""

        def look() -> str:
            found = next((line for line in self.lines if text in line), "")
            assert found or self.process.poll() is None, f"it ended before it printed {text!r}: {self.lines}"
            return found

        return eventually(look, repr(text), seconds)

    def stop(self) -> tuple[int, float]:
        """SIGTERM it; its exit code and the seconds it took to end."""
        started = monotonic_seconds()
        self.process.terminate()
        return self.process.wait(60), monotonic_seconds() - started


@contextmanager
def serving(home: Home, *parts: str) -> Iterator[Service]:
    """These parts of `triplegain up` on `home`, running and ready."""
    with _started(home, [sys.executable, "-c", _SERVE, *parts]) as service:
        for part in parts:
            service.printed(part)
        yield service


@contextmanager
def up(home: Home, **environment: str) -> Iterator[Service]:
    """`triplegain up` on `home`, started only."""
    with _started(home, [str(PROGRAM), "up"], **environment) as service:
        yield service


def processes_of(home: Home) -> list[psutil.Process]:
    """Every process whose command line or environment names the home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(home.path) in text for text in told):
            found.append(process)
    return found


@contextmanager
def _started(home: Home, command: list[str], **environment: str) -> Iterator[Service]:
    with subprocess.Popen(
        command,
        env=home.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        service = Service(process)
        # A pipe that nobody reads would block the program one day.
        reader = threading.Thread(target=lambda: service.lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        try:
            yield service
        finally:
            if process.poll() is None:
                service.stop()
            reader.join(10)
