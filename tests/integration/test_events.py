"""The audit trail: what is written there stays, and what was changed all the same is found."""

import hashlib

import psycopg
import pytest
from builders import ACCOUNT, TradingFloor, decision, trading_floor

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import verify_chain

pytestmark = pytest.mark.integration


@pytest.fixture
def floor(database: Database) -> TradingFloor:
    made = trading_floor(database)
    bought = decision()
    made.queue(bought)
    with OrderPath(made.desk) as path:
        path.execute(bought.decision_id)
    return made


def chain(floor: TradingFloor):
    with floor.database.connection() as connection:
        return verify_chain(connection, "paper_trading", ACCOUNT)


def test_the_hash_is_that_of_the_whole_event(floor: TradingFloor) -> None:
    """X6: a chain that is computed in another way no longer proves what was written before."""
    rows = floor.rows("SELECT sequence, occurred_at, kind, payload, previous_hash, hash FROM trading_events")
    for sequence, at, kind, payload, before, digest in rows:
        told = {"account": ACCOUNT, "sequence": sequence, "occurred_at": at, "kind": kind, "payload": payload}
        assert digest == hashlib.sha256((before + canonical_json(told)).encode()).hexdigest()


def test_every_step_of_an_order_is_told(floor: TradingFloor) -> None:
    """X6: a decision, its verdict, its orders, fills and position are all in the trail, in order."""
    kinds = [row[0] for row in floor.rows("SELECT kind FROM trading_events ORDER BY sequence")]
    assert kinds == [
        "account_opened",
        "decision_made",
        "decision_claimed",
        "verdict_given",
        "order_intended",
        "order_sent",
        "fill_booked",
        "position_opened",
        "order_changed",
        "order_intended",
        "order_intended",
        "order_changed",
        "order_changed",
        "decision_finished",
    ]
    report = chain(floor)
    assert (report.events, report.broken_at) == (len(kinds), None)


@pytest.mark.parametrize("table", ["trading_events", "fills", "ledger", "intents", "verdicts"])
@pytest.mark.parametrize("how", ["UPDATE {} SET account = 'thief'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_evidence_cannot_be_rewritten(floor: TradingFloor, table: str, how: str) -> None:
    """Rule 7: evidence is never deleted or rewritten."""
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        floor.rows(how.format(table))


@pytest.mark.parametrize(
    ("tamper", "broken_at"),
    [
        ("UPDATE trading_events SET payload = replace(payload, 'BUY', 'SELL') WHERE sequence = 2", 2),
        ("UPDATE trading_events SET occurred_at = occurred_at + interval '1 second' WHERE sequence = 3", 3),
        ("UPDATE trading_events SET kind = 'order_sent' WHERE sequence = 4", 4),
        ("DELETE FROM trading_events WHERE sequence = 5", 5),
        ("DELETE FROM trading_events WHERE sequence = 1", 1),
    ],
)
def test_tampering_is_found(floor: TradingFloor, tamper: str, broken_at: int) -> None:
    """X6: whoever gets round the trigger does not get round the hashes."""
    with floor.database.connection() as connection:
        connection.execute("SET LOCAL search_path TO paper_trading")
        connection.execute("ALTER TABLE trading_events DISABLE TRIGGER append_only")
        connection.execute(tamper.encode())
    assert chain(floor).broken_at == broken_at


def test_a_failed_step_leaves_no_event(floor: TradingFloor) -> None:
    """X6: an event is in the transaction of what it tells of, so that neither stands without the other."""
    before = chain(floor).events
    with floor.database.connection() as connection:
        connection.execute("ALTER TABLE paper_trading.outbox ADD CHECK (status <> 'CLAIMED') NOT VALID")
    again = decision(as_of=floor.clock.now().replace(minute=5))
    floor.queue(again)
    with OrderPath(floor.desk) as path, pytest.raises(psycopg.errors.CheckViolation):
        path.execute(again.decision_id)
    assert chain(floor).events == before + 1  # that the decision was made
