"""The technical-analysis agent: one score over all timeframes, and what it rests on in words."""

from triplegain_pipelines.domain.decisions import Bias
from triplegain_pipelines.domain.evidence import Readings, Snapshot, TechnicalSignal
from triplegain_pipelines.domain.timeframes import Timeframe

TECHNICAL_VERSION = "technical-2"

DEAD_BAND = 0.15
"""Scores within it are neutral."""

_NEEDED = ("ema_12", "ema_26", "atr_14", "macd_histogram", "rsi_14", "supertrend_direction")


def assess_technicals(snapshot: Snapshot) -> TechnicalSignal:
    """The weighted view over the timeframes that have all their indicators.

    The score of a timeframe is the mean of four parts, each from -1 to 1: distance of EMA 12 over EMA 26 in ATRs, MACD
    histogram in half ATRs, RSI's distance from 50 over 25, direction of the Supertrend. The timeframes' scores are
    averaged by the snapshot's weights. Long or short beyond the dead band, with the score's size as confidence; neutral
    within it, the more confident the nearer to 0; both times the weight of the timeframes that could speak.
    """
    weights = snapshot.timeframe_weights
    scores = {
        timeframe: _score(readings)
        for timeframe, weight in weights.items()
        for readings in (snapshot.readings(timeframe),)
        if weight and all(readings.get(name) is not None for name in _NEEDED)
    }
    if not scores:
        return TechnicalSignal(Bias.NEUTRAL, 0.0, ("No timeframe has warmed-up indicators.",))
    coverage = sum(weights[timeframe] for timeframe in scores)
    score = sum(weights[timeframe] * value for timeframe, value in scores.items()) / coverage
    bias = Bias.NEUTRAL if abs(score) < DEAD_BAND else Bias.LONG if score > 0 else Bias.SHORT
    certainty = 1 - abs(score) / DEAD_BAND if bias is Bias.NEUTRAL else abs(score)
    summary = f"Score {score:+.2f} over {len(scores)} of {len(weights)} timeframes."
    details = [_words(timeframe, value, snapshot.readings(timeframe)) for timeframe, value in scores.items()]
    return TechnicalSignal(bias, min(1.0, round(certainty * coverage, 6)), (summary, *details))


def _score(readings: Readings) -> float:
    trend, histogram, strength, direction = _parts(readings)
    return (_clip(trend) + _clip(histogram / 0.5) + _clip((strength - 50) / 25) + direction) / 4


def _words(timeframe: Timeframe, score: float, readings: Readings) -> str:
    trend, histogram, strength, direction = _parts(readings)
    side, way = "above" if trend > 0 else "below", "rising" if direction > 0 else "falling"
    return (
        f"{timeframe.value} {score:+.2f}: EMA 12 is {abs(trend):.2f} ATR {side} EMA 26, "
        f"MACD histogram {histogram:+.2f} ATR, RSI {strength:.1f}, Supertrend {way}."
    )


def _parts(readings: Readings) -> tuple[float, float, float, float]:
    fast, slow, atr, histogram, strength, direction = (readings[name] or 0.0 for name in _NEEDED)
    return (fast - slow) / atr, histogram / atr, strength, direction


def _clip(value: float) -> float:
    return max(-1.0, min(1.0, value))
