"""The formats of candle archives: bytes in, a typed table and the name of its format out.

Whether the candles make sense is checked in `archives`; here only whether each field is what its column holds.
"""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from textwrap import shorten
from zipfile import BadZipFile, ZipFile

import polars as pl
from polars.exceptions import PolarsError

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, TIME


class ArchiveFormat(StrEnum):
    """The formats that are understood."""

    PARQUET = "parquet"
    CSV = "csv"
    KRAKEN_OHLCVT = "kraken-ohlcvt"
    BINANCE_KLINES = "binance-klines"


_TIME_NAMES = ("opened_at", "time", "open_time", "timestamp", "datetime", "date")
_TRADES_NAMES = ("trades", "count", "number_of_trades")
_KRAKEN = ("opened_at", "open", "high", "low", "close", "volume", "trades")
_BINANCE = (
    *("opened_at", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
# Binance writes this header into its futures archives; its spot archives have none.
FUTURES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_LAYOUTS = {
    len(_KRAKEN): (ArchiveFormat.KRAKEN_OHLCVT, _KRAKEN),
    len(_BINANCE): (ArchiveFormat.BINANCE_KLINES, _BINANCE),
}
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """The candles of a file as they stand in it.

    Attributes:
        frame: columns of the candle convention, unchecked.
        format: what the file is.
        unit: what a person counts by in it, `line` or `row`.
        first: number of the first candle in that unit.
        inner_name: name of the file inside a zip, else empty.
        header: the header line in lower case, empty where there is none.
        ignored: columns that have no place in a candle.
    """

    frame: pl.DataFrame
    format: ArchiveFormat
    unit: str
    first: int
    inner_name: str
    header: str
    ignored: tuple[str, ...]

    def place(self, row: int) -> str:
        """Where the candle of `row` (from 0) stands in the file: `line 17`."""
        return f"{self.unit} {row + self.first}"


def read_table(content: bytes) -> Table:
    """The table in `content`: Parquet, CSV, Kraken OHLCVT or Binance klines, bare, gzipped or zipped.

    Raises:
        InputError: it is none of them, or a field is broken; the message names the line or row.
    """
    if content[:4] == b"PAR1":
        return _read_parquet(content)
    text, inner_name = _unpack(content)
    return _read_text(text, inner_name)


def _unpack(content: bytes) -> tuple[bytes, str]:
    try:
        if content[:2] == b"\x1f\x8b":
            return gzip.decompress(content), ""
        if content[:2] == b"PK":
            with ZipFile(BytesIO(content)) as packed:
                names = [entry for entry in packed.namelist() if not entry.endswith("/")]
                if len(names) != 1:
                    msg = f"the zip holds {len(names)} files; it must hold one CSV, so unpack it and import each"
                    raise InputError(msg)
                return packed.read(names[0]), names[0]
    except (OSError, EOFError, BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        msg = f"the compressed file is damaged or cut off ({error}); fetch it again"
        raise InputError(msg) from error
    return content, ""


def _read_parquet(content: bytes) -> Table:
    try:
        frame = pl.read_parquet(BytesIO(content))
    except PolarsError as error:
        msg = f"the Parquet file cannot be read ({error}); write it again"
        raise InputError(msg) from error
    names = [name.lower() for name in frame.columns]
    chosen = _choose(names)
    table = frame.rename(dict(zip(frame.columns, names, strict=True))).select(**chosen)
    return _typed(table, ArchiveFormat.PARQUET, "row", 1, ignored=_ignored(names, chosen))


def _read_text(content: bytes, inner_name: str) -> Table:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        msg = f"line {line} is not text; importable are Parquet, CSV, Kraken OHLCVT and Binance klines"
        raise InputError(msg) from error
    opening = text.split("\n", 1)[0].strip().lower().replace('"', "")
    fields = opening.split(",")
    if not opening:
        msg = "line 1 is empty; the first line must be a header or a candle"
        raise InputError(msg)
    if _is_number(fields[0]):
        if len(fields) not in _LAYOUTS:
            msg = (
                f"line 1 has {len(fields)} fields and there is no header; Kraken OHLCVT has {len(_KRAKEN)} fields, "
                f"Binance klines have {len(_BINANCE)}; any other CSV needs a header with "
                "time, open, high, low, close, volume"
            )
            raise InputError(msg)
        kind, columns = _LAYOUTS[len(fields)]
        return _typed(_split(text, columns, skip=0), kind, "line", 1, inner_name=inner_name)
    chosen = _choose(fields, "line 1: ")
    table = _split(text, fields, skip=1).select(**chosen)
    binance = {"open_time", "close_time"} <= set(fields)
    kind = ArchiveFormat.BINANCE_KLINES if binance else ArchiveFormat.CSV
    ignored = () if binance else _ignored(fields, chosen)
    return _typed(table, kind, "line", 2, inner_name=inner_name, header=opening, ignored=ignored)


def _choose(names: Sequence[str], where: str = "") -> dict[str, str]:
    """Which of the file's columns becomes which of ours."""
    times = [name for name in _TIME_NAMES if name in names]
    chosen = {"opened_at": times[0]} if times else {}
    chosen |= {name: name for name in ("open", "high", "low", "close", "volume") if name in names}
    missing = [name for name in ("opened_at", "open", "high", "low", "close", "volume") if name not in chosen]
    found = shorten(", ".join(names), width=100, placeholder=" …")
    if missing:
        asked = ", ".join("time" if name == "opened_at" else name for name in missing)
        msg = f"{where}there is no column {asked} (but {found}), so it is not a file of candles"
        raise InputError(msg)
    if len(set(names)) != len(names):
        msg = f"{where}a column stands there twice ({found}); remove one"
        raise InputError(msg)
    trades = [name for name in _TRADES_NAMES if name in names]
    return chosen | ({"trades": trades[0]} if trades else {})


def _ignored(names: Sequence[str], chosen: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in chosen.values())


def _split(text: str, columns: Sequence[str], *, skip: int) -> pl.DataFrame:
    """The lines of a CSV as a frame of text, one row a line: an empty line becomes a row of nulls."""
    lines = text.rstrip("\r\n").encode()
    if lines.count(b"\n") < skip:
        msg = "it holds a header and no candle"
        raise InputError(msg)
    try:
        return pl.read_csv(
            lines,
            has_header=False,
            skip_lines=skip,
            schema=dict.fromkeys(columns, pl.String()),
        )
    except PolarsError as error:
        broken = enumerate(lines.split(b"\n"), start=1)
        line, found = next(
            ((line, row.count(b",") + 1) for line, row in broken if row.count(b",") >= len(columns)), (0, 0)
        )
        where = f"line {line} has {found} fields instead of {len(columns)}" if line else f"it is not a CSV ({error})"
        raise InputError(where) from error


def _typed(
    table: pl.DataFrame,
    kind: ArchiveFormat,
    unit: str,
    first: int,
    *,
    inner_name: str = "",
    header: str = "",
    ignored: tuple[str, ...] = (),
) -> Table:
    """Cast each column to its type, or name the first field that cannot be."""
    if "trades" not in table.columns:
        table = table.with_columns(trades=pl.lit(None, pl.Int32))
    typed = table.select(
        _as_time(table.schema["opened_at"]),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in ("open", "high", "low", "close", "volume")),
        pl.col("trades").cast(pl.Int32, strict=False),
    )
    needed = [name for name in CANDLE_COLUMNS if name != "trades"]
    broken = typed.select(
        *(pl.col(name).is_null() for name in needed),
        (pl.col("trades").is_null() & table["trades"].is_not_null()).alias("trades"),
    )
    bad_rows = broken.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    result = Table(typed.select(*CANDLE_COLUMNS), kind, unit, first, inner_name, header, ignored)
    if bad_rows.len():
        row = int(bad_rows[0])
        column = next(name for name, bad in broken.row(row, named=True).items() if bad)
        value = table[column][row]
        what = (
            "is missing"
            if value is None
            else f"is {value!r}, which is not a {'time' if column == 'opened_at' else 'number'}"
        )
        msg = f"{result.place(row)}: {'time' if column == 'opened_at' else column} {what}"
        raise InputError(msg)
    return result


def _as_time(kind: pl.DataType) -> pl.Expr:
    """Opening times from what a file has: a time, a date, a count of s, ms or us since 1970, or ISO 8601 text.

    A time without a zone is UTC. The unit of a count is seen by its size, row by row.
    """
    column = pl.col("opened_at")
    if isinstance(kind, pl.Datetime | pl.Date):
        if isinstance(kind, pl.Datetime) and kind.time_zone:
            return column.dt.convert_time_zone("UTC").cast(TIME)
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if kind.is_numeric():
        return _from_count(column.cast(pl.Int64, strict=False))
    count = _from_count(column.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
    text = column.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    text = pl.when(text.str.contains(" ")).then(text).otherwise(text + " 00:00:00")
    text = pl.when(text.str.contains(r" .*[+-]\d\d:?\d*$")).then(text).otherwise(text + "+00:00")
    return pl.coalesce(count, text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", strict=False))


def _from_count(count: pl.Expr) -> pl.Expr:
    microseconds = (
        pl.when(count < 10**11)
        .then(count * _MICROSECONDS)
        .when(count < 10**14)
        .then(count * 1000)
        .when(count < 10**17)
        .then(count)
    )
    return microseconds.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
