"""Starts the parts that run all the time, watches them, and stops them all together.

It belongs to `triplegain up`: on a server, a service manager does the same with the same commands.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, UnavailableError

_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.2
_TEND_SECONDS = 2.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A process to keep running.

    `port` is where it listens on loopback and `health_path` what answers there once it is ready; a part
    without a port is ready when its `socket` takes connections, or at once if it has none. `after` names the
    parts that must be ready first. `secrets` go into this part's environment only, never into its arguments,
    which everybody on the machine can read.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    health_path: str = "/"
    socket: Path | None = None
    after: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    restarts: bool = False

    @property
    def address(self) -> str | None:
        """Where a person finds it."""
        return f"http://127.0.0.1:{self.port}" if self.port else None

    def is_ready(self) -> bool:
        """Whether it answers now."""
        if self.port:
            return _answers(f"{self.address}{self.health_path}")
        return self.socket is None or _accepts(self.socket)


class Supervisor:
    """Runs `parts` as children of this process until one of them dies or a signal comes.

    Args:
        parts: what to run.
        environment: the children's environment.
        logs: folder of one log file for each part.
        tend: called every few seconds; looks after what the parts rest on.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        environment: Mapping[str, str],
        logs: Path,
        tend: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts = parts
        self._tend = tend
        self._environment = {**os.environ, **environment}
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        self._stop_asked = False

    def run(self, ready: Callable[[Part], None], timeout: float = 120) -> None:
        """Start all parts, call `ready` for each that answers, and wait.

        Raises:
            UnavailableError: a part died, or did not answer within `timeout` seconds.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._signals():
            try:
                self._start_all(ready, monotonic_seconds() + timeout)
                tended = monotonic_seconds()
                while not self._stop_asked:
                    if monotonic_seconds() - tended > _TEND_SECONDS:
                        self._tend()
                        tended = monotonic_seconds()
                    self._require_alive()
                    time.sleep(_POLL_SECONDS)
            finally:
                self._stop_all()

    def _start_all(self, ready: Callable[[Part], None], deadline: float) -> None:
        answering: set[str] = set()
        while len(answering) < len(self._parts) and not self._stop_asked:
            for part in self._parts:
                if part.name not in self._children and answering.issuperset(part.after):
                    self._children[part.name] = self._start(part)
                if part.name in self._children and part.name not in answering and part.is_ready():
                    answering.add(part.name)
                    ready(part)
            self._require_alive()
            if monotonic_seconds() > deadline:
                silent = ", ".join(part.name for part in self._parts if part.name not in answering)
                msg = f"{silent} did not answer in time; see the logs in {self._logs}"
                raise UnavailableError(msg)
            time.sleep(_POLL_SECONDS)

    def _start(self, part: Part) -> subprocess.Popen[bytes]:
        self._started_at[part.name] = monotonic_seconds()
        with (self._logs / f"{part.name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the commands are our own
                part.command,
                env={**self._environment, **part.secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )

    def _require_alive(self) -> None:
        for part in self._parts:
            child = self._children.get(part.name)
            if child is None or child.poll() is None or self._stop_asked:
                continue
            if not part.restarts:
                msg = f"{part.name} ended with exit code {child.returncode}; see {self._logs / part.name}.log"
                raise UnavailableError(msg)
            self._start_again(part)

    def _start_again(self, part: Part) -> None:
        """Start a part that died, once its wait is over; one that lasted a while waits the shortest time again."""
        lasted = monotonic_seconds() - self._started_at[part.name]
        wait = self._waits.get(part.name, _FIRST_WAIT_SECONDS)
        if lasted > _LONGEST_WAIT_SECONDS:
            wait = _FIRST_WAIT_SECONDS
        if lasted >= wait:
            self._waits[part.name] = min(2 * wait, _LONGEST_WAIT_SECONDS)
            self._children[part.name] = self._start(part)

    def _stop_all(self) -> None:
        for child in self._children.values():
            _signal_group(child, signal.SIGTERM)
        deadline = monotonic_seconds() + _STOP_SECONDS
        for child in self._children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - monotonic_seconds()))
        # Grandchildren share their parent's group, so this also ends what outlived its parent.
        for child in self._children.values():
            _signal_group(child, signal.SIGKILL)
            child.wait()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
            self._stop_asked = True

        before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the right to run the services of `home`: two daemons would do every job twice.

    Raises:
        InputError: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / ".up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        msg = f"the services of {home} already run; stop them first, or set TRIPLEGAIN_HOME to another folder"
        raise InputError(msg) from error
    try:
        yield
    finally:
        lock.release()


def require_free_port(name: str, port: int) -> None:
    """Check that the part `name` can listen on its port.

    Raises:
        InputError: the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            variable = f"TRIPLEGAIN_{name.upper()}_PORT"
            msg = f"port {port} for {name} is in use; stop what uses it, or set {variable} to another port"
            raise InputError(msg) from error


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _die_with_parent() -> None:
    # Should the supervisor be killed, the kernel ends its children.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
