"""What a venue's stream tells, read from ccxt's values and checked: nothing of ccxt goes any further."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from math import isfinite
from typing import Any, TypeAlias

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.trades import MinuteCandle, Trade, minute_of

_AHEAD = timedelta(minutes=1)  # how far a venue's clock may run before ours until its data is refused
_FIRST_BITCOIN = datetime(2009, 1, 3, tzinfo=UTC)  # an earlier time is a mistake in its unit
_LONGEST_ID = 64
_SIDES = {"buy": "buy", "sell": "sell", None: "", "": ""}


@dataclass(frozen=True, slots=True)
class Connected:
    """From `at` on nothing is missed: the venue has confirmed every subscription of `endpoint` (venue/channel)."""

    endpoint: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Disconnected:
    """From the last event before this one on, something may have been missed."""

    endpoint: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class TradesSeen:
    """Trades as they came in one message; after a reconnection some that came before."""

    symbol: str
    trades: tuple[Trade, ...]


@dataclass(frozen=True, slots=True)
class CandleSeen:
    """The venue's own candle as it stands; it is final when a later one of the symbol was seen."""

    symbol: str
    candle: MinuteCandle


Event: TypeAlias = Connected | Disconnected | TradesSeen | CandleSeen | TopOfBook | Finding
EventReader: TypeAlias = Callable[[Any], Sequence[Event]]


class StreamReader:
    """Reads the values with which ccxt answers a subscription, one message's worth at a time.

    Every method raises DataError where a value cannot be: a symbol that was not asked for, a price that is not finite
    and above zero, a time more than a minute ahead.

    Args:
        venue: its name in our tables.
        symbols: those that were asked for.
        now: the present moment.
    """

    def __init__(self, venue: str, symbols: Sequence[str], now: Callable[[], datetime]) -> None:
        self._venue, self._symbols, self._now = venue, frozenset(symbols), now

    def trades(self, cache: Any) -> list[Event]:  # noqa: ANN401 - ccxt's ArrayCache
        """The trades that came with the last message; `cache` holds those before, too."""
        fresh = cache.getLimit(None, None)
        if fresh > len(cache):
            msg = f"{self._venue} sent {fresh} trades in one message, of which only {len(cache)} were kept"
            raise DataError(msg)
        rows = cache[len(cache) - fresh :]
        return [
            TradesSeen(symbol, tuple(map(self._trade, of_symbol)))
            for symbol, of_symbol in groupby(rows, lambda row: self._known(row["symbol"]))
        ]

    def candles(self, result: Any) -> list[Event]:  # noqa: ANN401 - symbol, timeframe, ArrayCacheByTimestamp
        """The candles that the last message changed."""
        symbol, _, cache = result
        return [
            CandleSeen(self._known(symbol), self._candle(row))
            for row in cache[len(cache) - min(len(cache), cache.getLimit(symbol, None)) :]
        ]

    def top(self, book: Any) -> list[Event]:  # noqa: ANN401 - ccxt's ticker or OrderBook, both dictionaries
        """Best bid and ask after the last message; nothing while a side is empty."""
        if "bids" in book:
            bid, ask = (next(iter(book[side]), [None, None]) for side in ("bids", "asks"))
            values = (*bid[:2], *ask[:2])
        elif "bid" in book:
            values = tuple(book[name] for name in ("bid", "bidVolume", "ask", "askVolume"))
        else:  # the tickers of many symbols; each came by itself as well
            return []
        symbol = self._known(book["symbol"])
        if values[0] is None or values[2] is None:
            return []
        stamp = book.get("timestamp")
        at = self._now() if stamp is None else self.moment(stamp)
        return [TopOfBook(self._venue, symbol, at, *map(float, values))]

    def moment(self, milliseconds: object) -> datetime:
        """The time that the venue wrote, if it can be."""
        if not isinstance(milliseconds, int) or milliseconds <= 0:
            msg = f"{self._venue} gave the time {milliseconds!r}; it should be milliseconds since 1970"
            raise DataError(msg)
        # Whole seconds and the rest apart: a division would round the milliseconds.
        seconds, rest = divmod(milliseconds, 1000)
        moment = datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=rest)
        if moment < _FIRST_BITCOIN:
            msg = f"{self._venue} gave the time {moment.isoformat()}, when there was no market; its unit has changed"
            raise DataError(msg)
        return self.not_ahead(moment)

    def not_ahead(self, moment: datetime) -> datetime:
        """`moment` unchanged, if it is not more than a minute ahead."""
        if moment > self._now() + _AHEAD:
            msg = f"{self._venue} gave the time {moment.isoformat()}, but it is {self._now().isoformat()}"
            raise DataError(msg)
        return moment

    def known(self, symbol: str) -> str:
        """`symbol` unchanged, if it was asked for."""
        return self._known(symbol)

    def _known(self, symbol: object) -> str:
        if not isinstance(symbol, str) or symbol not in self._symbols:
            msg = f"{self._venue} sent data of {str(symbol)[:40]!r}, which was not asked for"
            raise DataError(msg)
        return symbol

    def _trade(self, row: Mapping[str, Any]) -> Trade:
        trade_id, side = row["id"], row["side"]
        if not isinstance(trade_id, str) or not 0 < len(trade_id) <= _LONGEST_ID or side not in _SIDES:
            msg = f"{self._venue} sent a trade with id {str(trade_id)[:80]!r} and side {str(side)[:20]!r}"
            raise DataError(msg)
        price, quantity = self._number(row["price"]), self._number(row["amount"])
        if price <= 0 or quantity <= 0:
            msg = f"{self._venue} sent trade {trade_id} of {quantity} at {price}; both must be above zero"
            raise DataError(msg)
        return Trade(trade_id, self.moment(row["timestamp"]), price, quantity, _SIDES[side])

    def _candle(self, row: Sequence[object]) -> MinuteCandle:
        opened_at = self.moment(row[0])
        opening, high, low, close, volume = map(self._number, row[1:6])
        straight = 0 < low <= min(opening, close) and max(opening, close) <= high and volume >= 0
        if not straight or opened_at != minute_of(opened_at):
            msg = f"{self._venue} sent the candle {list(row[:6])}, which contradicts itself"
            raise DataError(msg)
        return MinuteCandle(opened_at, opening, high, low, close, volume, None)

    def _number(self, value: object) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = float("nan")
        if not isfinite(number):
            msg = f"{self._venue} sent {str(value)[:40]!r} where a number belongs"
            raise DataError(msg)
        return number
