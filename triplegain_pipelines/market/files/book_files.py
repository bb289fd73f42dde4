"""Order books and recordings of messages, recognised so that they are refused with their true name.

Of books we keep the best bid and ask only. To rebuild them from depth needs every message since a snapshot, and a file
does not say whether it has them.
"""

import re
from collections.abc import Collection

_WAY_OUT = "the stream service keeps the best bid and ask; import quotes (time, bid, ask and their sizes) instead"
_RECORDED = re.compile(r"^(?:(?P<address>[a-z]+://\S+) (?:<->|<-|->) )?\d{9,11}\.\d+(?::\s.*)?$")
_BOOK_COLUMNS = frozenset({"first_update_id", "last_update_id", "update_type", "is_snapshot", "bids", "asks"})
_BOOK_LEVEL = re.compile(r"^(asks?|bids?)[\[_.]?\d+")
# Words by which venues name what a message is about, and what that is.
_TOPICS = {
    "order book": re.compile(r'"book|orderbook|@depth|depthUpdate|level2|/depth|book-\d'),
    "trades": re.compile(r'@aggTrade|@trade|"matches"|"trade"|"feed":"trade'),
    "ticker": re.compile(r"ticker"),
    "candles": re.compile(r"kline|ohlc"),
    "pairs": re.compile(r"AssetPairs"),
}


def recording_refusal(opening: str) -> str | None:
    """Why a recording of a venue's messages is not imported; None when `opening` is not the start of one.

    Args:
        opening: the first lines of a text, enough to hold the subscriptions.
    """
    recorded = _RECORDED.match(opening.split("\n", 1)[0].strip())
    if recorded is None:
        return None
    address = recorded["address"]
    source = f" of {address.split('?')[0]}" if address else ""
    return (
        f"it is a recording of messages{source} ({_topics(opening)}), not a table; recordings are not imported: "
        "the stream service follows such messages live; import candles, trades or quotes of that time instead"
    )


def message_lines_refusal(opening: str, keys: Collection[str]) -> str:
    """Why a file with one JSON object a line is not imported.

    Args:
        opening: the first line.
        keys: of its object.
    """
    if _TOPICS["order book"].search(opening):
        return f"it holds order book messages, one a line; {_WAY_OUT}"
    listed = ", ".join(sorted(keys)[:6])
    return f"it holds one JSON object a line ({listed}): neither candles, trades, quotes nor news; write a CSV"


def book_columns_refusal(names: Collection[str]) -> str | None:
    """Why a table with the columns `names`, in lower case, is refused as an order book; None when it is none."""
    own = set(names)
    updates = bool(own & _BOOK_COLUMNS) and "price" in own
    levels = sum(1 for name in own if _BOOK_LEVEL.match(name)) > 1
    if not (updates or levels or {"bids", "asks"} <= own):
        return None
    return f"it holds levels or changes of an order book; {_WAY_OUT}"


def depth_refusal(pair: str) -> str:
    """Why a venue's answer about its order book is refused: it does not say when it was given."""
    return f"it is an answer about the order book of {pair}, which does not say its time; {_WAY_OUT}"


def _topics(text: str) -> str:
    found = [topic for topic, pattern in _TOPICS.items() if pattern.search(text)]
    return ", ".join(found) or "of an unknown kind"
