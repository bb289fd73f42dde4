"""Files of single trades: read whole, checked whole, refused whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.contracts import TIME, Rule, first_broken_row
from triplegain_pipelines.market.files.archives import FIRST_BITCOIN
from triplegain_pipelines.market.files.content import Content, read_content
from triplegain_pipelines.market.files.kinds import (
    QUANTITY_NAMES,
    TIME_NAMES,
    FileFormat,
    FileKind,
    Shape,
    first_of,
    require_kind,
)
from triplegain_pipelines.market.files.rows import Rows, oldest_first, read_rows, typed
from triplegain_pipelines.market.files.series import series_of
from triplegain_pipelines.market.files.shapes import shape_of
from triplegain_pipelines.market.trades import TRADE_COLUMNS

_SYMBOL = "symbol"
_AGGREGATE = "agg_trade_id"
_ID_NAMES = ("trade_id", _AGGREGATE, "id", "tradeid")
_SIDE_NAMES = ("side", "taker_side")
_MAKER_NAMES = ("is_buyer_maker", "buyer_maker")
_SIDES = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}
_PLAIN_ID = r"^[!-~]{1,64}$"
_COLUMNS: Mapping[str, pl.DataType] = {
    "traded_at": TIME,
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "trade_id": pl.String(),
    "side": pl.String(),
    "is_buyer_maker": pl.Boolean(),
}
_OPTIONAL = frozenset({"trade_id", "side", "is_buyer_maker"})
_RULES = (
    Rule("the time is before the first Bitcoin of 2009", pl.col("traded_at") >= FIRST_BITCOIN),
    Rule(
        "the time is before that of the trade before it; sort the file by time",
        pl.col("traded_at").diff().dt.total_microseconds().fill_null(0) >= 0,
    ),
    Rule("the price is not a finite number above zero", pl.col("price").is_finite() & (pl.col("price") > 0)),
    Rule("the quantity is not a finite number above zero", pl.col("quantity").is_finite() & (pl.col("quantity") > 0)),
    Rule("the trade's id is longer than 64 characters, or not plain ASCII", pl.col("trade_id").str.contains(_PLAIN_ID)),
    Rule("the trade's id stands there a second time; remove one", pl.col("trade_id").is_first_distinct()),
)


@dataclass(frozen=True, slots=True)
class TradeFile:
    """Trades of one symbol at one venue, as published, and where they came from.

    `frame` has the columns of TRADE_COLUMNS, the oldest trade first; `side` is null where the file does not say it.
    `aggregated` says that one row may stand for several trades of one moment and price. `digest` is the SHA-256 of the
    file; `ignored` are its columns that have no place in a trade.
    """

    frame: pl.DataFrame
    venue: str
    symbol: str
    format: FileFormat
    digest: str
    aggregated: bool
    ignored: tuple[str, ...]


def read_trade_file(path: Path, *, symbol: str | None = None, venue: str | None = None) -> TradeFile:
    """Read a file of trades. What is not given is found from its content and its name.

    Ids are the venue's. Those of Binance's aggregate trades get `agg:` before them, for they count something else than
    its trades. Trades without ids, as in Kraken's time and sales, get `file:<microseconds>:<place within that moment>`.

    Args:
        path: Parquet, Feather or CSV with time, price and quantity, and perhaps trade_id and side; Kraken's time and
            sales, and its saved answers (Trades); Binance's trades and aggTrades. It may be gzipped, or alone in a zip.
        symbol: such as BTC/USDT.
        venue: such as kraken, binance, binanceusdm.

    Raises:
        InputError: there is no such file, a line of it is broken, or what it holds cannot be found out.
    """
    try:
        return _read(path, read_content(path), symbol, venue)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def _read(path: Path, content: Content, symbol: str | None, venue: str | None) -> TradeFile:
    shape = shape_of(content)
    if require_kind(shape) is not FileKind.TRADES:
        msg = f"it holds {shape.kind}, not trades"
        raise InputError(msg)
    chosen = _trade_columns(shape)
    rows = read_rows(content, shape, lambda name: name == _SYMBOL or name in chosen.values())
    stated = rows.frame[_SYMBOL] if _SYMBOL in rows.frame.columns else None
    series = series_of(path, content, shape, stated, symbol=symbol, venue=venue)
    aggregated = chosen.get("trade_id") == _AGGREGATE
    own = typed(replace(rows, frame=rows.frame.select(**chosen)), _COLUMNS, optional=_optional(chosen))
    trades = _with_sides(oldest_first(own, "traded_at"))
    numbered = replace(trades, frame=_with_ids(trades.frame, aggregated=aggregated).select(*TRADE_COLUMNS))
    broken = first_broken_row(numbered.frame, _RULES)
    if broken is not None:
        msg = f"{numbered.place(broken[0])}: {broken[1]}"
        raise InputError(msg)
    ignored = tuple(name for name in shape.names if name not in {*chosen.values(), _SYMBOL})
    return TradeFile(numbered.frame, series.venue, series.symbol, shape.format, content.digest, aggregated, ignored)


def _trade_columns(shape: Shape) -> dict[str, str]:
    """The file's name of each of our columns, of those that it has."""
    wanted = {
        "traded_at": TIME_NAMES,
        "price": ("price",),
        "quantity": QUANTITY_NAMES,
        "trade_id": _ID_NAMES,
        "side": _SIDE_NAMES,
        "is_buyer_maker": _MAKER_NAMES,
    }
    quantities = [name for name in QUANTITY_NAMES if name in shape.names]
    if len(quantities) > 1 and quantities[0] != "quantity":
        msg = f"which column is the quantity? There are {', '.join(quantities)}, and one may be in the quote currency; "
        msg += "name the one in the base currency quantity"
        raise InputError(msg)
    found = {name: first_of(names, shape.names) for name, names in wanted.items()}
    return {name: own for name, own in found.items() if own is not None}


def _optional(chosen: Mapping[str, str]) -> frozenset[str]:
    """What may be missing in a row: an id only where no row has one, or it could not be told from another trade."""
    return _OPTIONAL - {"trade_id"} if "trade_id" in chosen else _OPTIONAL


def _with_sides(rows: Rows) -> Rows:
    """The taker's side: where the buyer was the maker, the taker sold."""
    said = pl.col("side").str.to_lowercase()
    frame = rows.frame.with_columns(
        side=pl.when(said != "").then(said.replace_strict(_SIDES, default="?")),
        maker=pl.when("is_buyer_maker").then(pl.lit("sell")).when(~pl.col("is_buyer_maker")).then(pl.lit("buy")),
    )
    unknown = (frame["side"] == "?").fill_null(value=False).arg_true()
    if unknown.len():
        row = int(unknown[0])
        msg = f"{rows.place(row)}: side is {str(rows.frame['side'][row])[:40]!r}; it must be buy or sell"
        raise InputError(msg)
    return replace(rows, frame=frame.with_columns(side=pl.coalesce("side", "maker")))


def _with_ids(frame: pl.DataFrame, *, aggregated: bool) -> pl.DataFrame:
    if aggregated:
        return frame.with_columns(trade_id="agg:" + pl.col("trade_id"))
    if frame["trade_id"].null_count() < frame.height:
        return frame
    place = pl.int_range(pl.len()).over("traded_at")
    return frame.with_columns(trade_id=pl.format("file:{}:{}", pl.col("traded_at").dt.timestamp("us"), place))
