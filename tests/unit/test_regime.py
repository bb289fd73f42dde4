"""The regime agent: its thresholds, and labelled stretches of recorded history."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from evidence_frames import GRACE, recorded_candles, snapshot_of, snapshot_with, with_rollups

from triplegain_pipelines.agents.regime import STAND_IN_FACTOR, classify_regime
from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.timeframes import Timeframe

pytestmark = pytest.mark.unit

QUIET = {"atr_rank_100": 0.5, "adx_14": 20.0, "choppiness_14": 50.0, "ema_26_slope": 0.01}


@pytest.mark.parametrize(
    ("readings", "regime", "confidence"),
    [
        ({}, Regime.RANGING, 0.6),
        ({"choppiness_14": 61.7}, Regime.RANGING, 0.6),
        ({"choppiness_14": 61.8}, Regime.CHOPPY, 0.5),
        ({"choppiness_14": 66.8}, Regime.CHOPPY, 0.75),
        ({"adx_14": 25.0}, Regime.TRENDING_BULL, 0.5),
        ({"adx_14": 37.5, "ema_26_slope": -0.01}, Regime.TRENDING_BEAR, 0.75),
        ({"adx_14": 90.0, "choppiness_14": 70.0}, Regime.TRENDING_BULL, 1.0),
        ({"atr_rank_100": 0.94}, Regime.RANGING, 0.6),
        ({"atr_rank_100": 1.0}, Regime.VOLATILE_BULL, 1.0),
        ({"atr_rank_100": 0.96, "adx_14": 90.0, "ema_26_slope": -0.01}, Regime.VOLATILE_BEAR, 0.6),
    ],
)
def test_the_first_rule_that_holds(readings: dict[str, float], regime: Regime, confidence: float) -> None:
    """A2: risk limits hang on this word, so each threshold must be where the docs say."""
    signal = classify_regime(snapshot_with({Timeframe.H1: {**QUIET, **readings}}))
    assert signal.regime is regime
    assert signal.confidence == pytest.approx(confidence)
    assert len(signal.reasons) == 4


def test_a_shorter_timeframe_stands_in_with_less_confidence() -> None:
    """A2: in the first days of a history the hour is cold; the quarter hour speaks then, and says so."""
    cold = {**QUIET, "adx_14": None}
    trending = {**QUIET, "adx_14": 50.0}
    signal = classify_regime(snapshot_with({Timeframe.H1: cold, Timeframe.M15: trending}))
    assert signal.regime is Regime.TRENDING_BULL
    assert signal.confidence == pytest.approx(STAND_IN_FACTOR)
    assert all(reason.startswith("15m") for reason in signal.reasons)
    warm = classify_regime(snapshot_with({Timeframe.H1: QUIET, Timeframe.M15: trending}))
    assert warm.regime is Regime.RANGING


def test_the_unknown_gets_the_strictest_limits() -> None:
    """R3: without indicators nothing may be taken for a quiet market."""
    signal = classify_regime(snapshot_with({Timeframe.D1: QUIET}))
    assert (signal.regime, signal.confidence) == (Regime.CHOPPY, 0.0)


@pytest.fixture(scope="module")
def hourly(recorded_data: Path) -> pl.DataFrame:
    """Seven and a half years of BTC/USDT by the hour."""
    return recorded_candles(recorded_data / "candles" / "btcusdt_1h_binance_2018-01_2025-06.parquet")


@pytest.mark.parametrize(
    ("start", "hours", "expected"),
    [
        # 2020-03-12: BTC lost half of its value within a day.
        (datetime(2020, 3, 12, 11, tzinfo=UTC), 24, {Regime.VOLATILE_BEAR, Regime.TRENDING_BEAR}),
        # 2021-05-19: from 43,000 to 30,000 and back to 40,000.
        (datetime(2021, 5, 19, 4, tzinfo=UTC), 12, {Regime.VOLATILE_BEAR, Regime.TRENDING_BEAR}),
        # 2023-01-10 to 15: the rise from 17,400 to 21,000 without a pause.
        (datetime(2023, 1, 11, tzinfo=UTC), 96, {Regime.VOLATILE_BULL, Regime.TRENDING_BULL}),
        # 2023-08-22 to 28: the dead week between 25,800 and 26,300.
        (datetime(2023, 8, 23, tzinfo=UTC), 96, {Regime.RANGING, Regime.CHOPPY}),
    ],
)
def test_labelled_stretches_of_history(
    hourly: pl.DataFrame, start: datetime, hours: int, expected: set[Regime]
) -> None:
    """A2: of the hours that everybody remembers as a crash, a rise or a lull, most must be called so."""
    moments = [start + timedelta(hours=hour) + GRACE for hour in range(hours)]
    regimes = [classify_regime(snapshot_of({Timeframe.H1: hourly}, moment)).regime for moment in moments]
    named = sum(regime in expected for regime in regimes)
    assert named / hours >= 0.75, Counter(regimes)


def test_the_crash_of_august_is_seen_from_ten_days_of_minutes(recorded_data: Path) -> None:
    """Issue 2: the recorded month begins ten days before the crash; the hour is still cold, yet it is no lull."""
    minutely = recorded_candles(recorded_data / "candles" / "btcusdt_1m_binance_2024-07_2024-08.parquet")
    candles = with_rollups(minutely)
    crash = datetime(2024, 8, 5, 1, tzinfo=UTC)
    signals = [classify_regime(snapshot_of(candles, crash + timedelta(hours=n) + GRACE)) for n in range(14)]
    assert {one.regime for one in signals} == {Regime.VOLATILE_BEAR, Regime.TRENDING_BEAR}
