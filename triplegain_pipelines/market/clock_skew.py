"""Whether a venue's clock and ours agree well enough to decide by."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.settings.market import QualitySettings

if TYPE_CHECKING:
    # It opens exchanges, which a reader of findings has no need of.
    from triplegain_pipelines.market.venues.clock import ClockReading

ALL_SYMBOLS = "*"
"""The symbol of a finding that is about a venue as a whole."""


def check_clock(reading: ClockReading, rules: QualitySettings, *, venue: str, at: datetime) -> Finding | None:
    """A finding where the clocks differ by more than `clock_skew_seconds`, else None.

    Its detail holds the offset in seconds (the venue's clock less ours), how exactly it is known, and `refuses`: 1 from
    `clock_refuse_seconds` on, where nothing new may be decided.

    Args:
        reading: what was measured.
        rules: how much is allowed.
        venue: whose clock.
        at: when it was measured, or when the clocks were first found apart.
    """
    offset = reading.offset.total_seconds()
    if abs(offset) <= rules.clock_skew_seconds:
        return None
    detail: dict[str, str | float | int] = {
        "offset_seconds": offset,
        "within_seconds": reading.within.total_seconds(),
        "round_trip_seconds": reading.round_trip.total_seconds(),
        "refuses": int(abs(offset) >= rules.clock_refuse_seconds),
    }
    return Finding(venue, ALL_SYMBOLS, at, QualityCode.CLOCK_SKEW, "clock", detail)
