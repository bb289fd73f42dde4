"""The validation report from rows in a real database to page, JSON and the row that keeps it."""

import json
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from report_rows import ACCOUNT, HOUR, START, Period, add_breaker_changes, add_gap, add_refusals, copy_rows, plant

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.report import WrittenReport, write_validation_report
from triplegain_pipelines.store import performance
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.reports import latest_report
from triplegain_pipelines.store.results import result_hash

pytestmark = pytest.mark.integration

SYMBOLS = ("BTC/USDT", "ETH/USDT")
PAPER = "paper_trading"


@pytest.fixture
def planted(database: Database) -> Period:
    period = Period(skipped_hours=frozenset({40}))
    with database.connection() as connection:
        plant(connection, period)
        add_breaker_changes(connection)
        add_gap(connection)
        add_refusals(connection, period)
    return period


def write(database: Database, folder: Path, end: datetime, now: datetime | None = None) -> WrittenReport:
    return write_validation_report(
        database,
        PAPER,
        ACCOUNT,
        START,
        end,
        folder,
        symbols=SYMBOLS,
        interval=HOUR,
        config_hash="c0ffee",
        simulated=True,
        baseline=True,
        generated_at=now or end + HOUR,
    )


def test_the_figures_are_those_of_the_rows(database: Database, planted: Period, tmp_path: Path) -> None:
    """B3, O5: each figure of the report against a sum over the planted rows, made in Python and not in SQL."""
    report = write(database, tmp_path, planted.end).report
    inputs = report.inputs
    rows = {table: planted.rows.get((schema, table), []) for schema, table in planted.rows}
    trades = rows["trades"]
    assert inputs.trading.closed == len(trades) > 5
    assert inputs.trading.net_profit == pytest.approx(float(sum(row["profit"] for row in trades)))
    assert inputs.trading.wins == sum(row["profit"] > 0 for row in trades)
    assert inputs.portfolio.final_equity == pytest.approx(float(rows["equity"][-1]["equity"]))
    assert inputs.portfolio.days == 3
    assert (inputs.decisions_due, inputs.decisions.made) == (144, 142)
    assert inputs.agent_calls == 142 * 6
    assert inputs.agent_errors == sum(row["status"] == "abstained" for row in rows["seat_forecasts"])
    assert inputs.counts.orders == len(rows["intents"])
    assert inputs.counts.modified == sum(row["status"] == "MODIFIED" for row in rows["verdicts"])
    assert inputs.execution.latency_p95_seconds == pytest.approx(0.04)
    assert inputs.execution.slippage_bps == pytest.approx(5, abs=0.01)
    assert len(inputs.positions) == len(rows["positions"])
    assert [change.to_state for change in inputs.breaker_changes] == ["OPEN", "HALF_OPEN", "CLOSED"]
    assert [(gap.symbol, gap.missing) for gap in inputs.gaps] == [("BTC/USDT", 7)]
    assert inputs.code_versions == {
        "consensus": ["consensus-1"],
        "snapshot": ["snapshot-1"],
        "technical": ["technical-1"],
    }
    assert [(item.status, item.code, item.count) for item in inputs.refusals] == [
        ("REFUSED", "DRAWDOWN_PAUSED", 2),
        ("EXPIRED", "EXPIRED", 1),
    ]
    settled = {(row["symbol"], row["as_of"]): row["went_up"] for row in rows["forecast_outcomes"]}
    unanimous = [row for row in rows["consensus_decisions"] if row["unanimous"]]
    right = [settled.get((row["symbol"], row["as_of"])) is (row["p_up"] > 0.5) for row in unanimous]
    assert inputs.decisions.unanimous_right == sum(right)
    names = {item.name for item in inputs.forecasters}
    assert {"gpt", "grok", "deepseek", "claude_sonnet", "claude_opus", "qwen", "consensus"} < names


def test_benchmarks_start_at_the_first_open_of_the_period(database: Database, planted: Period, tmp_path: Path) -> None:
    """B1: buy-and-hold from the first open to the last close of the stored one-minute candles."""
    inputs = write(database, tmp_path, planted.end).report.inputs
    candles = [row for row in planted.rows["market", "candles"] if row["symbol"] == "BTC/USDT"]
    assert inputs.bitcoin is not None
    assert inputs.bitcoin.total_return == pytest.approx(candles[-1]["close"] / candles[0]["open"] - 1)


def test_a_second_report_of_the_same_rows_adds_nothing(database: Database, planted: Period, tmp_path: Path) -> None:
    """O5: a report that is asked for twice is one report, in the folder and in the table."""
    first = write(database, tmp_path, planted.end)
    again = write(database, tmp_path, planted.end, now=planted.end + 5 * HOUR)
    assert (first.path_html, first.path_json) == (again.path_html, again.path_json)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([first.path_html.name, first.path_json.name, "plotly.min.js"])
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM ops.reports").fetchone() == (1,)
        kept = latest_report(connection, ACCOUNT)
    assert kept is not None
    verdict, path, document = kept
    assert (verdict, path) == ("FAILED", first.path_html.name)
    assert document == json.loads(first.path_json.read_text())


def test_a_part_of_the_period_begins_with_the_equity_of_then(
    database: Database, planted: Period, tmp_path: Path
) -> None:
    """O5: a report over the last 24 hours must not count the profit of the days before."""
    with database.connection() as connection:
        account = performance.read_account(connection, PAPER, ACCOUNT)
        start = performance.starting_equity(connection, PAPER, account, START + 48 * HOUR)
        before = performance.trade_records(connection, PAPER, ACCOUNT, START, START + 48 * HOUR)
        after = performance.trade_records(connection, PAPER, ACCOUNT, START + 48 * HOUR, planted.end)
        marks = performance.equity_curve(connection, PAPER, ACCOUNT, START + 48 * HOUR, planted.end)
    rows = planted.rows[PAPER, "equity"]
    assert start == next(row["equity"] for row in rows if row["at"] == START + 48 * HOUR)
    assert marks.height == 24
    assert len(before) + len(after) == len(planted.rows[PAPER, "trades"])


def test_what_lies_after_now_is_not_missing(database: Database, planted: Period, tmp_path: Path) -> None:
    """B3: decisions that are not due yet must not lower the uptime of a running day."""
    inputs = write(database, tmp_path, planted.end, now=START + 24 * HOUR).report.inputs
    assert (inputs.decisions_due, inputs.decisions.made) == (48, 48)
    assert inputs.end == START + 24 * HOUR


def test_an_account_in_a_replay_is_labelled(database: Database, planted: Period, tmp_path: Path) -> None:
    """DESIGN rule 8: a replay must not pass for paper trading in real time."""
    with database.connection() as connection:
        copy_rows(
            connection,
            "ops",
            "replays",
            [
                {
                    "account": ACCOUNT,
                    "symbols": "{BTC/USDT}",
                    "venue": "simulated",
                    "starts_at": START,
                    "ends_at": planted.end,
                    "config_hash": "c0ffee",
                }
            ],
        )
    report = write(database, tmp_path, planted.end).report
    assert "Replay" in [label.title for label in report.labels]
    assert not report.counts_for_live


def test_an_unknown_account_and_an_empty_period_are_one_clear_line(
    database: Database, planted: Period, tmp_path: Path
) -> None:
    """Issue 2, 7: wrong arguments say what to do, and nothing is written."""
    with pytest.raises(InputError, match="the period of the report is empty"):
        write(database, tmp_path, START - HOUR)
    with database.connection() as connection, pytest.raises(InputError, match="no account 'nobody'"):
        performance.read_account(connection, PAPER, "nobody")
    assert list(tmp_path.iterdir()) == []


def test_the_result_hash_sees_each_decision_order_fill_and_mark(
    connection: psycopg.Connection, database: Database, planted: Period
) -> None:
    """Issue 2, 2: two runs with one different row must not have the same result hash."""

    def current() -> str:
        return result_hash(connection, PAPER, ACCOUNT, planted.end)

    connection.execute("ALTER TABLE paper_trading.orders DISABLE TRIGGER legal")  # no program could write such a row
    seen = {current()}
    assert current() in seen
    for statement in (
        "UPDATE research.consensus_decisions SET p_up = p_up / 2 WHERE account = %s AND symbol = 'BTC/USDT'",
        "UPDATE paper_trading.orders SET filled_quantity = filled_quantity / 2 WHERE account = %s",
        "UPDATE paper_trading.equity SET cash = cash + 1, equity = equity + 1 WHERE account = %s",
    ):
        connection.execute(statement, (ACCOUNT,))
        assert current() not in seen
        seen.add(current())
    connection.execute("UPDATE research.consensus_decisions SET recorded_at = now() WHERE account = %s", (ACCOUNT,))
    assert current() in seen
