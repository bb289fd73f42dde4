"""How often a venue may be asked for history, so that prices and orders always find room within its rate limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Condition, Lock

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.settings.venues import VenueSettings

_MAKING = Lock()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that holds one token and gets `rate` tokens a second: no more than rate * seconds + 1 calls in any time.

    `tokens` were in it at `at`, seconds of a clock that only goes forward.
    """

    rate: float
    tokens: float
    at: float

    def refilled(self, now: float) -> "Bucket":
        """The bucket at `now`."""
        return Bucket(self.rate, min(1.0, self.tokens + max(0.0, now - self.at) * self.rate), max(now, self.at))

    def wait(self, now: float) -> float:
        """Seconds until a token is in it; zero or less: there is one."""
        return (1.0 - self.refilled(now).tokens) / self.rate

    def taken(self, now: float) -> "Bucket":
        """The bucket after its token was taken at `now`."""
        return Bucket(self.rate, 0.0, max(now, self.at))


class CallBudget:
    """Calls for history to one venue, by all threads of this process.

    They get a share of the venue's rate limit, and none begins while a trading call waits or runs; one that has begun
    is not broken off. So a trading call meets at most one call for history.

    It holds within this process. Across processes the share holds as far as each venue's history is fetched by one
    process at a time: of back-fills only one runs for a venue, by a lock in the database. Any other process that asks
    the venue (the stream service, the repair job) has a budget of its own beside it, so `history_share` must leave
    room for as many.

    Args:
        calls_per_second: the share of the venue's limit.
    """

    def __init__(self, calls_per_second: float) -> None:
        self._bucket = Bucket(calls_per_second, 1.0, monotonic_seconds())
        self._trading = 0
        self._changed = Condition()

    def take(self) -> None:
        """Wait until a call for history may begin. To be called before each."""
        with self._changed:
            while self._trading or (wait := self._bucket.wait(monotonic_seconds())) > 0:
                self._changed.wait(None if self._trading else wait)
            self._bucket = self._bucket.taken(monotonic_seconds())

    @contextmanager
    def trading(self) -> Iterator[None]:
        """Around a trading call, the wait for its turn included: calls for history stand back until it is done."""
        with self._changed:
            self._trading += 1
        try:
            yield
        finally:
            with self._changed:
                self._trading -= 1
                self._changed.notify_all()


def call_budget(venue: VenueSettings) -> CallBudget:
    """The one budget of this venue in this process."""
    # `cache` alone lets two threads that come at once make two, and spend twice what is allowed.
    with _MAKING:
        return _budget_of(venue)


@cache
def _budget_of(venue: VenueSettings) -> CallBudget:
    return CallBudget(venue.calls_per_second * venue.history_share)
