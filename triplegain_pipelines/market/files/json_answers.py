"""JSON that a venue answered and somebody saved: Kraken's candles and trades, and lists of candles.

Numbers are kept as they are written, so that no digit is lost on the way.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.files.book_files import depth_refusal, message_lines_refusal
from triplegain_pipelines.market.files.kinds import PRICES, FileFormat, Shape, is_number

_LARGEST_CHARACTERS = 64 * 1024 * 1024
_KRAKEN_OHLC = ("opened_at", *PRICES, "vwap", "volume", "trades")
_KRAKEN_TRADES = ("price", "quantity", "time", "side", "type", "misc", "trade_id")
_KRAKEN_ANSWERS = {
    "rates and limits of pairs": "altname",
    "the ticker": "a",
    "open orders or positions": "descr",
}
# Venues order the six values of a candle differently, and only the prices can tell how.
_ORDERS = {
    FileFormat.CANDLE_LISTS: ("opened_at", "open", "high", "low", "close", "volume"),
    FileFormat.BITFINEX_CANDLES: ("opened_at", "open", "close", "high", "low", "volume"),
    FileFormat.COINBASE_CANDLES: ("opened_at", "low", "high", "open", "close", "volume"),
}
_CANDLE_VALUES = 6
Row = tuple[str | None, ...]


def json_shape(text: str) -> Shape:
    """The shape of a JSON text, with its rows.

    Raises:
        InputError: it is not JSON, or nothing that can be imported.
    """
    if len(text) > _LARGEST_CHARACTERS:
        msg = f"it is JSON of {len(text):,} characters; {_LARGEST_CHARACTERS:,} are read at once; write it as CSV"
        raise InputError(msg)
    _refuse_message_lines(text)
    answer = _parse(text)
    if isinstance(answer, dict) and {"error", "result"} <= set(answer):
        return _kraken_shape(answer)
    if isinstance(answer, list) and answer and all(isinstance(entry, list) for entry in answer):
        return _list_shape(answer)
    found = answer[0] if isinstance(answer, list) and answer else answer
    keys = f" with {', '.join(sorted(found)[:6])}" if isinstance(found, dict) else ""
    msg = f"it is JSON{keys}: neither candles nor trades in a form that is known; write it as CSV with a header"
    raise InputError(msg)


def _refuse_message_lines(text: str) -> None:
    first, _, rest = text.lstrip().partition("\n")
    if not first.startswith("{") or not rest.lstrip().startswith("{"):
        return
    try:
        message = _parse(first)
    except InputError:
        return
    if isinstance(message, dict):
        raise InputError(message_lines_refusal(first, list(message)))


def _parse(text: str) -> object:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        msg = f"line {error.lineno} is not JSON ({error.msg}); the file is damaged or cut off, so fetch it again"
        raise InputError(msg) from error
    except RecursionError as error:
        msg = "it is JSON nested too deeply; fetch it again"
        raise InputError(msg) from error


def _no_number(word: str) -> NoReturn:
    msg = f"it holds {word}, which is not a number of JSON; fetch it again"
    raise InputError(msg)


def _kraken_shape(answer: Mapping[str, object]) -> Shape:
    """The shape of an answer of Kraken's REST interface: `{"error": […], "result": {…}}`."""
    if answer["error"]:
        msg = f"it is an error that Kraken answered: {str(answer['error'])[:200]}; fetch it again"
        raise InputError(msg)
    result = answer["result"]
    markets = {key: value for key, value in result.items() if key != "last"} if isinstance(result, dict) else {}
    if isinstance(result, dict) and len(markets) == 1:
        [(pair, body)] = markets.items()
        if isinstance(body, list) and "last" in result:
            return _kraken_rows(pair, body, result["last"])
        if isinstance(body, dict) and {"asks", "bids"} <= set(body):
            raise InputError(depth_refusal(pair))
    first = next(iter(markets.values()), None)
    parts = set(first) if isinstance(first, dict) else set(markets)
    what = next(
        (what for what, key in _KRAKEN_ANSWERS.items() if key in parts), f"about {', '.join(sorted(parts)[:6])}"
    )
    msg = f"it is an answer of Kraken's, {what}: neither candles (OHLC) nor trades (Trades)"
    raise InputError(msg)


def _kraken_rows(pair: str, body: Sequence[object], last: object) -> Shape:
    rows = _rows(body)
    width = len(rows[0]) if rows else 0
    if width == len(_KRAKEN_OHLC):
        closed, left_out = _without_open_candle(rows, last)
        return Shape(_KRAKEN_OHLC, FileFormat.KRAKEN_OHLC, rows=closed, pair=pair, left_out=left_out)
    if width in {len(_KRAKEN_TRADES) - 1, len(_KRAKEN_TRADES)}:
        return Shape(_KRAKEN_TRADES[:width], FileFormat.KRAKEN_TRADES, rows=rows, pair=pair)
    msg = f"it is an answer of Kraken's about {pair} with {width} values an entry; candles have 8, trades 6 or 7"
    raise InputError(msg)


def _without_open_candle(rows: tuple[Row, ...], last: object) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Leave out the candle that was still open when Kraken answered: `last` is the time of the newest closed one."""
    closed_until = int(last) if isinstance(last, str) and last.isdigit() else None
    times = [int(row[0]) if row[0] is not None and row[0].isdigit() else None for row in rows]
    if closed_until is None or None in times:
        msg = "it is an answer of Kraken's without the times by which its unfinished candle is known; fetch it again"
        raise InputError(msg)
    still_open = [number for number, time in enumerate(times) if time is not None and time > closed_until]
    if not still_open:
        return rows, ()
    if still_open != [len(rows) - 1]:
        msg = f"entry {still_open[0] + 1}: it is newer than 'last', which only the last entry may be; fetch it again"
        raise InputError(msg)
    opened = times[-1] or 0
    shown = datetime.fromtimestamp(opened, UTC).isoformat() if opened < 10**11 else str(opened)
    return rows[:-1], (f"entry {len(rows)}: the candle opened at {shown} had not closed when Kraken answered",)


def _list_shape(body: Sequence[object]) -> Shape:
    rows = _rows(body)
    if len(rows[0]) != _CANDLE_VALUES:
        msg = f"it is a list of lists of {len(rows[0])} values; candles have 6 (time, prices, volume); write it as CSV"
        raise InputError(msg)
    fitting = [kind for kind, names in _ORDERS.items() if all(_is_candle(row, names) for row in rows)]
    if len(fitting) != 1:
        which = "no known order of open, high, low and close fits" if not fitting else "more than one order fits"
        msg = f"which of its values are open, high, low and close? {which}; write it as CSV with a header"
        raise InputError(msg)
    return Shape(_ORDERS[fitting[0]], fitting[0], rows=rows)


def _is_candle(row: Row, names: Sequence[str]) -> bool:
    values = {name: float(text) for name, text in zip(names, row, strict=True) if text is not None and is_number(text)}
    if not set(PRICES) <= set(values):
        return False
    return (
        values["low"] <= min(values["open"], values["close"]) <= max(values["open"], values["close"]) <= values["high"]
    )


def _rows(body: Sequence[object]) -> tuple[Row, ...]:
    """The entries as rows of text, all of one length."""
    rows = []
    width = len(body[0]) if body and isinstance(body[0], list) else 0
    for number, entry in enumerate(body, start=1):
        if not isinstance(entry, list) or len(entry) != width:
            found = f"{len(entry)} values" if isinstance(entry, list) else "no list"
            msg = f"entry {number} has {found} instead of {width} values; fetch the file again"
            raise InputError(msg)
        if any(isinstance(value, list | dict) for value in entry):
            msg = f"entry {number} holds a list in a list; that form is not known"
            raise InputError(msg)
        rows.append(tuple(None if value is None else str(value) for value in entry))
    if not rows:
        msg = "it holds no entry"
        raise InputError(msg)
    return tuple(rows)
