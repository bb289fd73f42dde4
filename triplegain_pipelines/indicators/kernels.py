"""The whole set of `registry` in one compiled pass: numbers of a batch and of a stream out of the same code.

`advance` takes the next bars of a series, one or a million, and a state that holds what the bars before them left
behind. It works in blocks that stay in the processor's near cache. What a bar needs of its neighbours only (windows,
quotients) runs over the block in vector instructions; what remembers (averages, Wilder's smoothing, Supertrend) goes
bar by bar, in two walks that each hold many such chains side by side, because every one of them only waits for its own
last step. Nothing is computed in another order for another number of bars, so a stream has the bits of the batch.

The values are those of the formulas in `trend`, `momentum`, `volatility`, `volume` and `states`, and through them those
of TA-Lib 0.8, whose sums and products are done here in its order (numba without `fastmath` fuses and reorders nothing).
Periods are constants so that loops unroll; a test holds every output against the registry's formulas.

Everything of a block lies in one working memory, whose rows begin at the places named below: distances that are known
when this is compiled are what lets the compiler use vectors without asking whether two rows overlap. Loops end at
`min(size, BLOCK)` so that it sees that no index can run over.

Importing this module costs half a second, for numba: import it inside the function that needs it. Nothing compiled is
imported from another module: numba's cache looks at the time of this file only, and would go on with the old helper.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR2004 - numba finds the types; the periods are written out

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_PART = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_STEP = {**_PART, "forceinline": True}

PAST = 104
"""Bars that are remembered of each series of values: the widest window, the 100 of ATR's rank, in whole vectors."""

BLOCK = 640
"""Bars of a block: whole rounds of CCI's ring, and four vectors of eight at a time, as the compiler takes them."""

_RING = 20  # `registry`'s period of CCI
_ROUNDS = BLOCK // _RING + 8  # a round may have begun before the block; in whole vectors
_WIDE = PAST + BLOCK + 32  # and the last may go on after it
_NARROW = BLOCK + 8  # as `_WIDE`, an odd number of the cache's lines: rows would push each other out

# Where the rows of the working memory begin. The first are remembered: `PAST` bars lie before each of their blocks.
REMEMBERED = 10
_ALL_WIDE = REMEMBERED + 3
(HIGH, LOW, CLOSE, VOLUME, TYPICAL, TURNOVER, TRUE_RANGE, RANGE, RELATIVE, EMA_26, TWO, FOUR, EIGHT) = range(
    PAST, _ALL_WIDE * _WIDE, _WIDE
)
RINGS = TWO - PAST  # the rows of the extremes, when these are done
_ROUND = RINGS + _RING * _ROUNDS


def _rows(first: int, count: int) -> range:
    return range(_ALL_WIDE * _WIDE + first * _NARROW, _ALL_WIDE * _WIDE + (first + count) * _NARROW, _NARROW)


(HIGHEST_14, LOWEST_14, GAIN, LOSS, ATR_10, PLUS, MINUS, TRAVELLED, DX, FAST_K, TRADED) = _rows(0, 11)
(BAND_OVER, BAND_UNDER, TOTAL_20, TOTAL_50, VARIANCE, TOLD) = _rows(11, 6)
(O_EMA_12, O_SMA_20, O_SMA_50, O_MACD, O_SIGNAL, O_HISTOGRAM, O_ADX, O_TRENDING) = _rows(17, 8)
(O_UPPER, O_LOWER, O_LINE, O_DIRECTION, O_SLOPE, O_SLOPE_STATE, O_RSI, O_K, O_D, O_CCI, O_WILLIAMS) = _rows(25, 11)
(O_ATR, O_RANK, O_VOLATILE, O_BOLL_UPPER, O_BOLL_MIDDLE, O_BOLL_LOWER) = _rows(36, 6)
(O_KELT_UPPER, O_KELT_MIDDLE, O_KELT_LOWER, O_CHOPPINESS, O_CHOPPY, O_OBV, O_VWAP) = _rows(42, 7)
WORK_SIZE = _ALL_WIDE * _WIDE + 49 * _NARROW

# The rows of the output, in the order of `registry.OUTPUTS`.
_OUTPUTS = np.array(
    [
        *(O_EMA_12, EMA_26, O_SMA_20, O_SMA_50, O_MACD, O_SIGNAL, O_HISTOGRAM, O_ADX, O_TRENDING),
        *(O_UPPER, O_LOWER, O_LINE, O_DIRECTION, O_SLOPE, O_SLOPE_STATE, O_RSI, O_K, O_D, O_CCI, O_WILLIAMS),
        *(O_ATR, O_RANK, O_VOLATILE, O_BOLL_UPPER, O_BOLL_MIDDLE, O_BOLL_LOWER),
        *(O_KELT_UPPER, O_KELT_MIDDLE, O_KELT_LOWER, O_CHOPPINESS, O_CHOPPY, O_OBV, O_VWAP),
    ]
)
OUTPUT_COUNT = len(_OUTPUTS)

# Scalars that are remembered, in the last row of a state; what the two walks remember begins at the last two.
(COUNT, M_STILL, M_SAME_CLOSE, M_STATES, M_SMOOTHED, M_WALKED) = (0, 1, 2, 3, 8, 24)
STATE_SHAPE = (REMEMBERED + 1, PAST)

_SETTLED = 64  # bars from which on no average is being begun
_WILDER = 10  # `warmup.WILDER`
_SLOPE_SPAN = 10
_LINE = 64  # bytes that a processor takes from memory at once
_EPSILON = 1e-14  # what TA-Lib takes for nothing
_RESEED = 32  # windows after which TA-Lib adds up the squares afresh


@intrinsic
def _fused(_typing, _one, _other, _third):  # type: ignore[no-untyped-def]
    """`one` * `other` + `third`, rounded once, as TA-Lib has it in its averages; an instruction of the processor."""
    number = types.float64

    def code(_context, builder, _signature, values):  # type: ignore[no-untyped-def]
        return builder.fma(*values)

    return number(number, number, number), code


@intrinsic
def _past_the_cache(_typing, _source, _target):  # type: ignore[no-untyped-def]
    """Copies eight floats from an address to another, where a line of the cache begins, past the cache.

    A usual store would first read from memory what it then writes over, and push out what the next block needs. Whoever
    reads it in another thread has been handed it under a lock, which waits for such stores.
    """

    def code(_context, builder, _signature, addresses):  # type: ignore[no-untyped-def]
        line = ir.VectorType(ir.DoubleType(), _LINE // 8)
        source, target = (builder.inttoptr(address, line.as_pointer()) for address in addresses)
        stored = builder.store(builder.load(source, align=8), target, align=_LINE)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    return types.void(types.intp, types.intp), code


@njit(**_STEP)
def _divided(value, period):  # type: ignore[no-untyped-def]
    """`value` / `period` to the last bit without a division: times 1 / `period` in a large and a small part.

    The sum errs by 2^-100 of itself before it is rounded, once. A quotient by a small whole number lies further than
    that from the middle between two floats, so it is rounded to the same one (Brisebarre, Muller, Raina 2004). Not for
    values under 1e-290, whose small part has no digits left.
    """
    part = 1.0 / period
    return _fused(value, part, value * (_fused(-part, period, 1.0) / period))


@njit(**_PART)
def _block(memory, work, size, warm_ups):  # type: ignore[no-untyped-def]
    count = int(memory[COUNT])
    _measures(work, size)
    _extremes(work, size)
    _smooth(memory, work, size, count)
    _quotients(work, size)
    _walk(memory, work, size, count)
    _averages(work, size)
    _commodity_channel(work, size, count)
    _of_windows(work, size)
    _oscillators(work, size)
    _stood_still(memory, work, size, count)
    _ranks(work, size)
    _without_warm_ups(work, size, count, warm_ups)
    _states(memory, work, size)
    memory[COUNT] = count + size


@njit(**_PART)
def _measures(work, size):  # type: ignore[no-untyped-def]
    """Typical price, turnover, true range, directional movements (Wilder), and volume with the sign of the move."""
    for j in range(min(size, BLOCK)):
        typical = (work[HIGH + j] + work[LOW + j] + work[CLOSE + j]) / 3
        work[TYPICAL + j] = typical
        work[TURNOVER + j] = typical * work[VOLUME + j]
    for j in range(min(size, BLOCK)):
        over = abs(work[HIGH + j] - work[CLOSE - 1 + j])
        under = abs(work[LOW + j] - work[CLOSE - 1 + j])
        work[TRUE_RANGE + j] = max(work[HIGH + j] - work[LOW + j], over, under)
    for j in range(min(size, BLOCK)):
        move = work[CLOSE + j] - work[CLOSE - 1 + j]
        work[GAIN + j] = 0.0 if move < 0 else move
        work[LOSS + j] = -move if move < 0 else 0.0
        volume = work[VOLUME + j]
        work[TRADED + j] = volume if move > 0 else (-volume if move < 0 else 0.0)
    for j in range(min(size, BLOCK)):
        up = work[HIGH + j] - work[HIGH - 1 + j]
        down = work[LOW - 1 + j] - work[LOW + j]
        work[MINUS + j] = down if (down > 0) & (up < down) else 0.0
        work[PLUS + j] = up if (up > 0) & (up > down) else 0.0


@njit(**_PART)
def _larger(work, one, other, out, size):  # type: ignore[no-untyped-def]
    here, there, both = work[one : one + size], work[other : other + size], work[out : out + size]
    for j in range(len(both)):
        both[j] = max(there[j], here[j])


@njit(**_PART)
def _smaller(work, one, other, out, size):  # type: ignore[no-untyped-def]
    here, there, both = work[one : one + size], work[other : other + size], work[out : out + size]
    for j in range(len(both)):
        both[j] = min(there[j], here[j])


@njit(**_PART)
def _extremes(work, size):  # type: ignore[no-untyped-def]
    """Highest high and lowest low of 14 and 20 bars, out of those of 2, 4 and 8 bars, and where the close lies.

    The first 6 of the 32 bars before the block come out wrong and are not used: 32 is how many go together.
    """
    _larger(work, HIGH - 32, HIGH - 33, TWO - 32, size + 32)
    _larger(work, TWO - 32, TWO - 34, FOUR - 32, size + 32)
    _larger(work, FOUR - 32, FOUR - 36, EIGHT - 32, size + 32)
    for j in range(min(size, BLOCK)):
        work[HIGHEST_14 + j] = max(work[EIGHT + j], work[EIGHT - 6 + j])
        work[O_UPPER + j] = max(work[EIGHT + j], work[EIGHT - 8 + j], work[FOUR - 16 + j])
    _smaller(work, LOW - 32, LOW - 33, TWO - 32, size + 32)
    _smaller(work, TWO - 32, TWO - 34, FOUR - 32, size + 32)
    _smaller(work, FOUR - 32, FOUR - 36, EIGHT - 32, size + 32)
    for j in range(min(size, BLOCK)):
        work[LOWEST_14 + j] = min(work[EIGHT + j], work[EIGHT - 6 + j])
        work[O_LOWER + j] = min(work[EIGHT + j], work[EIGHT - 8 + j], work[FOUR - 16 + j])
    for j in range(min(size, BLOCK)):
        scale = work[HIGHEST_14 + j] - work[LOWEST_14 + j]
        work[RANGE + j] = scale
        work[FAST_K + j] = 100.0 * ((work[CLOSE + j] - work[LOWEST_14 + j]) / scale) if scale != 0.0 else 0.0
        distance = work[HIGHEST_14 + j] - work[CLOSE + j]
        work[O_WILLIAMS + j] = -100.0 * (distance / scale) if scale != 0.0 else np.nan


@njit(**_STEP)
def _exponential(average, value, count, period):  # type: ignore[no-untyped-def]
    """The next average after `count` values; the sum of them before there are `period` (TA-Lib EMA)."""
    if count >= period:
        return _fused(value - average, 2.0 / (period + 1), average)
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_STEP)
def _wilder(average, value, count, period):  # type: ignore[no-untyped-def]
    """Wilder's average, begun like `_exponential` (TA-Lib ADX)."""
    if count >= period:
        return _divided(average * (period - 1) + value, period)
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_STEP)
def _wilder_fused(average, value, count, period):  # type: ignore[no-untyped-def]
    """The same as TA-Lib's ATR has it."""
    if count >= period:
        kept = (period - 1.0) / period
        return _fused(kept, average, (1.0 - kept) * value)
    total = average + value
    return total / period if count == period - 1 else total


@njit(**_STEP)
def _wilder_multiplied(average, value, count, period):  # type: ignore[no-untyped-def]
    """The same as TA-Lib's RSI has it."""
    part = 1.0 / period
    if count >= period:
        return (average * (period - 1) + value) * part
    total = average + value
    return total * part if count == period - 1 else total


@njit(**_STEP)
def _decaying(total, value, count, period):  # type: ignore[no-untyped-def]
    """Wilder's sum: begun with `period` - 1 values added up, then a `period`-th of it goes with every bar (TA-Lib)."""
    return total - _divided(total, period) + value if count >= period - 1 else total + value


@njit(**_STEP)
def _smooth_bar(state, work, j, count):  # type: ignore[no-untyped-def]
    """One bar of `_smooth`, after `count` bars."""
    ema_12, ema_26, ema_20, fast, signal, gain, loss, atr_14, atr_10, plus, minus, travelled = state
    close = work[CLOSE + j]
    ema_12 = _exponential(ema_12, close, count, 12)
    ema_26 = _exponential(ema_26, close, count, 26)
    ema_20 = _exponential(ema_20, close, count, 20)
    if count >= 26 - 12:  # MACD's fast average begins with the slow one's first value
        fast = _exponential(fast, close, count - (26 - 12), 12)
    line = fast - ema_26
    if count >= 26 - 1:
        signal = _exponential(signal, line, count - (26 - 1), 9)
    if count >= 1:  # the first bar has no bar before it
        loss = _wilder_multiplied(loss, work[LOSS + j], count - 1, 14)
        gain = _wilder_multiplied(gain, work[GAIN + j], count - 1, 14)
        atr_14 = _wilder_fused(atr_14, work[TRUE_RANGE + j], count - 1, 14)
        atr_10 = _wilder_fused(atr_10, work[TRUE_RANGE + j], count - 1, 10)
        plus = _decaying(plus, work[PLUS + j], count - 1, 14)
        minus = _decaying(minus, work[MINUS + j], count - 1, 14)
        travelled = _decaying(travelled, work[TRUE_RANGE + j], count - 1, 14)
    work[O_EMA_12 + j], work[EMA_26 + j], work[O_KELT_MIDDLE + j] = ema_12, ema_26, ema_20
    work[O_MACD + j], work[O_SIGNAL + j] = line, signal
    work[GAIN + j], work[LOSS + j], work[O_ATR + j], work[ATR_10 + j] = gain, loss, atr_14, atr_10
    work[PLUS + j], work[MINUS + j], work[TRAVELLED + j] = plus, minus, travelled
    return ema_12, ema_26, ema_20, fast, signal, gain, loss, atr_14, atr_10, plus, minus, travelled


@njit(**_PART)
def _smooth(memory, work, size, count):  # type: ignore[no-untyped-def]
    """The exponential averages, MACD, and everything that Wilder smoothed."""
    m = memory[M_SMOOTHED:]
    state = (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11])
    begun = max(0, min(size, _SETTLED - count))
    for j in range(begun):
        state = _smooth_bar(state, work, j, count + j)
    for j in range(begun, min(size, BLOCK)):
        state = _smooth_bar(state, work, j, _SETTLED)
    m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], m[10], m[11] = state


@njit(**_PART)
def _quotients(work, size):  # type: ignore[no-untyped-def]
    """DX out of the smoothed directional movements, NaN where there are none; Supertrend's and Keltner's bands."""
    for j in range(min(size, BLOCK)):
        minus = 100.0 * (work[MINUS + j] / work[TRAVELLED + j])
        plus = 100.0 * (work[PLUS + j] / work[TRAVELLED + j])
        work[DX + j] = 100.0 * (abs(minus - plus) / (minus + plus)) if minus + plus >= _EPSILON else np.nan
    for j in range(min(size, BLOCK)):
        middle = (work[HIGH + j] + work[LOW + j]) / 2
        width = 3.0 * work[ATR_10 + j]
        work[BAND_OVER + j], work[BAND_UNDER + j] = middle + width, middle - width
    for j in range(min(size, BLOCK)):
        middle = work[O_KELT_MIDDLE + j]
        width = 2.0 * work[ATR_10 + j]
        upper, lower = middle + width, middle - width
        apart = (upper > middle) & (middle > lower)
        work[O_KELT_UPPER + j] = upper if apart else np.nan
        work[O_KELT_MIDDLE + j] = middle if apart else np.nan
        work[O_KELT_LOWER + j] = lower if apart else np.nan


@njit(**_PART)
def _counted_afresh(work, first, period, part):  # type: ignore[no-untyped-def]
    """The variance of the `period` closes from `first` on, from their mean, and what goes on without the first."""
    total = 0.0
    for place in range(first, first + period):
        total += work[place]
    shift = total * part
    total, squares = 0.0, 0.0
    for place in range(first, first + period):
        deviation = work[place] - shift
        total += deviation
        squares += deviation * deviation
    mean = total * part
    variance = squares * part - mean * mean
    if variance < 0.000000000001 * (squares * part):
        variance = 0.0
    deviation = work[first] - shift
    return shift, total - deviation, squares - deviation * deviation, variance


@njit(**_STEP)
def _variance_bar(state, work, j, count):  # type: ignore[no-untyped-def]
    """Variance of 20 closes, measured from a `shift` near them that moves when digits would get lost (TA-Lib VAR)."""
    shift, total, squares, age = state
    period, part = 20, 1.0 / 20
    close = work[CLOSE + j]
    if count == 0:
        shift, age = close, float(_RESEED * period)
    deviation = close - shift
    total += deviation
    squares += deviation * deviation
    if count >= period - 1:
        mean = total * part
        variance = squares * part - mean * mean
        deviation = work[CLOSE - (period - 1) + j] - shift
        total -= deviation
        gone = deviation * deviation
        squares -= gone
        age -= 1
        if (variance < 0.000001 * (squares * part)) | (gone > 1000000.0 * squares) | (age <= 0):
            shift, total, squares, variance = _counted_afresh(work, CLOSE - (period - 1) + j, period, part)
            age = float(_RESEED * period)
        work[VARIANCE + j] = variance
    return shift, total, squares, age


@njit(**_STEP)
def _stochastic_bar(state, work, j, count):  # type: ignore[no-untyped-def]
    """Slow %K and %D, as running sums (TA-Lib STOCH)."""
    total_k, total_d, fast_1, fast_2, slow_1, slow_2 = state
    fast, slow = work[FAST_K + j], 0.0
    if count >= 13:
        total_k += fast
        slow = _divided(total_k, 3)
    if count >= 15:
        total_k -= fast_2
        total_d += slow
    work[O_K + j], work[O_D + j] = slow, total_d
    if count >= 17:
        total_d -= slow_2
    return total_k, total_d, fast, fast_1, slow, slow_1


@njit(**_STEP)
def _supertrend_bar(state, work, j, count):  # type: ignore[no-untyped-def]
    """The bands of `trend.supertrend`, which only move towards the price, and the side of it that the line is on."""
    upper, lower, rising = state
    if count >= 10:
        over, under, close, before = work[BAND_OVER + j], work[BAND_UNDER + j], work[CLOSE + j], work[CLOSE - 1 + j]
        upper = over if (count == 10) | (over < upper) | (before > upper) else upper
        lower = under if (count == 10) | (under > lower) | (before < lower) else lower
        rising = (rising & (close >= lower)) | ((not rising) & (close > upper))
        work[O_LINE + j] = lower if rising else upper
        work[O_DIRECTION + j] = 1.0 if rising else -1.0
    return upper, lower, rising


@njit(**_STEP)
def _walk_bar(state, work, j, count):  # type: ignore[no-untyped-def]
    """One bar of `_walk`, after `count` bars."""
    adx, total_20, total_50, traded, variance, stochastic, supertrend = state
    if count >= 14:
        value = work[DX + j]
        moved = not math.isnan(value)
        if count >= 14 + 14:
            adx = _wilder(adx, value, count - 14, 14) if moved else adx  # a bar without movement leaves it as it was
        else:
            adx = _wilder(adx, value if moved else 0.0, count - 14, 14)
    work[O_ADX + j] = adx
    total_20 += work[CLOSE + j]
    total_50 += work[CLOSE + j]
    work[TOTAL_20 + j], work[TOTAL_50 + j] = total_20, total_50
    total_20 -= work[CLOSE - 19 + j]  # zeros before the first bar
    total_50 -= work[CLOSE - 49 + j]
    traded += work[TRADED + j] if count > 0 else work[VOLUME + j]  # the first bar's volume counts whole
    work[O_OBV + j] = traded
    variance = _variance_bar(variance, work, j, count)
    stochastic = _stochastic_bar(stochastic, work, j, count)
    supertrend = _supertrend_bar(supertrend, work, j, count)
    return adx, total_20, total_50, traded, variance, stochastic, supertrend


@njit(**_PART)
def _walk(memory, work, size, count):  # type: ignore[no-untyped-def]
    """ADX, the running sums of TA-Lib's simple averages, its variance and its stochastic, OBV, and Supertrend."""
    m = memory[M_WALKED:]
    variance, stochastic = (m[4], m[5], m[6], m[7]), (m[8], m[9], m[10], m[11], m[12], m[13])
    state = (m[0], m[1], m[2], m[3], variance, stochastic, (m[14], m[15], m[16] > 0))
    begun = max(0, min(size, _SETTLED - count))
    for j in range(begun):
        state = _walk_bar(state, work, j, count + j)
    for j in range(begun, min(size, BLOCK)):
        state = _walk_bar(state, work, j, _SETTLED)
    m[0], m[1], m[2], m[3] = state[0], state[1], state[2], state[3]
    m[4], m[5], m[6], m[7] = state[4]
    m[8], m[9], m[10], m[11], m[12], m[13] = state[5]
    m[14], m[15] = state[6][0], state[6][1]
    m[16] = 1.0 if state[6][2] else 0.0


@njit(**_PART)
def _averages(work, size):  # type: ignore[no-untyped-def]
    """What the two walks left to be divided: simple averages, Bollinger bands, stochastic; MACD's histogram."""
    for j in range(min(size, BLOCK)):
        work[O_HISTOGRAM + j] = work[O_MACD + j] - work[O_SIGNAL + j]
        work[O_SMA_50 + j] = work[TOTAL_50 + j] / 50.0
    for j in range(min(size, BLOCK)):
        middle = work[TOTAL_20 + j] / 20.0
        work[O_SMA_20 + j] = middle
        width = math.sqrt(work[VARIANCE + j]) * 2.0
        upper, lower = middle + width, middle - width
        apart = (upper > middle) & (middle > lower)
        work[O_BOLL_UPPER + j] = upper if apart else np.nan
        work[O_BOLL_MIDDLE + j] = middle if apart else np.nan
        work[O_BOLL_LOWER + j] = lower if apart else np.nan
    for j in range(min(size, BLOCK)):
        flat = (work[RANGE + j] == 0) | (work[RANGE - 1 + j] == 0) | (work[RANGE - 2 + j] == 0)
        work[O_K + j] = np.nan if flat else work[O_K + j]
        flat = flat | (work[RANGE - 3 + j] == 0) | (work[RANGE - 4 + j] == 0)
        work[O_D + j] = np.nan if flat else work[O_D + j] / 3.0


@njit(**_PART)
def _commodity_channel(work, size, count):  # type: ignore[no-untyped-def]
    """CCI. TA-Lib adds up a ring of prices from its first place on, which decides the last bits of the sums.

    So bars that lie whole rounds of the ring apart are computed side by side: they add in the same order. Each place
    holds its price of every round, of the round before until the bar comes that is written there.
    """
    phase = count % _RING
    rounds = min(_ROUNDS, (phase + size + _RING - 1) // _RING)
    before, typical = work[TYPICAL - phase - _RING : TWO], work[TYPICAL - phase : TWO]
    for one in range(rounds):
        for place in range(_RING):
            work[RINGS + place * _ROUNDS + one] = before[one * _RING + place]
    for place in range(_RING):
        for one in range(rounds):
            work[RINGS + place * _ROUNDS + one] = typical[one * _RING + place]
        first = place - phase  # the bar that comes into this place in the first round
        if first >= size:
            continue
        _commodity_rounds(work, RINGS + place * _ROUNDS, _ROUNDS - 8 if rounds <= _ROUNDS - 8 else _ROUNDS)
        found = work[O_CCI + first : O_WILLIAMS]
        for one in range(0 if first >= 0 else 1, min(_ROUNDS, (size - first + _RING - 1) // _RING)):
            found[one * _RING] = work[_ROUND + one]


@njit(**_PART)
def _commodity_rounds(work, newest, rounds):  # type: ignore[no-untyped-def]
    """CCI of the bars that `newest` begins with, one of each round, out of the rings as they are then."""
    for one in range(min(rounds, _ROUNDS)):
        total = 0.0
        for place in range(_RING):
            total += work[RINGS + place * _ROUNDS + one]
        mean = total / 20.0
        total = 0.0
        for place in range(_RING):
            total += abs(work[RINGS + place * _ROUNDS + one] - mean)
        work[_ROUND + one] = mean
        work[_ROUND + _ROUNDS + one] = total / 20.0
    for one in range(min(rounds, _ROUNDS)):
        mean, deviation = work[_ROUND + one], work[_ROUND + _ROUNDS + one]
        distance = work[newest + one] - mean
        flat = (abs(distance) <= _EPSILON * abs(mean)) | (abs(deviation) <= _EPSILON * abs(mean))
        work[_ROUND + one] = 0.0 if flat else distance / (0.015 * deviation)


@njit(**_STEP)
def _window_sum(work, values, period, j):  # type: ignore[no-untyped-def]
    """Sum of the last `period` values, from the oldest to the newest."""
    total = work[values - (period - 1) + j]
    for lag in range(2 - period, 1):
        total += work[values + lag + j]
    return total


@njit(**_PART)
def _of_windows(work, size):  # type: ignore[no-untyped-def]
    """Choppiness and VWAP: windows that are added up one by one."""
    for j in range(min(size, BLOCK)):
        work[TWO + j] = _window_sum(work, TRUE_RANGE, 14, j) / work[RANGE + j]
    for j in range(min(size, BLOCK)):
        ratio = work[TWO + j]
        known = (work[RANGE + j] > 0) & (ratio > 0)
        work[O_CHOPPINESS + j] = 100.0 * math.log(ratio) / math.log(14.0) if known else np.nan
    for j in range(min(size, BLOCK)):
        work[TWO + j] = _window_sum(work, VOLUME, 20, j)
    for j in range(min(size, BLOCK)):
        volume = work[TWO + j]
        work[O_VWAP + j] = _window_sum(work, TURNOVER, 20, j) / volume if volume > 0 else np.nan


@njit(**_PART)
def _oscillators(work, size):  # type: ignore[no-untyped-def]
    """RSI, ATR as a part of the price, and the slope of the average in ATRs a bar."""
    for j in range(min(size, BLOCK)):
        moved = work[GAIN + j] + work[LOSS + j]
        work[O_RSI + j] = 100.0 * (work[GAIN + j] / moved) if moved > 0 else 0.0
    for j in range(min(size, BLOCK)):
        atr = work[O_ATR + j]
        relative = atr / work[CLOSE + j]
        work[RELATIVE + j] = 0.0 if math.isnan(relative) else relative
        change = work[EMA_26 + j] - work[EMA_26 - _SLOPE_SPAN + j]
        work[O_SLOPE + j] = change / (_SLOPE_SPAN * atr) if atr > 0 else np.nan


@njit(**_PART)
def _stood_still(memory, work, size, count):  # type: ignore[no-untyped-def]
    """Takes away what has no value after a warm-up in which nothing moved."""
    still, same = memory[M_STILL], memory[M_SAME_CLOSE]
    stood, equal = 0, 0
    for j in range(min(size, BLOCK)):
        stood += work[HIGH + j] == work[LOW + j]
        equal += work[CLOSE + j] == work[CLOSE - 1 + j]
    if stood + equal == 0:
        memory[M_STILL], memory[M_SAME_CLOSE] = 0.0, 1.0
        return
    for j in range(min(size, BLOCK)):
        again = (still > 0) & (work[HIGH + j] == work[HIGH - 1 + j])
        still = (still + 1 if again else 1.0) if work[HIGH + j] == work[LOW + j] else 0.0
        same = same + 1 if (work[CLOSE + j] == work[CLOSE - 1 + j]) & (count + j > 0) else 1.0
        if same >= _WILDER * 14:
            work[O_RSI + j] = np.nan
        if still >= _WILDER * 10 - 1:
            work[O_LINE + j] = work[O_DIRECTION + j] = np.nan
            work[O_KELT_UPPER + j] = work[O_KELT_MIDDLE + j] = work[O_KELT_LOWER + j] = np.nan
        if still >= _WILDER * 14 - 1:
            work[O_ATR + j], work[RELATIVE + j] = np.nan, 0.0
        if still >= _WILDER * 2 * 14 - 1:
            work[O_ADX + j] = np.nan
    memory[M_STILL], memory[M_SAME_CLOSE] = still, same


@njit(**_PART)
def _ranks(work, size):  # type: ignore[no-untyped-def]
    """How many of the last 100 bars' ATR / close are not over the present one."""
    for j in range(min(size, BLOCK)):
        work[TWO + j] = 0.0
    for lag in range(RELATIVE - 99, RELATIVE + 1, 20):
        for j in range(min(size, BLOCK)):
            now, under = work[RELATIVE + j], work[TWO + j]
            for more in range(20):
                under = under + 1.0 if work[lag + more + j] <= now else under
            work[TWO + j] = under
    for j in range(min(size, BLOCK)):
        work[O_RANK + j] = np.nan if math.isnan(work[O_ATR + j]) else work[TWO + j] / 100


@njit(**_PART)
def _without_warm_ups(work, size, count, warm_ups):  # type: ignore[no-untyped-def]
    """NaN where an output has no value yet. `EMA_26` is read again, by the slope, whose warm-up is as much longer."""
    for row in range(OUTPUT_COUNT):
        values = work[_OUTPUTS[row] : _OUTPUTS[row] + size]
        values[: min(size, max(0, warm_ups[row] - 1 - count))] = np.nan


@njit(**_STEP)
def _said(value, place, enter, leave):  # type: ignore[no-untyped-def]
    """What a measure says of its state: bit `place` for on, bit `place` + 4 where it says on or off."""
    on, off = value >= enter, value < leave
    return (0x11 << place) if on else ((0x10 << place) if off else 0)


@njit(**_STEP)
def _shown(value, states, place, enter, leave, off):  # type: ignore[no-untyped-def]
    """What is written: before the first decisive value the side of the middle that the value is on."""
    known = (states & (0x10 << place)) != 0
    on = ((states & (0x01 << place)) != 0) if known else (value >= (enter + leave) / 2)
    return np.nan if math.isnan(value) else (1.0 if on else off)


@njit(**_PART)
def _states(memory, work, size):  # type: ignore[no-untyped-def]
    """`states._remembered` for the bars to come. The warm-up of a measure is no number by now, and decides nothing.

    All four states are bits of one whole number, which go on from bar to bar together.
    """
    bits = work[TOLD : TOLD + BLOCK].view(np.int64)
    for j in range(min(size, BLOCK)):
        told = _said(work[O_RANK + j], 0, 0.95, 0.80) | _said(work[O_ADX + j], 1, 25.0, 23.0)
        bits[j] = told | _said(work[O_CHOPPINESS + j], 2, 61.8, 50.0) | _said(work[O_SLOPE + j], 3, 0.02, -0.02)
    states = int(memory[M_STATES])
    for j in range(min(size, BLOCK)):
        told = bits[j]
        states = (states & ~(told >> 4)) | told
        bits[j] = states
    memory[M_STATES] = states
    for j in range(min(size, BLOCK)):
        work[O_VOLATILE + j] = _shown(work[O_RANK + j], bits[j], 0, 0.95, 0.80, 0.0)
        work[O_TRENDING + j] = _shown(work[O_ADX + j], bits[j], 1, 25.0, 23.0, 0.0)
        work[O_CHOPPY + j] = _shown(work[O_CHOPPINESS + j], bits[j], 2, 61.8, 50.0, 0.0)
        work[O_SLOPE_STATE + j] = _shown(work[O_SLOPE + j], bits[j], 3, 0.02, -0.02, -1.0)


_READ = types.Array(types.float64, 1, "C", readonly=True)
_SIGNATURE = types.void(
    types.float64[:, ::1], _READ, _READ, _READ, _READ, types.int64[::1], types.float64[::1], types.float64[:, ::1]
)


@njit(**_PART)
def _write(work, out, start, size):  # type: ignore[no-untyped-def]
    """Outputs go past the cache in whole lines; what no line of theirs holds alone goes the usual way."""
    for row in range(OUTPUT_COUNT):
        values, target = work[_OUTPUTS[row] : _OUTPUTS[row] + size], out[row, start : start + size]
        head = min(size, (-target.ctypes.data % _LINE) // 8)
        tail = size - (size - head) % 8
        for j in range(head):
            target[j] = values[j]
        for j in range(head, tail, 8):
            _past_the_cache(values.ctypes.data + 8 * j, target.ctypes.data + 8 * j)
        for j in range(tail, size):
            target[j] = values[j]


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
        work: `WORK_SIZE`, of which nothing is kept.
        out: (`OUTPUT_COUNT`, bars), NaN where there is no value.
    """
    memory = state[REMEMBERED]
    for row in range(REMEMBERED):
        for place in range(PAST):
            work[row * _WIDE + place] = state[row, place]
    for start in range(0, len(close), BLOCK):
        size = min(BLOCK, len(close) - start)
        for j in range(size):
            work[HIGH + j] = high[start + j]
            work[LOW + j] = low[start + j]
            work[CLOSE + j] = close[start + j]
            work[VOLUME + j] = volume[start + j]
        _block(memory, work, size, warm_ups)
        _write(work, out, start, size)
        for row in range(REMEMBERED):
            for place in range(PAST):
                work[row * _WIDE + place] = work[row * _WIDE + place + size]
    for row in range(REMEMBERED):
        for place in range(PAST):
            state[row, place] = work[row * _WIDE + place]
