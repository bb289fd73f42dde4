"""News: collects what the configured sources say now, and imports files of past news."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError, TransientError, UnavailableError
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.contract import IndexSource, NewsSource
from triplegain_pipelines.market.news.fear_greed import FearGreedIndex, FearGreedReading
from triplegain_pipelines.market.news.fetch import Fetcher
from triplegain_pipelines.market.news.rss import RssSource
from triplegain_pipelines.market.news.stories import JOINED_WITHIN, join_stories
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings.news import NewsSettings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.fear_greed import read_fear_greed, upsert_fear_greed
from triplegain_pipelines.store.headlines import lock_headlines, read_headlines, stored_headlines, upsert_headlines

NEWS_ALERT = "news"


@dataclass(frozen=True, slots=True)
class Stored:
    """How many headlines were new, and how many of those belong to a story that was known."""

    new: int
    joined: int


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What one source came to. `left_out` counts entries that cannot be used; `failure` says why there is nothing.

    A source that failed is not one without news: its counts are 0 because nothing is known.
    """

    source: str
    new: int = 0
    joined: int = 0
    left_out: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class NewsSummary:
    """What one round over all sources came to, in their order."""

    sources: tuple[SourceOutcome, ...]

    @property
    def failed(self) -> tuple[SourceOutcome, ...]:
        """The sources of which nothing is known: each is worth an alert, and ends it when it answers again."""
        return tuple(one for one in self.sources if one.failure is not None)

    @property
    def new(self) -> int:
        """Headlines and values of the index that were new."""
        return sum(one.new for one in self.sources)


@dataclass(frozen=True, slots=True)
class NewsImport:
    """What a file of news held and what became of it.

    `known` was stored before, `left_out` has no title, `repeated` stands twice in the file, `contradicting` are values
    of the index that differ from stored ones, which stay. `joined` of the new headlines belong to the story of another.
    """

    file: str
    kind: str
    rows: int
    new: int
    joined: int
    known: int
    left_out: int
    repeated: int
    contradicting: int
    ignored: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "file": self.file,
            "kind": self.kind,
            "rows": self.rows,
            "new": self.new,
            "joined": self.joined,
            "known": self.known,
            "left_out": self.left_out,
            "repeated": self.repeated,
            "contradicting": self.contradicting,
            "ignored_columns": list(self.ignored),
        }


def collect_news(database: Database, settings: NewsSettings, clock: Clock) -> NewsSummary:
    """Ask every configured source once and store what is new, each source in its own transaction.

    A source that fails is reported in the summary and hides no other.

    Raises:
        UnavailableError: the database cannot be reached. What was read is offered again the next time.
    """
    feeds, index = _sources(settings)
    outcomes = [_outcome(feed.name, partial(_collect_feed, database, feed, clock)) for feed in feeds]
    if index is not None:
        outcomes.append(_outcome(index.name, partial(_collect_index, database, index, clock)))
    return NewsSummary(tuple(outcomes))


def gather_news(database: Database, session: Session, feed: Feed, start: datetime, end: datetime) -> NewsSummary:
    """Store the news of a session's world in [start, end): of the simulated market, of the sources, or none.

    The sources tell what is now: a day that is over, and a replay, have what was stored and are not asked about.
    """
    if session.simulated:
        found = feed.headlines(start, end)
        with database.connection() as connection:
            new = upsert_headlines(connection, found)
        return NewsSummary((SourceOutcome(SIMULATED_VENUE, new),))
    if session.replay or not start <= session.clock.now() < end:
        return NewsSummary(())
    summary = collect_news(database, session.settings.news, session.clock)
    _tell(database, summary, session.clock.now())
    return summary


def store_headlines(connection: psycopg.Connection, headlines: Sequence[Headline]) -> Stored:
    """Store those headlines that are new, each with its story."""
    if not headlines:
        return Stored(0, 0)
    lock_headlines(connection)
    stored = stored_headlines(connection, [one.headline_id for one in headlines])
    # A headline that is stored keeps the time and the story of its first sight, and opens no story again.
    fresh = [one for one in headlines if one.headline_id not in stored]
    seen = [one.first_seen_at for one in headlines]
    around = read_headlines(connection, min(seen) - JOINED_WITHIN - timedelta(microseconds=1), max(seen))
    joined = join_stories(fresh, around)
    new = upsert_headlines(connection, joined)
    return Stored(new, sum(one.story != one.headline_id for one in joined))


def import_news(database: Database, path: Path, *, clock: Clock) -> NewsImport:
    """Store the headlines or the values of the index of a file, all or none.

    Raises:
        InputError: the file cannot be imported; nothing of it was stored.
        UnavailableError: the database cannot be reached; nothing was stored.
    """
    from triplegain_pipelines.market.news.news_files import read_news_file

    found = read_news_file(path)
    seen = [*(one.first_seen_at for one in found.headlines), *(one.first_seen_at for one in found.readings)]
    if seen and max(seen) > clock.now():
        msg = f"{path.name}: it holds news of {max(seen).isoformat()}, which is still to come; remove it"
        raise InputError(msg)
    with database.connection() as connection:
        stored = store_headlines(connection, found.headlines)
        values = upsert_fear_greed(connection, found.readings)
    return NewsImport(
        file=str(path),
        kind=found.kind.value,
        rows=found.rows,
        new=stored.new + values.new,
        joined=stored.joined,
        known=len(found.headlines) - stored.new + values.known,
        left_out=found.left_out,
        repeated=found.repeated,
        contradicting=values.contradicting,
        ignored=found.ignored,
    )


def known_fear_greed(
    connection: psycopg.Connection, session: Session, since: datetime, until: datetime
) -> list[FearGreedReading]:
    """Stored values of the index for the days from `since` on, seen by `until`; a simulated market has none."""
    return [] if session.simulated else read_fear_greed(connection, since, until)


def _tell(database: Database, summary: NewsSummary, at: datetime) -> None:
    """An alert for each source that failed, which ends when it answers again."""
    with database.connection() as connection:
        for one in summary.sources:
            if one.failure is None:
                end_alert(connection, NEWS_ALERT, one.source, at)
            else:
                text = f"no news from {one.source}: {one.failure}"
                raise_alert(connection, NEWS_ALERT, one.source, AlertLevel.INFO, text, at)


def _outcome(name: str, collect: Callable[[], SourceOutcome]) -> SourceOutcome:
    try:
        return collect()
    except UnavailableError:
        raise
    except TransientError as error:
        return SourceOutcome(name, failure=str(error))


def _collect_feed(database: Database, feed: NewsSource, clock: Clock) -> SourceOutcome:
    reading = feed.read(clock)
    with database.connection() as connection:
        stored = store_headlines(connection, reading.headlines)
    return SourceOutcome(feed.name, stored.new, stored.joined, reading.left_out)


def _collect_index(database: Database, index: IndexSource, clock: Clock) -> SourceOutcome:
    readings = index.read(clock)
    with database.connection() as connection:
        return SourceOutcome(index.name, upsert_fear_greed(connection, readings).new)


@cache
def _sources(settings: NewsSettings) -> tuple[tuple[NewsSource, ...], IndexSource | None]:
    """The configured sources. They live as long as the process: they remember what each address answered last."""
    fetcher = Fetcher(timeout_seconds=settings.timeout_seconds, largest_answer_bytes=settings.largest_answer_bytes)
    feeds = tuple(RssSource(feed.name, str(feed.url), fetcher) for feed in settings.feeds)
    url = settings.fear_greed_url
    return feeds, None if url is None else FearGreedIndex(str(url), fetcher)
