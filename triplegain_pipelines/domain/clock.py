"""The only place that may ask the time. Everything else is given a `Clock`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from: the machine's in paper and live, the market's in a replay."""

    def now(self) -> datetime:
        """The present moment, UTC and aware."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, UTC and aware."""
        return datetime.now(UTC)


class ReplayClock:
    """A clock that stands still until it is moved, and never runs backwards."""

    def __init__(self, start: datetime) -> None:
        self._now = require_utc(start)

    def now(self) -> datetime:
        """The moment the replay has reached."""
        return self._now

    def advance_to(self, moment: datetime) -> None:
        """Move to `moment`.

        Raises:
            ValueError: the moment lies before the present one.
        """
        if require_utc(moment) < self._now:
            msg = f"a clock cannot run backwards: {moment.isoformat()} is before {self._now.isoformat()}"
            raise ValueError(msg)
        self._now = moment


def require_utc(moment: datetime) -> datetime:
    """Return `moment` if it is aware and in UTC.

    Raises:
        ValueError: the moment is naive or in another zone.
    """
    if moment.tzinfo is None or moment.utcoffset() != UTC.utcoffset(None):
        msg = f"{moment!r} is not an aware UTC time; use datetime(..., tzinfo=UTC)"
        raise ValueError(msg)
    return moment


def monotonic_seconds() -> float:
    """Seconds of a clock that only measures durations: latency and time-outs, never timestamps."""
    return time.monotonic()
