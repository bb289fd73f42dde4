"""Timeframes and the grid of candles: when a candle opens, closes and may be used."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from triplegain_pipelines.domain.clock import require_utc

_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440}


class Timeframe(StrEnum):
    """The length of a candle. `M30` is accepted in archives; decisions use the other six."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @property
    def minutes(self) -> int:
        """Length in minutes."""
        return _MINUTES[self.value]

    @property
    def duration(self) -> timedelta:
        """Length as a timedelta."""
        return timedelta(minutes=self.minutes)


DECISION_TIMEFRAMES = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
ROLLUP_TIMEFRAMES = DECISION_TIMEFRAMES[1:]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor_to(moment: datetime, step: timedelta) -> datetime:
    """The last point of the grid of `step` (from the Unix epoch, UTC) at or before `moment`.

    >>> floor_to(datetime(2024, 8, 5, 13, 47, tzinfo=UTC), timedelta(hours=4)).hour
    12
    """
    return moment - (require_utc(moment) - EPOCH) % step


def last_closed_open(as_of: datetime, timeframe: Timeframe, grace: timedelta) -> datetime:
    """Opening time of the newest candle that may be used at `as_of`.

    A candle counts when opening time + timeframe + grace <= as_of: venues revise a candle for some
    seconds after its close, and that revision must not reach back into a decision.
    """
    return floor_to(as_of - grace, timeframe.duration) - timeframe.duration


def day_partition(moment: datetime) -> str:
    """Key of the UTC day that holds `moment`, as Dagster spells it: `2024-08-05`."""
    return require_utc(moment).strftime("%Y-%m-%d")
