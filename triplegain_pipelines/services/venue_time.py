"""A venue's clock, as far as it is known: ours, and how far the two were apart when they were last compared."""

from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.market.venues.clock import ClockReading


class VenueTime:
    """A clock that shows a venue's time. Minutes begin and end by it, whatever our own clock shows.

    Until `compared` is called for the first time it shows ours.

    Args:
        clock: ours.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reading = ClockReading(timedelta(0), timedelta(0), timedelta(0))

    def compared(self, reading: ClockReading) -> None:
        """Go by this comparison from now on."""
        self.reading = reading

    def now(self) -> datetime:
        """The most likely time at the venue."""
        return self._clock.now() + self.reading.offset

    def earliest(self) -> datetime:
        """The time that it is at the venue at least."""
        return self.now() - self.reading.within

    def latest(self) -> datetime:
        """The time that it is at the venue at most."""
        return self.now() + self.reading.within
