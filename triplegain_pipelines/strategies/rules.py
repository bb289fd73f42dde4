"""The four forms that the rules of strategies have: follow a side, return to the middle, cross in a zone, break out.

Each takes arrays as long as the series and gives a target and the code of its reason at each bar, 0 in the warm-up.
The codes mean the same in all strategies, and each strategy puts its own words on them. Where an indicator has no value
nothing is wanted. They are compiled (`kernels`), and all but the first carry a state from bar to bar.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.indicators.bars import Array

Targets = npt.NDArray[np.int8]

NOTHING, LONG, SHORT, LEFT_LONG, LEFT_SHORT, NO_VALUE = range(6)
"""Codes of reasons: nothing happened yet; why it is long, or short; why it is flat again."""

NEITHER = LEFT_LONG
"""Of `following`, which has no memory: no side holds."""


def following(line: Array, other: Array, *, warm_up: int, agreeing: Array | None = None) -> tuple[Targets, Targets]:
    """Long while `line` is over `other`, short while it is under it, flat while neither.

    With `agreeing`, long only where that is over 0, and short only where it is under 0.
    """
    from triplegain_pipelines.strategies.kernels import follow, keep_agreeing

    target, reason = _empty(len(line))
    first = warm_up - 1
    follow(line[first:], other[first:], target[first:], reason[first:])
    if agreeing is not None:
        keep_agreeing(agreeing[first:], target[first:], reason[first:])
    return target, reason


def reverting(
    values: Array, *, low: float, leave_long: float, high: float, leave_short: float, warm_up: int
) -> tuple[Targets, Targets]:
    """Long from a value under `low` until one over `leave_long`, short from over `high` until under `leave_short`."""
    from triplegain_pipelines.strategies.kernels import revert

    target, reason = _empty(len(values))
    revert(values, low, leave_long, high, leave_short, warm_up - 1, target, reason)
    return target, reason


def crossing(line: Array, signal: Array, *, low: float, high: float, warm_up: int) -> tuple[Targets, Targets]:
    """Long from where `line` crosses over `signal` while that is under `low` until the line is over `high`; short from
    where it crosses under `signal` while that is over `high` until the line is under `low`.
    """  # noqa: D205 - one rule and its mirror
    from triplegain_pipelines.strategies.kernels import cross

    target, reason = _empty(len(line))
    cross(line, signal, low, high, warm_up - 1, target, reason)
    return target, reason


def breaking(
    close: Array, entry: tuple[Array, Array], leave: tuple[Array, Array], *, warm_up: int
) -> tuple[Targets, Targets]:
    """Long from a close over the upper edge of the channel `entry` of the bar before, until one under the lower edge of
    the channel `leave` of the bar before; short mirrored. A channel is its upper and its lower edge, and `leave` lies
    within `entry`.
    """  # noqa: D205 - one rule and its mirror
    from triplegain_pipelines.strategies.kernels import break_out

    target, reason = _empty(len(close))
    before = [edge[:-1] for edge in (*entry, *leave)]
    break_out(close[1:], *before, max(warm_up - 2, 0), target[1:], reason[1:])
    return target, reason


def _empty(length: int) -> tuple[Targets, Targets]:
    return np.zeros(length, np.int8), np.zeros(length, np.int8)
