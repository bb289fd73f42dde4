"""Files of quotes, the best bid and ask by time: read whole, checked whole, refused whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.contracts import TIME, Rule, first_broken_row
from triplegain_pipelines.market.files.archives import FIRST_BITCOIN
from triplegain_pipelines.market.files.content import Content, read_content
from triplegain_pipelines.market.files.kinds import (
    ASK_NAMES,
    BID_NAMES,
    TIME_NAMES,
    FileFormat,
    FileKind,
    Shape,
    first_of,
    require_kind,
)
from triplegain_pipelines.market.files.rows import oldest_first, read_rows, typed
from triplegain_pipelines.market.files.series import series_of
from triplegain_pipelines.market.files.shapes import shape_of

QUOTE_COLUMNS: Mapping[str, pl.DataType] = {
    "at": TIME,
    **{name: pl.Float64() for name in ("bid", "bid_quantity", "ask", "ask_quantity")},
}
_SYMBOL = "symbol"
_SIZES = ("quantity", "qty", "size", "amount", "volume")
_RULES = (
    Rule("the time is before the first Bitcoin of 2009", pl.col("at") >= FIRST_BITCOIN),
    Rule(
        "the time is before that of the quote before it; sort the file by time",
        pl.col("at").diff().dt.total_microseconds().fill_null(0) >= 0,
    ),
    Rule("a value is not finite", pl.all_horizontal(pl.col("bid", "bid_quantity", "ask", "ask_quantity").is_finite())),
    Rule("the bid is not above zero", pl.col("bid") > 0),
    Rule("the bid is not below the ask", pl.col("bid") < pl.col("ask")),
    Rule("a size is negative", (pl.col("bid_quantity") >= 0) & (pl.col("ask_quantity") >= 0)),
)


@dataclass(frozen=True, slots=True)
class QuoteFile:
    """Quotes of one symbol at one venue, as published, and where they came from.

    `frame` has the columns of QUOTE_COLUMNS, each moment once: of several quotes with the same time the last one stays,
    for it is the one that was valid afterwards, and `superseded` counts the others. `rows` are those of the file.
    """

    frame: pl.DataFrame
    venue: str
    symbol: str
    format: FileFormat
    digest: str
    rows: int
    superseded: int
    ignored: tuple[str, ...]


def read_quote_file(path: Path, *, symbol: str | None = None, venue: str | None = None) -> QuoteFile:
    """Read a file of quotes. What is not given is found from its content and its name.

    Args:
        path: Parquet, Feather or CSV with time, bid, ask and the size of each. It may be gzipped, or alone in a zip.
        symbol: such as BTC/USDT.
        venue: such as kraken, binance.

    Raises:
        InputError: there is no such file, a line of it is broken, or what it holds cannot be found out.
    """
    try:
        return _read(path, read_content(path), symbol, venue)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def _read(path: Path, content: Content, symbol: str | None, venue: str | None) -> QuoteFile:
    shape = shape_of(content)
    if require_kind(shape) is not FileKind.QUOTES:
        msg = f"it holds {shape.kind}, not quotes"
        raise InputError(msg)
    chosen = _quote_columns(shape)
    rows = read_rows(content, shape, lambda name: name == _SYMBOL or name in chosen.values())
    stated = rows.frame[_SYMBOL] if _SYMBOL in rows.frame.columns else None
    series = series_of(path, content, shape, stated, symbol=symbol, venue=venue)
    quotes = oldest_first(typed(replace(rows, frame=rows.frame.select(**chosen)), QUOTE_COLUMNS), "at")
    broken = first_broken_row(quotes.frame, _RULES)
    if broken is not None:
        msg = f"{quotes.place(broken[0])}: {broken[1]}"
        raise InputError(msg)
    once = quotes.frame.unique("at", keep="last", maintain_order=True)
    rows_of_file = quotes.frame.height
    return QuoteFile(
        frame=once,
        venue=series.venue,
        symbol=series.symbol,
        format=shape.format,
        digest=content.digest,
        rows=rows_of_file,
        superseded=rows_of_file - once.height,
        ignored=tuple(name for name in shape.names if name not in {*chosen.values(), _SYMBOL}),
    )


def _quote_columns(shape: Shape) -> dict[str, str]:
    """The file's name of each of our columns.

    Raises:
        InputError: it does not have all of them.
    """
    wanted = {
        "at": TIME_NAMES,
        "bid": BID_NAMES,
        "bid_quantity": _size_names("bid"),
        "ask": ASK_NAMES,
        "ask_quantity": _size_names("ask"),
    }
    found = {name: first_of(names, shape.names) for name, names in wanted.items()}
    missing = [name for name, own in found.items() if own is None]
    if missing:
        msg = f"there is no column {', '.join(missing)} (but {', '.join(shape.names)[:100]})"
        raise InputError(msg)
    return {name: own for name, own in found.items() if own is not None}


def _size_names(side: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{side}_{size}" for prefix in ("", "best_") for size in _SIZES)
