"""An order that went the whole way, on evidence that was gathered from stored candles by the real parts."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import polars as pl
from builders import ACCOUNT, BTC, TradingFloor, trading_floor
from candle_frames import START
from evidence_frames import GRACE, random_frame

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.headline_tones import score_snapshots, sentiment_version
from triplegain_pipelines.agents.prompt import render_prompt
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Action, ForecastStatus
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.audit import verify
from triplegain_pipelines.operations.evidence import gather
from triplegain_pipelines.operations.market_states import work_out
from triplegain_pipelines.operations.recomputation import VerifyStep
from triplegain_pipelines.operations.rolling import roll_up_days
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.snapshot_again import STEP
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.models import ModelSettings
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.forecasts import save_forecasts
from triplegain_pipelines.store.indicators import upsert_indicators
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import save_snapshots

CONFIGURED = load_settings(Environment(profile="demo"), CONFIG)
MARKET = "test"
DECIDED_AT = START + timedelta(days=12, hours=15)
AS_OF = DECIDED_AT + GRACE
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

_SEATS = {name: seat.vendor for name, seat in CONFIGURED.models.seats.items()}


@dataclass(frozen=True)
class Decided:
    """A decision that was made, its snapshot, and the orders that came of it, the entry first."""

    floor: TradingFloor
    snapshot: Snapshot
    orders: list[UUID]

    @property
    def entry(self) -> UUID:
        """The order that opened the position."""
        return self.orders[0]


def market_minutes() -> pl.DataFrame:
    """13 days of minutes with prices in cents, among which the decision lies."""
    frame = random_frame(13 * 1440)
    prices = [pl.col(name).round(2) for name in ("open", "high", "low", "close")]
    return frame.with_columns(*prices, pl.col("volume").round(4))


def minutes_of(frame: pl.DataFrame, *minutes: datetime) -> pl.DataFrame:
    """The candles opened at these times."""
    return frame.filter(pl.col("opened_at").is_in(list(minutes)))


def deliver(database: Database, frame: pl.DataFrame, *, venue: str = MARKET, source: str = "rest") -> None:
    """Store candles, and make the roll-ups of their days anew."""
    with database.connection() as connection:
        upsert_candles(connection, venue, BTC, Timeframe.M1, frame, source)
    roll_up(database, frame, venue)


def roll_up(database: Database, frame: pl.DataFrame, venue: str = MARKET) -> None:
    """Make the roll-ups of the days of these candles anew."""
    first, last = frame.item(0, "opened_at"), frame.item(-1, "opened_at")
    roll_up_days(database, venue, BTC, floor_to(first, DAY), floor_to(last, DAY) + DAY)


def make_decision(database: Database, models: ModelSettings = CONFIGURED.models) -> Decided:
    """Gather the evidence of what is stored, decide to buy, and trade. `models` says who scores the headlines."""
    clock = ReplayClock(AS_OF)
    session = Session(ACCOUNT, MARKET, (BTC,), replay=True, settings=CONFIGURED, clock=clock)
    work_out(database, session, DECIDED_AT, DECIDED_AT + MINUTE)
    evidence = gather(database, session, BTC, DECIDED_AT, DECIDED_AT + MINUTE)
    [snapshot] = evidence.snapshots
    scored = score_snapshots(database, [snapshot], models, llm_enabled=True)
    signals = replace(assess(snapshot), sentiment=scored[snapshot.snapshot_id])
    prompt = render_prompt(snapshot, signals)
    forecasts = [sure_of_a_rise(seat, snapshot.snapshot_id, prompt.prompt_hash) for seat in _SEATS]
    decision = decide(
        account=ACCOUNT,
        snapshot=snapshot,
        regime=signals.regime,
        forecasts=forecasts,
        slope=Slope(0.3, 0.0, learnt=False),
        quorum=CONFIGURED.models.quorum,
        pool=CONFIGURED.models.pool,
        decisions=CONFIGURED.profile.decisions,
        sentiment=sentiment_version(models),
    )
    assert decision.action is Action.BUY
    with database.connection() as connection:
        upsert_indicators(connection, evidence.readings)
        save_snapshots(connection, [snapshot])
        save_technical_signals(connection, TECHNICAL_VERSION, {snapshot.snapshot_id: signals.technical})
        save_regime_signals(connection, REGIME_VERSION, {snapshot.snapshot_id: signals.regime})
        save_sentiment_signals(connection, sentiment_version(models), scored)
        save_forecasts(connection, [prompt], forecasts)
        save_decisions(connection, [decision])
    floor = trading_floor(database, clock=ReplayClock(AS_OF))
    floor.prices.prices[BTC] = Decimal(repr(snapshot.reference_price))
    queue_decisions(floor.desk, [decision])
    with OrderPath(floor.desk) as path:
        path.execute(decision.decision_id)
    rows = floor.rows("SELECT client_order_id FROM intents ORDER BY intended_at, leg")
    return Decided(floor, snapshot, [row[0] for row in rows])


def sure_of_a_rise(seat: str, snapshot_id: UUID, prompt_hash: str) -> SeatForecast:
    """The forecast of a seat that is sure of a rise."""
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
        vendor=_SEATS[seat],
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


def market_data_step(database: Database, decided: Decided) -> VerifyStep:
    """What `verify` says of the market data behind the decision."""
    [step] = [one for one in verify(database, decided.entry, CONFIGURED).steps if one.name == STEP]
    return step


def assert_identical(database: Database, decided: Decided) -> None:
    """Every step of every order of the decision comes out as it was stored."""
    for order in decided.orders:
        result = verify(database, order, CONFIGURED)
        assert result.identical, [step for step in result.steps if not step.identical]
