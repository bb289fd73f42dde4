"""Roll-ups of whole days, made anew of the candles that decisions may see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe, floor_to
from triplegain_pipelines.store.database import Database

if TYPE_CHECKING:
    import polars as pl

# The longest bucket: whole ones hold every shorter one.
_DAY = ROLLUP_TIMEFRAMES[-1].duration


def roll_up_days(
    database: Database, venue: str, symbol: str, start: datetime, end: datetime
) -> dict[Timeframe, pl.DataFrame]:
    """Make the roll-ups of a venue's symbol opened in [start, end) anew and return them, by timeframe.

    One whose last minute is held by now goes.

    Args:
        database: where the candles are.
        venue: of the candles.
        symbol: of the candles.
        start: a UTC midnight.
        end: a later one.
    """
    with database.connection() as connection:
        return _roll_up(connection, venue, symbol, start, end)


def renew_days_of(connection: psycopg.Connection, venue: str, symbol: str, moments: Iterable[datetime]) -> int:
    """Make the roll-ups of every UTC day that holds one of `moments` anew, in the caller's transaction.

    Called in the transaction that changes what decisions may see of the minutes, it leaves no moment, and no crash,
    at which the roll-ups are of other minutes than those that are stored.

    Args:
        connection: in a transaction. The series stays locked until it ends: change no other series in it.
        venue: of the candles.
        symbol: of the candles.
        moments: opening times of minutes, in any order and number.

    Returns:
        How many days those were.
    """
    days = sorted({floor_to(moment, _DAY) for moment in moments})
    for start, end in _stretches(days):
        _roll_up(connection, venue, symbol, start, end)
    return len(days)


def _stretches(days: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Days in a row in one: a month that comes at once is read at once."""
    stretches: list[tuple[datetime, datetime]] = []
    for day in days:
        if stretches and stretches[-1][1] == day:
            stretches[-1] = (stretches[-1][0], day + _DAY)
        else:
            stretches.append((day, day + _DAY))
    return stretches


def _roll_up(
    connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime
) -> dict[Timeframe, pl.DataFrame]:
    from triplegain_pipelines.market.rollups import roll_up_all
    from triplegain_pipelines.store.candle_writes import lock_series
    from triplegain_pipelines.store.candles import replace_rollups
    from triplegain_pipelines.store.series import read_usable_candles

    # Else what a stream stores meanwhile, with its roll-ups, would be written over by what was read before.
    lock_series(connection, venue, [symbol], Timeframe.M1)
    made = roll_up_all(read_usable_candles(connection, venue, symbol, start, end))
    for timeframe, frame in made.items():
        replace_rollups(connection, venue, symbol, timeframe, start, end, frame)
    return made
