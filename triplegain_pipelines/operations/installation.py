"""Makes a home ready: the server, its databases and migrations, the Dagster instance, the processes' environment."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from triplegain_pipelines.settings import PROJECT, Settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import (
    DatabaseUrls,
    create_databases,
    database_urls,
    embedded_server,
    with_driver,
)


@contextmanager
def running_home(settings: Settings) -> Iterator[DatabaseUrls]:
    """A home whose server runs and whose schema is the newest; the environment of this process is set.

    The embedded server is stopped at the end unless another process uses it.

    Raises:
        UnavailableError: the database server cannot be started or reached.
    """
    server = embedded_server(settings)
    if server is not None:
        server.ensure()
    try:
        urls = database_urls(settings)
        create_databases(urls)
        database = Database(urls.triplegain)
        database.migrate()
        database.close()
        _write_instance(settings)
        os.environ.update(process_environment(settings, urls))
        yield urls
    finally:
        if server is not None:
            server.stop()


def revive_server(settings: Settings) -> None:
    """Start the home's embedded server again if it died while it was in use; a server of one's own is left alone.

    Raises:
        UnavailableError: it does not start.
    """
    server = embedded_server(settings)
    if server is not None:
        server.revive()


def process_environment(settings: Settings, urls: DatabaseUrls) -> dict[str, str]:
    """What every process of ours needs in its environment before it imports anything heavy."""
    return {
        "DAGSTER_HOME": str(settings.home / "dagster"),
        "TRIPLEGAIN_DAGSTER_URL": with_driver(urls.dagster),
        # A range of days in one run is as many events as days: one statement for all of them.
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "TRIPLEGAIN_HOME": str(settings.home),
        "TRIPLEGAIN_PROFILE": settings.environment.profile,
        # Without a network litellm's price-map thread and mlflow's import hook wait for each other for ever.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "DO_NOT_TRACK": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "TZ": "UTC",
    }


def _write_instance(settings: Settings) -> None:
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT / "dagster.yaml", folder / "dagster.yaml")
