"""The rules of strategies, compiled. Import this where numba may be imported: in the function that needs it.

Those with a memory write `target` and `reason` from bar `first` on, and leave what is before as it is. A bar looks at
itself and at the one before, and at nothing else. Stretches in which nothing can change are passed in a loop of their
own, which is most of the speed.
"""

import numpy as np
from numba import njit, types

from triplegain_pipelines.strategies import rules

_FLOATS = types.Array(types.float64, 1, "C", readonly=True)
_CODES = types.Array(types.int8, 1, "C")
_PLACE, _EDGE, _VOID = types.int64, types.float64, types.void

_LONG, _SHORT = np.int8(rules.LONG), np.int8(rules.SHORT)
_LEFT_LONG, _LEFT_SHORT = np.int8(rules.LEFT_LONG), np.int8(rules.LEFT_SHORT)
_NOTHING, _NO_VALUE = np.int8(rules.NOTHING), np.int8(rules.NO_VALUE)
_NEITHER = np.int8(rules.NEITHER)
_BUY, _SELL, _OVER, _UNDER, _UNKNOWN = 1, 2, 4, 8, 16


@njit(_VOID(_FLOATS, _FLOATS, _CODES, _CODES), cache=True, nogil=True)
def follow(line, other, target, reason):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """As `rules.following`, over all bars, and in a form that the compiler makes eight bars at once of."""
    for bar in range(len(line)):
        up, down = np.int8(line[bar] > other[bar]), np.int8(line[bar] < other[bar])
        target[bar] = up - down
        reason[bar] = _NEITHER - 2 * up - down


@njit(_VOID(_FLOATS, _CODES, _CODES), cache=True, nogil=True)
def keep_agreeing(sides, target, reason):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Flat, on neither side, where `sides` is not of the sign of `target`; NaN agrees with nothing."""
    for bar in range(len(sides)):
        agrees = np.int8(sides[bar] * target[bar] > 0.0)
        target[bar] *= agrees
        reason[bar] = agrees * reason[bar] + (1 - agrees) * _NEITHER


@njit(cache=True, nogil=True, inline="always")
def _next(side, why, buy, sell, leave_long, leave_short):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The side and reason after a bar: an entry, also out of the other side, comes before leaving."""
    if side != 1 and buy:
        return np.int8(1), _LONG
    if side != -1 and sell:
        return np.int8(-1), _SHORT
    if side == 1 and leave_long:
        return np.int8(0), _LEFT_LONG
    if side == -1 and leave_short:
        return np.int8(0), _LEFT_SHORT
    return side, why


@njit(cache=True, nogil=True, inline="always")
def _inside(values, bar, low, high):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The first bar from `bar` on whose value is not between `low` and `high`; the number of bars without one."""
    while bar < len(values) and low <= values[bar] <= high:
        bar += 1
    return bar


@njit(_VOID(_FLOATS, _EDGE, _EDGE, _EDGE, _EDGE, _PLACE, _CODES, _CODES), cache=True, nogil=True)
def revert(values, low, leave_long, high, leave_short, first, target, reason):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """As `rules.reverting`."""
    side, why, bar = np.int8(0), _NOTHING, first
    while bar < len(values):
        start = bar
        # Each stretch in which nothing can change is passed by one comparison a bar, which is False for NaN.
        if side == 0:
            bar = _inside(values, bar, low, high)
        elif side == 1:
            bar = _inside(values, bar, -np.inf, min(leave_long, high))
        else:
            bar = _inside(values, bar, max(leave_short, low), np.inf)
        target[start:bar], reason[start:bar] = side, why
        if bar < len(values):
            value = values[bar]
            if np.isnan(value):
                side, why = np.int8(0), _NO_VALUE
            else:
                side, why = _next(side, why, value < low, value > high, value > leave_long, value < leave_short)
            target[bar], reason[bar] = side, why
            bar += 1


@njit(cache=True, nogil=True)
def _crossings(line, signal, low, high):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """What happens at each bar but the first, as a sum of `_BUY` and the others: without a branch, because nobody could
    foretell which way it goes.
    """  # noqa: D205
    events = np.zeros(len(line), np.uint8)
    for bar in range(1, len(line)):
        now, middle, before, middle_before = line[bar], signal[bar], line[bar - 1], signal[bar - 1]
        buy = (now > middle) & (before <= middle_before) & (middle < low)
        sell = (now < middle) & (before >= middle_before) & (middle > high)
        unknown = (now != now) | (middle != middle)  # noqa: PLR0124 - NaN is the only value that is not itself
        events[bar] = buy * _BUY + sell * _SELL + (now > high) * _OVER + (now < low) * _UNDER + unknown * _UNKNOWN
    return events


@njit(_VOID(_FLOATS, _FLOATS, _EDGE, _EDGE, _PLACE, _CODES, _CODES), cache=True, nogil=True)
def cross(line, signal, low, high, first, target, reason):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """As `rules.crossing`."""
    events = _crossings(line, signal, low, high)
    side, why, bar = np.int8(0), _NOTHING, max(first, 1)
    while bar < len(line):
        start = bar
        matters = _BUY | _SELL | _UNKNOWN | (_OVER if side == 1 else _UNDER if side == -1 else 0)
        while bar < len(line) and not events[bar] & matters:
            bar += 1
        target[start:bar], reason[start:bar] = side, why
        if bar < len(line):
            event = events[bar]
            if event & _UNKNOWN:
                side, why = np.int8(0), _NO_VALUE
            else:
                side, why = _next(side, why, event & _BUY, event & _SELL, event & _OVER, event & _UNDER)
            target[bar], reason[bar] = side, why
            bar += 1


@njit(_VOID(_FLOATS, _FLOATS, _FLOATS, _FLOATS, _FLOATS, _PLACE, _CODES, _CODES), cache=True, nogil=True)
def break_out(close, upper, lower, leave_upper, leave_lower, first, target, reason):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """As `rules.breaking`, with channels that are those of the bar before already."""
    side, why, bar = np.int8(0), _NOTHING, first
    while bar < len(close):
        start = bar
        # The channel that is left by lies within the one that is entered by, so it is the only one to watch.
        if side == 0:
            while bar < len(close) and lower[bar] <= close[bar] <= upper[bar]:
                bar += 1
        elif side == 1:
            while bar < len(close) and close[bar] >= leave_lower[bar]:
                bar += 1
        else:
            while bar < len(close) and close[bar] <= leave_upper[bar]:
                bar += 1
        target[start:bar], reason[start:bar] = side, why
        if bar < len(close):
            price = close[bar]
            if np.isnan(upper[bar]) or np.isnan(leave_lower[bar]):
                side, why = np.int8(0), _NO_VALUE
            else:
                buy, sell = price > upper[bar], price < lower[bar]
                side, why = _next(side, why, buy, sell, price < leave_lower[bar], price > leave_upper[bar])
            target[bar], reason[bar] = side, why
            bar += 1
