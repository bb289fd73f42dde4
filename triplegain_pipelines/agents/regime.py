"""The regime agent: the state of a market in one word, by which risk limits differ."""

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.evidence import Readings, RegimeSignal, Snapshot
from triplegain_pipelines.domain.timeframes import Timeframe

REGIME_VERSION = "regime-1"

TIMEFRAMES = (Timeframe.H1, Timeframe.M15)
"""The timeframe it is read from, and the one that stands in until that has warmed up."""

VOLATILE_RANK = 0.95
"""ATR / close is among the highest 5 % of the last 100 bars."""

TRENDING_ADX = 25.0
"""Wilder's own threshold for a trend."""

CHOPPY_INDEX = 61.8
"""Dreiss's threshold: from here on a market goes nowhere."""

STAND_IN_FACTOR = 0.8
"""What the confidence is multiplied with where the second timeframe had to speak."""

_NEEDED = ("atr_rank_100", "adx_14", "choppiness_14", "ema_26_slope")


def classify_regime(snapshot: Snapshot) -> RegimeSignal:
    """The regime by the first rule that holds: volatile, trending, choppy, else ranging.

    Volatile and trending are bull or bear by the slope of EMA 26. Confidence runs from 0.5 at a threshold to 1 where
    the measure is far from it. Where no timeframe has its indicators the answer is choppy with confidence 0: what is
    not known gets the strictest limits.
    """
    for timeframe in TIMEFRAMES:
        readings = snapshot.readings(timeframe)
        if all(readings.get(name) is not None for name in _NEEDED):
            return _classify(readings, timeframe)
    waiting = " and ".join(timeframe.value for timeframe in TIMEFRAMES)
    return RegimeSignal(Regime.CHOPPY, 0.0, (f"The indicators of {waiting} are not warmed up: strictest limits.",))


def _classify(readings: Readings, timeframe: Timeframe) -> RegimeSignal:
    rank, adx, choppiness, slope = (readings[name] or 0.0 for name in _NEEDED)
    rising = slope > 0
    if rank >= VOLATILE_RANK:
        regime = Regime.VOLATILE_BULL if rising else Regime.VOLATILE_BEAR
        distance = (rank - VOLATILE_RANK) / (1 - VOLATILE_RANK)
    elif adx >= TRENDING_ADX:
        regime = Regime.TRENDING_BULL if rising else Regime.TRENDING_BEAR
        distance = (adx - TRENDING_ADX) / TRENDING_ADX
    elif choppiness >= CHOPPY_INDEX:
        regime = Regime.CHOPPY
        distance = (choppiness - CHOPPY_INDEX) / 10
    else:
        regime = Regime.RANGING
        distance = (TRENDING_ADX - adx) / TRENDING_ADX
    factor = 1.0 if timeframe is TIMEFRAMES[0] else STAND_IN_FACTOR
    reasons = (
        f"{timeframe.value} ATR is at its percentile {rank:.0%} of 100 bars (volatile from {VOLATILE_RANK:.0%}).",
        f"{timeframe.value} ADX is {adx:.1f} (trending from {TRENDING_ADX:.0f}).",
        f"{timeframe.value} choppiness is {choppiness:.1f} (choppy from {CHOPPY_INDEX}).",
        f"{timeframe.value} EMA 26 moves {slope:+.3f} ATR a bar.",
    )
    return RegimeSignal(regime, round(factor * (0.5 + 0.5 * min(1.0, distance)), 6), reasons)
