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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, UnavailableError

_STOP_SECONDS = 7.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A process to keep running; `address` answers over HTTP once it is ready, if it has one."""

    name: str
    command: Sequence[str]
    port: int | None = None
    health_path: str = "/"

    @property
    def address(self) -> str | None:
        """Where a person finds it."""
        return f"http://127.0.0.1:{self.port}" if self.port else None


class Supervisor:
    """Runs `parts` as children of this process until one of them dies or a signal comes.

    Args:
        parts: what to run.
        environment: the children's environment.
        logs: folder of one log file for each part.
    """

    def __init__(self, parts: Sequence[Part], environment: Mapping[str, str], logs: Path) -> None:
        self._parts = parts
        self._environment = dict(environment)
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stop_asked = False

    def run(self, ready: Callable[[Part], None], timeout: float = 120) -> None:
        """Start all parts, call `ready` for each that answers, and wait.

        Raises:
            InputError: a port is in use.
            UnavailableError: a part died, or did not answer within `timeout` seconds.
        """
        for part in self._parts:
            require_free_port(part)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._signals():
            try:
                for part in self._parts:
                    self._children[part.name] = self._start(part)
                for part in self._parts:
                    if self._await_ready(part, timeout):
                        ready(part)
                while not self._stop_asked:
                    self._require_alive()
                    time.sleep(0.2)
            finally:
                self._stop_all()

    def _start(self, part: Part) -> subprocess.Popen[bytes]:
        with (self._logs / f"{part.name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the commands are our own
                part.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
            )

    def _await_ready(self, part: Part, timeout: float) -> bool:
        deadline = monotonic_seconds() + timeout
        while not self._stop_asked:
            self._require_alive()
            if part.address is None or _answers(part.address + part.health_path):
                return True
            if monotonic_seconds() > deadline:
                msg = f"{part.name} did not answer at {part.address} within {timeout:.0f} s; see {self._log(part.name)}"
                raise UnavailableError(msg)
            time.sleep(0.2)
        return False

    def _require_alive(self) -> None:
        for name, child in self._children.items():
            if child.poll() is not None and not self._stop_asked:
                msg = f"{name} ended with exit code {child.returncode}; see {self._log(name)}"
                raise UnavailableError(msg)

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

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


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


def require_free_port(part: Part) -> None:
    """Check that a part can listen on its port.

    Raises:
        InputError: the port is in use.
    """
    if part.port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", part.port))
        except OSError as error:
            variable = f"TRIPLEGAIN_{part.name.upper()}_PORT"
            msg = f"port {part.port} for {part.name} is in use; stop what uses it, or set {variable} to another port"
            raise InputError(msg) from error


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _die_with_parent() -> None:
    # Should the supervisor be killed, the kernel ends its children.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
