"""The whole set of `registry` in one compiled pass: numbers of a batch and of a stream out of the same code.

`advance` takes the next bars of a series, one or a million, and a state that holds what the bars before them left
behind. It works in blocks that stay in the processor's nearest cache: what a bar needs of its neighbours only (windows,
quotients) runs over the block in vector instructions, what remembers (averages, Wilder's smoothing, Supertrend) bar by
bar. Nothing is computed in another order for another number of bars, so a stream has the bits of the batch.

The values are those of the formulas in `trend`, `momentum`, `volatility`, `volume` and `states`, and through them those
of TA-Lib 0.8, whose sums and products are done here in its order (numba without `fastmath` fuses and reorders nothing).
Periods are constants so that loops unroll; a test holds every output against the registry's formulas.

The arrays of the inner functions hold floats; `size` is the number of bars in the block, `count` of those before it.

Importing this module costs half a second, for numba: import it inside the function that needs it. Nothing compiled is
imported from another module: numba's cache looks at the time of this file only, and would go on with the old helper.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR2004 - numba finds the types; the periods are written out

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_PART = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

PAST = 104
"""Bars that are remembered of each series of values: the widest window, the 100 of ATR's rank, in whole vectors."""

BLOCK = 512

# Rows of the working memory. The first are remembered from bar to bar.
(HIGH, LOW, CLOSE, VOLUME, TYPICAL, TURNOVER, TRUE_RANGE, RANGE, RELATIVE, EMA_26, FAST_K, SLOW_K) = range(12)
REMEMBERED = 12
(HIGHEST_14, LOWEST_14, HIGHEST_20, LOWEST_20, GAIN, LOSS, ATR_14, ATR_10) = range(12, 20)
(PLUS, MINUS, TRAVELLED, DX, STILL, SAME_CLOSE, TWO, FOUR, EIGHT) = range(20, 29)
ROWS = 29

# Scalars that are remembered, in the last row of a state.
(COUNT, M_EMA_12, M_EMA_26, M_EMA_20, M_FAST, M_SIGNAL, M_SMA_20, M_SMA_50, M_K, M_D) = range(10)
(M_SHIFT, M_DEVIATIONS, M_SQUARES, M_AGE) = range(10, 14)
(M_GAIN, M_LOSS, M_ATR_14, M_ATR_10, M_PLUS, M_MINUS, M_TRAVELLED, M_ADX) = range(14, 22)
(M_UPPER, M_LOWER, M_RISING, M_OBV, M_STILL, M_SAME_CLOSE) = range(22, 28)
(M_VOLATILE, M_TRENDING, M_CHOPPY, M_SLOPE, M_BEGUN) = range(28, 33)
RING = 40  # from here on the typical prices that CCI adds up, in TA-Lib's order of a ring

# Rows of the output, in the order of `registry.OUTPUTS`.
(O_EMA_12, O_EMA_26, O_SMA_20, O_SMA_50, O_MACD, O_SIGNAL, O_HISTOGRAM, O_ADX, O_TRENDING) = range(9)
(O_UPPER, O_LOWER, O_LINE, O_DIRECTION, O_SLOPE, O_SLOPE_STATE, O_RSI, O_K, O_D, O_CCI, O_WILLIAMS) = range(9, 20)
(O_ATR, O_RANK, O_VOLATILE, O_BOLL_UPPER, O_BOLL_MIDDLE, O_BOLL_LOWER) = range(20, 26)
(O_KELT_UPPER, O_KELT_MIDDLE, O_KELT_LOWER, O_CHOPPINESS, O_CHOPPY, O_OBV, O_VWAP) = range(26, 33)
OUTPUT_COUNT = 33

STATE_SHAPE = (REMEMBERED + 1, PAST)
WORK_SHAPE = (ROWS, PAST + BLOCK)

_WILDER = 10  # `warmup.WILDER`
_SLOPE_SPAN = 10
_EPSILON = 1e-14  # what TA-Lib takes for nothing
_RESEED = 32  # windows after which TA-Lib adds up the squares afresh


@intrinsic
def _fused(_typing, _one, _other, _third):  # type: ignore[no-untyped-def]
    """`one` * `other` + `third`, rounded once, as TA-Lib has it in its averages; an instruction of the processor."""
    number = types.float64

    def code(_context, builder, _signature, values):  # type: ignore[no-untyped-def]
        return builder.fma(*values)

    return number(number, number, number), code


@njit(**_PART)
def _block(memory, work, out, size, warm_ups):  # type: ignore[no-untyped-def]
    count = int(memory[COUNT])
    now = slice(PAST, PAST + size)
    _measures(work, now, size)
    _extremes(work, PAST + size)
    _averages(memory, work, out, size, count)
    _window_averages(memory, work, out, size, count)
    _smoothed(memory, work, size, count)
    _directional(memory, work, out, size, count)
    _stochastic(memory, work, out, size, count)
    _commodity_channel(memory, work, out, size, count)
    _supertrend(memory, work, out, size, count)
    _volumes(memory, work, out, size, count)
    _channels(work, out, size)
    _oscillators(work, out, size)
    _of_windows(work, out, size)
    _ranks(work, out, size)
    for row in range(OUTPUT_COUNT):
        for place in range(min(size, max(0, warm_ups[row] - 1 - count))):
            out[row, place] = np.nan
    _states(memory, out, size)
    memory[COUNT] = count + size


@njit(**_PART)
def _measures(work, now, size):  # type: ignore[no-untyped-def]
    """Typical price, turnover, range and true range of each bar, and its two directional movements (Wilder)."""
    high, low, close, volume = work[HIGH, now], work[LOW, now], work[CLOSE, now], work[VOLUME, now]
    before = slice(PAST - 1, PAST - 1 + size)
    high_before, low_before, close_before = work[HIGH, before], work[LOW, before], work[CLOSE, before]
    typical, turnover, true_range = work[TYPICAL, now], work[TURNOVER, now], work[TRUE_RANGE, now]
    plus, minus = work[PLUS], work[MINUS]
    for j in range(size):
        typical[j] = (high[j] + low[j] + close[j]) / 3
        turnover[j] = typical[j] * volume[j]
    for j in range(size):
        greatest = high[j] - low[j]
        over = abs(high[j] - close_before[j])
        greatest = max(greatest, over)
        under = abs(low[j] - close_before[j])
        true_range[j] = max(greatest, under)
    gain, loss = work[GAIN], work[LOSS]
    for j in range(size):
        move = close[j] - close_before[j]
        gain[j] = 0.0 if move < 0 else move
        loss[j] = -move if move < 0 else 0.0
    for j in range(size):
        up = high[j] - high_before[j]
        down = low_before[j] - low[j]
        minus[j] = down if (down > 0) & (up < down) else 0.0
        plus[j] = up if (up > 0) & (up > down) else 0.0


@njit(**_PART)
def _larger(one, other, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        out[j] = max(other[j], one[j])


@njit(**_PART)
def _smaller(one, other, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        out[j] = min(other[j], one[j])


@njit(**_PART)
def _extremes(work, end):  # type: ignore[no-untyped-def]
    """Highest high and lowest low of 14 and 20 bars, out of those of 2, 4 and 8 bars."""
    start = PAST - 20
    two, four, eight = work[TWO], work[FOUR], work[EIGHT]
    high, low = work[HIGH], work[LOW]
    _larger(high[start + 1 : end], high[start : end - 1], two[start + 1 : end])
    _larger(two[start + 3 : end], two[start + 1 : end - 2], four[start + 3 : end])
    _larger(four[start + 7 : end], four[start + 3 : end - 4], eight[start + 7 : end])
    size = end - PAST
    _larger(eight[PAST:end], eight[PAST - 6 : end - 6], work[HIGHEST_14, :size])
    _larger(eight[PAST:end], eight[PAST - 8 : end - 8], work[HIGHEST_20, :size])
    _larger(work[HIGHEST_20, :size], four[PAST - 16 : end - 16], work[HIGHEST_20, :size])
    _smaller(low[start + 1 : end], low[start : end - 1], two[start + 1 : end])
    _smaller(two[start + 3 : end], two[start + 1 : end - 2], four[start + 3 : end])
    _smaller(four[start + 7 : end], four[start + 3 : end - 4], eight[start + 7 : end])
    _smaller(eight[PAST:end], eight[PAST - 6 : end - 6], work[LOWEST_14, :size])
    _smaller(eight[PAST:end], eight[PAST - 8 : end - 8], work[LOWEST_20, :size])
    _smaller(work[LOWEST_20, :size], four[PAST - 16 : end - 16], work[LOWEST_20, :size])
    for j in range(size):
        work[RANGE, PAST + j] = work[HIGHEST_14, j] - work[LOWEST_14, j]


@njit(**_PART)
def _exponential(average, value, count, period):  # type: ignore[no-untyped-def]
    """The next average after `count` values; the sum of them before there are `period` (TA-Lib EMA)."""
    if count >= period:
        return _fused(value - average, 2.0 / (period + 1), average)
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_PART)
def _wilder(average, value, count, period):  # type: ignore[no-untyped-def]
    """Wilder's average, begun like `_exponential` (TA-Lib ADX)."""
    if count >= period:
        return (average * (period - 1) + value) / period
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_PART)
def _wilder_fused(average, value, count, period):  # type: ignore[no-untyped-def]
    """The same as TA-Lib's ATR has it."""
    if count >= period:
        kept = (period - 1.0) / period
        return _fused(kept, average, (1.0 - kept) * value)
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_PART)
def _wilder_multiplied(average, value, count, period):  # type: ignore[no-untyped-def]
    """The same as TA-Lib's RSI has it."""
    part = 1.0 / period
    if count >= period:
        return (average * (period - 1) + value) * part
    total = average + value
    return total * part if count == period - 1 else total


@njit(**_PART)
def _decaying(total, value, count, period):  # type: ignore[no-untyped-def]
    """Wilder's sum: begun with `period` - 1 values added up, then a `period`-th of it goes with every bar (TA-Lib)."""
    return total - total / period + value if count >= period - 1 else total + value


@njit(**_PART)
def _averages(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """The exponential averages and MACD, whose fast average begins with the slow one's first value."""
    ema_12, ema_26, ema_20, fast = memory[M_EMA_12], memory[M_EMA_26], memory[M_EMA_20], memory[M_FAST]
    signal = memory[M_SIGNAL]
    ema_26 = work[EMA_26, PAST - 1]
    close = work[CLOSE, PAST : PAST + size]
    for j in range(size):
        known = count + j
        ema_12 = _exponential(ema_12, close[j], known, 12)
        ema_26 = _exponential(ema_26, close[j], known, 26)
        ema_20 = _exponential(ema_20, close[j], known, 20)
        if known >= 26 - 12:
            fast = _exponential(fast, close[j], known - (26 - 12), 12)
        line = fast - ema_26
        if known >= 26 - 1:
            signal = _exponential(signal, line, known - (26 - 1), 9)
        out[O_EMA_12, j] = ema_12
        work[EMA_26, PAST + j] = ema_26
        out[O_KELT_MIDDLE, j] = ema_20
        out[O_MACD, j] = line
        out[O_SIGNAL, j] = signal
    memory[M_EMA_12], memory[M_EMA_20], memory[M_FAST], memory[M_SIGNAL] = ema_12, ema_20, fast, signal
    for j in range(size):
        out[O_EMA_26, j] = work[EMA_26, PAST + j]
        out[O_HISTOGRAM, j] = out[O_MACD, j] - out[O_SIGNAL, j]


@njit(**_PART)
def _window_averages(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """The simple averages and the Bollinger bands, as running sums (TA-Lib SMA and VAR)."""
    total_20, total_50 = memory[M_SMA_20], memory[M_SMA_50]
    close = work[CLOSE]
    for j in range(size):
        total_20 += close[PAST + j]
        total_50 += close[PAST + j]
        out[O_SMA_20, j] = total_20
        out[O_SMA_50, j] = total_50
        total_20 -= close[PAST + j - 19]  # zeros before the first bar
        total_50 -= close[PAST + j - 49]
    memory[M_SMA_20], memory[M_SMA_50] = total_20, total_50
    _variances(memory, close, out[O_BOLL_UPPER], size, count)
    for j in range(size):
        out[O_SMA_20, j] /= 20.0
        out[O_SMA_50, j] /= 50.0
        width = math.sqrt(out[O_BOLL_UPPER, j]) * 2.0
        middle = out[O_SMA_20, j]
        apart = (middle + width > middle) & (middle > middle - width)
        out[O_BOLL_UPPER, j] = middle + width if apart else np.nan
        out[O_BOLL_MIDDLE, j] = middle if apart else np.nan
        out[O_BOLL_LOWER, j] = middle - width if apart else np.nan


@njit(**_PART)
def _variances(memory, close, out, size, count):  # type: ignore[no-untyped-def]
    """Variance of 20 closes, measured from a `shift` near them that moves when digits would get lost (TA-Lib VAR)."""
    period, part = 20, 1.0 / 20
    shift, total, squares, age = memory[M_SHIFT], memory[M_DEVIATIONS], memory[M_SQUARES], memory[M_AGE]
    for j in range(size):
        place = PAST + j
        if count + j == 0:
            shift, age = close[place], _RESEED * period
        deviation = close[place] - shift
        total += deviation
        squares += deviation * deviation
        if count + j < period - 1:
            continue
        mean = total * part
        variance = squares * part - mean * mean
        deviation = close[place - period + 1] - shift
        total -= deviation
        gone = deviation * deviation
        squares -= gone
        age -= 1
        if (variance < 0.000001 * (squares * part)) | (gone > 1000000.0 * squares) | (age <= 0):
            shift, total, squares, variance = _counted_afresh(close, place - period + 1, period, part)
            age = _RESEED * period
        out[j] = variance
    memory[M_SHIFT], memory[M_DEVIATIONS], memory[M_SQUARES], memory[M_AGE] = shift, total, squares, age


@njit(**_PART)
def _counted_afresh(close, first, period, part):  # type: ignore[no-untyped-def]
    total = 0.0
    for place in range(first, first + period):
        total += close[place]
    shift = total * part
    total, squares = 0.0, 0.0
    for place in range(first, first + period):
        deviation = close[place] - shift
        total += deviation
        squares += deviation * deviation
    mean = total * part
    variance = squares * part - mean * mean
    if variance < 0.000000000001 * (squares * part):
        variance = 0.0
    deviation = close[first] - shift
    return shift, total - deviation, squares - deviation * deviation, variance


@njit(**_PART)
def _smoothed(memory, work, size, count):  # type: ignore[no-untyped-def]
    """Everything that Wilder smoothed, and for how many bars the price has stood still."""
    gain, loss, atr_14, atr_10 = memory[M_GAIN], memory[M_LOSS], memory[M_ATR_14], memory[M_ATR_10]
    plus, minus, travelled = memory[M_PLUS], memory[M_MINUS], memory[M_TRAVELLED]
    close, true_range = work[CLOSE], work[TRUE_RANGE]
    for j in range(size):
        known = count + j - 1  # the first bar has no bar before it
        if known >= 0:
            loss = _wilder_multiplied(loss, work[LOSS, j], known, 14)
            gain = _wilder_multiplied(gain, work[GAIN, j], known, 14)
            atr_14 = _wilder_fused(atr_14, true_range[PAST + j], known, 14)
            atr_10 = _wilder_fused(atr_10, true_range[PAST + j], known, 10)
            plus = _decaying(plus, work[PLUS, j], known, 14)
            minus = _decaying(minus, work[MINUS, j], known, 14)
            travelled = _decaying(travelled, true_range[PAST + j], known, 14)
        work[GAIN, j], work[LOSS, j], work[ATR_14, j], work[ATR_10, j] = gain, loss, atr_14, atr_10
        work[PLUS, j], work[MINUS, j], work[TRAVELLED, j] = plus, minus, travelled
    memory[M_GAIN], memory[M_LOSS], memory[M_ATR_14], memory[M_ATR_10] = gain, loss, atr_14, atr_10
    memory[M_PLUS], memory[M_MINUS], memory[M_TRAVELLED] = plus, minus, travelled
    still, same = memory[M_STILL], memory[M_SAME_CLOSE]
    high, low = work[HIGH], work[LOW]
    for j in range(PAST, PAST + size):
        again = (still > 0) & (high[j] == high[j - 1])
        still = (still + 1 if again else 1.0) if high[j] == low[j] else 0.0
        same = same + 1 if (close[j] == close[j - 1]) & (count > PAST - j) else 1.0
        work[STILL, j - PAST], work[SAME_CLOSE, j - PAST] = still, same
    memory[M_STILL], memory[M_SAME_CLOSE] = still, same


@njit(**_PART)
def _directional(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """ADX out of the smoothed directional movements; a bar without one leaves it as it was."""
    for j in range(size):
        minus = 100.0 * (work[MINUS, j] / work[TRAVELLED, j])
        plus = 100.0 * (work[PLUS, j] / work[TRAVELLED, j])
        work[DX, j] = 100.0 * (abs(minus - plus) / (minus + plus)) if minus + plus >= _EPSILON else np.nan
    adx = memory[M_ADX]
    for j in range(size):
        known = count + j - 14
        moved = not math.isnan(work[DX, j])
        if (known >= 0) & (moved | (known < 14)):
            adx = _wilder(adx, work[DX, j] if moved else 0.0, known, 14)
        out[O_ADX, j] = np.nan if work[STILL, j] >= _WILDER * 2 * 14 - 1 else adx
    memory[M_ADX] = adx


@njit(**_PART)
def _stochastic(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """Slow %K and %D, as running sums (TA-Lib STOCH)."""
    fast, slow, ranges = work[FAST_K], work[SLOW_K], work[RANGE]
    for j in range(size):
        scale = ranges[PAST + j]
        fast[PAST + j] = 100.0 * ((work[CLOSE, PAST + j] - work[LOWEST_14, j]) / scale) if scale != 0.0 else 0.0
    total_k, total_d = memory[M_K], memory[M_D]
    for j in range(PAST, PAST + size):
        known = count + j - PAST - 13
        if known >= 0:
            total_k += fast[j]
            slow[j] = total_k / 3.0
        if known >= 2:
            total_k -= fast[j - 2]
            total_d += slow[j]
            out[O_D, j - PAST] = total_d / 3.0
        if known >= 4:
            total_d -= slow[j - 2]
    memory[M_K], memory[M_D] = total_k, total_d
    for j in range(size):
        k = PAST + j
        flat = (ranges[k] == 0) | (ranges[k - 1] == 0) | (ranges[k - 2] == 0)
        out[O_K, j] = np.nan if flat else slow[k]
        out[O_D, j] = np.nan if flat | (ranges[k - 3] == 0) | (ranges[k - 4] == 0) else out[O_D, j]


@njit(**_PART)
def _commodity_channel(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """CCI. TA-Lib adds up a ring of prices from its first place on, which decides the last bits of the sums."""
    ring, means, deviations = memory[RING : RING + 20], work[TWO, :size], work[FOUR, :size]
    begun = memory[M_BEGUN]  # the sum up to the newest place, which the next bar goes on with
    for j in range(size):
        place = (count + j) % 20
        typical = work[TYPICAL, PAST + j]
        begun = typical + (begun if place > 0 else 0.0)
        ring[place] = typical
        total = begun
        for older in range(20):
            total += ring[older] if older > place else 0.0
        mean = total / 20.0
        total = 0.0
        for any_place in range(20):
            total += abs(ring[any_place] - mean)
        means[j], deviations[j] = mean, total
    memory[M_BEGUN] = begun
    for j in range(size):
        mean, deviation = means[j], deviations[j] / 20.0
        distance = work[TYPICAL, PAST + j] - mean
        flat = (abs(distance) <= _EPSILON * abs(mean)) | (abs(deviation) <= _EPSILON * abs(mean))
        out[O_CCI, j] = 0.0 if flat else distance / (0.015 * deviation)


@njit(**_PART)
def _supertrend(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """The bands of `trend.supertrend`, which only move towards the price, and the side of it that the line is on."""
    upper, lower, rising = memory[M_UPPER], memory[M_LOWER], memory[M_RISING] > 0
    for j in range(size):
        if count + j < 10:
            continue
        middle = (work[HIGH, PAST + j] + work[LOW, PAST + j]) / 2
        width = 3.0 * work[ATR_10, j]
        close, before = work[CLOSE, PAST + j], work[CLOSE, PAST + j - 1]
        free = (count + j == 10) | (middle + width < upper) | (before > upper)
        upper = middle + width if free else upper
        free = (count + j == 10) | (middle - width > lower) | (before < lower)
        lower = middle - width if free else lower
        rising = (rising & (close >= lower)) | (~rising & (close > upper))
        still = work[STILL, j] >= _WILDER * 10 - 1
        out[O_LINE, j] = np.nan if still else (lower if rising else upper)
        out[O_DIRECTION, j] = np.nan if still else (1.0 if rising else -1.0)
    memory[M_UPPER], memory[M_LOWER], memory[M_RISING] = upper, lower, 1.0 if rising else 0.0


@njit(**_PART)
def _volumes(memory, work, out, size, count):  # type: ignore[no-untyped-def]
    """OBV; the first bar's volume counts whole."""
    total = memory[M_OBV]
    close, before, traded = work[CLOSE, PAST : PAST + size], work[CLOSE, PAST - 1 : PAST - 1 + size], work[TWO, :size]
    for j in range(size):
        volume = work[VOLUME, PAST + j]
        traded[j] = volume if close[j] > before[j] else (-volume if close[j] < before[j] else 0.0)
    if count == 0:
        traded[0] = work[VOLUME, PAST]
    for j in range(size):
        total += traded[j]
        out[O_OBV, j] = total
    memory[M_OBV] = total


@njit(**_PART)
def _channels(work, out, size):  # type: ignore[no-untyped-def]
    """Donchian and Keltner."""
    for j in range(size):
        out[O_UPPER, j] = work[HIGHEST_20, j]
        out[O_LOWER, j] = work[LOWEST_20, j]
    for j in range(size):
        middle = out[O_KELT_MIDDLE, j]
        width = 2.0 * work[ATR_10, j]
        apart = (work[STILL, j] < _WILDER * 10 - 1) & (middle + width > middle) & (middle > middle - width)
        out[O_KELT_UPPER, j] = middle + width if apart else np.nan
        out[O_KELT_MIDDLE, j] = middle if apart else np.nan
        out[O_KELT_LOWER, j] = middle - width if apart else np.nan


@njit(**_PART)
def _oscillators(work, out, size):  # type: ignore[no-untyped-def]
    """RSI, Williams %R, ATR, and the slope of the average in ATRs a bar."""
    for j in range(size):
        moved = work[GAIN, j] + work[LOSS, j]
        rsi = 100.0 * (work[GAIN, j] / moved) if moved > 0 else 0.0
        out[O_RSI, j] = np.nan if work[SAME_CLOSE, j] >= _WILDER * 14 else rsi
    for j in range(size):
        scale = work[RANGE, PAST + j]
        distance = work[HIGHEST_14, j] - work[CLOSE, PAST + j]
        out[O_WILLIAMS, j] = -100.0 * (distance / scale) if scale != 0.0 else np.nan
    for j in range(size):
        atr = work[ATR_14, j]
        known = np.nan if work[STILL, j] >= _WILDER * 14 - 1 else atr
        out[O_ATR, j] = known
        relative = known / work[CLOSE, PAST + j]
        work[RELATIVE, PAST + j] = 0.0 if math.isnan(relative) else relative
        change = work[EMA_26, PAST + j] - work[EMA_26, PAST + j - _SLOPE_SPAN]
        out[O_SLOPE, j] = change / (_SLOPE_SPAN * atr) if atr > 0 else np.nan


@njit(**_PART)
def _window_sum(values, period, out, size):  # type: ignore[no-untyped-def]
    """Sum of the last `period` values, each window by itself from its oldest value to its newest."""
    first = PAST - period + 1
    for j in range(size):
        out[j] = values[first + j]
    lag = 1
    while lag + 4 <= period:
        one, two = values[first + lag : first + lag + size], values[first + lag + 1 : first + lag + 1 + size]
        three, four = values[first + lag + 2 : first + lag + 2 + size], values[first + lag + 3 : first + lag + 3 + size]
        for j in range(size):
            out[j] = out[j] + one[j] + two[j] + three[j] + four[j]
        lag += 4
    while lag < period:
        one = values[first + lag : first + lag + size]
        for j in range(size):
            out[j] = out[j] + one[j]
        lag += 1


@njit(**_PART)
def _of_windows(work, out, size):  # type: ignore[no-untyped-def]
    """Choppiness and VWAP: windows that are added up one by one."""
    sums, volumes = work[TWO], work[FOUR]
    _window_sum(work[TRUE_RANGE], 14, sums, size)
    for j in range(size):
        ratio = sums[j] / work[RANGE, PAST + j]
        known = (work[RANGE, PAST + j] > 0) & (ratio > 0)
        out[O_CHOPPINESS, j] = 100.0 * math.log(ratio) / math.log(14.0) if known else np.nan
    _window_sum(work[TURNOVER], 20, sums, size)
    _window_sum(work[VOLUME], 20, volumes, size)
    for j in range(size):
        out[O_VWAP, j] = sums[j] / volumes[j] if volumes[j] > 0 else np.nan


@njit(**_PART)
def _ranks(work, out, size):  # type: ignore[no-untyped-def]
    """How many of the last 100 bars' ATR / close are not over the present one."""
    relative, under = work[RELATIVE], work[TWO, :size]
    now = relative[PAST : PAST + size]
    for j in range(size):
        under[j] = 0.0
    for lag in range(PAST - 99, PAST + 1, 5):
        one, two = relative[lag : lag + size], relative[lag + 1 : lag + 1 + size]
        three, four = relative[lag + 2 : lag + 2 + size], relative[lag + 3 : lag + 3 + size]
        five = relative[lag + 4 : lag + 4 + size]
        for j in range(size):
            those = (1.0 if one[j] <= now[j] else 0.0) + (1.0 if two[j] <= now[j] else 0.0)
            those += (1.0 if three[j] <= now[j] else 0.0) + (1.0 if four[j] <= now[j] else 0.0)
            under[j] += those + (1.0 if five[j] <= now[j] else 0.0)
    for j in range(size):
        out[O_RANK, j] = np.nan if math.isnan(out[O_ATR, j]) else under[j] / 100


@njit(**_PART)
def _remembered(value, state, enter, leave):  # type: ignore[no-untyped-def]
    """The state after a value of its measure: 1 on, -1 off, 0 before the first decisive value; no number decides."""
    return 1.0 if value >= enter else (-1.0 if value < leave else state)


@njit(**_PART)
def _shown(value, state, enter, leave, off):  # type: ignore[no-untyped-def]
    """What is written: before the first decisive value the side of the middle that the value is on."""
    on = (value >= (enter + leave) / 2) if state == 0 else (state > 0)
    return np.nan if math.isnan(value) else (1.0 if on else off)


@njit(**_PART)
def _states(memory, out, size):  # type: ignore[no-untyped-def]
    """`states._remembered` for the bars to come. The warm-up of a measure is no number by now, and decides nothing."""
    volatile, trending, choppy = memory[M_VOLATILE], memory[M_TRENDING], memory[M_CHOPPY]
    sloping = memory[M_SLOPE]
    for j in range(size):
        rank, adx, choppiness, slope = out[O_RANK, j], out[O_ADX, j], out[O_CHOPPINESS, j], out[O_SLOPE, j]
        volatile = _remembered(rank, volatile, 0.95, 0.80)
        trending = _remembered(adx, trending, 25.0, 23.0)
        choppy = _remembered(choppiness, choppy, 61.8, 50.0)
        sloping = _remembered(slope, sloping, 0.02, -0.02)
        out[O_VOLATILE, j] = _shown(rank, volatile, 0.95, 0.80, 0.0)
        out[O_TRENDING, j] = _shown(adx, trending, 25.0, 23.0, 0.0)
        out[O_CHOPPY, j] = _shown(choppiness, choppy, 61.8, 50.0, 0.0)
        out[O_SLOPE_STATE, j] = _shown(slope, sloping, 0.02, -0.02, -1.0)
    memory[M_VOLATILE], memory[M_TRENDING], memory[M_CHOPPY] = volatile, trending, choppy
    memory[M_SLOPE] = sloping


_READ = types.Array(types.float64, 1, "C", readonly=True)
_SIGNATURE = types.void(
    types.float64[:, ::1], _READ, _READ, _READ, _READ, types.int64[::1], types.float64[:, ::1], types.float64[:, ::1]
)


@njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def advance(state, high, low, close, volume, warm_ups, work, out):  # type: ignore[no-untyped-def]
    """Take bars in and write every output at each of them.

    Args:
        state: `STATE_SHAPE`, zeros for a series that begins; afterwards it is the state after the last bar.
        high: the bars' highs; they, `low`, `close` and `volume` are finite and contiguous.
        low: lows.
        close: closes.
        volume: volumes.
        warm_ups: for each output the bars it needs for a first value.
        work: `WORK_SHAPE`, of which nothing is kept.
        out: (`OUTPUT_COUNT`, bars), NaN where there is no value.
    """
    memory = state[REMEMBERED]
    for row in range(REMEMBERED):
        for place in range(PAST):
            work[row, place] = state[row, place]
    for start in range(0, len(close), BLOCK):
        size = min(BLOCK, len(close) - start)
        stop = start + size
        for j in range(size):
            work[HIGH, PAST + j] = high[start + j]
            work[LOW, PAST + j] = low[start + j]
            work[CLOSE, PAST + j] = close[start + j]
            work[VOLUME, PAST + j] = volume[start + j]
        block = out[:, start:stop]
        _block(memory, work, block, size, warm_ups)
        for row in range(REMEMBERED):
            for place in range(PAST):
                work[row, place] = work[row, place + size]
    for row in range(REMEMBERED):
        for place in range(PAST):
            state[row, place] = work[row, place]
