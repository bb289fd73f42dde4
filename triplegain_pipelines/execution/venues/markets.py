"""The markets of a venue: what it calls them, and the steps and minimums by which it takes orders."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import DataError, InputError
from triplegain_pipelines.domain.market import Instrument

_FRESH = timedelta(days=1)
_RowT = TypeVar("_RowT")


@dataclass(frozen=True, slots=True)
class Market:
    """A spot market. `identity` is what orders call it; `names` is everything that the venue's answers call it."""

    identity: str
    names: frozenset[str]
    instrument: Instrument

    @property
    def symbol(self) -> str:
        """Its name here, such as BTC/USDT."""
        return self.instrument.symbol


class Markets:
    """The markets of a venue, read when first needed, and again after a day or after an order was refused.

    Args:
        read: asks the venue.
        clock: tells their age.
    """

    def __init__(self, read: Callable[[], Sequence[Market]], clock: Clock) -> None:
        self._read, self._clock = read, clock
        self._reading = threading.Lock()
        self._by_symbol: dict[str, Market] = {}
        self._by_name: dict[str, Market] = {}
        self._read_at: datetime | None = None

    def of(self, symbol: str) -> Market:
        """The market of `symbol`.

        Raises:
            InputError: the venue does not trade it.
            UnavailableError: the venue cannot be asked.
        """
        self._refresh()
        if symbol not in self._by_symbol:
            msg = f"the venue does not trade {symbol}; take it out of the symbols of the profile"
            raise InputError(msg)
        return self._by_symbol[symbol]

    def called(self, name: str) -> Market | None:
        """The market that the venue's answers call `name`; None: it lists none of that name.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        self._refresh()
        return self._by_name.get(name)

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """Steps and minimums by which orders are sent now.

        Raises:
            InputError: the venue does not trade one of them.
            UnavailableError: the venue cannot be asked.
        """
        return {symbol: self.of(symbol).instrument for symbol in symbols}

    def forget(self) -> None:
        """Read them again when they are needed next."""
        self._read_at = None

    def _refresh(self) -> None:
        with self._reading:
            now = self._clock.now()
            if self._read_at is None or now - self._read_at > _FRESH:
                markets = self._read()
                self._by_symbol = {market.symbol: market for market in markets}
                self._by_name = {name: market for market in markets for name in market.names}
                self._read_at = now


def readable(rows: Iterable[_RowT], read: Callable[[_RowT], Market]) -> Iterator[Market]:
    """The markets of `rows` that can be read; one that cannot is one that is not traded, as `Markets.of` says."""
    for row in rows:
        with suppress(DataError):
            yield read(row)
