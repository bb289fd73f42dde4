"""A generated market that happens: one venue on loopback tells it by WebSocket as it goes, and by REST when asked.

It misbehaves as venues do. Some trades come late, and some candles are other than they should be until they are
revised.
"""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Self

import numpy as np
import polars as pl
from scaled_clock import ScaledClock
from venues.binance import BinanceServer
from venues.tape import TapeCandle, text_of
from venues.websockets import Sockets
from venues.websockets_binance import BinanceSockets
from venues.websockets_kraken import KrakenSockets

from triplegain_pipelines.market.trades import MinuteCandle, Trade, candles_of_trades, minute_of, trades_frame

KINDS: dict[str, type[Sockets]] = {"kraken": KrakenSockets, "binance": BinanceSockets}
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_TICK_SECONDS = 0.01
_TRADES_A_MINUTE = 8.0
_SHARE_LATE = 0.02
_SHARE_REVISED = 0.05
_LONGEST_UNREVISED_SECONDS = 150.0


@dataclass(frozen=True)
class Revision:
    """Until `at`, the venue gives other values for a candle than it gives from then on."""

    at: datetime
    symbol: str
    opened_at: datetime
    close: str
    volume: str


@dataclass(frozen=True)
class Told:
    """A trade and when the venue tells of it."""

    at: datetime
    trade: Trade


class LiveMarket:
    """All that will happen, by symbol.

    Args:
        seed: of all of it.
        symbols: such as BTC/USDT.
        start: of the first minute.
        minutes: how many there are.
        factor: times the prices of the same seed with factor 1.
    """

    def __init__(self, seed: int, symbols: Sequence[str], start: datetime, minutes: int, factor: float = 1.0) -> None:
        self.symbols, self.start, self.end = tuple(symbols), start, start + minutes * _MINUTE
        self._draw = np.random.default_rng(seed)
        self.trades = {
            symbol: self._trades(100.0 * (number + 1), minutes, factor) for number, symbol in enumerate(symbols)
        }
        self.candles = {symbol: self._candles(symbol) for symbol in symbols}
        self.told = {symbol: self._told(symbol) for symbol in symbols}
        self.revisions = sorted(self._revisions(), key=lambda revision: revision.at)

    def frame(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """What the venue says in the end of the candles opened in [start, end): opened_at and the five values."""
        inside = pl.col("opened_at").is_between(start, end, closed="left")
        return self.candles[symbol].filter(inside).drop("trades")

    def first_tape(self, symbol: str) -> list[TapeCandle]:
        """The candles as the venue has them before any revision."""
        rows = [
            TapeCandle(
                int(row["opened_at"].timestamp()),
                *(text_of(row[name]) for name in ("open", "high", "low", "close", "volume")),
                trades=row["trades"],
            )
            for row in self.candles[symbol].iter_rows(named=True)
        ]
        places = {row.time: place for place, row in enumerate(rows)}
        for revision in self.revisions:
            if revision.symbol == symbol:
                place = places[int(revision.opened_at.timestamp())]
                rows[place] = replace(rows[place], close=rows[place].open, volume="0.5")
        return rows

    def _trades(self, price: float, minutes: int, factor: float) -> list[Trade]:
        trades: list[Trade] = []
        for number in range(minutes):
            opened_at = self.start + number * _MINUTE
            count = int(self._draw.poisson(_TRADES_A_MINUTE)) if self._draw.random() > _SHARE_LATE else 0
            for moment in np.sort(self._draw.integers(0, 60_000, count)):
                price = max(1.0, price * (1 + 0.0004 * float(self._draw.standard_normal())))
                quantity = round(float(self._draw.integers(1, 50_000)) / 10_000, 4)
                at = opened_at + timedelta(milliseconds=int(moment))
                side = "buy" if self._draw.random() < 0.5 else "sell"
                trades.append(Trade(str(len(trades) + 1), at, round(price * factor, 3), quantity, side))
        return trades

    def _candles(self, symbol: str) -> pl.DataFrame:
        """With a candle of no volume at the last close for every minute without a trade."""
        made = candles_of_trades(trades_frame(self.trades[symbol]))
        grid = pl.select(
            opened_at=pl.datetime_range(self.start, self.end, "1m", closed="left", time_unit="us", time_zone="UTC")
        )
        frame = grid.join(made, on="opened_at", how="left", maintain_order="left")
        close = pl.col("close").forward_fill().backward_fill()
        prices = [pl.coalesce(name, close).alias(name) for name in ("open", "high", "low", "close")]
        return frame.with_columns(*prices, volume=pl.col("volume").fill_null(0.0), trades=pl.col("trades").fill_null(0))

    def _told(self, symbol: str) -> list[Told]:
        def delay() -> timedelta:
            late = self._draw.random() < _SHARE_LATE
            return timedelta(seconds=float(self._draw.uniform(3, 20) if late else self._draw.uniform(0, 0.2)))

        told = [Told(trade.traded_at + delay(), trade) for trade in self.trades[symbol]]
        return sorted(told, key=lambda one: one.at)

    def _revisions(self) -> list[Revision]:
        revisions = []
        for symbol, frame in self.candles.items():
            for row in frame.iter_rows(named=True):
                if row["volume"] and self._draw.random() < _SHARE_REVISED:
                    after = self._draw.choice([8.0, _LONGEST_UNREVISED_SECONDS]) * self._draw.uniform(0.2, 1)
                    at = row["opened_at"] + _MINUTE + timedelta(seconds=float(after))
                    values = text_of(row["close"]), text_of(row["volume"])
                    revisions.append(Revision(at, symbol, row["opened_at"], *values))
        return revisions


class LiveVenue:
    """A venue at which a market happens, started by `with`.

    Args:
        name: kraken or binance.
        market: what happens.
        clock: the true time.
        skew: how far the venue's clock is ahead of it.
    """

    def __init__(self, name: str, market: LiveMarket, clock: ScaledClock, skew: timedelta = timedelta(0)) -> None:
        self.market = market
        self.server = KINDS[name](*market.symbols)
        self.server.tape.candles = {symbol: market.first_tape(symbol) for symbol in market.symbols}
        self.server._now, self.server.skew = clock.now, skew
        self._stopping = Event()
        self._places = dict.fromkeys(market.symbols, 0)
        self._revised = 0
        self._forming = dict.fromkeys(market.symbols, clock.now())
        self.problem: BaseException | None = None

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._thread = Thread(target=self._happen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.server.__exit__()
        assert self.problem is None, f"the market stopped: {self.problem!r}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.url.rsplit(":", 1)[1])

    def _happen(self) -> None:
        now = self.server.now()
        self._places = {
            symbol: bisect_right(told, now, key=lambda one: one.at) for symbol, told in self.market.told.items()
        }
        self._forming = dict.fromkeys(self.market.symbols, minute_of(now))
        try:
            while not self._stopping.wait(_TICK_SECONDS):
                self._tick(self.server.now())
        except Exception as error:  # noqa: BLE001 - told at the end
            self.problem = error

    def _tick(self, now: datetime) -> None:
        while self._revised < len(self.market.revisions) and self.market.revisions[self._revised].at <= now:
            revision = self.market.revisions[self._revised]
            self.server.tape.revise(revision.symbol, revision.opened_at, close=revision.close, volume=revision.volume)
            self._revised += 1
        for symbol, told in self.market.told.items():
            first = self._places[symbol]
            end = bisect_right(told, now, key=lambda one: one.at)
            self._places[symbol] = end
            fresh = [one.trade for one in told[first:end]]
            if isinstance(self.server, BinanceServer):
                self._tell_candles(symbol, now, fresh=bool(fresh))
            elif fresh:
                with suppress(ConnectionError):  # whoever left in this moment does not hear it
                    self.server.publish_trades(symbol, fresh)
            if fresh:
                price = fresh[-1].price
                with suppress(ConnectionError):
                    self.server.publish_top(symbol, f"{price - 0.05:.3f}", f"{price + 0.05:.3f}")

    def _tell_candles(self, symbol: str, now: datetime, *, fresh: bool) -> None:
        """Binance: the forming candle as it stands, and the final one when its minute is over."""
        assert isinstance(self.server, BinanceSockets)
        while self._forming[symbol] + _MINUTE + _SECOND / 10 <= now:
            with suppress(ConnectionError):
                self.server.publish_candle(symbol, self._candle(symbol, self._forming[symbol], None), closed=True)
            self._forming[symbol] += _MINUTE
        if fresh and self._forming[symbol] <= now < self._forming[symbol] + _MINUTE:
            with suppress(ConnectionError):
                self.server.publish_candle(symbol, self._candle(symbol, self._forming[symbol], now))

    def _candle(self, symbol: str, opened_at: datetime, until: datetime | None) -> MinuteCandle:
        place = (opened_at - self.market.start) // _MINUTE
        row = self.market.candles[symbol].row(place, named=True)
        whole = MinuteCandle(**{**row, "trades": None})
        if until is None:
            return whole
        trades = self.market.trades[symbol]
        first = bisect_right(trades, opened_at - _SECOND / 1_000_000, key=lambda trade: trade.traded_at)
        inside = trades[first : bisect_right(trades, until, key=lambda one: one.traded_at)]
        if not inside:
            return replace(whole, high=whole.open, low=whole.open, close=whole.open, volume=0.0)
        prices = [trade.price for trade in inside]
        volume = round(sum(trade.quantity for trade in inside), 4)
        return MinuteCandle(opened_at, prices[0], max(prices), min(prices), prices[-1], volume, None)
