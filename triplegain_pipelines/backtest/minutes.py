"""Recorded 1-minute candles as arrays: the minute loop's view, and a `PriceSource` of the order path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Candle, Quote, exact_price
from triplegain_pipelines.domain.timeframes import EPOCH

MINUTE = timedelta(minutes=1)

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Minutes:
    """The candles of one symbol, sorted: minutes since the Unix epoch, and prices in quote currency."""

    symbol: str
    minute: npt.NDArray[np.int64]
    open: _Floats
    high: _Floats
    low: _Floats
    close: _Floats

    @classmethod
    def of(cls, symbol: str, frame: pl.DataFrame) -> "Minutes":
        """The arrays of a candle frame sorted by `opened_at`."""
        minute = frame.get_column("opened_at").to_physical().to_numpy() // 60_000_000
        prices: dict[str, Any] = {name: frame.get_column(name).to_numpy() for name in ("open", "high", "low", "close")}
        return cls(symbol, minute.astype(np.int64), **prices)

    def position(self, at: datetime) -> int:
        """Place of the first candle that opens at or after `at`."""
        return int(np.searchsorted(self.minute, -((EPOCH - at) // MINUTE), side="left"))

    def opened_at(self, index: int) -> datetime:
        """Opening time of a candle."""
        return datetime.fromtimestamp(int(self.minute[index]) * 60, UTC)

    def candle(self, index: int) -> Candle:
        """A candle with exact prices."""
        return Candle(
            symbol=self.symbol,
            opened_at=self.opened_at(index),
            open=exact_price(float(self.open[index])),
            high=exact_price(float(self.high[index])),
            low=exact_price(float(self.low[index])),
            close=exact_price(float(self.close[index])),
        )

    def candle_at(self, opened_at: datetime) -> Candle | None:
        """The candle that opens exactly then, or None."""
        index = self.position(opened_at)
        return self.candle(index) if index < self.minute.size and self.opened_at(index) == opened_at else None


class CandlePrices:
    """A `PriceSource` over recorded candles: the open of the first candle at or after the moment asked for.

    Args:
        minutes: by symbol.
        validity: how long after that moment a price is still an answer.
    """

    def __init__(self, minutes: Mapping[str, Minutes], validity: timedelta) -> None:
        self._minutes = minutes
        self._validity = validity

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The open of the first candle that opens at or after `at`.

        Raises:
            UnavailableError: none opens within the validity, or the symbol has no candles.
        """
        series = self._minutes.get(symbol)
        if series is not None:
            index = series.position(at)
            if index < series.minute.size and series.opened_at(index) <= at + self._validity:
                return Quote(symbol, exact_price(float(series.open[index])), series.opened_at(index))
        msg = f"no candle of {symbol} opens between {at.isoformat()} and {(at + self._validity).isoformat()}"
        raise UnavailableError(msg)
