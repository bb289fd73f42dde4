"""Where a held position could trip a breaker: a search over many marks at once, which only ever says too much.

Floats stand for money here, with a margin that is wider than their errors. Where this finds nothing, no mark would have
changed anything but the highest equity; where it finds something, the account is marked with exact numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.risk import BreakerName, BreakerState, BreakerStates
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.settings.risk import RiskLimits

Floats = npt.NDArray[np.float64]

_MARGIN = 1e-9


@dataclass(frozen=True, slots=True)
class Watched:
    """What the breakers compare the coming marks with.

    Attributes:
        state: what risk remembers, as of the newest mark.
        breakers: as they stand; an open one cannot trip.
        highest: the highest mark of the window of the rapid loss.
        lookback: how many moments that window has at most.
    """

    state: RiskState
    breakers: BreakerStates
    highest: float
    lookback: int


def first_suspect(equity: Floats, watched: Watched, limits: RiskLimits) -> int:
    """The place in `equity`, the next marks of one UTC day, at which a breaker may trip first; else its length."""
    lowest, highest = float(equity.min()), float(equity.max())
    found = len(equity)
    if _may_trip(watched, BreakerName.DAILY_LOSS):
        floor = float(watched.state.day_start_equity) * (1 - float(limits.daily_loss.halt)) + _margin(highest)
        if lowest <= floor:
            found = min(found, _first(equity <= floor))
    if _may_trip(watched, BreakerName.DRAWDOWN):
        peak = float(watched.state.peak_equity)
        kept = 1 - float(limits.drawdown_ladder.lock)
        if lowest <= max(peak, highest) * kept + _margin(peak):
            peaks = np.maximum.accumulate(np.maximum(equity, peak))
            found = min(found, _first(equity <= peaks * kept + _margin(peak)))
    if _may_trip(watched, BreakerName.RAPID_LOSS):
        kept = 1 - float(limits.breakers.rapid_loss.threshold)
        top = max(watched.highest, highest)
        if lowest <= top * kept + _margin(top):
            before = np.full(watched.lookback, watched.highest)
            windows = np.lib.stride_tricks.sliding_window_view(np.append(before, equity), watched.lookback + 1)
            found = min(found, _first(equity <= windows.max(axis=1) * kept + _margin(top)))
    return found


def _may_trip(watched: Watched, name: BreakerName) -> bool:
    return watched.breakers[name].state is not BreakerState.OPEN


def _margin(money: float) -> float:
    return abs(money) * _MARGIN


def _first(hits: npt.NDArray[np.bool_]) -> int:
    place = int(hits.argmax())
    return place if hits[place] else len(hits)
