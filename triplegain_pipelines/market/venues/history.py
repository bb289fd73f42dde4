"""Pages of a venue's REST history: candles by windows of time, trades by a cursor. As delivered, not yet screened.

A page says which stretch of time the venue has answered for. A failed call is an error, never an empty page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe, last_closed_open
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.trades import TRADE_COLUMNS
from triplegain_pipelines.market.venues.exchange import call, open_exchange, retrying, said
from triplegain_pipelines.settings.venues import VenueSettings

_STEP = Timeframe.M1.duration
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_SYSTEM_CLOCK = SystemClock()
_LATEST = 10**14  # milliseconds since 1970: what lies beyond the year 5000 would wrap round in microseconds
_BAR = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class CandlePage:
    """Candles as delivered, opened in the stretch asked for; duplicates and broken rows may be among them.

    The venue has answered for every minute in [answered_from, reached): one without a candle there is known to have
    none. `answered_from` is later than the time asked for where the venue's history does not go back so far; what
    lies before it is still unknown.
    """

    frame: pl.DataFrame
    answered_from: datetime
    reached: datetime


@dataclass(frozen=True, slots=True)
class TradePage:
    """Trades in the order of their time and id, each in one page only. All trades before `reached` are delivered."""

    frame: pl.DataFrame
    reached: datetime


def candle_pages(
    venue: VenueSettings,
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    clock: Clock,
    base_url: str | None = None,
) -> Iterator[CandlePage]:
    """The 1-minute candles opened in [since, until) that have closed by now, page by page, oldest first.

    The pages are windows of time, so neither minutes without a candle nor rows out of order end the paging or lead
    it astray. A venue that gives its newest candles only (Kraken: 720) answers with a single page.

    Args:
        venue: its limits.
        symbol: such as BTC/USDT.
        since: first opening time wanted.
        until: opening time up to which is wanted, excluded.
        clock: tells which candles have closed; an open one is dropped by its time, never by its position.
        base_url: address to use in place of the venue's own.

    Raises:
        InputError: there is no such venue, or it has no such symbol.
        TransientError: the venue failed again and again; the same call may succeed later.
        PermanentError: the venue refused the call, or answered with candles of another time.
    """
    exchange = open_exchange(venue, base_url)
    until = min(until, last_closed_open(clock.now(), Timeframe.M1, timedelta(0)) + _STEP)
    if venue.candles.reach is not None:
        if since < until:
            yield _newest(exchange, symbol, since, until)
        return
    _require_within_limit(exchange, venue, symbol)
    while since < until:
        end = min(since + venue.candles.per_call * _STEP, until)
        # Venues count `until` as included, so it is the last moment before the window's end.
        window = {"until": _milliseconds(end) - 1}
        frame = _read_candles(exchange, symbol, since, venue.candles.per_call, window)
        yield CandlePage(_asked_for(frame, since, end, f"{venue.ccxt} {symbol}"), since, end)
        since = end


def fetch_candles(
    venue: VenueSettings,
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    clock: Clock = _SYSTEM_CLOCK,
    base_url: str | None = None,
) -> pl.DataFrame:
    """The pages of `candle_pages` joined, as delivered: not yet screened, and possibly starting later than asked."""
    pages = candle_pages(venue, symbol, since, until, clock=clock, base_url=base_url)
    return pl.concat([pl.DataFrame(schema=dict(CANDLE_COLUMNS)), *(page.frame for page in pages)])


def trade_pages(
    venue: VenueSettings,
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    clock: Clock,
    base_url: str | None = None,
) -> Iterator[TradePage]:
    """Every trade in [since, until), page by page, oldest first, none lost and none doubled.

    Kraken's cursor excludes its own moment, and trades of one moment may lie on both sides of a page's end. So each
    call begins just before the newest trade known, and trades that come again are told by their id. The newest trade
    known must come again: an answer without it, or with older ones, is no continuation.

    Raises:
        InputError: the venue's trades cannot be read all the way back, or it has no such symbol.
        TransientError: the venue failed again and again; the same call may succeed later.
        PermanentError: the venue refused the call, or has more trades in one microsecond than it gives a call.
    """
    if venue.trades is None or venue.ccxt != "kraken":
        msg = f"{venue.ccxt}'s history is not built of trades; read its candles, or import an archive"
        raise InputError(msg)
    exchange = open_exchange(venue, base_url)
    cursor, known = since, pl.Series("trade_id", [], pl.String)
    while cursor < until:
        asked = clock.now()
        page = _read_trades(exchange, symbol, cursor - _MICROSECOND, venue.trades.per_call, known)
        fresh = page.filter(pl.col("trade_id").is_in(known.implode()).not_())
        newest = fresh["traded_at"].max()
        if not isinstance(newest, datetime):
            _require_an_end(page, venue, symbol, cursor)
            yield TradePage(fresh, min(until, asked))
            return
        yield TradePage(fresh.filter(pl.col("traded_at").is_between(since, until, closed="left")), min(newest, until))
        cursor, known = newest, page["trade_id"]


def _require_within_limit(exchange: Any, venue: VenueSettings, symbol: str) -> None:  # noqa: ANN401 - ccxt
    """Refuse a window that ccxt would quietly make smaller: minutes cut off would pass for minutes without trades."""
    retrying(lambda: call(exchange, "load_markets"))
    limit = call(exchange, "feature_value", symbol, "fetchOHLCV", "limit")
    if limit is not None and venue.candles.per_call > limit:
        msg = f"{venue.ccxt} gives {limit} candles a call, not {venue.candles.per_call}; lower per_call in venues.yaml"
        raise InputError(msg)


def _newest(exchange: Any, symbol: str, since: datetime, until: datetime) -> CandlePage:  # noqa: ANN401 - ccxt
    """The page of a venue that gives only its newest candles: it answers for no minute before the oldest of them."""
    frame = _read_candles(exchange, symbol, since, None, {})
    oldest, newest = frame["opened_at"].min(), frame["opened_at"].max()
    if not isinstance(oldest, datetime) or not isinstance(newest, datetime):
        return CandlePage(frame, since, since)
    answered_from = min(max(oldest, since), until)
    return CandlePage(_opened_in(frame, since, until), answered_from, max(answered_from, min(newest + _STEP, until)))


def _read_candles(
    exchange: Any,  # noqa: ANN401 - ccxt has no types
    symbol: str,
    since: datetime,
    limit: int | None,
    window: dict[str, int],
) -> pl.DataFrame:
    def read() -> pl.DataFrame:
        rows = call(exchange, "fetch_ohlcv", symbol, "1m", _milliseconds(since), limit, window)
        return _candle_frame(exchange.id, symbol, rows)

    return retrying(read)


def _candle_frame(venue: str, symbol: str, rows: Sequence[Sequence[float]]) -> pl.DataFrame:
    if any(value is None for row in rows for value in row) or any(not 0 <= row[0] < _LATEST for row in rows):
        msg = f"{venue} gave candles of {symbol} with a time, price or volume that cannot be read; it may work later"
        raise TransientError(msg)
    opened_at = pl.from_epoch("time", time_unit="ms").dt.replace_time_zone("UTC")
    try:
        table = pl.DataFrame(rows, schema={"time": pl.Int64, **dict.fromkeys(_BAR, pl.Float64)}, orient="row")
        return table.with_columns(opened_at=opened_at, trades=None).select(
            pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items()
        )
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        msg = f"{venue} gave candles of {symbol} that are none ({said(error)}); it may work later"
        raise TransientError(msg) from error


def _asked_for(frame: pl.DataFrame, since: datetime, until: datetime, what: str) -> pl.DataFrame:
    """The candles of the window. An answer about another time says nothing of the window, least of all 'no trades'.

    The candles next to the window do not count as another time: venues differ in whether they include its ends.
    """
    inside = _opened_in(frame, since, until)
    ordered = frame["opened_at"].sort()
    if inside.is_empty() and not ordered.is_between(since - _STEP, until + _STEP).all():
        msg = (
            f"{what}: asked for {since.isoformat()} to {until.isoformat()}, it answered with candles of "
            f"{ordered[0]} to {ordered[-1]}; its history cannot be read by windows: import an archive instead"
        )
        raise PermanentError(msg)
    return inside


def _opened_in(frame: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return frame.filter(pl.col("opened_at").is_between(since, until, closed="left"))


def _read_trades(
    exchange: Any,  # noqa: ANN401 - ccxt has no types
    symbol: str,
    after: datetime,
    count: int,
    known: pl.Series,
) -> pl.DataFrame:
    nanoseconds = (after - EPOCH) // _MICROSECOND * 1000
    asked = {"since": str(nanoseconds), "count": count}

    def read() -> pl.DataFrame:
        page = _trade_frame(exchange.id, symbol, call(exchange, "fetch_trades", symbol, None, None, asked))
        _require_continuation(exchange.id, symbol, page, after, known)
        return page

    page = retrying(read)
    # At the beginning there is no trade that must come again, so an empty answer is believed when it is given twice.
    return page if page.height or known.len() else retrying(read)


def _require_continuation(venue: str, symbol: str, page: pl.DataFrame, after: datetime, known: pl.Series) -> None:
    """See that a page goes on where the one before it ended: an answer without that place is no end of the trades."""
    repeated = page["trade_id"].is_in(known.implode())
    oldest = page.filter(~repeated)["traded_at"].min()
    if (known.len() and not repeated.any()) or (isinstance(oldest, datetime) and oldest < after):
        msg = f"{venue} gave trades of {symbol} that do not follow {after.isoformat()}, as asked; it may work later"
        raise TransientError(msg)


def _trade_frame(venue: str, symbol: str, trades: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The trades in order. ccxt keeps only milliseconds, so the time comes from the venue's own row."""
    try:
        rows = [(_row_of(trade), int(trade["id"])) for trade in trades]
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        msg = (
            f"{venue} gave trades of {symbol} that cannot be read ({type(error).__name__}: {error}); it may work later"
        )
        raise TransientError(msg) from error
    schema = {**TRADE_COLUMNS, "number": pl.Int64()}
    table = pl.DataFrame([(*row, number) for row, number in rows], schema=schema, orient="row")
    frame = table.unique(maintain_order=True).sort("traded_at", "number").drop("number")
    twice = frame.filter(pl.col("trade_id").is_duplicated())["trade_id"]
    if not twice.is_empty():
        msg = f"{venue} gave two different trades of {symbol} under the id {twice[0]}; it may work later"
        raise TransientError(msg)
    return frame


def _row_of(trade: dict[str, Any]) -> tuple[str, datetime, float, float, str]:
    moment = EPOCH + int(Decimal(str(trade["info"][2])) * 1_000_000) * _MICROSECOND
    return str(trade["id"]), moment, float(trade["price"]), float(trade["amount"]), str(trade["side"])


def _require_an_end(page: pl.DataFrame, venue: VenueSettings, symbol: str, cursor: datetime) -> None:
    """A full page without anything new means that the cursor cannot move on, not that there are no more trades."""
    if venue.trades is not None and page.height >= venue.trades.per_call:
        msg = (
            f"{venue.ccxt} has more than {page.height} trades of {symbol} at {cursor.isoformat()}, more than one call "
            "gives; import that day from an archive"
        )
        raise PermanentError(msg)


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND
