"""What happened, read from the rows of a real database: nothing is missed, nothing told twice, every row is there."""

import json
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from report_rows import ACCOUNT, HOUR, SEATS, START, Period, add_breaker_changes, add_refusals, copy_rows, plant

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.evaluation.happenings import Happening, HappeningKind, tell_happenings
from triplegain_pipelines.evaluation.report import write_validation_report
from triplegain_pipelines.evaluation.wording import meaning
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

PAPER = "paper_trading"
KEYS = {
    "research.consensus_decisions": "decision_id::text",
    "research.seat_forecasts": "forecast_id::text",
    "ops.breaker_changes": "account || '/' || name || '/' || sequence",
    "paper_trading.outbox": "outbox_id::text",
    "paper_trading.verdicts": "proposal_id::text",
    "paper_trading.orders": "client_order_id::text",
    "paper_trading.trades": "account || '/' || decision_id || '/' "
    "|| to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"+00:00\"')",
}


@pytest.fixture
def planted(connection: psycopg.Connection) -> Period:
    period = Period(skipped_hours=frozenset({40}), seed=5)
    plant(connection, period)
    add_breaker_changes(connection)
    add_refusals(connection, period)
    return period


def told(connection: psycopg.Connection, period: Period) -> list[Happening]:
    return tell_happenings(connection, PAPER, ACCOUNT, "USDT", START, period.end)


def count(happened: list[Happening], kind: HappeningKind) -> int:
    return sum(one.kind is kind for one in happened)


def test_every_kind_is_counted_by_its_rows(connection: psycopg.Connection, planted: Period) -> None:
    """A8: against the planted rows, counted in Python and not in SQL."""
    happened = told(connection, planted)
    rows = planted.rows
    stopped = sum(row["exit_leg"] == "STOP" for row in rows[PAPER, "trades"])
    assert count(happened, HappeningKind.STOP_TAKEN) == stopped > 0
    modified = sum(row["status"] == "MODIFIED" for row in rows[PAPER, "verdicts"])
    assert count(happened, HappeningKind.SIZE_CUT) == modified > 0
    assert count(happened, HappeningKind.REFUSED) == 3
    assert count(happened, HappeningKind.BREAKER_OPENED) == 1
    assert count(happened, HappeningKind.REVERSAL) == 0
    assert [one.at for one in happened] == sorted(one.at for one in happened)


def test_every_row_that_is_named_exists(connection: psycopg.Connection, planted: Period) -> None:
    """A8: a sentence whose rows cannot be found is a claim, and no evidence."""
    turn(connection, planted)
    silence(connection, "gpt", "SEAT_BUDGET", 3)
    happened = told(connection, planted)
    assert {one.kind for one in happened} == set(HappeningKind) - {HappeningKind.SEAT_BENCHED}
    links = {row for one in happened for row in one.rows}
    assert all(one.rows for one in happened)
    for table, key in KEYS.items():
        wanted = [row.key for row in links if row.table == table]
        found = connection.execute(f"SELECT {key} FROM {table} WHERE {key} = ANY(%s)", (wanted,)).fetchall()  # noqa: S608
        assert sorted(row[0] for row in found) == sorted(wanted) != [], table
    assert {row.table for row in links} == set(KEYS)


def turn(connection: psycopg.Connection, period: Period) -> None:
    """Bitcoin is a bull for a day and a bear from then on."""
    connection.execute(
        "UPDATE research.consensus_decisions SET regime = CASE WHEN as_of < %s THEN 'trending_bull'"
        " ELSE 'volatile_bear' END WHERE symbol = 'BTC/USDT'",
        (START + 24 * HOUR,),
    )
    assert period.symbols[0] == "BTC/USDT"


def silence(connection: psycopg.Connection, seat: str, code: str, hours: int) -> list[UUID]:
    """The seat is not asked in the first hours of the second day."""
    rows = connection.execute(
        "UPDATE research.seat_forecasts f SET status = 'abstained', reason_code = %s, action = NULL, confidence = NULL,"
        " p_up_4h = NULL, p_up_24h = NULL FROM research.snapshots s WHERE s.snapshot_id = f.snapshot_id"
        " AND f.seat = %s AND s.as_of >= %s AND s.as_of < %s RETURNING f.forecast_id",
        (code, seat, START + 24 * HOUR, START + (24 + hours) * HOUR),
    ).fetchall()
    return [row[0] for row in rows]


def test_a_turn_over_midnight_is_told_of_the_second_day(connection: psycopg.Connection, planted: Period) -> None:
    """A8: a report of one day that looks at that day only would miss what the night turned."""
    turn(connection, planted)
    day = [START + 24 * HOUR, START + 48 * HOUR]
    turned = [
        one for one in tell_happenings(connection, PAPER, ACCOUNT, "USDT", *day) if one.kind is HappeningKind.REVERSAL
    ]
    assert [one.sentence.split(":")[0] for one in turned] == ["BTC/USDT turned down"]
    first_day = tell_happenings(connection, PAPER, ACCOUNT, "USDT", START, day[0])
    assert count(first_day, HappeningKind.REVERSAL) == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [("SEAT_BENCHED", HappeningKind.SEAT_BENCHED), ("SEAT_BUDGET", HappeningKind.SEAT_OUT_OF_BUDGET)],
)
def test_a_seat_that_is_passed_over_is_told_once_a_day(
    connection: psycopg.Connection, planted: Period, code: str, kind: HappeningKind
) -> None:
    """A8: five sentences an hour about one empty purse would bury everything else."""
    assert "grok" in SEATS
    silent = silence(connection, "grok", code, 5)
    [one] = [one for one in told(connection, planted) if one.kind is kind]
    assert sorted(row.key for row in one.rows) == sorted(map(str, silent))
    assert "was passed over 10 times this day" in one.sentence


def test_a_refusal_by_risk_is_told_once(connection: psycopg.Connection, planted: Period) -> None:
    """A8: the verdict and the outbox tell of one and the same refusal; two sentences would be two refusals."""
    decisions = planted.rows["research", "consensus_decisions"]
    in_outbox, not_in_outbox = decisions[0]["decision_id"], decisions[9]["decision_id"]
    for decision in (in_outbox, not_in_outbox):
        reject(connection, decision, ["DRAWDOWN_PAUSED", "BREAKER_OPEN"])
    refused = {one.rows[0].key: one for one in told(connection, planted) if one.kind is HappeningKind.REFUSED}
    assert len(refused) == count(told(connection, planted), HappeningKind.REFUSED) == 4
    both, alone = refused[str(in_outbox)], refused[str(not_in_outbox)]
    assert [row.table.rpartition(".")[2] for row in both.rows] == ["consensus_decisions", "outbox", "verdicts"]
    assert [row.table.rpartition(".")[2] for row in alone.rows] == ["consensus_decisions", "verdicts"]
    assert both.sentence.endswith(f"{meaning('DRAWDOWN_PAUSED')} {meaning('BREAKER_OPEN')}")


def reject(connection: psycopg.Connection, decision: UUID, codes: list[str]) -> None:
    """Risk rejects what the decision proposes."""
    proposal = deterministic_id("rejected proposal", decision)
    common = {"proposal_id": proposal, "account": ACCOUNT}
    proposed = {"decision_id": decision, "symbol": "BTC/USDT", "kind": "OPEN", "direction": "LONG", "document": "{}"}
    copy_rows(connection, PAPER, "proposals", [{**common, **proposed, "proposed_at": START + HOUR}])
    reasons = json.dumps([{"code": code, "context": {}} for code in codes])
    given = {"status": "REJECTED", "reasons": reasons, "outcome": "{}", "inputs": "{}", "decided_at": START + HOUR}
    copy_rows(connection, PAPER, "verdicts", [{**common, **given}])


def test_the_report_tells_what_happened(database: Database, tmp_path: Path) -> None:
    """A8: a narrative that no person is shown is none; the page and the JSON carry sentences and rows."""
    period = Period(skipped_hours=frozenset({40}), seed=5)
    with database.connection() as connection:
        plant(connection, period)
        add_breaker_changes(connection)
        add_refusals(connection, period)
    written = write_validation_report(
        database,
        PAPER,
        ACCOUNT,
        START,
        period.end,
        tmp_path,
        symbols=period.symbols,
        interval=HOUR,
        config_hash="c0ffee",
        simulated=True,
        baseline=True,
        generated_at=period.end + HOUR,
    )
    page, document = written.path_html.read_text(), json.loads(written.path_json.read_text())
    assert len(document["happenings"]) == len(written.report.inputs.happenings) > 5
    newest = written.report.inputs.happenings[-1]
    assert newest.sentence in page
    assert newest.rows[0].key in page
    assert document["happenings"][-1]["rows"][0] == {"table": newest.rows[0].table, "key": newest.rows[0].key}
    trade = written.report.inputs.trades[0]
    assert f"research.consensus_decisions {trade.decision_id}" in page
