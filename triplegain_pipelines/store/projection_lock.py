"""One projection into MLflow at a time: two that begin together would each make the runs that the other one makes."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.store.database import Database

_WAIT_SECONDS = 60


@contextmanager
def projecting_alone(mlflow: Database) -> Iterator[None]:
    """Hold the lock of MLflow's database while the block runs.

    Raises:
        UnavailableError: the database does not answer, or another projection has held the lock for a minute.
    """
    with mlflow.autocommit() as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{_WAIT_SECONDS}s"])
        try:
            connection.execute("SELECT pg_advisory_lock(hashtextextended('triplegain.projection', 0))")
        except psycopg.errors.LockNotAvailable as error:
            msg = f"another projection has been writing into {mlflow.place} for {_WAIT_SECONDS} s; try again later"
            raise UnavailableError(msg) from error
        yield
