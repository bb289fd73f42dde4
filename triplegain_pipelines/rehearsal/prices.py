"""Prices for an exchange on loopback: the path of recorded or simulated candles, walked by a clock that is moved."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Candle, Instrument, Quote, exact_price
from triplegain_pipelines.domain.money import EXACT, rounded_down, rounded_up
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.market.simulator import SimulatedMarket

_LAST_MOMENT = timedelta(seconds=60) - timedelta(milliseconds=1)
_AT = (timedelta(0), timedelta(seconds=20), timedelta(seconds=40), _LAST_MOMENT)
_BPS = Decimal("0.0001")


@dataclass(frozen=True, slots=True, order=True)
class Tick:
    """A price, and when it comes."""

    at: datetime
    symbol: str
    price: Decimal


def ticks_of(candles: Iterable[Candle]) -> Iterator[Tick]:
    """Four prices of each 1-minute candle: open, low, high and close; the low first, for that is what hurts."""
    for candle in candles:
        prices = (candle.open, candle.low, candle.high, candle.close)
        for after, price in zip(_AT, prices, strict=True):
            yield Tick(candle.opened_at + after, candle.symbol, price)


def candles_of(symbol: str, frame: "pl.DataFrame") -> Iterator[Candle]:
    """The rows of a candle frame, exact."""
    for opened_at, *prices in frame.select("opened_at", "open", "high", "low", "close").iter_rows():
        yield Candle(symbol, opened_at, *(exact_price(price) for price in prices))


def ticks_of_market(market: "SimulatedMarket", start: datetime, end: datetime) -> Iterator[Tick]:
    """The prices of every symbol of the simulated market in [start, end), in order of time."""
    paths = [ticks_of(candles_of(symbol, market.candles(symbol, start, end))) for symbol in market.symbols]
    return heapq.merge(*paths)


class ExchangePrices:
    """The middle between bid and ask of an exchange in this process. It is a `PriceSource`."""

    def __init__(self, exchange: LoopbackExchange) -> None:
        self._exchange = exchange

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price of now.

        Raises:
            UnavailableError: none was set yet.
        """
        prices = self._exchange.prices.get(symbol)
        if prices is None:
            msg = f"no price of {symbol} was set at the exchange on loopback"
            raise UnavailableError(msg)
        return Quote(symbol, sum(prices, Decimal(0)) / 2, at)


class PriceDriver:
    """Sets the prices of an exchange as its clock is moved along.

    Args:
        exchange: whose prices are set.
        ticks: in order of time.
        clock: moved to the moment of each tick; the exchange's own.
        spread_bps: of bid and ask around each price together, in basis points.
    """

    def __init__(
        self, exchange: LoopbackExchange, ticks: Iterable[Tick], clock: ShiftableClock, spread_bps: Decimal
    ) -> None:
        self._exchange, self._clock = exchange, clock
        self._half = spread_bps * _BPS / 2
        self._ticks = iter(ticks)
        self._next = next(self._ticks, None)

    def run_until(self, moment: datetime) -> int:
        """Move the clock to `moment`, with every price on the way; how many prices those were."""
        passed = 0
        while self._next is not None and self._next.at <= moment:
            self._clock.advance_to(self._next.at)
            self._set(self._next)
            self._next = next(self._ticks, None)
            passed += 1
        self._clock.advance_to(moment)
        return passed

    def _set(self, tick: Tick) -> None:
        bid, ask = quoted(tick.price, self._half, self._exchange.instruments[tick.symbol])
        self._exchange.set_price(tick.symbol, bid, ask)


def quoted(price: Decimal, half_spread: Decimal, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """Bid and ask around `price`, on the grid, the spread at least as wide as the fraction `half_spread` on each side.

    >>> quoted(Decimal(100), Decimal("0.001"), Instrument("BTC/USDT", price_step=Decimal("0.1")))
    (Decimal('99.9'), Decimal('100.1'))
    """
    margin = EXACT.multiply(price, half_spread)
    bid, ask = EXACT.subtract(price, margin), EXACT.add(price, margin)
    step = instrument.price_step
    return max(rounded_down(bid, step), step), max(rounded_up(ask, step), step)
