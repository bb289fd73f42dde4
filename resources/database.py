"""The trading database, opened once for each run and closed at its end."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import database_urls


class DatabaseResource(dg.ConfigurableResource[Database]):
    """Hands out `Database`. The address comes from the environment, so no password is in any run's config."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Database]:  # noqa: ARG002
        """Open the pool, and close it when the run ends."""
        database = Database(database_urls(settings()).triplegain)
        try:
            yield database
        finally:
            database.close()
