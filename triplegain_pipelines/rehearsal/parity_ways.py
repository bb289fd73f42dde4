"""One plan through all three ways, each with books of its own, and what differs."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg import sql

from triplegain_pipelines.rehearsal.parity import compare_runs
from triplegain_pipelines.rehearsal.parity_live import run_live
from triplegain_pipelines.rehearsal.parity_paper import run_backtest, run_paper
from triplegain_pipelines.rehearsal.parity_report import ParityReport
from triplegain_pipelines.rehearsal.parity_run import ParityPlan, Run, Way
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres

OpenBooks = Callable[[str], AbstractContextManager[Database]]
"""Opens an empty, migrated database of that name."""

WAYS: dict[Way, Callable[[Database, ParityPlan], Run]] = {
    Way.BACKTEST: run_backtest,
    Way.PAPER: run_paper,
    Way.LIVE: run_live,
}
# Nothing of it is kept, so that no commit need wait for the disk.
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def go_all_ways(plan: ParityPlan, opened: OpenBooks) -> dict[Way, Run]:
    """The plan through each way."""
    runs = {}
    for way, run in WAYS.items():
        with opened(way.value) as database:
            runs[way] = run(database, plan)
    return runs


def parity_reports(runs: dict[Way, Run]) -> tuple[ParityReport, ...]:
    """Each way against the one before it."""
    return tuple(compare_runs(first, second) for first, second in pairwise(runs.values()))


@contextmanager
def throwaway_books() -> Iterator[OpenBooks]:
    """Databases on an embedded server of their own, of which nothing stays."""
    with ExitStack() as leaving:
        folder = leaving.enter_context(tempfile.TemporaryDirectory(prefix="triplegain-"))
        server = EmbeddedPostgres(Path(folder), _QUICK)
        # Where it lies is decided when it starts.
        leaving.callback(lambda: shutil.rmtree(server.home, ignore_errors=True))
        leaving.callback(server.stop)
        server.ensure()

        @contextmanager
        def opened(name: str) -> Iterator[Database]:
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            database = Database(server.url(name))
            try:
                database.migrate()
                yield database
            finally:
                database.close()

        yield opened
