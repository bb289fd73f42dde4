"""A venue asked again about stretches of its history, and what it answers taken in, within a budget of calls."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.venues.history import CandlePage, candle_pages
from triplegain_pipelines.operations.intake import IntakeResult, take_in
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.venues import VenueSettings
from triplegain_pipelines.store.database import Database

SOURCE = "rest"
_MINUTE = Timeframe.M1.duration
LEAD = 5 * _MINUTE
"""So much is asked for on both sides of what is wanted.

A venue that gives its newest candles only has answered for the minutes after the oldest it gives, so there must be one
in front of a hole to see that it is one; and one behind it shows that the answer did not end too early.
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Opening times in [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, and what became of it. The venue has answered for every minute in [answered_from, reached)."""

    page: CandlePage
    taken: IntakeResult

    def covers(self, opened_at: datetime) -> bool:
        """Whether the venue has answered for this minute."""
        return self.page.answered_from <= opened_at < self.page.reached


class OutOfCallsError(Exception):
    """This run has made all the calls it may; the next run goes on."""


@dataclass(frozen=True, slots=True)
class VenueHistory:
    """One venue's REST history.

    `take` waits before every call until the venue's budget for history allows it. No more than `most_calls` are made.
    `base_url` takes the place of the venue's own address.
    """

    database: Database
    settings: Settings
    venue: str
    clock: Clock
    take: Callable[[], None]
    most_calls: int
    base_url: str | None = None
    calls: list[Stretch] = field(default_factory=list)

    @property
    def rules(self) -> VenueSettings:
        """The venue's limits."""
        return self.settings.venues.of(self.venue)

    @property
    def final(self) -> datetime:
        """Up to when candles have closed and are not revised any more; on the grid."""
        return floor_to(self.clock.now() - timedelta(seconds=self.rules.final_after_seconds), _MINUTE)

    def ask(self, symbol: str, stretch: Stretch) -> Iterator[Answer]:
        """Fetch a stretch and take in what comes, each page in a transaction of its own.

        Raises:
            OutOfCallsError: `most_calls` have been made.
            TransientError: the venue failed; the same call may succeed later.
            PermanentError: the venue refused the call.
        """
        for page in self.pages(symbol, Stretch(stretch.start - LEAD, stretch.end + LEAD)):
            with self.database.connection() as connection:
                taken = take_in(
                    connection,
                    self.venue,
                    symbol,
                    page.frame,
                    SOURCE,
                    closed_before=self.final,
                    settings=self.settings,
                    at=self.clock.now(),
                )
            yield Answer(page, taken)

    def pages(self, symbol: str, stretch: Stretch) -> Iterator[CandlePage]:
        """Fetch a stretch without storing it. Raises as `ask`."""
        end = min(stretch.end, self.final)
        pages = candle_pages(self.rules, symbol, stretch.start, end, clock=self.clock, base_url=self.base_url)
        while stretch.start < end:
            if len(self.calls) >= self.most_calls:
                msg = f"{self.most_calls} calls have been made; the next run goes on"
                raise OutOfCallsError(msg)
            self.take()
            page = next(pages, None)
            if page is None:
                return
            self.calls.append(stretch)
            yield page
            if page.reached >= end:
                return

    def reaches(self, opened_at: datetime) -> bool:
        """Whether the venue may still have a minute; asked for others, it would only use its calls up.

        A venue whose history is so many candles long reaches further back where some are missing, so this asks twice as
        far back as it promises.
        """
        reach = self.rules.candles.reach
        return reach is None or opened_at >= self.final - 2 * reach * _MINUTE

    def windows(self, wanted: Iterable[Stretch]) -> list[Stretch]:
        """The fewest stretches of one call each that hold what is wanted and can be given, newest first."""
        longest = self.rules.candles.per_call * _MINUTE - 2 * LEAD
        joined: list[Stretch] = []
        in_reach = [one for one in wanted if self.reaches(one.end - _MINUTE)]
        for one in sorted(in_reach, key=lambda stretch: stretch.end, reverse=True):
            if joined and joined[-1].end - one.start <= longest:
                joined[-1] = Stretch(min(one.start, joined[-1].start), joined[-1].end)
            else:
                joined.append(one)
        return joined


def in_runs(minutes: Iterable[datetime]) -> list[Stretch]:
    """The runs of consecutive minutes, oldest first."""
    runs: list[Stretch] = []
    for opened_at in sorted(minutes):
        if runs and runs[-1].end == opened_at:
            runs[-1] = Stretch(runs[-1].start, opened_at + _MINUTE)
        else:
            runs.append(Stretch(opened_at, opened_at + _MINUTE))
    return runs
