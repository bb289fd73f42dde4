"""The compiled halves of `windows`, whose docstrings say what each does. Loading this module loads numba."""

# ruff: noqa: ANN001, ANN201 - numba finds the types: contiguous arrays of floats and whole numbers

import math

import numpy as np
from numba import njit

_KERNEL = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_KERNEL)
def window_sums(values, period):  # type: ignore[no-untyped-def]
    """See `windows.window_sums`."""
    size = len(values) - period + 1
    sums = values[:size].copy()
    block = 1024  # stays in the nearest cache while the lags go over it, four at a time
    for start in range(0, size, block):
        stop = min(start + block, size)
        some, rest = sums[start:stop], values[start : stop + period - 1]
        for lag in range(1, period - 3, 4):
            one, two, three, four = rest[lag:], rest[lag + 1 :], rest[lag + 2 :], rest[lag + 3 :]
            for j in range(len(some)):
                some[j] = some[j] + one[j] + two[j] + three[j] + four[j]
        for lag in range(period - (period - 1) % 4, period):
            one = rest[lag:]
            for j in range(len(some)):
                some[j] += one[j]
    return sums


@njit(**_KERNEL)
def logarithms(values):  # type: ignore[no-untyped-def]
    """See `windows.logarithms`."""
    out = np.empty(len(values))
    for j in range(len(values)):
        out[j] = math.log(values[j]) if values[j] > 0 else np.nan
    return out


@njit(**_KERNEL)
def shares_not_over(values, span):  # type: ignore[no-untyped-def]
    """See `windows.shares_not_over`."""
    size = len(values) - span + 1
    out = np.empty(size)
    for j in range(size):
        now, under = values[j + span - 1], 0
        for place in range(span):
            under += values[j + place] <= now
        out[j] = under / span
    return out


@njit(**_KERNEL)
def ratchet(uppers, lowers, closes):  # type: ignore[no-untyped-def]
    """See `windows.ratchet`."""
    line, risings = np.empty(len(closes)), np.empty(len(closes), np.bool_)
    upper, lower, previous, rising = uppers[0], lowers[0], closes[0], False
    for j in range(len(closes)):
        upper = uppers[j] if (uppers[j] < upper) | (previous > upper) else upper
        lower = lowers[j] if (lowers[j] > lower) | (previous < lower) else lower
        previous = closes[j]
        rising = previous >= lower if rising else previous > upper
        line[j] = lower if rising else upper
        risings[j] = rising
    return line, risings
