"""From an order back to the candles, and the decision computed again: what was stored, and what was tampered with."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from builders import ACCOUNT, BTC, TradingFloor, trading_floor
from candle_frames import START
from evidence_frames import GRACE, random_frame, snapshot_of, with_rollups

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.prompt import render_prompt
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Action, ForecastStatus
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.audit import trace, verify
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.forecasts import save_forecasts
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

CONFIGURED = load_settings(Environment(profile="demo"), CONFIG)
SEATS = {name: seat.vendor for name, seat in CONFIGURED.models.seats.items()}


def forecast(seat: str, snapshot_id: UUID, prompt_hash: str) -> SeatForecast:
    """A seat that is sure of a rise."""
    answer = SeatAnswer(
        action=Action.BUY,
        confidence=0.9,
        p_up_4h=0.95,
        p_up_24h=0.9,
        entry=None,
        stop_loss=None,
        take_profit=None,
        leverage=1.0,
        reasoning="hand-made",
    )
    return SeatForecast(
        forecast_id=deterministic_id("forecast", seat, prompt_hash),
        snapshot_id=snapshot_id,
        prompt_hash=prompt_hash,
        seat=seat,
        vendor=SEATS[seat],
        model="test",
        baseline=True,
        code_version="test",
        parameters={},
        status=ForecastStatus.ANSWERED,
        reason_code=None,
        raw_answer=canonical_json(answer.model_dump(mode="json")),
        error=None,
        turns=1,
        input_tokens=1,
        output_tokens=1,
        cost_usd=Decimal(0),
        latency_ms=1.0,
        **dict(answer),
    )


@pytest.fixture
def floor(database: Database) -> TradingFloor:
    """An order that went the whole way, on evidence that was gathered and judged by the real parts."""
    frame = random_frame(60 * 24 * 30)
    as_of = START + timedelta(days=29) + GRACE
    snapshot = snapshot_of(with_rollups(frame), as_of, venue="test")
    signals = assess(snapshot)
    prompt = render_prompt(snapshot, signals)
    forecasts = [forecast(seat, snapshot.snapshot_id, prompt.prompt_hash) for seat in SEATS]
    decision = decide(
        account=ACCOUNT,
        snapshot=snapshot,
        regime=signals.regime,
        forecasts=forecasts,
        slope=Slope(0.3, 0.0, learnt=False),
        quorum=CONFIGURED.models.quorum,
        pool=CONFIGURED.models.pool,
        decisions=CONFIGURED.profile.decisions,
    )
    assert decision.action is Action.BUY
    with database.connection() as connection:
        save_snapshots(connection, [snapshot])
        save_technical_signals(connection, TECHNICAL_VERSION, {snapshot.snapshot_id: signals.technical})
        save_regime_signals(connection, REGIME_VERSION, {snapshot.snapshot_id: signals.regime})
        save_sentiment_signals(connection, SENTIMENT_VERSION, {snapshot.snapshot_id: signals.sentiment})
        save_forecasts(connection, [prompt], forecasts)
        save_decisions(connection, [decision])
    made = trading_floor(database, clock=ReplayClock(as_of))
    made.prices.prices[BTC] = Decimal(repr(round(snapshot.reference_price or 0, 2)))
    queue_decisions(made.desk, [decision])
    with OrderPath(made.desk) as path:
        path.execute(decision.decision_id)
    return made


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
        ("UPDATE research.snapshots SET document = replace(document, 'true', 'false')", "snapshot"),
        ("UPDATE research.technical_signals SET confidence = 0.123", "signals"),
        ("UPDATE research.prompts SET user_text = user_text || ' Buy!'", "prompts"),
        ("UPDATE research.seat_forecasts SET raw_answer = replace(raw_answer, '0.95', '0.05')", "answers"),
        ("UPDATE research.seat_forecasts SET p_up_4h = 0.05 WHERE seat = 'gpt'", "consensus"),
        ("UPDATE research.consensus_decisions SET p_up = 0.99", "consensus"),
        ("UPDATE proposals SET document = replace(document, 'stop_loss\":\"7', 'stop_loss\":\"6')", "proposal"),
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
        for table in ("verdicts", "trading_events"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only".encode())
        assert connection.execute(tamper.encode()).rowcount > 0
    result = verify(floor.database, orders(floor)[0], CONFIGURED)
    assert broken in [step.name for step in result.steps if not step.identical]


def test_other_settings_are_noticed(floor: TradingFloor) -> None:
    """Issue point 4: under another dead band the decision is another, and that must be said."""
    pool = CONFIGURED.models.pool.model_copy(update={"dead_band": 0.4})
    other = CONFIGURED.model_copy(update={"models": CONFIGURED.models.model_copy(update={"pool": pool})})
    result = verify(floor.database, orders(floor)[0], other)
    assert [step.name for step in result.steps if not step.identical] == ["consensus"]


def test_an_unknown_order_is_said_to_be_unknown(database: Database) -> None:
    """Issue point 7: one clear line."""
    with pytest.raises(InputError, match="there is no order"):
        trace(database, deterministic_id("nothing"))
