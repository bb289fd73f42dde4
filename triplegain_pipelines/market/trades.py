"""Single trades, and the 1-minute candles that are made of them: all at once or as they come, the same bits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import pairwise

import polars as pl

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, TIME

TRADE_COLUMNS: Mapping[str, pl.DataType] = {
    "trade_id": pl.String(),
    "traded_at": TIME,
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "side": pl.String(),
}
_MINUTE = timedelta(minutes=1)
# A venue repeats its newest trades when a stream is opened anew (Kraken 50, Coinbase about 100). The ids of closed
# minutes are kept that far back, so that such a trade is known for a repeated one and not taken for a late one.
_REMEMBERED = 2_000
_ZERO = Decimal(0)
# More digits than a sum of doubles can have, so that no sum is ever rounded before its end.
_EXACT = Context(prec=1_100)


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade as the venue published it. `side` is the taker's: buy, sell, or empty where the venue does not say."""

    trade_id: str
    traded_at: datetime
    price: float
    quantity: float
    side: str

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Its place among the trades of a symbol: by time, and within the same time as the venue numbers them.

        Ids are text; a longer number is a later one.
        """
        return self.traded_at, len(self.trade_id), self.trade_id


@dataclass(frozen=True, slots=True)
class MinuteCandle:
    """One 1-minute candle with the values as published. `trades` is None where it is not known."""

    opened_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int | None


def minute_of(moment: datetime) -> datetime:
    """The opening time of the minute that holds `moment`."""
    return moment.replace(second=0, microsecond=0)


def exact_sum(quantities: Iterable[float]) -> float:
    """The double nearest to the sum of the decimal numbers that `quantities` were published as.

    A double stands for the shortest decimal number that reads as it, which is what venues publish up to 15 digits.
    Their sum does not depend on an order, and 0.1 + 0.2 is 0.3.

    >>> exact_sum([0.1, 0.2])
    0.3
    """
    return float(_add(_ZERO, quantities))


def trades_frame(trades: Iterable[Trade]) -> pl.DataFrame:
    """`trades` as a frame of TRADE_COLUMNS, in the order given."""
    rows = [(trade.trade_id, trade.traded_at, trade.price, trade.quantity, trade.side) for trade in trades]
    return pl.DataFrame(rows, schema=dict(TRADE_COLUMNS), orient="row")


def candles_frame(candles: Iterable[MinuteCandle]) -> pl.DataFrame:
    """`candles` as a candle frame, in the order given."""
    names = [field.name for field in fields(MinuteCandle)]
    rows = [tuple(getattr(candle, name) for name in names) for candle in candles]
    return pl.DataFrame(rows, schema={name: CANDLE_COLUMNS[name] for name in names}, orient="row")


def candles_of_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """The 1-minute candles of `trades`, for every minute in which there is a trade.

    Open and close are the first and last price by time and, within the same time, as the venue numbers its trades; the
    order of the rows does not matter. Of several rows with the same trade id the first counts.

    Args:
        trades: columns of TRADE_COLUMNS (`side` may be absent), of one symbol; the minutes at its ends must be whole.

    Returns:
        A candle frame with the number of trades. The volume is the double nearest to the decimal sum.
    """
    ordered = trades.unique("trade_id", keep="first", maintain_order=True).sort(
        "traded_at", pl.col("trade_id").str.len_chars(), "trade_id"
    )
    bars = (
        ordered.lazy()
        .group_by_dynamic("traded_at", every="1m", closed="left", label="left")
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            trades=pl.len(),
        )
        .collect()
    )
    quantities = ordered["quantity"].to_list()
    edges = [0, *bars["trades"].cum_sum().to_list()]
    volumes = [exact_sum(quantities[first:last]) for first, last in pairwise(edges)]
    return bars.with_columns(opened_at=pl.col("traded_at"), volume=pl.Series(volumes, dtype=pl.Float64())).select(
        pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items()
    )


class MinuteBuilder:
    """The candles of one symbol, made of trades as they come, in whatever order and however often they come.

    Args:
        start: the first minute wanted; trades before it are not this builder's and are passed over.
    """

    def __init__(self, start: datetime) -> None:
        self._first = self._next = minute_of(require_utc(start))
        self._open: dict[datetime, _Minute] = {}
        self._open_ids: set[str] = set()
        self._closed_ids: dict[str, None] = {}

    @property
    def oldest_open(self) -> datetime:
        """The minute that is to be closed next."""
        return self._next

    def add(self, trades: Sequence[Trade]) -> frozenset[datetime]:
        """Take `trades`; a trade whose id was seen before is passed over.

        Returns:
            The closed minutes for which a trade came too late: their candles are wrong and must be fetched again.
        """
        return frozenset(minute_of(trade.traded_at) for trade in trades if not self._take(trade))

    def close(self, minute: datetime) -> MinuteCandle | None:
        """The candle of `minute`, which takes no trade from now on; None when nobody traded.

        Raises:
            InputError: it is not the oldest open minute. Each is closed in its turn, so that none is lost.
        """
        if minute != self._next:
            msg = f"the minute {minute.isoformat()} cannot be closed; the next in turn is {self._next.isoformat()}"
            raise InputError(msg)
        self._next = minute + _MINUTE
        closed = self._open.pop(minute, None)
        if closed is None:
            return None
        self._open_ids -= closed.ids
        self._closed_ids.update(dict.fromkeys(closed.ids))
        for surplus in list(self._surplus()):
            del self._closed_ids[surplus]
        return closed.candle(minute)

    def _take(self, trade: Trade) -> bool:
        """Whether the trade came in time, or is one of those that need not."""
        if trade.trade_id in self._open_ids or trade.trade_id in self._closed_ids:
            return True
        minute = minute_of(trade.traded_at)
        if minute < self._next:
            return minute < self._first
        self._open_ids.add(trade.trade_id)
        self._open.setdefault(minute, _Minute(trade)).add(trade)
        return True

    def _surplus(self) -> Iterator[str]:
        """The oldest remembered ids beyond what is remembered."""
        spare = max(0, len(self._closed_ids) - _REMEMBERED)
        return (trade_id for trade_id, _ in zip(self._closed_ids, range(spare), strict=False))


class _Minute:
    """What is known of an open minute: first and last trade by their order, extremes, exact volume."""

    def __init__(self, trade: Trade) -> None:
        self.ids: set[str] = set()
        self._first = self._last = trade
        self._high = self._low = trade.price
        self._volume = _ZERO

    def add(self, trade: Trade) -> None:
        self.ids.add(trade.trade_id)
        self._first = min(self._first, trade, key=lambda one: one.order)
        self._last = max(self._last, trade, key=lambda one: one.order)
        self._high = max(self._high, trade.price)
        self._low = min(self._low, trade.price)
        self._volume = _add(self._volume, [trade.quantity])

    def candle(self, minute: datetime) -> MinuteCandle:
        return MinuteCandle(
            minute, self._first.price, self._high, self._low, self._last.price, float(self._volume), len(self.ids)
        )


def _add(total: Decimal, quantities: Iterable[float]) -> Decimal:
    for quantity in quantities:
        total = _EXACT.add(total, Decimal(repr(quantity)))
    return total
