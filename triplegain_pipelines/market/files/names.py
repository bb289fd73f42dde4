"""What the name of a file says: symbol, venue and timeframe. The content is not looked at here."""

import re
from dataclasses import dataclass
from itertools import pairwise

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe

_ENDINGS = re.compile(r"(\.(gz|zip|csv|parquet|feather|arrow|json|data|txt))+$", re.IGNORECASE)
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_STEP = re.compile(r"\d+(s|m|h|d|w|mo)", re.IGNORECASE)
_VENUES = frozenset(
    {"binance", "binanceusdm", "binancecoinm", "kraken", "bitfinex", "bitstamp", "bybit", "coinbase", "okx"}
)
_MARGINS = {"um": "binanceusdm", "cm": "binancecoinm"}
_WORDS = frozenset(
    {
        *("klines", "ohlcvt", "ohlcv", "ohlc", "candles", "trades", "aggtrades", "quotes", "rest"),
        *("spot", "futures", "um", "cm", "perp", "daily", "monthly", "data"),
    }
)
_CONTRACTS = frozenset({"futures", "swap", "perp", "perpetual"})
# The longer quote currency comes first, so that XRPUSDT is not XRPUSD + T. Binance has quotes that elsewhere would
# split wrongly: DOTUSD is DOT/USD, not DO/TUSD.
_QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "XBT", "BTC", "ETH", "DAI")
_BINANCE_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "EUR", "GBP", "TRY", "BRL", "BTC", "ETH", "BNB")
_KRAKEN_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
# Kraken's oldest pairs mark each currency: X a crypto currency, Z a state's.
_KRAKEN_OLD_PAIR = re.compile(r"X([A-Z]{3})([XZ])([A-Z]{3})")


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What a name says, each None where it says nothing. `folder` is the venue whose name its folder has.

    `contract` says that it speaks of futures or perpetual contracts.
    """

    symbol: str | None
    venue: str | None
    timeframe: Timeframe | None
    folder: str | None = None
    contract: bool = False


def facts_of_name(name: str, *, kraken_minutes: bool = False) -> NameFacts:
    """Read `name`, a file's name with or without folders.

    Args:
        name: such as `btcusdt_1m_binance_2024-07_2024-08.parquet` or `XBTUSD_60.csv`.
        kraken_minutes: whether a last number is the timeframe in minutes, as in Kraken's archives.

    Raises:
        InputError: the name has a timeframe that is not supported.

    >>> facts_of_name("spot-klines-BTCUSDT-1h-2024-10-28.zip")
    NameFacts(symbol='BTC/USDT', venue='binance', timeframe=<Timeframe.H1: '1h'>, folder=None, contract=False)
    """
    *folders, stem = _ENDINGS.sub("", name).replace("\\", "/").split("/")
    tokens = [token for token in _SEPARATORS.split(stem) if token]
    words = [token.lower() for token in tokens]
    venue = next((word for word in words if word in _VENUES), None) or _binance_market(words)
    venue = venue or _binance_market(_SEPARATORS.split("/".join(folders).lower()))
    folder = folders[-1].lower() if folders and folders[-1].lower() in _VENUES else None
    contract = bool(_CONTRACTS & {*words, *(folder.lower() for folder in folders[-3:])})
    timeframe = _timeframe(tokens, kraken_minutes=kraken_minutes)
    return NameFacts(_symbol(tokens, venue), venue, timeframe, folder, contract)


def symbol_of(pair: str, venue: str | None = None) -> str | None:
    """The symbol that a venue writes as `pair`, in one word; None when no known quote currency ends it.

    >>> symbol_of("XBTUSD"), symbol_of("DOTUSD"), symbol_of("BTCFDUSD", "binance"), symbol_of("XXBTZUSD")
    ('BTC/USD', 'DOT/USD', 'BTC/FDUSD', 'BTC/USD')
    """
    pair = pair.upper()
    old = _KRAKEN_OLD_PAIR.fullmatch(pair)
    if old is not None:
        return _join(old[1], old[3])
    quotes = _BINANCE_QUOTES if venue is not None and venue.startswith("binance") else _QUOTES
    quote = next((quote for quote in quotes if pair.endswith(quote) and len(pair) > len(quote) + 1), None)
    return _join(pair.removesuffix(quote), quote) if quote else None


def written_symbol(text: str, venue: str | None = None) -> str | None:
    """The symbol that a file writes as `text`: BTC/USDT, BTC-USDT, BTCUSDT or BTC/USDT:USDT; None when it is none.

    >>> written_symbol("btc-usd"), written_symbol("BTC/USDT:USDT"), written_symbol("XRPETH"), written_symbol("BTC")
    ('BTC/USD', 'BTC/USDT', 'XRP/ETH', None)
    """
    parts = [part for part in re.split(r"[/_-]", text.upper().split(":")[0]) if part]
    if not all(part.isascii() and part.isalnum() for part in parts):
        return None
    if len(parts) == len(("base", "quote")):
        return _join(*parts)
    return symbol_of(parts[0], venue) if len(parts) == 1 else None


def _join(base: str, quote: str) -> str:
    return f"{_KRAKEN_NAMES.get(base, base)}/{_KRAKEN_NAMES.get(quote, quote)}"


def _binance_market(words: list[str]) -> str | None:
    """Which of Binance's markets its own names mean: `futures-um-klines-…`, or folders spot/monthly/klines/BTCUSDT."""
    margin = next((word for before, word in pairwise(words) if before == "futures" and word in _MARGINS), None)
    if margin is not None:
        return _MARGINS[margin]
    return "binance" if "spot" in words and "klines" in words else None


def _symbol(tokens: list[str], venue: str | None) -> str | None:
    words = [token for token in tokens if not _is_other(token)]
    for base, quote in pairwise(words):
        if quote.upper() in {*_QUOTES, *_BINANCE_QUOTES} and base.isalnum():
            return _join(base.upper(), quote.upper())
    return next((symbol for symbol in (symbol_of(word, venue) for word in words) if symbol), None)


def _is_other(token: str) -> bool:
    lower = token.lower()
    return token.isdigit() or lower in _VENUES or lower in _WORDS or _STEP.fullmatch(token) is not None


def _timeframe(tokens: list[str], *, kraken_minutes: bool) -> Timeframe | None:
    # A month is 1M at Binance and a minute 1m: capitals matter for that letter only.
    step = next((token for token in tokens if _STEP.fullmatch(token)), None)
    if step is not None:
        text = step if step.endswith("M") else step.lower()
        return _supported(text)
    if kraken_minutes and tokens[-1:] and tokens[-1].isdigit():
        minutes = int(tokens[-1])
        return next((known for known in Timeframe if known.minutes == minutes), None) or _supported(f"{minutes}m")
    return None


def _supported(text: str) -> Timeframe:
    try:
        return Timeframe(text)
    except ValueError as error:
        msg = f"the name speaks of the timeframe {text}; supported are {', '.join(Timeframe)}"
        raise InputError(msg) from error
