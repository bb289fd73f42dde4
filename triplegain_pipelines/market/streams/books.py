"""Order books by levels, and the best bid and ask."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite
from re import compile as pattern

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding, QualityCode

_NUMBER = pattern(r"[0-9]{1,20}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class Level:
    """One price and what is offered there, as the venue wrote them: a checksum counts the zeros at the end too."""

    price: str
    quantity: str


@dataclass(frozen=True, slots=True)
class BookChange:
    """A message about the book of a symbol: all of it (`snapshot`) or the levels that changed.

    A level of quantity zero is gone. `checksum` is the venue's, of the book after the change.
    """

    symbol: str
    snapshot: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    checksum: int | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """The best bid and ask of a symbol at a moment, with the quantities offered there."""

    venue: str
    symbol: str
    at: datetime
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float

    def __post_init__(self) -> None:
        """See that every number can be one.

        Raises:
            DataError: a price is not above zero, a quantity is below it, or one is not finite.
        """
        numbers = (self.bid, self.ask, self.bid_quantity, self.ask_quantity)
        if not all(map(isfinite, numbers)) or min(self.bid, self.ask) <= 0 or min(numbers) < 0:
            msg = f"{self.venue}'s best bid and ask of {self.symbol} are no prices: {self.describe()}"
            raise DataError(msg)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask: such a book is wrong."""
        return self.bid >= self.ask

    def describe(self) -> str:
        """The numbers for a text."""
        return f"bid {self.bid} for {self.bid_quantity}, ask {self.ask} for {self.ask_quantity}"


class OrderBook:
    """The book of one symbol.

    Args:
        depth: levels a side that the venue keeps up to date; those beyond are forgotten, because nothing is heard of
            them any more. None where it tells about all of them.
    """

    def __init__(self, depth: int | None = None) -> None:
        self.bids = _Side(depth, rising=False)
        self.asks = _Side(depth, rising=True)

    def apply(self, change: BookChange) -> None:
        """Take over a change.

        Raises:
            DataError: a level is not a price above zero with a quantity.
        """
        if change.snapshot:
            self.bids.clear()
            self.asks.clear()
        self.bids.update(change.bids)
        self.asks.update(change.asks)

    def top(self, venue: str, symbol: str, at: datetime) -> TopOfBook | None:
        """The best bid and ask; None while a side is empty."""
        bids, asks = self.bids.best(1), self.asks.best(1)
        if not (bids and asks):
            return None
        bid, ask = bids[0], asks[0]
        return TopOfBook(
            venue, symbol, at, float(bid.price), float(bid.quantity), float(ask.price), float(ask.quantity)
        )


class _Side:
    """The levels of one side, best first."""

    def __init__(self, depth: int | None, *, rising: bool) -> None:
        self._depth, self._sign = depth, 1 if rising else -1
        self._ranks: list[Decimal] = []
        self._levels: dict[Decimal, Level] = {}

    def clear(self) -> None:
        """Forget every level."""
        self._ranks.clear()
        self._levels.clear()

    def update(self, levels: Iterable[Level]) -> None:
        """Put, change or remove the levels given, then forget what is beyond the depth."""
        for level in levels:
            price, quantity = _number(level.price), _number(level.quantity)
            if price == 0:
                msg = f"the order book has a level at price {level.price}; a price is above zero"
                raise DataError(msg)
            self._put(price * self._sign, level, gone=quantity == 0)
        if self._depth is not None:
            for rank in self._ranks[self._depth :]:
                del self._levels[rank]
            del self._ranks[self._depth :]

    def best(self, count: int) -> list[Level]:
        """Up to `count` levels, the best first."""
        return [self._levels[rank] for rank in self._ranks[:count]]

    def _put(self, rank: Decimal, level: Level, *, gone: bool) -> None:
        known = rank in self._levels
        if gone:
            if known:
                del self._levels[rank]
                del self._ranks[bisect_left(self._ranks, rank)]
            return
        self._levels[rank] = level
        if not known:
            self._ranks.insert(bisect_left(self._ranks, rank), rank)


def crossed_book(top: TopOfBook, source: str) -> Finding:
    """The finding that the best bid of `top` is not below its best ask."""
    detail = {"bid": top.bid, "bid_quantity": top.bid_quantity, "ask": top.ask, "ask_quantity": top.ask_quantity}
    return Finding(top.venue, top.symbol, top.at, QualityCode.CROSSED_BOOK, source, detail)


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        msg = f"the order book holds {text[:40]!r}, which is not a plain number"
        raise DataError(msg)
    return Decimal(text)
