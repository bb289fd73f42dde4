"""What a market says: instruments, candles and quotes."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from triplegain_pipelines.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Instrument:
    """A spot pair such as BTC/USDT and the steps in which it trades."""

    symbol: str
    quantity_step: Decimal = Decimal("0.00000001")
    price_step: Decimal = Decimal("0.00000001")
    minimum_quantity: Decimal = Decimal("0.00000001")
    minimum_cost: Decimal = Decimal(5)

    @property
    def base(self) -> str:
        """The currency that is bought and sold."""
        return split_symbol(self.symbol)[0]

    @property
    def quote(self) -> str:
        """The currency it is paid in."""
        return split_symbol(self.symbol)[1]


@dataclass(frozen=True, slots=True)
class Quote:
    """A price and the moment it was valid, which may lie after the moment it was asked for."""

    symbol: str
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Candle:
    """One 1-minute candle as the order path sees it: exact prices, opening time in UTC."""

    symbol: str
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class PriceSource(Protocol):
    """Where the order path gets prices: recorded candles in a replay, a venue otherwise."""

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The first price that can be traded at or after `at`.

        Raises:
            UnavailableError: no price is known; it is never to be read as a price of zero.
        """
        ...


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote currency of `symbol`.

    Raises:
        InputError: the symbol is not of the form BASE/QUOTE.

    >>> split_symbol("BTC/USDT")
    ('BTC', 'USDT')
    """
    base, slash, quote = symbol.partition("/")
    if not (slash and base.isalnum() and quote.isalnum() and symbol == symbol.upper()):
        msg = f"{symbol!r} is not a symbol; write BASE/QUOTE in capitals, for example BTC/USDT"
        raise InputError(msg)
    return base, quote


def exact_price(price: float) -> Decimal:
    """The decimal that a venue published as `price`.

    Candles are stored as floats for analysis; their shortest decimal spelling is the published
    number, so it crosses into money through its text and not through its binary value.

    >>> exact_price(0.1)
    Decimal('0.1')
    """
    return Decimal(repr(price))
