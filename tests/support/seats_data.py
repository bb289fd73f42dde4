"""Snapshots, forecasts and models that several tests of seats, consensus and council are made from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
from evidence_frames import WEIGHTS

from triplegain_pipelines.agents.evidence import assess, gather_evidence
from triplegain_pipelines.agents.prompt import render_prompt
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.decisions import Action, ForecastStatus, Regime
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.forecasts import Prompt, SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.profile import DecisionSettings

GRACE = timedelta(seconds=10)
AS_OF = datetime(2024, 8, 5, 12, tzinfo=UTC) + GRACE
DECISIONS = DecisionSettings(interval_minutes=60, grace_seconds=10, valid_minutes=10)
MODELS = load_settings(Environment(profile="demo"), CONFIG).models
QUORUM, POOL, SEATS = MODELS.quorum, MODELS.pool, MODELS.seats
RANGING = RegimeSignal(Regime.RANGING, 0.7, ("ADX is 15.0.",))
_TIME = pl.Datetime("us", "UTC")


def make_snapshot(*, as_of: datetime = AS_OF, symbol: str = "BTC/USDT", complete: bool = True) -> Snapshot:
    """A small snapshot without indicators, for what does not look at them."""
    document = canonical_json(
        {
            "venue": "binance",
            "symbol": symbol,
            "as_of": as_of,
            "simulated": False,
            "complete": complete,
            "incomplete_reasons": [],
            "candle_age_seconds": 10.0,
            "reference_price": 50000.0,
            "atr": 500.0,
            "timeframe_weights": {timeframe.value: weight for timeframe, weight in WEIGHTS.items()},
            "timeframes": {},
            "headlines": [],
        }
    )
    return Snapshot(
        snapshot_id=deterministic_id("snapshot", document),
        venue="binance",
        symbol=symbol,
        as_of=as_of,
        content_hash=content_hash(document),
        data_version="data",
        code_version="snapshot-test",
        document=document,
    )


def market_snapshot(drift: float, *, headlines: tuple = (), days: int = 30) -> Snapshot:
    """A real snapshot of a made-up market whose log price moves by `drift` an hour, with a little noise."""
    minutes = days * 1440
    steps = np.random.default_rng(5).normal(drift / 60, 0.0002, minutes)
    close = 50000 * np.exp(np.cumsum(steps))
    opened = np.concatenate([[50000.0], close[:-1]])
    start = AS_OF - GRACE - timedelta(minutes=minutes)
    candles = pl.DataFrame(
        {
            "opened_at": pl.Series([start + timedelta(minutes=index) for index in range(minutes)], dtype=_TIME),
            "open": opened,
            "high": np.maximum(opened, close) * 1.0001,
            "low": np.minimum(opened, close) * 0.9999,
            "close": close,
            "volume": np.full(minutes, 2.0),
            "trades": pl.Series([None] * minutes, dtype=pl.Int32),
        }
    )
    frames = {Timeframe.M1: candles, **{longer: roll_up(candles, longer) for longer in ROLLUP_TIMEFRAMES}}
    gathered = gather_evidence(
        venue="binance",
        symbol="BTC/USDT",
        candles=frames,
        decision_times=[AS_OF - GRACE],
        grace=GRACE,
        headlines=headlines,
        fear_greed=[],
        weights=WEIGHTS,
    )
    return gathered.snapshots[0]


def make_prompt(snapshot: Snapshot) -> Prompt:
    """The real prompt about `snapshot`."""
    return render_prompt(snapshot, assess(snapshot))


def answered(seat: str, p_up: float, action: Action = Action.HOLD, leverage: float = 1.0) -> SeatForecast:
    """An answer of one seat."""
    return SeatForecast(
        forecast_id=deterministic_id("forecast", seat, p_up, action, leverage),
        snapshot_id=make_snapshot().snapshot_id,
        prompt_hash="prompt",
        seat=seat,
        vendor=SEATS[seat].vendor,
        model=f"offline/{SEATS[seat].baseline}",
        baseline=True,
        code_version="seats-test",
        parameters={"max_tokens": 800},
        status=ForecastStatus.ANSWERED,
        reason_code=None,
        raw_answer="{}",
        error=None,
        turns=1,
        action=action,
        confidence=0.6,
        p_up_4h=p_up,
        p_up_24h=0.5,
        entry=None,
        stop_loss=None,
        take_profit=None,
        leverage=leverage,
        reasoning="Because.",
        input_tokens=100,
        output_tokens=20,
        cost_usd=Decimal(0),
        latency_ms=3.5,
    )


def abstained(seat: str, reason: ReasonCode = ReasonCode.SEAT_TIMEOUT) -> SeatForecast:
    """An abstention of one seat."""
    nothing = dict.fromkeys(
        ("action", "confidence", "p_up_4h", "p_up_24h", "leverage", "reasoning", "raw_answer"),
    )
    return replace(answered(seat, 0.5), status=ForecastStatus.ABSTAINED, reason_code=reason, **nothing)
