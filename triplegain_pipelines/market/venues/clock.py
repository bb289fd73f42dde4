"""How far a venue's clock is from ours."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.market.venues.exchange import call, open_exchange, retrying
from triplegain_pipelines.settings.venues import VenueSettings

_QUESTIONS = 5
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST = 10**14  # milliseconds since 1970: beyond the year 5000


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A venue's clock minus ours, known to within `within`; `round_trip` is that of the quickest answer."""

    offset: timedelta
    round_trip: timedelta
    within: timedelta


@dataclass(frozen=True, slots=True)
class _Answer:
    venue_time: datetime
    sent: datetime
    received: datetime


def measure_clock(venue: VenueSettings, *, clock: Clock, base_url: str | None = None) -> ClockReading:
    """Ask the venue for its time, five times.

    The venue's stamp was made between sending and receiving, so every answer bounds the offset from both sides, the
    quickest the most closely; the result is the middle of what all five allow. Kraken and Coinbase give whole
    seconds: their answers are asked for at different fifths of a second, so that together they say more than one.

    Raises:
        InputError: there is no such venue.
        TransientError: the venue failed again and again, or a clock was set while it was measured.
        PermanentError: the venue refused the call.
    """
    answers = [_ask(venue, clock, base_url)]
    while len(answers) < _QUESTIONS:
        if _resolution(answers) == _SECOND:
            time.sleep(1 / venue.calls_per_second + 1 / _QUESTIONS)
        answers.append(_ask(venue, clock, base_url))
    resolution = _resolution(answers)
    least = max(answer.venue_time - answer.received for answer in answers)
    most = min(answer.venue_time + resolution - answer.sent for answer in answers)
    if least > most:
        msg = f"{venue.ccxt}'s times contradict each other: a clock was set while it was measured; measure again"
        raise TransientError(msg)
    round_trip = min(answer.received - answer.sent for answer in answers)
    return ClockReading(least + (most - least) / 2, round_trip, (most - least) / 2)


def _ask(venue: VenueSettings, clock: Clock, base_url: str | None) -> _Answer:
    exchange = open_exchange(venue, base_url)

    def read() -> _Answer:
        milliseconds = call(exchange, "fetch_time")
        if not isinstance(milliseconds, int) or not 0 < milliseconds < _LATEST:
            msg = f"{venue.ccxt} gave no time but {milliseconds!r}; it may work later"
            raise TransientError(msg)
        # The wait for the call's turn is not part of the way there: hence the moments that the client noted.
        now, here, last = clock.now(), monotonic_seconds(), exchange.last_answer
        sent, received = (now - timedelta(seconds=here - moment) for moment in (last.sent, last.received))
        return _Answer(EPOCH + milliseconds * _MILLISECOND, sent, received)

    return retrying(read)


def _resolution(answers: list[_Answer]) -> timedelta:
    whole = all((answer.venue_time - EPOCH) % _SECOND == timedelta(0) for answer in answers)
    return _SECOND if whole else _MILLISECOND
