"""The technical agent: worked by hand, mirrored, weighted, and on markets that plainly rise and fall."""

from datetime import timedelta

import pytest
from candle_frames import START
from evidence_frames import GRACE, random_frame, snapshot_of, snapshot_with, with_rollups

from triplegain_pipelines.agents.technical import DEAD_BAND, assess_technicals
from triplegain_pipelines.domain.decisions import Bias
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe

pytestmark = pytest.mark.unit

RISING = {
    "ema_12": 110.0,
    "ema_26": 105.0,
    "atr_14": 10.0,
    "macd_histogram": 1.0,
    "rsi_14": 60.0,
    "supertrend_direction": 1.0,
}
FALLING = {**RISING, "ema_26": 115.0, "macd_histogram": -1.0, "rsi_14": 40.0, "supertrend_direction": -1.0}


def test_a_score_worked_by_hand() -> None:
    """A1: (5 / 10 + 1 / 5 + 10 / 25 + 1) / 4 = 0.525; the hour alone speaks with its weight of 0.30."""
    signal = assess_technicals(snapshot_with({Timeframe.H1: RISING}))
    assert signal.bias is Bias.LONG
    assert signal.confidence == pytest.approx(0.525 * 0.30)
    assert signal.reasons == (
        "Score +0.53 over 1 of 6 timeframes.",
        "1h +0.53: EMA 12 is 0.50 ATR above EMA 26, MACD histogram +0.10 ATR, RSI 60.0, Supertrend rising.",
    )


def test_the_weights_decide() -> None:
    """I2: the hour (0.30) against the minute (0.05): 0.25 / 0.35 x 0.525 = 0.375, said with 0.35 of the say."""
    signal = assess_technicals(snapshot_with({Timeframe.M1: FALLING, Timeframe.H1: RISING}))
    assert signal.bias is Bias.LONG
    assert signal.confidence == pytest.approx(0.375 * 0.35)


def test_a_mirrored_market_has_the_mirrored_bias() -> None:
    """A1: an agent that leans to one side loses on the other."""
    everywhere = dict.fromkeys(DECISION_TIMEFRAMES, RISING)
    up = assess_technicals(snapshot_with(everywhere))
    down = assess_technicals(snapshot_with(dict.fromkeys(DECISION_TIMEFRAMES, FALLING)))
    assert (up.bias, down.bias) == (Bias.LONG, Bias.SHORT)
    assert up.confidence == pytest.approx(down.confidence) == pytest.approx(0.525)


def test_contradictions_are_neutral() -> None:
    """A1: 0.25 + 0.15 + 0.10 up against 0.30 + 0.15 + 0.05 down is no direction, and the agent is sure of that."""
    sides = {Timeframe.H4: RISING, Timeframe.D1: RISING, Timeframe.M5: RISING}
    others = {Timeframe.H1: FALLING, Timeframe.M15: FALLING, Timeframe.M1: FALLING}
    signal = assess_technicals(snapshot_with({**sides, **others}))
    assert signal.bias is Bias.NEUTRAL
    assert signal.confidence == pytest.approx(1)


def test_one_extreme_reading_cannot_carry_a_timeframe() -> None:
    """A1: each part is bounded, so a spike in one indicator is one quarter of the score at most."""
    spike = {**RISING, "ema_12": 1e9, "macd_histogram": 0.0, "rsi_14": 50.0, "supertrend_direction": -1.0}
    signal = assess_technicals(snapshot_with({Timeframe.H1: spike}))
    assert signal.bias is Bias.NEUTRAL


@pytest.mark.parametrize("missing", sorted(RISING))
def test_a_cold_timeframe_does_not_speak(missing: str) -> None:
    """I1: None is not 0; a timeframe that lacks a reading is left out, and the confidence falls with it."""
    cold = {**RISING, missing: None}
    alone = assess_technicals(snapshot_with({Timeframe.H1: cold}))
    assert (alone.bias, alone.confidence) == (Bias.NEUTRAL, 0.0)
    assert alone.reasons == ("No timeframe has warmed-up indicators.",)
    beside = assess_technicals(snapshot_with({Timeframe.H1: cold, Timeframe.H4: RISING}))
    assert beside == assess_technicals(snapshot_with({Timeframe.H4: RISING}))


@pytest.mark.parametrize(("drift", "bias"), [(2e-4, Bias.LONG), (-2e-4, Bias.SHORT)])
def test_a_market_that_plainly_moves(drift: float, bias: Bias) -> None:
    """A1: from candles to the signal, a rise of 1 % an hour is long and a fall is short."""
    candles = with_rollups(random_frame(8 * 1440, drift=drift))
    signal = assess_technicals(snapshot_of(candles, START + timedelta(days=8) + GRACE))
    assert signal.bias is bias
    assert DEAD_BAND * 0.5 < signal.confidence <= 1


def test_other_weights_make_another_view() -> None:
    """I2: weights that are configured and not used."""
    contradiction = {Timeframe.M1: FALLING, Timeframe.H1: RISING}
    minute = dict.fromkeys(DECISION_TIMEFRAMES, 0.0) | {Timeframe.M1: 0.9, Timeframe.H1: 0.1}
    signal = assess_technicals(snapshot_with(contradiction, weights=minute))
    assert signal.bias is Bias.SHORT
    assert signal.confidence == pytest.approx(0.8 * 0.525)
    deaf = dict.fromkeys(DECISION_TIMEFRAMES, 0.0) | {Timeframe.H1: 1.0}
    alone = assess_technicals(snapshot_with(contradiction, weights=deaf))
    assert alone.reasons[0] == "Score +0.53 over 1 of 6 timeframes."
