"""An embedded server of a test's own, which may be killed and comes back at the same address."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres

# Commits survive the death of the server: it is the machine that never fails here.
_QUICK = {"fsync": "off", "full_page_writes": "off"}


class KillablePostgres(EmbeddedPostgres):
    """See the module.

    Args:
        home: the folder.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, _QUICK)

    def kill(self) -> None:
        """End all of its processes at once."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        os.kill(pid, signal.SIGSTOP)  # a session that it opens after the count would outlive it
        family = [*postmaster.children(recursive=True), postmaster]
        for process in family:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        while any(map(_lives, family)):
            time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    """Dead are also those that process 1 has not buried yet."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def killable_database(home: Path) -> Iterator[tuple[KillablePostgres, Database]]:
    """A server with a migrated database `triplegain`; nothing of it stays."""
    server = KillablePostgres(home)
    server.ensure()
    try:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE triplegain")
        database = Database(server.url("triplegain"))
        database.migrate()
        yield server, database
        database.close()
    finally:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)
