"""Which minutes of a run of trades are whole, so that a candle may be made of them."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from triplegain_pipelines.market.trades import candles_of_trades

_USUAL = 0.5


@dataclass(frozen=True, slots=True)
class WholeMinutes:
    """The candles of whole minutes, and what kept others out.

    `first` and `end` are the minute of the first trade and the one after that of the last. `missing_trades` is how many
    trades are missing within, by the gaps in their numbering.
    """

    candles: pl.DataFrame
    first: datetime
    end: datetime
    missing_trades: int


def whole_minutes(trades: pl.DataFrame, *, aggregated: bool = False) -> WholeMinutes:
    """The candles of the minutes of which every trade is there, as far as the trades can tell.

    The minutes of the first and the last trade are not taken: where the run begins within them is not known. Where ids
    are numbers that nearly always rise by one, a larger step is a missing trade, and no minute that it may lie in is
    taken. (freqtrade loses every thousandth trade of Kraken's in this way.)

    Args:
        trades: columns of TRADE_COLUMNS, one symbol, each id once, the oldest first; at least one.
        aggregated: whether a row may stand for several trades, so that their number is not known.
    """
    minutes = trades["traded_at"].dt.truncate("1m")
    first, last = minutes[0], minutes[-1]
    holes = _holes(trades.with_columns(minute=minutes))
    doubtful = (
        holes.select(opened_at=pl.datetime_ranges("from", "to", "1m")).explode("opened_at")["opened_at"].unique()
        if holes.height
        else pl.Series("opened_at", [], minutes.dtype)
    )
    inside = (pl.col("opened_at") > first) & (pl.col("opened_at") < last)
    candles = candles_of_trades(trades).filter(inside & ~pl.col("opened_at").is_in(doubtful.implode()))
    if aggregated:
        candles = candles.with_columns(trades=pl.lit(None, candles.schema["trades"]))
    end = minutes.dt.offset_by("1m")[-1]
    return WholeMinutes(candles, first, end, int(holes["missing"].sum()))


def _holes(trades: pl.DataFrame) -> pl.DataFrame:
    """Where ids leave numbers out: the minutes `from` and `to` of the trades around it, and how many are `missing`."""
    numbered = trades.select(
        pl.col("minute").shift().alias("from"),
        pl.col("minute").alias("to"),
        step=pl.col("trade_id").str.extract(r"^(?:agg:)?(\d{1,18})$").cast(pl.Int64, strict=False).diff(),
    )
    usual = numbered.select((pl.col("step") == 1).mean()).item()
    if usual is None or usual < _USUAL:
        return numbered.clear().with_columns(missing=pl.lit(0, pl.Int64))
    return numbered.filter(pl.col("step") > 1).with_columns(missing=pl.col("step") - 1)
