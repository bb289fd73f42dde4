"""Readers of recorded order books: formats that venues sent once and that are not followed live today."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triplegain_pipelines.market.streams.books import BookChange, Level


def frames(path: Path) -> Iterator[tuple[datetime, str]]:
    """Moment and text of every frame that was received; lines about what was sent are passed over."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            moment, colon, text = line.strip().partition(": ")
            if colon and moment.replace(".", "").isdigit():
                yield datetime.fromtimestamp(float(moment), UTC), text


def kraken_v1(path: Path) -> Iterator[BookChange]:
    """Changes of Kraken's WebSocket version 1: [channel, parts..., "book-1000", pair]."""
    for at, text in frames(path):
        message = json.loads(text)
        if isinstance(message, list):
            _, *parts, _, symbol = message
            merged = {key: value for part in parts for key, value in part.items()}
            snapshot = "as" in merged
            bids, asks = merged.get("bs" if snapshot else "b", []), merged.get("as" if snapshot else "a", [])
            checksum = int(merged["c"]) if "c" in merged else None
            yield BookChange(symbol, snapshot, _levels(bids), _levels(asks), checksum, at)


def coinbase_pro(path: Path) -> Iterator[BookChange]:
    """Changes of the channel level2 of Coinbase's old feed."""
    for at, text in frames(path):
        message = json.loads(text)
        if message["type"] == "snapshot":
            bids, asks = _levels(message["bids"]), _levels(message["asks"])
            yield BookChange(message["product_id"], snapshot=True, bids=bids, asks=asks, checksum=None, at=at)
        elif message["type"] == "l2update":
            sides = {
                side: _levels([row[1:] for row in message["changes"] if row[0] == side]) for side in ("buy", "sell")
            }
            yield BookChange(message["product_id"], False, sides["buy"], sides["sell"], None, at)  # noqa: FBT003


def binance_snapshots(path: Path) -> dict[str, tuple[int, BookChange]]:
    """The REST depth answers by symbol, with their last update id."""
    found = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            address, _, rest = line.strip().partition(" -> ")
            if "depth" in address:
                symbol = address.split("symbol=")[1].split("&")[0]
                answer = json.loads(rest.partition(": ")[2])
                bids, asks = _levels(answer["bids"]), _levels(answer["asks"])
                change = BookChange(symbol, snapshot=True, bids=bids, asks=asks, checksum=None, at=None)
                found[symbol] = (answer["lastUpdateId"], change)
    return found


def binance_stream(path: Path) -> Iterator[tuple[datetime, str, dict[str, Any]]]:
    """Moment, stream and data of every message of a combined stream."""
    for at, text in frames(path):
        message = json.loads(text)
        yield at, message["stream"], message["data"]


def binance_change(at: datetime, data: dict[str, Any]) -> BookChange:
    """A depthUpdate as a change."""
    return BookChange(data["s"], snapshot=False, bids=_levels(data["b"]), asks=_levels(data["a"]), checksum=None, at=at)


def _levels(rows: list[list[str]]) -> tuple[Level, ...]:
    return tuple(Level(row[0], row[1]) for row in rows)
