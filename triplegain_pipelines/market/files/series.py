"""Which series a file is about: what a person says counts, then the file's content, then its name."""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.files.content import Content
from triplegain_pipelines.market.files.kinds import FileFormat, Shape
from triplegain_pipelines.market.files.names import NameFacts, facts_of_name, written_symbol

_VENUE = re.compile(r"[a-z0-9_]{2,30}")
_COIN_MARGINED = "binancecoinm"
_CONTRACT_VENUES = ("binanceusdm",)
_VENUES = {
    FileFormat.KRAKEN_OHLCVT: "kraken",
    FileFormat.KRAKEN_OHLC: "kraken",
    FileFormat.KRAKEN_TIME_AND_SALES: "kraken",
    FileFormat.KRAKEN_TRADES: "kraken",
    FileFormat.BITFINEX_CANDLES: "bitfinex",
    FileFormat.COINBASE_CANDLES: "coinbase",
}
_BINANCE = frozenset({FileFormat.BINANCE_KLINES, FileFormat.BINANCE_TRADES, FileFormat.BINANCE_AGGREGATES})


@dataclass(frozen=True, slots=True)
class FileSeries:
    """The series of a file. `named` is the timeframe its name states, if any."""

    venue: str
    symbol: str
    named: Timeframe | None


def series_of(
    path: Path,
    content: Content,
    shape: Shape,
    stated: pl.Series | None,
    *,
    symbol: str | None = None,
    venue: str | None = None,
) -> FileSeries:
    """The series of a file.

    Args:
        path: of the file; its name, and for a venue its folder, are asked last.
        content: for the name inside a zip.
        shape: of the content.
        stated: the file's own column of symbols, where it has one.
        symbol: what a person says; it may not contradict the content.
        venue: what a person says.

    Raises:
        InputError: it cannot be found, is contradictory, or is of a market that is not supported.
    """
    facts = _facts(path, content, shape)
    venue = venue or facts.venue or _venue_of_format(shape) or facts.folder
    if venue is None:
        msg = "which venue is it from? Neither name nor content says; add --venue, for example --venue kraken"
        raise InputError(msg)
    if _VENUE.fullmatch(venue) is None:
        msg = f"{venue!r} is not the name of a venue; write it in small letters, for example kraken"
        raise InputError(msg)
    if venue == _COIN_MARGINED or (shape.format in _BINANCE and "_perp" in path.name.lower()):
        msg = "it is of Binance's coin-margined futures, whose volumes are numbers of contracts; that is not supported"
        raise InputError(msg)
    own, settled = _stated_symbol(stated, shape.pair, venue)
    if (settled or facts.contract) and venue not in _CONTRACT_VENUES:
        msg = (
            f"it is of futures or perpetual contracts, and {venue} stands for its spot market, which has other prices; "
            f"importable are those of {', '.join(_CONTRACT_VENUES)} (--venue)"
        )
        raise InputError(msg)
    if own is not None and symbol is not None and own != symbol:
        msg = f"it holds {own}, but --symbol says {symbol}; one of them is wrong"
        raise InputError(msg)
    symbol = symbol or own or facts.symbol
    if symbol is None:
        msg = "which symbol is it? Neither name nor content says; add --symbol, for example --symbol BTC/USDT"
        raise InputError(msg)
    split_symbol(symbol)
    return FileSeries(venue, symbol, facts.timeframe)


def _facts(path: Path, content: Content, shape: Shape) -> NameFacts:
    """What the file's name says, then its folders, then the name inside the zip."""
    kraken = shape.format is FileFormat.KRAKEN_OHLCVT
    outer = facts_of_name(str(path), kraken_minutes=kraken)
    inner = facts_of_name(content.inner_name, kraken_minutes=kraken)
    return NameFacts(
        outer.symbol or inner.symbol,
        outer.venue or inner.venue,
        outer.timeframe or inner.timeframe,
        outer.folder,
        outer.contract or inner.contract,
    )


def _venue_of_format(shape: Shape) -> str | None:
    """The venue whose own format it is.

    Binance's spot and futures files have the same names; only the latter have a header, or lack `is_best_match`.
    """
    if shape.format in _BINANCE:
        has_header_of_futures = bool(shape.header) or shape.names[-1] == "is_buyer_maker"
        return "binanceusdm" if has_header_of_futures else "binance"
    return _VENUES.get(shape.format)


def _stated_symbol(stated: pl.Series | None, pair: str, venue: str) -> tuple[str | None, bool]:
    """The symbol that the content names, None where it names none, and whether it is a contract's: BTC/USDT:USDT."""
    found = [pair] if pair else []
    if stated is not None:
        found = [str(text) for text in stated.unique(maintain_order=True).head(3).to_list()]
    if not found:
        return None, False
    if len(found) > 1:
        msg = f"it holds several symbols ({', '.join(found)}); split it into one file for each"
        raise InputError(msg)
    symbol = written_symbol(found[0], venue)
    if symbol is None:
        msg = f"its symbol {found[0][:40]!r} is not known; write it as BASE/QUOTE"
        raise InputError(msg)
    return symbol, ":" in found[0]
