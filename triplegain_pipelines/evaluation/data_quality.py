"""The data-quality report: great-expectations suites over stored tables, and Data Docs for people.

With `quality_suites` the only module that imports great_expectations. Frames are checked at the edges of assets by
pandera (market/contracts); this looks at what the tables hold in the end. Data Docs are a projection: they are built
anew each time.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.evaluation.quality_figures import (
    CODE_MEANINGS,
    KIND_MEANINGS,
    QualityFigures,
    quality_figures,
)
from triplegain_pipelines.evaluation.quality_suites import suites_of
from triplegain_pipelines.evaluation.wording import moment
from triplegain_pipelines.settings.market import QualitySettings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import with_driver

_SITE = "data_docs"


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """A suite over one table: how many expectations, and those that failed, in words.

    The name says so where the market is a simulated one.
    """

    name: str
    success: bool
    expectations: int
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The result of all suites.

    `figures` are what stands beside them on the page.
    `summary_path` is the page to open; `docs_path` is the first page of Data Docs, which is empty without a network.
    """

    success: bool
    suites: tuple[SuiteResult, ...]
    summary_path: Path
    docs_path: Path
    figures: QualityFigures


def write_quality_report(
    database: Database,
    folder: Path,
    *,
    venue: str,
    symbols: Sequence[str],
    account: str,
    start: datetime,
    end: datetime,
    rules: QualitySettings | None = None,
) -> QualityReport:
    """Check the rows of `[start, end)` and build Data Docs into `folder`, in place of those that are there.

    Args:
        database: where the rows are.
        folder: where Data Docs go; `summary.html` in it is the page to open.
        venue: whose candles and roll-ups are checked.
        symbols: of which symbols.
        account: whose decisions are checked.
        start: beginning of the period.
        end: its end.
        rules: what counts as doubtful, to look at stored history once more; None does not look.

    Raises:
        UnavailableError: the database does not answer; the Data Docs that are there stay.
    """
    database.analyze()
    figures = quality_figures(database, venue, symbols, start, end, rules)
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    context = _context(building)
    source = context.data_sources.add_postgres("triplegain", connection_string=with_driver(database.url))
    validations = []
    for table, query, expectations in suites_of(venue, symbols, account, start, end):
        name = f"{table}, simulated market" if venue == SIMULATED_VENUE else table
        asset = source.add_query_asset(name=name, query=query)
        batch = asset.add_batch_definition(f"{start:%Y-%m-%d} to {end:%Y-%m-%d}")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        validations.append(
            context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
        )
    checkpoint = context.checkpoints.add(gx.Checkpoint(name="tables", validation_definitions=validations))
    outcome = checkpoint.run()
    context.build_data_docs(site_names=[_SITE])
    suites = tuple(_result(result) for result in outcome.run_results.values())
    success = all(suite.success for suite in suites)
    summary = render_template(
        "quality.html",
        success=success,
        suites=suites,
        links={suite.name: _page_of(building, suite.name) for suite in suites},
        period=f"{moment(start)} to {moment(end)} UTC",
        symbols=symbols,
        venue=venue,
        account=account,
        simulated=venue == SIMULATED_VENUE,
        figures=figures,
        code_meanings=CODE_MEANINGS,
        kind_meanings=KIND_MEANINGS,
        moment=moment,
    )
    write_atomically(building / "summary.html", summary)
    shutil.rmtree(folder, ignore_errors=True)
    building.replace(folder)
    return QualityReport(success, suites, folder / "summary.html", folder / "index.html", figures)


def _page_of(folder: Path, suite: str) -> str:
    """Address of the suite's page of results, relative to `folder`."""
    pages = (folder / "validations" / Path(*suite.split("."))).rglob("*.html")
    return quote(next(pages).relative_to(folder).as_posix())


def _context(folder: Path) -> Any:  # noqa: ANN401
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for name in context.get_site_names():
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        site_name=_SITE,
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())},
        },
    )
    return context


def _result(result: Any) -> SuiteResult:  # noqa: ANN401
    return SuiteResult(
        name=str(result.suite_name),
        success=bool(result.success),
        expectations=len(result.results),
        failed=tuple(_words(item) for item in result.results if not item.success),
    )


def _words(item: Any) -> str:  # noqa: ANN401
    configuration = item.expectation_config
    column = configuration.kwargs.get("column") or ", ".join(configuration.kwargs.get("column_list", ()))
    words = configuration.description or configuration.type.replace("_", " ")
    error = next((info["exception_message"] for info in _exceptions(item) if info.get("exception_message")), None)
    count = item.result.get("unexpected_count") or item.result.get("observed_value")
    found = error or ("no value" if count is None else f"{count} rows")
    return f"{words} ({column}): {found}" if column else f"{words}: {found}"


def _exceptions(item: Any) -> Sequence[dict[str, Any]]:  # noqa: ANN401
    info = item.exception_info or {}
    return [info] if "exception_message" in info else [value for value in info.values() if isinstance(value, dict)]
