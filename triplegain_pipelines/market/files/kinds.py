"""The kinds and formats of files, and the names by which their columns are known."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import shorten

from triplegain_pipelines.domain.errors import InputError

TIME_NAMES = (
    *("opened_at", "traded_at", "at", "time", "open_time", "transact_time", "timestamp", "datetime", "date", "unix"),
    *("ts_event", "trade_time"),
)
PRICES = ("open", "high", "low", "close")
QUANTITY_NAMES = ("quantity", "amount", "qty", "size", "volume")
BID_NAMES = ("bid", "bid_price", "best_bid", "best_bid_price")
ASK_NAMES = ("ask", "ask_price", "best_ask", "best_ask_price")


class FileKind(StrEnum):
    """What a file can be imported as."""

    CANDLES = "candles"
    TRADES = "trades"
    QUOTES = "quotes"
    HEADLINES = "headlines"
    FEAR_GREED = "fear_greed"


class FileFormat(StrEnum):
    """The formats that are understood."""

    PARQUET = "parquet"
    FEATHER = "feather"
    CSV = "csv"
    KRAKEN_OHLCVT = "kraken-ohlcvt"
    KRAKEN_OHLC = "kraken-rest-ohlc"
    KRAKEN_TIME_AND_SALES = "kraken-time-and-sales"
    KRAKEN_TRADES = "kraken-rest-trades"
    BINANCE_KLINES = "binance-klines"
    BINANCE_TRADES = "binance-trades"
    BINANCE_AGGREGATES = "binance-aggregate-trades"
    BITFINEX_CANDLES = "bitfinex-candles"
    COINBASE_CANDLES = "coinbase-candles"
    CANDLE_LISTS = "json-candles"
    CRYPTODATADOWNLOAD = "cryptodatadownload"


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns and the format of a file, before any row of it is believed.

    Attributes:
        names: of the columns, in lower case; where the file names none, the names its format gives them.
        format: what the file is.
        kind: what it holds; None when its columns are none that can be imported.
        skip: lines before the first row of a text.
        header: the header line of a text in lower case, empty where there is none.
        rows: of a JSON file, each value as it is written; None for all others.
        pair: the market as a JSON file names it, else empty.
        left_out: what of the file is not taken, each with the reason.
    """

    names: tuple[str, ...]
    format: FileFormat
    kind: FileKind | None = None
    skip: int = 0
    header: str = ""
    rows: tuple[Sequence[str | None], ...] | None = None
    pair: str = ""
    left_out: tuple[str, ...] = ()


def first_of(wanted: Sequence[str], names: Collection[str]) -> str | None:
    """The first of `wanted` that is among `names`."""
    return next((name for name in wanted if name in names), None)


def kind_of(names: Sequence[str]) -> FileKind | None:
    """What a table with the columns `names`, in lower case, holds; None when it is nothing that can be imported."""
    own = set(names)
    timed = first_of(TIME_NAMES, own) is not None
    if set(PRICES) <= own:
        return FileKind.CANDLES
    if timed and first_of(BID_NAMES, own) and first_of(ASK_NAMES, own):
        return FileKind.QUOTES
    if timed and "price" in own and first_of(QUANTITY_NAMES, own):
        return FileKind.TRADES
    if {"time", "headline"} <= own:
        return FileKind.HEADLINES
    return FileKind.FEAR_GREED if {"date", "value"} <= own else None


def require_kind(shape: Shape) -> FileKind:
    """What the file holds.

    Raises:
        InputError: nothing that can be imported.
    """
    if shape.kind is None:
        found = shorten(", ".join(shape.names), width=100, placeholder=" …")
        msg = (
            f"its columns are {found}; importable are candles (time, open, high, low, close, volume), trades (time, "
            "price, quantity), quotes (time, bid, ask and their sizes), headlines (time, headline) and the "
            "fear-and-greed index (date, value)"
        )
        raise InputError(msg)
    return shape.kind


def is_number(text: str) -> bool:
    """Whether `text` is a number as files write it."""
    try:
        float(text)
    except ValueError:
        return False
    return True
