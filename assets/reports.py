"""Reports of an account: the validation of its trading, the quality of its data, its seats compared in MLflow."""

from datetime import timedelta

import dagster as dg

from assets.metadata import page_address, table
from assets.partitions import Window
from assets.portfolio import BOOKS
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database

_BOOKS = [book.key for book in BOOKS]


@dg.asset(
    group_name="reports", deps=[*_BOOKS, "consensus_decisions", "forecast_outcomes"], code_version="1", kinds={"html"}
)
def validation_report(
    config: Window, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Whether the account's trading holds up: criteria, benchmarks, refusals, seats. A page, a JSON file and a row."""
    from triplegain_pipelines.evaluation.report import report_document
    from triplegain_pipelines.evaluation.report_evidence import row_list
    from triplegain_pipelines.operations.reporting import validate_account

    written = validate_account(database, session, *config.period(session.clock.now()))
    report = written.report
    rows = [
        {"criterion": c.title, "value": c.value, "threshold": c.threshold, "outcome": c.outcome}
        for c in report.criteria
    ]
    told = [
        {"at": one.at, "what": one.kind.value, "in words": one.sentence, "rows": row_list(one.rows)}
        for one in report.inputs.happenings[-20:]
    ]
    return dg.MaterializeResult(
        metadata={
            "verdict": report.verdict.value,
            "summary": dg.MetadataValue.md(report.summary),
            "criteria": table(rows),
            "what happened": table(told),
            "page": dg.MetadataValue.url(page_address(session.settings, written.path_html)),
            "json": dg.MetadataValue.path(written.path_json),
        },
        data_version=dg.DataVersion(content_hash(report_document(report))),
    )


@dg.asset(group_name="reports", deps=_BOOKS, code_version="1", kinds={"postgres"})
def trade_journal(database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]) -> dg.MaterializeResult:
    """Every closed trade told: why, how it went in multiples of its risk, what it cost, what was learnt."""
    from triplegain_pipelines.operations.journal import keep_journal, newest_entries

    written = keep_journal(database, session.schema, session.account)
    newest = newest_entries(database, session.schema, session.account, 20)
    rows = [
        {"closed": one.closed_at, "symbol": one.symbol, "R": one.r_multiple, "how": one.how, "learnt": one.learnt}
        for one in newest
    ]
    return dg.MaterializeResult(metadata={"new entries": written, "newest": table(rows)})


@dg.asset(group_name="reports", deps=[validation_report, "leaderboard"], code_version="2", kinds={"mlflow"})
def model_comparison(
    config: Window, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """The seats, the consensus and the baselines side by side in MLflow: a projection that can be made again."""
    from triplegain_pipelines.operations.model_tracking import compare_models

    # Windows that end at full hours, so that two projections within an hour are about the same one.
    hour = floor_to(session.clock.now(), timedelta(hours=1))
    projected = compare_models(database, session, *config.period(hour))
    address = f"http://127.0.0.1:{session.settings.environment.mlflow_port}/#/experiments/{projected.experiment_id}"
    return dg.MaterializeResult(
        metadata={
            "in MLflow": dg.MetadataValue.url(f"{address}/runs/{projected.run_id}"),
            "changed": projected.changed,
            "runs": table([{"run": name, "id": run} for name, run in projected.nested.items()]),
            "registered models": table(
                [{"model": name, "versions": len(known)} for name, known in projected.versions.items()]
            ),
        }
    )


@dg.asset(
    group_name="reports",
    deps=["candles", "rollups", "consensus_decisions"],
    code_version="1",
    kinds={"greatexpectations"},
)
def data_quality_report(
    config: Window, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """The expectations on the stored tables, with Data Docs for people."""
    from triplegain_pipelines.operations.reporting import check_quality

    quality = check_quality(database, session, *config.period(session.clock.now()))
    rows = [
        {"suite": s.name, "success": s.success, "expectations": s.expectations, "failed": s.failed}
        for s in quality.suites
    ]
    return dg.MaterializeResult(
        metadata={
            "success": quality.success,
            "suites": table(rows),
            "data docs": dg.MetadataValue.url(page_address(session.settings, quality.summary_path)),
        }
    )
