"""When a market leaves its main venue for the backup and when it comes back: pure rules over what was seen.

A candle belongs to the venue that was the source when it closed, so a switch never reaches back into a decision, and
no candle is a mixture of two venues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.settings.market import FailoverSettings

_LOOKS_APART = timedelta(minutes=1)
_NEXT = timedelta.resolution


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """What a venue gave: `newest_close` is when its newest usable candle closed, None where there is none."""

    venue: str
    newest_close: datetime | None

    def healthy(self, now: datetime, settings: FailoverSettings) -> bool:
        """Whether its newest candle is young enough."""
        return self.newest_close is not None and now - self.newest_close <= settings.unhealthy


@dataclass(frozen=True, slots=True)
class Switch:
    """From `switched_at` on the candles that close come from `to_venue`."""

    from_venue: str
    to_venue: str
    switched_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """The venue of all candles that close in (starts_at, ends_at]."""

    venue: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look at the main venue leaves for the next.

    `watching_since` is when the unbroken row of looks began: before it the silence may have been our own.
    `healthy_since` is since when every look found the main venue healthy, None where the last one did not.
    """

    looked_at: datetime
    watching_since: datetime
    healthy_since: datetime | None


def venue_health(venue: str, newest_closes: Mapping[str, datetime], now: datetime) -> VenueHealth:
    """The health of a venue from the closes of its newest usable candles by symbol.

    The youngest counts, because a thin market may have no candle for minutes while the venue is well. One that closes
    after `now` does not count: our clock or the venue's is wrong then, and it proves nothing.
    """
    return VenueHealth(venue, max((close for close in newest_closes.values() if close <= now), default=None))


def look(before: Watched | None, main: VenueHealth, now: datetime, settings: FailoverSettings) -> Watched:
    """What is known after one more look at the main venue.

    Nothing is known of the time between two looks that lie further apart than a venue may be silent, or of which the
    second came before the first: the watch begins anew.
    """
    longest = max(settings.unhealthy, _LOOKS_APART) + _LOOKS_APART
    unbroken = before is not None and timedelta(0) <= now - before.looked_at <= longest
    since = before.healthy_since if before and unbroken else None
    return Watched(
        looked_at=now,
        watching_since=before.watching_since if before and unbroken else now,
        healthy_since=(since or now) if main.healthy(now, settings) else None,
    )


def decide(
    watched: Watched,
    last: Switch | None,
    main: VenueHealth,
    backup: VenueHealth,
    now: datetime,
    settings: FailoverSettings,
) -> Switch | None:
    """The switch that is due now, or None.

    The main venue is left when it gave nothing for `unhealthy` while we were listening, and only for a healthy backup.
    It is taken again when it was healthy at every look for `quiet`, and not sooner than `quiet` after it was left.

    Args:
        watched: of the look at `now`.
        last: the newest switch of the market; None: the main venue was never left.
        main: health of the main venue.
        backup: health of the backup.
        now: our clock.
        settings: the limits.
    """
    if last is not None and now <= last.switched_at:
        return None  # our clock went back: a switch now would change what past decisions saw
    if last is None or last.to_venue == main.venue:
        return _leave(watched, main, backup, now, settings)
    return _return(watched, last, main, now, settings)


def _leave(
    watched: Watched, main: VenueHealth, backup: VenueHealth, now: datetime, settings: FailoverSettings
) -> Switch | None:
    silent = now - max(main.newest_close or watched.watching_since, watched.watching_since)
    if silent <= settings.unhealthy or not backup.healthy(now, settings):
        return None
    newest = f"its last closed at {main.newest_close:%Y-%m-%d %H:%M} UTC" if main.newest_close else "it has none"
    reason = f"{main.venue} gave no candle for {silent.total_seconds():.0f} s; {newest}"
    return Switch(main.venue, backup.venue, now, reason)


def _return(
    watched: Watched, last: Switch, main: VenueHealth, now: datetime, settings: FailoverSettings
) -> Switch | None:
    if watched.healthy_since is None or not main.healthy(now, settings):
        return None
    quiet = now - max(watched.healthy_since, last.switched_at)
    if quiet < settings.quiet:
        return None
    return Switch(last.to_venue, main.venue, now, f"{main.venue} was healthy for {quiet.total_seconds():.0f} s")


def basis(leaving: Mapping[datetime, float], entering: Mapping[datetime, float]) -> float | None:
    """How far the prices of one venue are from another's: the median of entering / leaving - 1.

    Args:
        leaving: closes of the venue that is left, by opening time.
        entering: closes of the venue that is taken.

    Returns:
        None where they have no minute in common.
    """
    ratios = [entering[minute] / close - 1 for minute, close in leaving.items() if minute in entering]
    return median(ratios) if ratios else None


def source_spans(market: str, switches: Sequence[Switch], start: datetime, end: datetime) -> list[SourceSpan]:
    """Which venue was the source in (start, end], as spans without overlap or hole, oldest first.

    Args:
        market: the main venue: the source as long as there was no switch.
        switches: all of the market, oldest first.
        start: excluded.
        end: included.
    """
    edges = [
        (market, datetime.min.replace(tzinfo=start.tzinfo)),
        *((one.to_venue, one.switched_at) for one in switches),
    ]
    ends = [moment for _, moment in edges[1:]] + [datetime.max.replace(tzinfo=start.tzinfo)]
    clipped = [
        SourceSpan(venue, max(starts_at, start), min(ends_at, end))
        for (venue, starts_at), ends_at in zip(edges, ends, strict=True)
    ]
    return [span for span in clipped if span.starts_at < span.ends_at]


def opened_within(span: SourceSpan, timeframe: Timeframe, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The part of [start, end) in which the candles of `timeframe` are opened that close within the span.

    Times are whole microseconds, so (a, b] is [a + 1 µs, b + 1 µs). Empty where the first is not before the second.
    """
    first = span.starts_at - timeframe.duration + _NEXT
    return max(start, first), min(end, span.ends_at - timeframe.duration + _NEXT)
