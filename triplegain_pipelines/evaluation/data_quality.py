"""The data-quality report: great-expectations suites over stored tables, and Data Docs for people.

The only module that imports great_expectations. Frames are checked at the edges of assets by pandera
(market/contracts); this looks at what the tables hold in the end. Data Docs are a projection: they are built anew
each time.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from triplegain_pipelines.domain.decisions import Action, Regime
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.evaluation.wording import moment
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store import quality
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import with_driver

_SITE = "data_docs"
_Expectations: TypeAlias = list[Any]  # great_expectations.expectations.Expectation


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

    `summary_path` is the page to open; `docs_path` is the first page of Data Docs, which is empty without a network.
    """

    success: bool
    suites: tuple[SuiteResult, ...]
    summary_path: Path
    docs_path: Path


def write_quality_report(
    database: Database,
    folder: Path,
    *,
    venue: str,
    symbols: Sequence[str],
    account: str,
    start: datetime,
    end: datetime,
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

    Raises:
        UnavailableError: the database does not answer; the Data Docs that are there stay.
    """
    database.analyze()
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    context = _context(building)
    source = context.data_sources.add_postgres("triplegain", connection_string=with_driver(database.url))
    tables: list[tuple[str, str, _Expectations]] = [
        ("market.candles", quality.candles(venue, symbols, start, end), _candles()),
        ("market.rollups", quality.rollups(venue, symbols, start, end), _rollups()),
        ("research.consensus_decisions", quality.decisions(account, start, end), _decisions()),
    ]
    validations = []
    for table, query, expectations in tables:
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
    )
    write_atomically(building / "summary.html", summary)
    shutil.rmtree(folder, ignore_errors=True)
    building.replace(folder)
    return QualityReport(success, suites, folder / "summary.html", folder / "index.html")


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


def _candles() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *_prices(),
        gxe.ExpectColumnValuesToBeInSet(column="timeframe", value_set=[item.value for item in Timeframe]),
        gxe.ExpectColumnValuesToBeBetween(column="trades", min_value=0),
        gxe.ExpectColumnValuesToNotBeNull(column="source"),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OUTLIER, description="no candle is more than half as high again as it is low"
        ),
    ]


def _rollups() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *_prices(),
        gxe.ExpectColumnValuesToBeInSet(column="timeframe", value_set=[item.value for item in ROLLUP_TIMEFRAMES]),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.TOO_MANY_MINUTES,
            description="no roll-up is made of more minutes than its timeframe has",
        ),
    ]


def _prices() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in ("open", "high", "low", "close", "volume")),
        gxe.ExpectColumnValuesToBeBetween(column="close", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0),
        gxe.UnexpectedRowsExpectation(unexpected_rows_query=quality.REPEATED_BAR, description="each bar is there once"),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OHLC_BROKEN,
            description="the low is the lowest and the high the highest price of each candle",
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OFF_GRID, description="every candle opens on the grid of its timeframe"
        ),
    ]


def _decisions() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInSet(column="action", value_set=[item.value for item in Action]),
        gxe.ExpectColumnValuesToBeInSet(column="regime", value_set=[item.value for item in Regime]),
        gxe.ExpectColumnValuesToBeInSet(column="reason_code", value_set=[item.value for item in ReasonCode]),
        gxe.ExpectColumnValuesToBeBetween(column="p_up", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="agreement", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="answers", min_value=0, max_value=6),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.REPEATED_DECISION, description="each moment is decided once"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.NEW_RISK_WITHOUT_QUORUM, description="no new risk without a quorum"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.EXPIRED_BEFORE_MADE, description="no decision expires before it is made"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.CONFIDENCE_IS_NOT_THE_LARGER_SIDE,
            description="the confidence is the larger of p_up and 1 - p_up",
        ),
    ]


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
