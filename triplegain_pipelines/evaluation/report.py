"""Writing the validation report of an account: collect the rows, judge them, write page and JSON, keep the row.

The same rows give the same report: a second writing replaces the same two files and adds no row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.benchmarks import benchmarks, hold_name
from triplegain_pipelines.evaluation.comparison import HORIZON_HOURS, compare_forecasters
from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.happenings import tell_happenings
from triplegain_pipelines.evaluation.performance import execution_metrics, portfolio_metrics, trade_metrics
from triplegain_pipelines.evaluation.report_page import place_plotly, render_page
from triplegain_pipelines.evaluation.report_view import shown_facts
from triplegain_pipelines.evaluation.rewording import TEMPLATE, Writer, reword
from triplegain_pipelines.evaluation.validation import ValidationReport, build_validation, decisions_due
from triplegain_pipelines.evaluation.validation_inputs import BITCOIN, SymbolFigures, ValidationInputs
from triplegain_pipelines.store import evidence, performance, results
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.reports import save_report

_HOURLY_FROM = timedelta(days=3)  # shorter periods get prices of five minutes


@dataclass(frozen=True)
class WrittenReport:
    """A report and where it lies."""

    path_html: Path
    path_json: Path
    report: ValidationReport


def write_validation_report(
    database: Database,
    schema: str,
    account: str,
    start: datetime,
    end: datetime,
    folder: Path,
    *,
    symbols: Sequence[str],
    interval: timedelta,
    config_hash: str,
    simulated: bool,
    baseline: bool,
    generated_at: datetime,
    writer: Writer | None = None,
) -> WrittenReport:
    """Write the account's report over a period into `folder`, which gets plotly.js too.

    Args:
        database: where the rows are.
        schema: `paper_trading` or `live_trading`.
        account: whose report it is.
        start: beginning of the period; a later opening of the account moves it there.
        end: its end; what lies after `generated_at` is cut off.
        folder: where the page and the JSON go.
        symbols: what the account trades, in the order of the report.
        interval: time between two decisions in a symbol, which decides how many were due.
        config_hash: hash of the configuration that the account ran with.
        simulated: whether the market is a simulated one.
        baseline: whether baselines sit in the seats.
        generated_at: the present.
        writer: who words the sentences of the page; None for the template. The JSON and the row keep the template's.

    Raises:
        InputError: there is no such account, or the period is empty.
        UnavailableError: the database does not answer; nothing is written then.
    """
    database.analyze()
    with database.connection() as connection:
        inputs = collect(
            connection,
            schema,
            account,
            start,
            min(end, generated_at),
            symbols=symbols,
            interval=interval,
            config_hash=config_hash,
            simulated=simulated,
            baseline=baseline,
        )
    report = build_validation(inputs)
    document = report_document(report)
    name = f"validation-{account}-{inputs.start:%Y%m%dT%H%M}-{inputs.end:%Y%m%dT%H%M}"
    written = WrittenReport(folder / f"{name}.html", folder / f"{name}.json", report)
    page = render_page(report, generated_at, reword(writer, shown_facts(inputs)) if writer else TEMPLATE)
    place_plotly(folder)
    write_atomically(written.path_html, page)
    write_atomically(written.path_json, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    with database.connection() as connection:
        save_report(
            connection,
            account=account,
            start=inputs.start,
            end=inputs.end,
            verdict=report.verdict,
            document=document,
            path=written.path_html.name,
            created_at=generated_at,
        )
    return written


def collect(
    connection: psycopg.Connection,
    schema: str,
    account: str,
    start: datetime,
    end: datetime,
    *,
    symbols: Sequence[str],
    interval: timedelta,
    config_hash: str,
    simulated: bool,
    baseline: bool,
) -> ValidationInputs:
    """Read everything that a report of the account over `[start, end]` rests on, in the caller's transaction.

    Raises:
        InputError: there is no such account, or the period is empty.
    """
    opened = performance.read_account(connection, schema, account)
    start = max(start, opened.opened_at)
    if end <= start:
        msg = (
            f"the period of the report is empty: account {account!r} was opened at {opened.opened_at.isoformat()} "
            f"and the period ends at {end.isoformat()}; choose a later end"
        )
        raise InputError(msg)
    place = (connection, schema, account, start, end)
    equity = performance.equity_curve(*place)
    trades = performance.trade_records(*place)
    orders = performance.executed_orders(*place)
    starting_equity = float(performance.starting_equity(connection, schema, opened, start))
    mean_equity = float(equity["equity"].mean() if equity.height else starting_equity)  # type: ignore[arg-type]
    prices = evidence.prices(
        connection,
        opened.venue,
        sorted({*symbols, f"{BITCOIN}/{opened.currency}"}),
        start=start,
        end=end,
        step=timedelta(hours=1) if end - start >= _HOURLY_FROM else timedelta(minutes=5),
    )
    held = benchmarks(prices, symbols, start, end, starting_equity)
    returns = {benchmark.name: benchmark.total_return for benchmark in held}
    return ValidationInputs(
        account=opened,
        schema=schema,
        start=start,
        end=end,
        symbols=tuple(symbols),
        simulated=simulated or opened.simulated,
        baseline=baseline,
        replay=evidence.is_replay(connection, account),
        config_hash=config_hash,
        result_hash=results.result_hash(connection, schema, account, end),
        code_versions=evidence.code_versions(connection, account, start, end),
        equity=equity,
        prices=prices,
        trades=trades,
        positions=performance.open_positions(connection, schema, account, end),
        portfolio=portfolio_metrics(equity, start, end, starting_equity),
        trading=trade_metrics(trades),
        execution=execution_metrics(orders, mean_equity),
        by_symbol=[
            SymbolFigures(
                symbol=symbol,
                trades=trade_metrics([trade for trade in trades if trade.symbol == symbol]),
                hold_return=returns.get(hold_name(symbol)),
            )
            for symbol in symbols
        ],
        benchmarks=held,
        decisions_due=decisions_due(start, end, interval, symbols),
        decisions=evidence.decision_counts(connection, account, start, end, HORIZON_HOURS),
        calls=evidence.seat_calls(connection, account, start, end),
        forecasters=compare_forecasters(connection, account, start, end, interval),
        counts=performance.trading_counts(*place),
        reasons=performance.reason_counts(*place),
        breaker_changes=evidence.breaker_changes(connection, account, start, end),
        gaps=evidence.candle_gaps(connection, opened.venue, symbols, start, end),
        happenings=tell_happenings(connection, schema, account, opened.currency, start, end),
    )


def report_document(report: ValidationReport) -> dict[str, Any]:
    """The report as JSON values, without curves. It holds no time of writing, so equal rows give an equal document."""
    inputs = report.inputs
    counts = inputs.counts
    document = {
        "account": inputs.account.account,
        "schema": inputs.schema,
        "venue": inputs.account.venue,
        "currency": inputs.account.currency,
        "symbols": inputs.symbols,
        "period": {"start": inputs.start, "end": inputs.end, "days": inputs.days},
        "labels": [label.title for label in report.labels],
        "verdict": report.verdict,
        "counts_for_live": report.counts_for_live,
        "summary": report.summary,
        "criteria": [asdict(criterion) for criterion in report.criteria],
        "counts": {
            "decisions_due": inputs.decisions_due,
            "decisions": inputs.decisions.made,
            "forecasts": inputs.agent_calls,
            "abstentions": inputs.agent_calls - sum(calls.answered for calls in inputs.calls),
            **asdict(counts),
            "trades": inputs.trading.closed,
        },
        "portfolio": asdict(inputs.portfolio),
        "trades": asdict(inputs.trading),
        "execution": asdict(inputs.execution),
        "by_symbol": [asdict(figures) for figures in inputs.by_symbol],
        "benchmarks": {
            benchmark.name: {"total_return": benchmark.total_return, "max_drawdown": benchmark.max_drawdown}
            for benchmark in inputs.benchmarks
        },
        "decisions": asdict(inputs.decisions),
        "forecasters": [asdict(score) for score in inputs.forecasters],
        "calls": [asdict(calls) for calls in inputs.calls],
        "refusals": [{"code": reason.code, "count": reason.count} for reason in inputs.refusals],
        "reasons": [asdict(reason) for reason in inputs.reasons],
        "breaker_changes": [asdict(change) for change in inputs.breaker_changes],
        "gaps": [asdict(gap) for gap in inputs.gaps],
        "happenings": [
            {"at": one.at, "kind": one.kind, "sentence": one.sentence, "rows": [asdict(row) for row in one.rows]}
            for one in inputs.happenings
        ],
        "open_positions": [asdict(position) for position in inputs.positions],
        "config_hash": inputs.config_hash,
        "result_hash": inputs.result_hash,
        "code_versions": inputs.code_versions,
    }
    values: dict[str, Any] = json.loads(canonical_json(document))
    return values
