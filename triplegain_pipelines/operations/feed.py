"""Where new candles come from: the simulated market, a venue's REST history, or nowhere in a replay of an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.settings.venues import VenueSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.headlines import read_headlines

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.market.simulator import SimulatedMarket
    from triplegain_pipelines.store.candles import UpsertCount


# The first run of a day finds the last minutes of the day before closed, which its last run could not.
_OVERLAP = timedelta(hours=1)
# Each failure is several attempts long already, and decisions wait for this.
_FAILURES_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of each symbol that delivered, and in words why the others did not."""

    counts: Mapping[str, UpsertCount]
    failures: Mapping[str, str]


class Feed(Protocol):
    """A source of 1-minute candles."""

    source: str

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame | None:
        """The candles with start <= opening time < end, or None where nothing is fetched."""
        ...

    def headlines(self, start: datetime, end: datetime) -> Sequence[Headline]:
        """The news with start <= first seen < end."""
        ...


class SimulatedFeed:
    """The simulated market."""

    source = "simulator"

    def __init__(self, market: SimulatedMarket) -> None:
        self._market = market

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Made from the seed, for any time."""
        return self._market.candles(symbol, start, end)

    def headlines(self, start: datetime, end: datetime) -> Sequence[Headline]:
        """News of the simulated market, each labelled as such."""
        return self._market.headlines(start, end)


class VenueFeed:
    """The REST history of an exchange."""

    source = "rest"

    def __init__(self, venue: VenueSettings, clock: Clock) -> None:
        self._venue, self._clock = venue, clock

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """What the venue still gives: Kraken's newest 720 candles at most."""
        from triplegain_pipelines.market.venues.history import fetch_candles

        return fetch_candles(self._venue, symbol, start, end, clock=self._clock)

    def headlines(self, start: datetime, end: datetime) -> Sequence[Headline]:  # noqa: ARG002
        """None: an exchange publishes no news here."""
        return ()


class StoredFeed:
    """A replay of an archive: only what was imported counts."""

    source = "archive"

    def candles(self, symbol: str, start: datetime, end: datetime) -> None:
        """Fetches nothing."""

    def headlines(self, start: datetime, end: datetime) -> Sequence[Headline]:  # noqa: ARG002
        """Fetches nothing."""
        return ()


def choose_feed(session: Session) -> Feed:
    """The feed of a session."""
    if session.simulated:
        return SimulatedFeed(simulated_market(session.settings, session.symbols))
    return StoredFeed() if session.replay else VenueFeed(session.settings.venues.of(session.venue), session.clock)


def simulated_market(settings: Settings, symbols: tuple[str, ...]) -> SimulatedMarket:
    """The simulated market of the profile."""
    from triplegain_pipelines.market.simulator import SimulatedMarket

    simulator = settings.profile.simulator
    if simulator is None:
        msg = "the profile has no section 'simulator'"
        raise ValueError(msg)
    return SimulatedMarket(simulator.seed, simulator.starts_on, symbols)


def collect_all(database: Database, session: Session, feed: Feed, start: datetime, end: datetime) -> Collected:
    """Store the closed candles of every symbol opened in [start, end), and the hour before it, as far as they come.

    A symbol that fails hides no other, and never passes for one without candles. After three failures in a row the rest
    is not asked for: then it is the venue that fails, and the minutes are asked for by stream service and repair.

    Raises:
        UnavailableError: the database does not answer; what was stored before stays.
    """
    counts: dict[str, UpsertCount] = {}
    failures: dict[str, str] = {}
    in_a_row = 0
    for symbol in session.symbols:
        if in_a_row >= _FAILURES_IN_A_ROW:
            failures[symbol] = f"not asked for: {_FAILURES_IN_A_ROW} symbols before it failed in a row"
            continue
        try:
            counts[symbol] = collect(database, session, feed, symbol, start - _OVERLAP, end)
            in_a_row = 0
        except UnavailableError:
            raise
        except (TransientError, PermanentError) as error:
            failures[symbol] = str(error)
            in_a_row += 1
    return Collected(counts, failures)


def collect(
    database: Database, session: Session, feed: Feed, symbol: str, start: datetime, end: datetime
) -> UpsertCount:
    """Store the closed 1-minute candles of the feed with start <= opening time < end, through the one intake.

    Raises:
        TransientError: the feed failed; nothing was stored.
        PermanentError: it refused.
        UnavailableError: the database does not answer.
    """
    from triplegain_pipelines.operations.intake import take_in
    from triplegain_pipelines.store.candles import UpsertCount

    now = session.clock.now()
    closed = last_closed_open(now, Timeframe.M1, session.settings.profile.decisions.grace) + timedelta(minutes=1)
    frame = feed.candles(symbol, start, min(end, closed)) if closed > start else None
    if frame is None or frame.is_empty():
        return UpsertCount(0, 0, 0)
    with database.connection() as connection:
        taken = take_in(
            connection,
            session.venue,
            symbol,
            frame,
            feed.source,
            closed_before=closed,
            settings=session.settings,
            at=now,
        )
    return taken.count


def known_headlines(
    connection: psycopg.Connection, session: Session, since: datetime, until: datetime
) -> list[Headline]:
    """Stored headlines of the session's world: a simulated market has simulated news, and only it has."""
    stored = read_headlines(connection, since, until)
    return [headline for headline in stored if headline.source.startswith(SIMULATED_VENUE) == session.simulated]
