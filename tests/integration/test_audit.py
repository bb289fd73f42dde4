"""From an order back to the candles, and the decision computed again: what was stored, and what was tampered with."""

from uuid import UUID

import pytest
from builders import TradingFloor
from decided_floor import CONFIGURED, deliver, make_decision, market_minutes

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.operations.audit import trace, verify
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def floor(database: Database) -> TradingFloor:
    """An order that went the whole way, on evidence that was gathered and judged by the real parts."""
    deliver(database, market_minutes())
    return make_decision(database).floor


def orders(floor: TradingFloor) -> list[UUID]:
    return [row[0] for row in floor.rows("SELECT client_order_id FROM intents ORDER BY intended_at, leg")]


def test_an_order_is_followed_back_to_the_candles(floor: TradingFloor) -> None:
    """D1, issue point 4: decision, six forecasts with prompts and raw answers, snapshot, data and code versions."""
    entry = orders(floor)[0]
    document = trace(floor.database, entry).document()
    assert document["order"]["state"] == "FILLED"
    assert len(document["fills"]) == 1
    assert document["verdict"]["status"] in {"APPROVED", "MODIFIED"}
    assert len(document["forecasts"]) == 6
    assert all(one["raw_answer"] and one["user_text"] and one["system_text"] for one in document["forecasts"])
    assert document["snapshot"]["document"].startswith("{")
    assert len(document["data_version"]) == 64
    assert {"snapshot", "technical", "consensus", "template"} <= set(document["code_versions"])
    assert document["events"][0]["kind"] == "decision_made"
    canonical_json(document)  # what the command writes


def test_every_leg_is_verified(floor: TradingFloor) -> None:
    """Issue point 4: entry, stop and target come out the same when they are computed again."""
    for order in orders(floor):
        result = verify(floor.database, order, CONFIGURED)
        assert result.identical, [step for step in result.steps if not step.identical]
    assert [step.name for step in result.steps] == [
        "market data",
        "snapshot",
        "signals",
        "prompts",
        "answers",
        "consensus",
        "proposal",
        "verdict",
        "order",
        "fills",
        "events",
    ]


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        ("UPDATE market.candles SET volume = volume + 1", "market data"),
        ("UPDATE research.snapshots SET document = replace(document, 'true', 'false')", "snapshot"),
        ("UPDATE research.technical_signals SET confidence = 0.123", "signals"),
        ("UPDATE research.prompts SET user_text = user_text || ' Buy!'", "prompts"),
        ("UPDATE research.seat_forecasts SET raw_answer = replace(raw_answer, '0.95', '0.05')", "answers"),
        ("UPDATE research.seat_forecasts SET p_up_4h = 0.05 WHERE seat = 'gpt'", "consensus"),
        ("UPDATE research.consensus_decisions SET p_up = 0.99", "consensus"),
        ("UPDATE proposals SET document = replace(document, 'stop_loss\":\"', 'stop_loss\":\"1')", "proposal"),
        ('UPDATE verdicts SET inputs = replace(inputs, \'"cash":"2100"\', \'"cash":"1100"\')', "verdict"),
        ("UPDATE verdicts SET status = 'APPROVED', reasons = '[]'", "verdict"),
        ("UPDATE orders SET filled_quantity = filled_quantity / 2 WHERE state = 'FILLED'", "fills"),
        ("DELETE FROM trading_events WHERE sequence = 3", "events"),
    ],
)
def test_what_was_changed_is_found(floor: TradingFloor, tamper: str, broken: str) -> None:
    """X6, issue point 4: a verification that passes whatever is stored proves nothing."""
    with floor.database.connection() as connection:
        connection.execute("SET LOCAL search_path TO paper_trading")
        for table, trigger in (("verdicts", "append_only"), ("trading_events", "append_only"), ("orders", "legal")):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}".encode())
        assert connection.execute(tamper.encode()).rowcount > 0
    result = verify(floor.database, orders(floor)[0], CONFIGURED)
    assert broken in [step.name for step in result.steps if not step.identical]


def other_settings() -> Settings:
    """A dead band in which the decision would have been to hold, and a quorum that nobody reaches."""
    models = CONFIGURED.models
    pool = models.pool.model_copy(update={"dead_band": 0.4, "clip": 0.2})
    quorum = models.quorum.model_copy(update={"vendors": 6})
    changed = models.model_copy(update={"pool": pool, "quorum": quorum})
    decisions = CONFIGURED.profile.decisions.model_copy(update={"grace_seconds": 30, "valid_minutes": 1})
    profile = CONFIGURED.profile.model_copy(update={"decisions": decisions})
    return CONFIGURED.model_copy(update={"models": changed, "profile": profile})


def test_settings_of_afterwards_change_no_decision_of_before(floor: TradingFloor) -> None:
    """D1: a decision that can only be repeated until somebody edits a file was never repeatable."""
    result = verify(floor.database, orders(floor)[0], other_settings())
    assert result.identical, [step for step in result.steps if not step.identical]


def test_settings_that_were_changed_in_the_decision_are_found(floor: TradingFloor) -> None:
    """X6: the stored settings are evidence as well; another dead band would excuse another decision."""
    with floor.database.connection() as connection:
        changed = connection.execute(
            """UPDATE research.consensus_decisions SET code_versions = jsonb_set(code_versions, '{settings}',
                   to_jsonb(replace(code_versions ->> 'settings', '"dead_band":0.02', '"dead_band":0.4')))"""
        )
        assert changed.rowcount == 1
    result = verify(floor.database, orders(floor)[0], CONFIGURED)
    assert [step.name for step in result.steps if not step.identical] == ["consensus"]


def test_a_decision_without_its_settings_is_computed_under_todays(floor: TradingFloor) -> None:
    """D1: of an older decision the settings are not known; where today's give another one, that must be said."""
    with floor.database.connection() as connection:
        connection.execute("UPDATE research.consensus_decisions SET code_versions = code_versions - 'settings'")
    assert verify(floor.database, orders(floor)[0], CONFIGURED).identical
    result = verify(floor.database, orders(floor)[0], other_settings())
    [differing] = [step for step in result.steps if not step.identical]
    assert differing.name == "consensus"
    assert "settings were not stored" in differing.detail


def test_an_unknown_order_is_said_to_be_unknown(database: Database) -> None:
    """Issue point 7: one clear line."""
    with pytest.raises(InputError, match="there is no order"):
        trace(database, deterministic_id("nothing"))
