"""Best prices out of checked books: by the venue's checksum where it sends one, and that they do not cross."""

from collections.abc import Sequence
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding
from triplegain_pipelines.market.streams.books import BookChange, OrderBook, TopOfBook, crossed_book
from triplegain_pipelines.market.streams.checksums import checksum_finding, kraken_changes, kraken_checksum
from triplegain_pipelines.market.streams.events import Event, StreamReader

_SOURCE = "stream"


class WrongBookError(DataError):
    """A book that is not the venue's any more. `finding` says how that was seen."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"the order book of {finding.symbol} is wrong ({finding.code}: {dict(finding.detail)})")
        self.finding = finding


class ValidatedBooks:
    """The books of one connection. A wrong one ends the connection, because only a new snapshot can right it."""

    def __init__(self, venue: str, reader: StreamReader, clock: Clock) -> None:
        self._venue, self._reader, self._clock = venue, reader, clock
        self._books: dict[str, OrderBook] = {}

    def apply(self, frame: str, depth: int) -> Sequence[Event] | None:
        """The best prices after a frame of Kraken's; None if it is not about books.

        ccxt could compare the checksum itself (option `watchOrderBook.checksum`), but its check cannot succeed: the
        numbers are floats by then, without the zeros at the end that the checksum counts, and it takes them for text,
        which ends its reading loop without a sound. So the books are kept here, from the text of the messages.

        Raises:
            WrongBookError: the checksum differs, or bid and ask cross.
            DataError: the frame cannot be read.
        """
        changes = kraken_changes(frame)
        return [event for change in changes for event in self._applied(change, depth)] if changes else None

    def uncrossed(self, result: Any) -> Sequence[Event]:  # noqa: ANN401 - ccxt's ticker or OrderBook
        """The best prices in a ticker or book of ccxt's.

        Raises:
            WrongBookError: bid and ask cross.
        """
        return [self._straight(top) for top in self._reader.top(result) if isinstance(top, TopOfBook)]

    def nothing(self, result: Any) -> Sequence[Event]:  # noqa: ANN401 - whatever ccxt made of it
        """No event: the books are read from the frames."""
        del result
        return []

    def _applied(self, change: BookChange, depth: int) -> list[Event]:
        symbol = self._reader.known(change.symbol)
        at = self._clock.now() if change.at is None else self._reader.not_ahead(change.at)
        if change.snapshot:
            self._books[symbol] = OrderBook(depth)
        elif symbol not in self._books:
            msg = f"{self._venue} sent a change of the book of {symbol} before the book itself"
            raise DataError(msg)
        book = self._books[symbol]
        book.apply(change)
        ours = kraken_checksum(book)
        if ours != change.checksum:
            raise WrongBookError(checksum_finding(self._venue, change, at, ours, _SOURCE))
        top = book.top(self._venue, symbol, at)
        return [] if top is None else [self._straight(top)]

    def _straight(self, top: TopOfBook) -> TopOfBook:
        if top.crossed:
            raise WrongBookError(crossed_book(top, _SOURCE))
        return top
