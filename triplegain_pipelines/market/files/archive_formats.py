"""The columns of files of candles: which of a file's columns is which of ours.

Whether the candles make sense is checked in `archives`.
"""

from collections.abc import Collection, Sequence
from textwrap import shorten

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.market.files.kinds import PRICES, TIME_NAMES, FileFormat, Shape, first_of

SYMBOL = "symbol"
_TRADES_NAMES = ("trades", "count", "number_of_trades", "tradecount")
_NEEDED = (*PRICES, "volume")


def is_candle_column(name: str) -> bool:
    """Whether a column may have a part in candles, or says whose they are."""
    return name in {*TIME_NAMES, *PRICES, *_TRADES_NAMES, SYMBOL} or name.startswith("volume")


def candle_columns(shape: Shape, symbol: str) -> dict[str, str]:
    """The file's name of each of our candle columns; `trades` only where the file has it.

    Args:
        shape: of the file.
        symbol: of the candles. Its base currency tells which of several volumes is meant.

    Raises:
        InputError: a column is missing, or it cannot be told which one is meant.
    """
    require_candles(shape)
    names = shape.names
    time, trades = first_of(TIME_NAMES, names), first_of(_TRADES_NAMES, names)
    chosen = {"opened_at": time or "", **{name: name for name in PRICES}, "volume": _volume(names, symbol)}
    return chosen | ({"trades": trades} if trades else {})


def require_candles(shape: Shape) -> None:
    """See that a file has all columns of candles.

    Raises:
        InputError: one is missing.
    """
    missing = [] if first_of(TIME_NAMES, shape.names) else ["time"]
    missing += [
        name for name in _NEEDED if name not in shape.names and not (name == "volume" and _volumes(shape.names))
    ]
    if missing:
        found = shorten(", ".join(shape.names), width=100, placeholder=" …")
        where = f"line {shape.skip}: " if shape.skip else ""
        msg = f"{where}there is no column {', '.join(missing)} (but {found}), so it is not a file of candles"
        raise InputError(msg)


def ignored_columns(shape: Shape, chosen: Collection[str]) -> tuple[str, ...]:
    """The columns that have no place in a candle. What Binance's own format has beside them is known, so not told."""
    if shape.format is FileFormat.BINANCE_KLINES:
        return ()
    return tuple(name for name in shape.names if name not in chosen and name != SYMBOL)


def _volumes(names: Sequence[str]) -> dict[str, str]:
    """The volumes that say their currency, such as `volume btc` or `volume_usd`, by that currency."""
    named = [name for name in names if name.startswith(("volume_", "volume "))]
    return {name[len("volume") + 1 :].strip().upper(): name for name in named}


def _volume(names: Sequence[str], symbol: str) -> str:
    """The column with the volume in the base currency.

    CryptoDataDownload writes `volume_btc,volume`: beside a volume in the base currency the one without a currency is in
    the quote currency.
    """
    base, _ = split_symbol(symbol)
    volumes = _volumes(names)
    if base in volumes:
        return volumes[base]
    if "volume" in names:
        return "volume"
    msg = f"which column is the volume in {base}? There are {', '.join(volumes.values())}; name it volume"
    raise InputError(msg)
