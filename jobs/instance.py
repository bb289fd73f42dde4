"""The home's Dagster instance, for a command that works through whole runs in its own process."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

_NO_TIMEOUT = 0  # milliseconds
_SECONDS_OF_A_CONNECTION = 3600
_MORE_AT_ONCE = 20


@contextmanager
def busy_instance() -> Iterator[dg.DagsterInstance]:
    """An instance that keeps its connections for the next statement, as Dagster's web server does.

    By itself Dagster opens a connection for each: some seven hundred in a replay of two days, each of them a new
    process of the server, were a fifth of its time.
    """
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_NO_TIMEOUT, _SECONDS_OF_A_CONNECTION, _MORE_AT_ONCE)
        yield instance
