"""The database that a benchmark writes to: one of its own, unless its first argument names one."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres


@contextmanager
def fresh_database() -> Iterator[Database]:
    """A migrated database that is gone afterwards, unless it was given."""
    if len(sys.argv) > 1:
        database = Database(sys.argv[1])
        database.migrate()
        yield database
        database.close()
        return
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        server.ensure()
        database = Database(server.url())
        database.migrate()
        yield database
        database.close()
        server.stop()
