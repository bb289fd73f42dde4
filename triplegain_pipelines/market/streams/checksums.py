"""Kraken's order book messages (WebSocket version 2) and its checksum, which versions 1 and 2 share."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zlib import crc32

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.streams.books import BookChange, Level, OrderBook

_COUNTED = 10  # levels a side that Kraken's checksum covers
_MOST_LEVELS = 5_000  # a side in one message; Kraken's deepest book has 1,000. More would hold up the event loop


def kraken_checksum(book: OrderBook) -> int:
    """CRC-32 of the ten best asks and then the ten best bids.

    Every price and quantity is written as it came, without the point and without zeros at the front.
    """
    levels = [*book.asks.best(_COUNTED), *book.bids.best(_COUNTED)]
    text = "".join(_digits(level.price) + _digits(level.quantity) for level in levels)
    return crc32(text.encode())


def kraken_changes(frame: str) -> tuple[BookChange, ...]:
    """What a frame of Kraken's channel `book` says, numbers kept as they were written; nothing if it is another frame.

    Raises:
        DataError: it is of that channel and cannot be read.
    """
    if '"book"' not in frame:
        return ()
    try:
        message = json.loads(frame, parse_float=str, parse_int=str)
        if not isinstance(message, dict) or message.get("channel") != "book":
            return ()
        return tuple(_change(part, snapshot=message["type"] == "snapshot") for part in message["data"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"a frame of Kraken's order book cannot be read ({type(error).__name__}: {error}): {frame[:120]}"
        raise DataError(msg) from error


def checksum_finding(venue: str, change: BookChange, at: datetime, ours: int, source: str) -> Finding:
    """The finding that our book has another checksum than the venue's."""
    detail: dict[str, str | float | int] = {"theirs": change.checksum or 0, "ours": ours}
    return Finding(venue, change.symbol, at, QualityCode.BOOK_CHECKSUM, source, detail)


def _change(part: Mapping[str, Any], *, snapshot: bool) -> BookChange:
    at = part.get("timestamp")
    return BookChange(
        _text(part["symbol"]),
        snapshot,
        _levels(part["bids"]),
        _levels(part["asks"]),
        int(part["checksum"]),
        require_utc(datetime.fromisoformat(at)) if at else None,
    )


def _levels(levels: list[Mapping[str, Any]]) -> tuple[Level, ...]:
    if len(levels) > _MOST_LEVELS:
        msg = f"{len(levels)} levels on one side"
        raise ValueError(msg)
    return tuple(Level(_text(level["price"]), _text(level["qty"])) for level in levels)


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r} should be a number or a name"
        raise TypeError(msg)
    return value


def _digits(number: str) -> str:
    return number.replace(".", "").lstrip("0")
