"""One pass over the marks of an equity curve: its deepest fall, the time below a peak and the time in the market.

The same function runs as plain Python for the few marks of an account and compiled for the million of a backtest, with
the same bits: sums over time are whole microseconds, and nothing is reordered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_MANY = 20_000  # marks from which compiling pays: numba takes longer to load than plain Python for fewer
_NEVER = -1

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Walked:
    """What a pass found. Times and spans are microseconds, times since the Unix epoch.

    `exposed` and `net` are spans times the share of the equity that was in positions, without and with its sign.
    """

    depth: float
    peak_at: int
    trough_at: int
    recovered_at: int | None
    wet: int
    held: int
    exposed: float
    net: float


def walk_marks(
    at: Times, worth: Floats, equity: Floats, positions: Floats, *, start: int, end: int, seed: float
) -> Walked:
    """Walk over marks in their order.

    Args:
        at: when each mark was made, rising.
        worth: the equity as it would have grown with nothing paid in or out.
        equity: with what was paid; what exposure is a share of.
        positions: market value of what is held, negative where more is short.
        start: where the period begins, with `seed` as the first mark.
        end: where it ends; the last mark holds until then, and what lies after it has no length.
        seed: the starting equity, positive.
    """
    arrays: tuple[Any, ...] = (at, worth, equity, positions)
    if len(at) < _MANY:  # numbers of Python: a third of the time that elements of an array take
        walk: Callable[..., Any] = _walk
        marks: list[Any] = [array.tolist() for array in arrays]
    else:
        walk = _compiled()
        marks = [np.ascontiguousarray(array) for array in arrays]
    depth, peak, trough, recovered, wet, held, exposed, net = walk(*marks, start, end, float(seed))
    return Walked(depth, peak, trough, None if recovered == _NEVER else recovered, wet, held, exposed, net)


@cache
def _compiled() -> Callable[..., Any]:
    from numba import njit

    compiled: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy")(_walk)
    return compiled


def _walk(at: Any, worth: Any, equity: Any, positions: Any, start: int, end: int, seed: float) -> tuple[Any, ...]:  # noqa: ANN401 - lists or arrays
    highest = seed
    dry_at = start  # the last mark that was at its peak
    depth = 0.0
    peak_at = trough_at = recovered_at = start
    wet = held = 0
    exposed = net = 0.0
    count = len(at)
    for mark in range(count):
        now = at[mark]
        span = (min(at[mark + 1], end) if mark + 1 < count else end) - now
        value = worth[mark]
        fall = 0.0
        if value >= highest:
            highest = value
        else:
            fall = 1.0 - value / highest
            if fall > depth:
                depth, peak_at, trough_at, recovered_at = fall, dry_at, now, _NEVER
        if fall <= 0.0:
            dry_at = now
            if recovered_at == _NEVER:
                recovered_at = now
        else:
            wet += max(span, 0)
        if span > 0 and positions[mark] != 0.0:
            held += span
            if equity[mark] > 0.0:
                share = positions[mark] / equity[mark] * span
                exposed += abs(share)
                net += share
    return depth, peak_at, trough_at, recovered_at, wet, held, exposed, net
