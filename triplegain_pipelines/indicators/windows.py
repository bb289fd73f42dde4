"""Windows and walks over a series that neither TA-Lib nor numpy has.

Each goes two ways: in plain Python for a snapshot's few bars, compiled for the years of a backtest. Both do the same
operations in the same order, so the numbers are the same to the last bit. That is why a window is added up from its
oldest value to its newest instead of by `np.convolve`, and why logarithms are the C library's instead of numpy's:
those two answer in other last bits on another processor.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.indicators.bars import Array

LONG = 5_000
"""Values from which on the compiled way is worth loading numba, which takes half a second. No live process has them."""


def window_sums(values: Array, period: int) -> Array:
    """Sum of the last `period` values at each of them from the `period`-th on, each window added up by itself.

    A running sum would be quicker, and would leave the remains of a past spike behind.
    """
    if len(values) < period:
        return np.empty(0)
    if len(values) >= LONG:
        from triplegain_pipelines.indicators import window_kernels

        return np.asarray(window_kernels.window_sums(values, period))
    size = len(values) - period + 1
    sums = values[:size].copy()
    for lag in range(1, period):
        sums += values[lag : lag + size]
    return sums


def logarithms(values: Array) -> Array:
    """Natural logarithm; NaN for what is not over 0."""
    if len(values) >= LONG:
        from triplegain_pipelines.indicators import window_kernels

        return np.asarray(window_kernels.logarithms(values))
    return np.array([math.log(value) if value > 0 else math.nan for value in values.tolist()])


def shares_not_over(values: Array, span: int) -> Array:
    """Share of the last `span` values that are not over the present one, at each from the `span`-th on."""
    if len(values) < span:
        return np.empty(0)
    if len(values) >= LONG:
        from triplegain_pipelines.indicators import window_kernels

        return np.asarray(window_kernels.shares_not_over(values, span))
    windows = np.lib.stride_tricks.sliding_window_view(values, len(values) - span + 1)
    return np.asarray((windows <= windows[-1]).sum(axis=0) / span)


def ratchet(uppers: Array, lowers: Array, closes: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Supertrend's line, and whether it rises: a band only moves towards the price until a close lies beyond it."""
    if len(closes) >= LONG:
        from triplegain_pipelines.indicators import window_kernels

        line, rising = window_kernels.ratchet(uppers, lowers, closes)
        return line, rising
    lines, risings = _ratchet(uppers.tolist(), lowers.tolist(), closes.tolist())
    return np.array(lines), np.array(risings)


def _ratchet(uppers: list[float], lowers: list[float], closes: list[float]) -> tuple[list[float], list[bool]]:
    upper, lower, previous, rising = uppers[0], lowers[0], closes[0], False
    lines, risings = [], []
    for next_upper, next_lower, close in zip(uppers, lowers, closes, strict=True):
        if next_upper < upper or previous > upper:
            upper = next_upper
        if next_lower > lower or previous < lower:
            lower = next_lower
        rising = close >= lower if rising else close > upper
        lines.append(lower if rising else upper)
        risings.append(rising)
        previous = close
    return lines, risings
