"""Archives of candles that people have on disk: read whole, checked whole, refused whole.

Nothing is repaired or left out: a file with one broken candle is refused with its line and the reason.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, CANDLE_RULES, Rule, first_broken_row, on_grid
from triplegain_pipelines.market.files.archive_formats import (
    SYMBOL,
    candle_columns,
    ignored_columns,
    is_candle_column,
    require_candles,
)
from triplegain_pipelines.market.files.content import Content, read_content
from triplegain_pipelines.market.files.kinds import FileFormat
from triplegain_pipelines.market.files.rows import Rows, oldest_first, read_rows, typed
from triplegain_pipelines.market.files.series import series_of
from triplegain_pipelines.market.files.shapes import shape_of

FIRST_BITCOIN = datetime(2009, 1, 3, tzinfo=UTC)
"""No market is older; an earlier time is a mistake in its unit."""
_OUT_OF_ORDER = "if the file was joined of parts, see whether their times agree, then sort it"


@dataclass(frozen=True, slots=True)
class Archive:
    """Candles of one symbol at one venue, as published, and where they came from.

    `frame` keeps the contract `candles`; `digest` is the SHA-256 of the file; `ignored` are its columns that have no
    place in a candle; `left_out` are candles that are not taken, each with the reason.
    """

    frame: pl.DataFrame
    venue: str
    symbol: str
    timeframe: Timeframe
    format: FileFormat
    digest: str
    ignored: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def read_archive(
    path: Path, *, symbol: str | None = None, venue: str | None = None, timeframe: Timeframe | None = None
) -> Archive:
    """Read a file of candles. What is not given is found from its content and its name.

    Binance's spot and futures archives have the same names; a header of Binance's own means USD-M futures, for its
    spot files have none.

    Args:
        path: Parquet, Feather or CSV with time, open, high, low, close, volume and perhaps trades; Kraken OHLCVT;
            Binance klines; CryptoDataDownload; saved answers of Kraken (OHLC), Bitfinex and Coinbase. It may be
            gzipped, or alone in a zip.
        symbol: such as BTC/USDT.
        venue: such as kraken, binance, binanceusdm.
        timeframe: of the candles. The spacing of the rows must agree with it, and with the name.

    Raises:
        InputError: there is no such file, a line of it is broken, or what it holds cannot be found out.
    """
    try:
        return _read(path, read_content(path), symbol, venue, timeframe)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def _read(path: Path, content: Content, symbol: str | None, venue: str | None, timeframe: Timeframe | None) -> Archive:
    shape = shape_of(content)
    require_candles(shape)
    rows = read_rows(content, shape, is_candle_column)
    _refuse_funding_rates(rows.frame)
    stated = rows.frame[SYMBOL] if SYMBOL in rows.frame.columns else None
    series = series_of(path, content, shape, stated, symbol=symbol, venue=venue)
    chosen = candle_columns(shape, series.symbol)
    own = typed(replace(rows, frame=rows.frame.select(**chosen)), CANDLE_COLUMNS, optional={"trades"})
    candles = oldest_first(own, "opened_at")
    _check_rows(candles)
    return Archive(
        frame=candles.frame,
        venue=series.venue,
        symbol=series.symbol,
        timeframe=_timeframe(candles, timeframe, series.named),
        format=shape.format,
        digest=content.digest,
        ignored=ignored_columns(shape, chosen.values()),
        left_out=shape.left_out,
    )


def _refuse_funding_rates(frame: pl.DataFrame) -> None:
    """Freqtrade keeps a funding rate as the opening price of a candle that has nothing else."""
    empty = [name for name in ("high", "low", "close", "volume") if name in frame.columns]
    if not all(frame.schema[name].is_numeric() or frame.schema[name] == pl.String for name in empty):
        return
    if frame.select(pl.all_horizontal(pl.col(*empty).cast(pl.Float64, strict=False) == 0).all()).item():
        msg = "its high, low, close and volume are all 0: it holds funding rates, as freqtrade keeps them, not candles"
        raise InputError(msg)


def _check_rows(rows: Rows) -> None:
    frame = rows.frame
    sane = Rule("time is before the first Bitcoin of 2009", pl.col("opened_at") >= FIRST_BITCOIN)
    broken = first_broken_row(frame, (sane, *CANDLE_RULES))
    if broken is None:
        return
    row, reason = broken
    time = frame["opened_at"][row]
    if row and time == frame["opened_at"][row - 1]:
        same = frame.row(row) == frame.row(row - 1)
        values = "the same" if same else "other"
        reason = f"the candle {time.isoformat()} stands there a second time, with {values} values; remove one"
    elif row and time < frame["opened_at"][row - 1]:
        # Sorting alone would hide that a file was joined of parts whose times are of different zones.
        reason = f"{time.isoformat()} comes after a later candle; {_OUT_OF_ORDER}"
    msg = f"{rows.place(row)}: {reason}"
    raise InputError(msg)


def _timeframe(rows: Rows, given: Timeframe | None, named: Timeframe | None) -> Timeframe:
    """The timeframe that flag, name and spacing agree on; the smallest step between two candles is the spacing."""
    if given and named and given is not named:
        msg = f"the name says {named}, but --timeframe says {given}; one of them is wrong"
        raise InputError(msg)
    claimed = given or named
    smallest = rows.frame.select(pl.col("opened_at").diff().dt.total_minutes().min()).item()
    spacing = next((known for known in Timeframe if known.minutes == smallest), None)
    timeframe = claimed or spacing
    if timeframe is None:
        what = "one candle only" if smallest is None else f"candles {smallest} minutes apart"
        msg = f"it holds {what}, so its timeframe is not known; add --timeframe ({', '.join(Timeframe)})"
        raise InputError(msg)
    off = rows.frame.select(~on_grid("opened_at", timeframe)).to_series().arg_true()
    if off.len():
        time = rows.frame["opened_at"][int(off[0])].isoformat()
        msg = f"{rows.place(int(off[0]))}: {time} is not on the grid of {timeframe}"
        raise InputError(msg)
    if smallest is not None and spacing is not timeframe:
        source = "--timeframe" if given else "the name"
        msg = f"{source} says {timeframe}, but no two candles are closer than {smallest} minutes; one of them is wrong"
        raise InputError(msg)
    return timeframe
