"""Where new candles come from: the simulated market, a venue's REST history, or nowhere in a replay of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.headlines import read_headlines

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.market.simulator import SimulatedMarket
    from triplegain_pipelines.store.candles import UpsertCount


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

    def __init__(self, venue: str) -> None:
        self._venue = venue

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """What the venue still gives: Kraken's newest 720 candles at most."""
        from triplegain_pipelines.market.history import fetch_candles

        return fetch_candles(self._venue, symbol, start, end)

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
    return StoredFeed() if session.replay else VenueFeed(session.venue)


def simulated_market(settings: Settings, symbols: tuple[str, ...]) -> SimulatedMarket:
    """The simulated market of the profile."""
    from triplegain_pipelines.market.simulator import SimulatedMarket

    simulator = settings.profile.simulator
    if simulator is None:
        msg = "the profile has no section 'simulator'"
        raise ValueError(msg)
    return SimulatedMarket(simulator.seed, simulator.starts_on, symbols)


def collect(
    database: Database, session: Session, feed: Feed, symbol: str, start: datetime, end: datetime
) -> UpsertCount:
    """Store the closed 1-minute candles of the feed with start <= opening time < end."""
    from triplegain_pipelines.market.contracts import check_grid, validate
    from triplegain_pipelines.store.candles import UpsertCount, upsert_candles

    grace = session.settings.profile.decisions.grace
    closed = last_closed_open(session.clock.now(), Timeframe.M1, grace) + timedelta(minutes=1)
    frame = feed.candles(symbol, start, min(end, closed)) if closed > start else None
    if frame is None or frame.is_empty():
        return UpsertCount(0, 0, 0)
    check_grid(frame["opened_at"], Timeframe.M1)
    with database.connection() as connection:
        return upsert_candles(connection, session.venue, symbol, Timeframe.M1, validate("candles", frame), feed.source)


def known_headlines(
    connection: psycopg.Connection, session: Session, since: datetime, until: datetime
) -> list[Headline]:
    """Stored headlines of the session's world: a simulated market has simulated news, and only it has."""
    stored = read_headlines(connection, since, until)
    return [headline for headline in stored if headline.source.startswith(SIMULATED_VENUE) == session.simulated]
