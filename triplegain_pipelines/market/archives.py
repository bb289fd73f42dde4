"""Archives of candles that people have on disk: read whole, checked whole, refused whole.

Nothing is repaired or left out: a file with one broken candle is refused with its line and the reason.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.archive_formats import FUTURES_HEADER, ArchiveFormat, Table, read_table
from triplegain_pipelines.market.archive_names import NameFacts, facts_of_name
from triplegain_pipelines.market.contracts import CANDLE_RULES, Rule, first_broken_row, on_grid

_FIRST_BITCOIN = datetime(2009, 1, 3, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Archive:
    """Candles of one symbol at one venue, as published, and where they came from.

    `frame` keeps the contract `candles`; `digest` is the SHA-256 of the file; `ignored` are its columns that have no
    place in a candle.
    """

    frame: pl.DataFrame
    venue: str
    symbol: str
    timeframe: Timeframe
    format: ArchiveFormat
    digest: str
    ignored: tuple[str, ...]


def read_archive(
    path: Path, *, symbol: str | None = None, venue: str | None = None, timeframe: Timeframe | None = None
) -> Archive:
    """Read a file of candles. What is not given is found from its content and its name.

    Binance's spot and futures archives have the same names; a header of Binance's own means USD-M futures, for its
    spot files have none.

    Args:
        path: Parquet or CSV with time, open, high, low, close, volume and perhaps trades; Kraken OHLCVT; Binance
            klines. A text file may be gzipped, or alone in a zip.
        symbol: such as BTC/USDT.
        venue: such as kraken, binance, binanceusdm.
        timeframe: of the candles. The spacing of the rows must agree with it, and with the name.

    Raises:
        InputError: there is no such file, a line of it is broken, or what it holds cannot be found out.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; give the path of a file of candles"
        raise InputError(msg) from error
    try:
        return _read(path, content, symbol, venue, timeframe)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def _read(path: Path, content: bytes, symbol: str | None, venue: str | None, timeframe: Timeframe | None) -> Archive:
    if not content:
        msg = "it is empty"
        raise InputError(msg)
    table = read_table(content)
    _check_rows(table)
    facts = _facts(path, table)
    venue = venue or facts.venue or _venue_of_format(table)
    if venue is None:
        msg = "which venue is it from? Neither name nor content says; add --venue, for example --venue kraken"
        raise InputError(msg)
    symbol = symbol or facts.symbol
    if symbol is None:
        msg = "which symbol is it? The name does not say; add --symbol, for example --symbol BTC/USDT"
        raise InputError(msg)
    split_symbol(symbol)
    return Archive(
        frame=table.frame,
        venue=venue,
        symbol=symbol,
        timeframe=_timeframe(table, timeframe, facts.timeframe),
        format=table.format,
        digest=hashlib.sha256(content).hexdigest(),
        ignored=table.ignored,
    )


def _check_rows(table: Table) -> None:
    if not table.frame.height:
        msg = "it holds no candle"
        raise InputError(msg)
    sane = Rule("time is before the first Bitcoin of 2009", pl.col("opened_at") >= _FIRST_BITCOIN)
    broken = first_broken_row(table.frame, (sane, *CANDLE_RULES))
    if broken is None:
        return
    row, reason = broken
    time = table.frame["opened_at"][row]
    if row and time == table.frame["opened_at"][row - 1]:
        same = table.frame.row(row) == table.frame.row(row - 1)
        values = "the same" if same else "other"
        reason = f"the candle {time.isoformat()} stands there a second time, with {values} values; remove one"
    elif row and time < table.frame["opened_at"][row - 1]:
        reason = f"{time.isoformat()} comes after a later candle; sort the file with the oldest candle first"
    msg = f"{table.place(row)}: {reason}"
    raise InputError(msg)


def _facts(path: Path, table: Table) -> NameFacts:
    """What the file's name says, then its folders, then the name inside the zip."""
    kraken = table.format is ArchiveFormat.KRAKEN_OHLCVT
    outer = facts_of_name(str(path), kraken_minutes=kraken)
    inner = facts_of_name(table.inner_name, kraken_minutes=kraken)
    return NameFacts(outer.symbol or inner.symbol, outer.venue or inner.venue, outer.timeframe or inner.timeframe)


def _venue_of_format(table: Table) -> str | None:
    if table.format is ArchiveFormat.KRAKEN_OHLCVT:
        return "kraken"
    if table.format is ArchiveFormat.BINANCE_KLINES:
        return "binanceusdm" if table.header == FUTURES_HEADER else "binance"
    return None


def _timeframe(table: Table, given: Timeframe | None, named: Timeframe | None) -> Timeframe:
    """The timeframe that flag, name and spacing agree on; the smallest step between two candles is the spacing."""
    if given and named and given is not named:
        msg = f"the name says {named}, but --timeframe says {given}; one of them is wrong"
        raise InputError(msg)
    claimed = given or named
    smallest = table.frame.select(pl.col("opened_at").diff().dt.total_minutes().min()).item()
    spacing = next((known for known in Timeframe if known.minutes == smallest), None)
    timeframe = claimed or spacing
    if timeframe is None:
        what = "one candle only" if smallest is None else f"candles {smallest} minutes apart"
        msg = f"it holds {what}, so its timeframe is not known; add --timeframe ({', '.join(Timeframe)})"
        raise InputError(msg)
    off = table.frame.select(~on_grid("opened_at", timeframe)).to_series().arg_true()
    if off.len():
        time = table.frame["opened_at"][int(off[0])].isoformat()
        msg = f"{table.place(int(off[0]))}: {time} is not on the grid of {timeframe}"
        raise InputError(msg)
    if smallest is not None and spacing is not timeframe:
        source = "--timeframe" if given else "the name"
        msg = f"{source} says {timeframe}, but no two candles are closer than {smallest} minutes; one of them is wrong"
        raise InputError(msg)
    return timeframe
