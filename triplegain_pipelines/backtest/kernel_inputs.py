"""What the compiled walk takes, made from series, terms and a stretch. Import it where numba may be imported."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest.kernel_rows import BOOK, TERMS, TOTALS, TRADE
from triplegain_pipelines.backtest.kernel_walk import BLOCK, Desk, WalkedBars, block_extremes
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.series import CandleSeries

Integers = npt.NDArray[np.int64]
_MINUTE = 60_000_000  # microseconds
DAY = 1440 * _MINUTE
_HASHED_NUMBERS = 7
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Marks:
    """When equity is marked, in microseconds since the Unix epoch: at every UTC midnight, and at the end.

    Attributes:
        at: the moments, rising.
        bars: the last bar that had closed by each of them.
        midnights: how many of them are midnights; one more than these where the stretch ends within a day.
        from_midnight: whether the stretch itself begins at a midnight.
    """

    at: Integers
    bars: Integers
    midnights: int
    from_midnight: bool


def marks_of(series: CandleSeries, start: int, stop: int) -> Marks:
    """The marks of the bars `[start, stop)`."""
    opened, length = series.opened_at[start:stop], series.timeframe.minutes * _MINUTE
    begins, ends = int(opened[0]), int(opened[-1]) + length
    midnights = np.arange(begins // DAY + 1, ends // DAY + 1, dtype=np.int64) * DAY
    at = midnights if len(midnights) and midnights[-1] == ends else np.append(midnights, ends)
    # A midnight within the first bar has none that had closed: the bar before it finds the account as it began.
    bars = np.searchsorted(opened, at - length, side="right").astype(np.int64) - 1 + start
    return Marks(_read_only(at), _read_only(bars), len(midnights), begins % DAY == 0)


def walked_bars(series: CandleSeries) -> WalkedBars:
    """The bars of `series` with the extremes of their blocks."""
    blocks = len(series) // BLOCK
    highs, lows = np.empty(blocks), np.empty(blocks)
    high, low = _read_only(series.high), _read_only(series.low)
    block_extremes(high, low, highs, lows)
    return WalkedBars(
        _read_only(series.opened_at),
        _read_only(series.open),
        high,
        low,
        _read_only(series.close),
        _read_only(highs),
        _read_only(lows),
    )


def terms_row(terms: Terms, stop_atr: float) -> npt.NDArray[np.void]:
    """`terms` as one row, with the distance of the stops in ATR."""
    row = np.zeros(1, TERMS)
    for name in ("starting_equity", "fee", "slippage", "fill_rate", "risk_per_trade", "max_position"):
        row[name] = getattr(terms, name)
    for name in ("reward_to_risk", "minimum_quantity", "minimum_cost"):
        row[name] = getattr(terms, name)
    for name in ("price", "quantity"):
        step = Fraction(Decimal(repr(getattr(terms, f"{name}_step"))))
        row[f"{name}_numerator"], row[f"{name}_denominator"] = step.numerator, step.denominator
    row["stop_atr"], row["seed"] = stop_atr, terms.seed
    row["lowest_target"] = -1 if terms.short_selling else 0
    return row


def new_desk(marks: Marks, trades: int) -> Desk:
    """A desk with room for the marks and the first so many `trades`."""
    places = len(marks.at)
    return Desk(
        np.zeros(1, BOOK),
        np.zeros(1, TOTALS),
        np.zeros(trades + 1, TRADE),
        np.zeros(places),
        np.zeros(places),
        np.zeros(_HASHED_NUMBERS),
    )


def stretch_of(series: CandleSeries, start: int, stop: int | None) -> tuple[int, int]:
    """`start` and `stop` as they are meant.

    Raises:
        InputError: there is no bar between them, or they lie outside of the series.
    """
    end = len(series) if stop is None else stop
    if not 0 <= start < end <= len(series):
        msg = f"bars [{start}, {end}) are no stretch of the {len(series)} bars of {series.symbol} {series.timeframe}"
        raise InputError(msg)
    return start, end


def words_of(target: npt.NDArray[np.int8]) -> npt.NDArray[np.uint64]:
    """`target` as words of eight; what is left over has no word."""
    return target[: len(target) // 8 * 8].view(np.uint64)


def followed(name: str, values: npt.NDArray[_Number], dtype: type[_Number], bars: int) -> npt.NDArray[_Number]:
    """`values` as the walk takes them.

    Raises:
        InputError: they are not one number for each bar.
    """
    if values.shape != (bars,):
        msg = f"{name} has the shape {values.shape}; a strategy gives one value for each of the {bars} bars"
        raise InputError(msg)
    return _read_only(np.ascontiguousarray(values, dtype))


def _read_only(values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    # Whether an array may be written to is part of its type for numba: all alike, so that one compilation does.
    view = values.view()
    view.flags.writeable = False
    return view
