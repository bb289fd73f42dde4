"""What Kraken calls things: currencies, pairs, orders and trades."""

import string

from triplegain_pipelines.domain.market import Instrument, split_symbol

_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "USD": "ZUSD", "EUR": "ZEUR"}
_CODES = {"BTC": "XBT", "DOGE": "XDG"}
_DIGITS = string.digits + string.ascii_uppercase
_LENGTH = 16  # besides the letter: 17 signs in groups of 6, 5 and 6


def asset(currency: str) -> str:
    """The id of a currency: XXBT for BTC, USDT for USDT."""
    return _ASSETS.get(currency, code(currency))


def code(currency: str) -> str:
    """The short name of a currency: XBT for BTC."""
    return _CODES.get(currency, currency)


def short_pair(symbol: str) -> str:
    """The other name of a pair, which orders and trades are told by: XBTUSD for BTC/USD."""
    return "".join(code(currency) for currency in split_symbol(symbol))


def pair_id(symbol: str) -> str:
    """The id of a pair: XXBTZUSD for BTC/USD, XBTUSDT for BTC/USDT."""
    base, quote = split_symbol(symbol)
    if base in _ASSETS and quote in {"USD", "EUR"}:
        return asset(base) + asset(quote)
    return short_pair(symbol)


def stream_pair(instrument: Instrument) -> str:
    """The name of a pair that is listed for version 1 of the streams: XBT/USD."""
    return f"{code(instrument.base)}/{code(instrument.quote)}"


def transaction_id(letter: str, number: int) -> str:
    """Kraken's id of the order (O) or the trade (T) with this number: OABCDE-FGHIJ-KLMNOP."""
    signs = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        signs = _DIGITS[digit] + signs
    text = letter + signs.rjust(_LENGTH, "0")
    return f"{text[:6]}-{text[6:11]}-{text[11:]}"


def number_of(identity: str) -> int | None:
    """The number behind a transaction id, or None for a text that is none."""
    signs = identity[1:].replace("-", "")
    return int(signs, len(_DIGITS)) if len(signs) == _LENGTH and signs.isalnum() and signs.isascii() else None
