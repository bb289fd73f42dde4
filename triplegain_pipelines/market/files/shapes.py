"""The shape of a file, told by its content: columns and format, and so what it holds."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from textwrap import shorten

import polars as pl
from polars.exceptions import PanicException, PolarsError

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.files.book_files import book_columns_refusal, recording_refusal
from triplegain_pipelines.market.files.content import Content, Layout, text_of
from triplegain_pipelines.market.files.json_answers import json_shape
from triplegain_pipelines.market.files.kinds import PRICES, FileFormat, Shape, is_number, kind_of

_OPENING = 65_536
_BINANCE_KLINES = (
    *("opened_at", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
_BINANCE_TRADES = ("trade_id", "price", "quantity", "quote_quantity", "time", "is_buyer_maker")
_BINANCE_AGGREGATES = (
    *("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker"),
)
# Files without a header, by their number of fields and how many of the last are true or false.
_BARE = {
    (3, 0): Shape(("time", "price", "quantity"), FileFormat.KRAKEN_TIME_AND_SALES),
    (7, 0): Shape(("opened_at", *PRICES, "volume", "trades"), FileFormat.KRAKEN_OHLCVT),
    (12, 0): Shape(_BINANCE_KLINES, FileFormat.BINANCE_KLINES),
    (6, 1): Shape(_BINANCE_TRADES, FileFormat.BINANCE_TRADES),
    (7, 1): Shape(_BINANCE_AGGREGATES, FileFormat.BINANCE_AGGREGATES),
    (7, 2): Shape((*_BINANCE_TRADES, "is_best_match"), FileFormat.BINANCE_TRADES),
    (8, 2): Shape((*_BINANCE_AGGREGATES, "is_best_match"), FileFormat.BINANCE_AGGREGATES),
}


def shape_of(content: Content) -> Shape:
    """The shape of a file; no more of it is read than that takes.

    Raises:
        InputError: it cannot be read, or it is known to be something that is not imported, such as an order book.
    """
    if content.layout is Layout.TEXT:
        shape = _text_shape(content)
    else:
        file_format = FileFormat.PARQUET if content.layout is Layout.PARQUET else FileFormat.FEATHER
        shape = Shape(_column_names(content), file_format)
    refusal = book_columns_refusal(shape.names)
    if refusal is not None:
        raise InputError(refusal)
    return replace(shape, kind=kind_of(shape.names))


def unreadable(layout: Layout, error: BaseException) -> InputError:
    """The refusal of a Parquet or Feather file that polars cannot read."""
    name = "Parquet" if layout is Layout.PARQUET else "Feather"
    reason = shorten(str(error), width=200, placeholder=" …")
    return InputError(f"the {name} file cannot be read ({reason}); write it again")


def _column_names(content: Content) -> tuple[str, ...]:
    read = pl.read_parquet_schema if content.layout is Layout.PARQUET else pl.read_ipc_schema
    try:
        return tuple(name.lower() for name in read(BytesIO(content.data)))
    except (PolarsError, PanicException, OSError, ValueError) as error:
        raise unreadable(content.layout, error) from error


def _text_shape(content: Content) -> Shape:
    opening = content.data[:_OPENING].decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    refusal = recording_refusal(opening)
    if refusal is not None:
        raise InputError(refusal)
    if opening.lstrip()[:1] in {"[", "{"}:
        return json_shape(text_of(content))
    return _csv_shape(content, opening)


def _csv_shape(content: Content, opening: str) -> Shape:
    lines = opening.split("\n", 2)
    first = _fields(lines[0])
    if first == [""]:
        msg = "line 1 is empty; the first line must be a header or a row"
        raise InputError(msg)
    if is_number(first[0]):
        return _bare_shape(first)
    if "�" in lines[0]:
        text_of(content)
    # CryptoDataDownload begins with a line about itself.
    note = len(lines) > 1 and "cryptodatadownload.com" in lines[0].lower()
    names = _fields(lines[1]) if note else first
    if len(names) == 1:
        msg = f"line {1 + note} has no comma, so it is neither the header nor the first row of a CSV"
        raise InputError(msg)
    if len(names) != len(set(names)):
        found = shorten(", ".join(names), width=100, placeholder=" …")
        msg = f"line {1 + note}: a column stands there twice ({found}); remove one"
        raise InputError(msg)
    file_format = FileFormat.CRYPTODATADOWNLOAD if note else _format_of_header(names)
    return Shape(tuple(names), file_format, skip=1 + note, header=",".join(names))


def _format_of_header(names: Sequence[str]) -> FileFormat:
    if {"open_time", "close_time"} <= set(names):
        return FileFormat.BINANCE_KLINES
    if {"agg_trade_id", "is_buyer_maker"} <= set(names):
        return FileFormat.BINANCE_AGGREGATES
    if {"is_buyer_maker", "quote_qty"} <= set(names):
        return FileFormat.BINANCE_TRADES
    return FileFormat.CSV


def _bare_shape(fields: Sequence[str]) -> Shape:
    truths = next(
        (number for number, field in enumerate(reversed(fields)) if field not in {"true", "false"}), len(fields)
    )
    shape = _BARE.get((len(fields), truths))
    if shape is None:
        msg = (
            f"line 1 has {len(fields)} fields and there is no header; only Kraken's files have none (candles with "
            "7 fields, trades with 3) and Binance's (klines with 12, trades with 6 to 8); any other CSV needs a header"
        )
        raise InputError(msg)
    return shape


def _fields(line: str) -> list[str]:
    return [field.strip() for field in line.strip().lower().replace('"', "").split(",")]
