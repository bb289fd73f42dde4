"""Ways in which a database fails while everything that uses it goes on, each of them begun and ended by a test."""

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil
import psycopg
from killable_postgres import KillablePostgres

NAME = "failing"
"""The database that fails."""

_FULL = """
CREATE FUNCTION public.disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
DO $$ DECLARE place regclass; BEGIN
    FOR place IN SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace IN ('live_trading'::regnamespace, 'ops'::regnamespace)
    LOOP
        EXECUTE format('CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION public.disk_is_full()', place);
    END LOOP;
END $$
"""


class Outage(Protocol):
    """A database that fails. `says` is part of what an error tells of it."""

    says: str

    def begin(self) -> None:
        """Fail from now on."""
        ...

    def end(self) -> None:
        """Be back."""
        ...


@dataclass
class Gone:
    """The server is killed, and started again."""

    server: KillablePostgres
    says: str = "127.0.0.1"

    def begin(self) -> None:
        """Kill it."""
        self.server.kill()

    def end(self) -> None:
        """Start it at the same port, as the supervisor does."""
        self.server.revive()


@dataclass
class OnlyRead:
    """What a failover to a standby looks like: every session is ended, and the new ones cannot write.

    A session that is ended while it is asked something may lose the server's last words: it sees that it was closed.
    """

    server: KillablePostgres
    says: str = (
        "read-only transaction|terminating connection|server closed the connection unexpectedly|the lock of the account"
    )

    def begin(self) -> None:
        """Let no new session write, and end the others."""
        self._ask(f"ALTER DATABASE {NAME} SET default_transaction_read_only = on", end_sessions=True)

    def end(self) -> None:
        """Let new sessions write. Those that there are stay as they are."""
        self._ask(f"ALTER DATABASE {NAME} RESET default_transaction_read_only", end_sessions=False)

    def _ask(self, statement: str, *, end_sessions: bool) -> None:
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute(statement.encode())
            if end_sessions:
                admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [NAME])


@dataclass
class Full:
    """A disk on which there is no room for another row."""

    server: KillablePostgres
    says: str = "No space left on device.*free some space"

    def begin(self) -> None:
        """Refuse every row."""
        with psycopg.connect(self.server.url(NAME), autocommit=True) as admin:
            admin.execute(_FULL.encode())

    def end(self) -> None:
        """Take rows again."""
        with psycopg.connect(self.server.url(NAME), autocommit=True) as admin:
            admin.execute("DROP FUNCTION public.disk_is_full CASCADE")


_ROWS = """
INSERT INTO live_trading.trading_events (account, sequence, occurred_at, kind, payload, previous_hash, hash)
SELECT 'filler', %s + number, now(), '', '{"x":"' || repeat('x', %s) || '"}', '', ''
FROM generate_series(1, %s) number
"""


@dataclass
class UsedUp:
    """The real thing: the server's processes may make the file of the account's events no larger.

    The log of transactions may still grow, or the server would end itself.
    """

    server: KillablePostgres
    says: str = "could not extend file"

    def begin(self) -> None:
        """Make the file larger than those of the log, and let it grow no more."""
        size, rows = 0, 0
        with psycopg.connect(self.server.url(NAME), autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")  # they are nobody's events
            admin.execute("ALTER TABLE live_trading.trading_events ALTER payload SET STORAGE PLAIN")
            while size <= 2**24:
                admin.execute(_ROWS, [rows, 7950, 500])
                rows += 500
                ((size,),) = admin.execute("SELECT pg_relation_size('live_trading.trading_events')").fetchall()
            self._limit(size)
            with suppress(psycopg.InternalError):
                while True:
                    admin.execute(_ROWS, [rows, 1, 1])
                    rows += 1

    def end(self) -> None:
        """Let it grow."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        """Only the account of the server's processes may set their limits."""
        pid = int((self.server.home / "data" / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        family = [postmaster, *postmaster.children()]
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                os.setgid(postmaster.gids().real)
                os.setuid(postmaster.uids().real)
                for process in family:
                    with suppress(ProcessLookupError):
                        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
