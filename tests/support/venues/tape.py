"""What a loopback venue knows of its markets: candles and trades as text, as they were published."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from triplegain_pipelines.domain.timeframes import EPOCH


@dataclass(frozen=True, slots=True)
class TapeCandle:
    """One candle: opening time in Unix seconds, prices and volume as text."""

    time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int = 0


@dataclass(frozen=True, slots=True)
class TapeTrade:
    """One trade: Unix time in nanoseconds, price and quantity as text, side `buy` or `sell`."""

    nanoseconds: int
    price: str
    quantity: str
    side: str
    trade_id: int


@dataclass
class Tape:
    """Candles and trades by symbol, in order of time."""

    candles: dict[str, list[TapeCandle]] = field(default_factory=dict)
    trades: dict[str, list[TapeTrade]] = field(default_factory=dict)

    @property
    def symbols(self) -> list[str]:
        """Every symbol with candles or trades."""
        return sorted({*self.candles, *self.trades})

    def add(self, candles: Mapping[str, pl.DataFrame], trades: Mapping[str, pl.DataFrame]) -> None:
        """Put in candle frames and trade frames by symbol, in place of what was there."""
        for symbol, frame in candles.items():
            self.candles[symbol] = [candle_of(row) for row in frame.sort("opened_at").iter_rows(named=True)]
        for symbol, frame in trades.items():
            self.trades[symbol] = sorted(
                (trade_of(row) for row in frame.iter_rows(named=True)),
                key=lambda trade: (trade.nanoseconds, trade.trade_id),
            )

    def candles_between(self, symbol: str, first: int, last: int, now: datetime) -> list[TapeCandle]:
        """The candles with first <= opening time <= last that have begun at `now`; the running one is unfinished."""
        moment = int(now.timestamp())
        held = self.candles.get(symbol, [])
        start = bisect_left(held, first, key=lambda candle: candle.time)
        end = bisect_right(held, min(last, moment), key=lambda candle: candle.time)
        rows = held[start:end]
        if rows and rows[-1].time + 60 > moment:
            rows[-1] = unfinished(rows[-1])
        return rows

    def trades_after(self, symbol: str, nanoseconds: int, count: int, now: datetime) -> list[TapeTrade]:
        """The first `count` trades later than `nanoseconds` that have happened at `now`."""
        held = self.trades.get(symbol, [])
        start = bisect_right(held, nanoseconds, key=lambda trade: trade.nanoseconds)
        end = bisect_right(held, nanoseconds_of(now), key=lambda trade: trade.nanoseconds)
        return held[start : min(start + count, end)]

    def revise(self, symbol: str, opened_at: datetime, **values: str) -> None:
        """Give a candle other values from now on, as venues do for some seconds after its close."""
        time = int(opened_at.timestamp())
        index = bisect_left(self.candles[symbol], time, key=lambda candle: candle.time)
        assert self.candles[symbol][index].time == time, f"{symbol} has no candle at {opened_at}"
        self.candles[symbol][index] = replace(self.candles[symbol][index], **values)


def candle_of(row: Mapping[str, Any]) -> TapeCandle:
    """A row of a candle frame as a venue publishes it."""
    prices = (text_of(row[name]) for name in ("open", "high", "low", "close", "volume"))
    return TapeCandle(int(row["opened_at"].timestamp()), *prices, trades=row.get("trades") or 0)


def trade_of(row: Mapping[str, Any]) -> TapeTrade:
    """A row of a trade frame as a venue publishes it: in the middle of its microsecond, as venues count nanoseconds."""
    return TapeTrade(
        nanoseconds_of(row["traded_at"]) + 500,
        text_of(row["price"]),
        text_of(row["quantity"]),
        row["side"],
        int(row["trade_id"]),
    )


def unfinished(candle: TapeCandle) -> TapeCandle:
    """The candle while it runs: only its first trade has happened."""
    return replace(candle, high=candle.open, low=candle.open, close=candle.open, volume="0.00000001", trades=1)


def text_of(value: float) -> str:
    """The shortest decimal spelling of a float, never with an exponent."""
    return format(Decimal(repr(float(value))), "f")


def nanoseconds_of(moment: datetime) -> int:
    """Unix time in nanoseconds."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def currencies(symbols: Iterable[str]) -> list[str]:
    """Every base and quote currency, once each."""
    return sorted({part for symbol in symbols for part in symbol.split("/")})
