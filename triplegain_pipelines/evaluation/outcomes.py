"""The rule by which forecasts are settled, fixed before any of them was made. The same for every seat and baseline.

- Entry: the open of the first 1-minute candle that opens at or after `as_of`. The forecast was made from candles that
  had closed before `as_of`, so nobody could have traded at a price of its own evidence.
- Exit: the open of the first 1-minute candle that opens at or after the entry's + horizon.
- Each is waited for `LONGEST_WAIT`. Without a candle in it the forecast stays unsettled; no other price is taken.
- Up means that the exit is above the entry. An exit at the very entry is not up.
- Costs: what a round trip costs (fee and slippage of both sides) is stored beside the move, as the settings have it at
  the settling. The question to the seats is about the price, so costs decide nobody's hit; they decide what a hit was
  worth. Who forecast a smaller move than that rightly was right and earned nothing.
- An outcome is written once. A candle that is corrected later does not change it.

What a forecast was worth is in `probability_scores`; that no outcome is missing is seen to by the check `settled`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from triplegain_pipelines.domain.timeframes import Timeframe

LONGEST_WAIT = timedelta(minutes=10)
"""Without a candle within this time the forecast stays unsettled: a later one would settle another forecast."""


def settle(
    candles: pl.DataFrame,
    symbol: str,
    as_of: Sequence[datetime],
    *,
    horizons: Sequence[int],
    now: datetime,
    grace: timedelta,
    round_trip_cost: float,
) -> pl.DataFrame:
    """The outcomes of forecasts made about `symbol` at the times `as_of`, as far as they have settled by `now`.

    An outcome settles when the candle of the exit has closed and its grace is over, like any candle that is used.

    Args:
        candles: 1m candles in order, with `opened_at` and `open`, from the first `as_of` on.
        symbol: what the candles are of.
        as_of: decision times, UTC.
        horizons: hours.
        now: candles that close later are not looked at.
        grace: how long after its close a candle may still be revised.
        round_trip_cost: fee and slippage of entry and exit, as a share of the entry.

    Returns:
        A frame with `symbol`, `as_of`, `horizon_hours`, `settled_at`, `entry_price`, `exit_price`, `return` (exit over
        entry, less 1), `went_up` and `round_trip_cost`, by time and horizon; unsettled forecasts are missing from it.
    """
    known_after = Timeframe.M1.duration + grace
    opens = candles.select("opened_at", "open").filter(pl.col("opened_at") + known_after <= now)
    entries = _first_open(
        pl.DataFrame({"as_of": sorted(set(as_of))}, schema={"as_of": pl.Datetime("us", "UTC")}),
        "as_of",
        opens.rename({"opened_at": "entry_at", "open": "entry_price"}),
        "entry_at",
    )
    exits = [
        _first_open(
            entries.with_columns(
                pl.lit(hours, dtype=pl.Int32).alias("horizon_hours"),
                (pl.col("entry_at") + timedelta(hours=hours)).alias("due_at"),
            ),
            "due_at",
            opens.rename({"opened_at": "exit_at", "open": "exit_price"}),
            "exit_at",
        )
        for hours in horizons
    ]
    return (
        pl.concat(exits)
        .sort("as_of", "horizon_hours")
        .select(
            pl.lit(symbol).alias("symbol"),
            "as_of",
            "horizon_hours",
            (pl.col("exit_at") + known_after).alias("settled_at"),
            "entry_price",
            "exit_price",
            (pl.col("exit_price") / pl.col("entry_price") - 1).alias("return"),
            (pl.col("exit_price") > pl.col("entry_price")).alias("went_up"),
            pl.lit(round_trip_cost).alias("round_trip_cost"),
        )
    )


def settles_within(horizon_hours: int, grace: timedelta) -> timedelta:
    """How long after `as_of` a forecast has settled at the latest, or never will by itself."""
    return timedelta(hours=horizon_hours) + 2 * LONGEST_WAIT + Timeframe.M1.duration + grace


def _first_open(due: pl.DataFrame, due_at: str, opens: pl.DataFrame, opened_at: str) -> pl.DataFrame:
    """Beside each time that is due, the first candle that opens at or after it; rows without one are left out."""
    return due.join_asof(
        opens, left_on=due_at, right_on=opened_at, strategy="forward", tolerance=LONGEST_WAIT, coalesce=False
    ).drop_nulls(opened_at)
