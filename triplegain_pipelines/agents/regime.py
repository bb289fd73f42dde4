"""The regime agent: the state of a market in one word, by which risk limits differ.

Four measures of the hour decide, each with a memory (`indicators.states`): a state is entered at one threshold and left
at a lower one, so that the word does not change with every bar that ends near a threshold.

| measure of the 1h candles | state | entered at | left under |
|---|---|---|---|
| rank of ATR / close among 100 bars | volatile | 95 % | 80 % |
| ADX (14) | trending | 25 | 23 |
| choppiness index (14) | choppy | 61.8 | 50 |
| slope of EMA 26, in ATR a bar | bull or bear | +0.02 | -0.02 |

The first that holds is the word: volatile (bull or bear), trending (bull or bear), choppy, else ranging. Nothing but
the bars of the window carries the memory, so live, a replay and any partitioning give the same answer. To become
volatile takes one bar. All measures are relative to the symbol's own movement, so a slow drift of a quiet market is a
trend too.
"""

from collections.abc import Mapping

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.evidence import Readings, RegimeSignal, Snapshot
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.registry import CHOPPY, TRENDING, VOLATILE

REGIME_VERSION = "regime-2"

TIMEFRAMES = (Timeframe.H1, Timeframe.M15)
"""The timeframe it is read from, and the one that stands in until that has warmed up."""

STAND_IN_FACTOR = 0.8
"""What the confidence is multiplied with where the second timeframe had to speak."""

FULL_RANK, FULL_ADX, FULL_CHOPPINESS = 1.0, 50.0, 71.8
"""Where a measure is so far over its threshold that the confidence is 1."""

_NEEDED = ("atr_rank_100", "adx_14", "choppiness_14", "ema_26_slope")


def classify_regime(snapshot: Snapshot) -> RegimeSignal:
    """The regime by the first state that holds: volatile, trending, choppy, else ranging.

    The confidence is 0.5 where the measure is at the threshold of its state, 1 far over it, and falls to 0 where it is
    about to leave; of ranging it is 0.5 at an ADX of 25 and 1 at 0. Where no timeframe has its indicators the answer is
    choppy with confidence 0: what is not known gets the strictest limits.
    """
    for timeframe in TIMEFRAMES:
        readings = snapshot.readings(timeframe)
        if all(readings.get(name) is not None for name in _NEEDED):
            return _classify(readings, timeframe)
    waiting = " and ".join(timeframe.value for timeframe in TIMEFRAMES)
    return RegimeSignal(Regime.CHOPPY, 0.0, (f"The indicators of {waiting} are not warmed up: strictest limits.",))


def _classify(readings: Readings, timeframe: Timeframe) -> RegimeSignal:
    rank, adx, choppiness, slope = (readings[name] or 0.0 for name in _NEEDED)
    volatile = _holds(readings, "volatile_state", at_once=rank >= VOLATILE["enter"])
    trending = _holds(readings, "trending_state", at_once=adx >= TRENDING["enter"])
    choppy = _holds(readings, "choppy_state", at_once=choppiness >= CHOPPY["enter"])
    rising = _holds(readings, "slope_state", at_once=slope > 0)
    if volatile:
        regime = Regime.VOLATILE_BULL if rising else Regime.VOLATILE_BEAR
        certainty = _certainty(rank, **VOLATILE, full=FULL_RANK)
    elif trending:
        regime = Regime.TRENDING_BULL if rising else Regime.TRENDING_BEAR
        certainty = _certainty(adx, **TRENDING, full=FULL_ADX)
    elif choppy:
        regime = Regime.CHOPPY
        certainty = _certainty(choppiness, **CHOPPY, full=FULL_CHOPPINESS)
    else:
        regime = Regime.RANGING
        certainty = 1 - 0.5 * adx / TRENDING["enter"]
    reasons = (
        _said(
            f"{timeframe.value} ATR is at its percentile {rank:.0%} of 100 bars", "volatile", volatile, VOLATILE, ".0%"
        ),
        _said(f"{timeframe.value} ADX is {adx:.1f}", "trending", trending, TRENDING, ".0f"),
        _said(f"{timeframe.value} choppiness is {choppiness:.1f}", "choppy", choppy, CHOPPY, ".1f"),
        f"{timeframe.value} EMA 26 moves {slope:+.3f} ATR a bar: {'bull' if rising else 'bear'}.",
    )
    factor = 1.0 if timeframe is TIMEFRAMES[0] else STAND_IN_FACTOR
    return RegimeSignal(regime, round(factor * certainty, 6), reasons)


def _holds(readings: Readings, state: str, *, at_once: bool) -> bool:
    """Whether the state is on. Snapshots of before there were states have no memory: the thresholds decide at once."""
    remembered = readings.get(state)
    return at_once if remembered is None else remembered > 0


def _certainty(value: float, *, enter: float, leave: float, full: float) -> float:
    if value >= enter:
        return min(1.0, 0.5 + 0.5 * (value - enter) / (full - enter))
    return max(0.0, 0.5 * (value - leave) / (enter - leave))


def _said(measured: str, state: str, holds: bool, edges: Mapping[str, float], form: str) -> str:  # noqa: FBT001
    word = state if holds else f"not {state}"
    return f"{measured}: {word} (from {edges['enter']:{form}}, until under {edges['leave']:{form}})."
