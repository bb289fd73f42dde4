"""News over real HTTP into a real database: what a publisher can do to us, and what it cannot."""

import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import psycopg
import pytest
from news_feeds import BLOCK_PAGE, index, rss
from news_server import NewsServer, Page

from triplegain_pipelines.domain.clock import ReplayClock, monotonic_seconds
from triplegain_pipelines.domain.errors import InputError, TransientError, UnavailableError
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading, newest_known
from triplegain_pipelines.market.news.fetch import MAXIMUM_REDIRECTS, Fetcher
from triplegain_pipelines.operations.feed import StoredFeed, choose_feed, known_headlines
from triplegain_pipelines.operations.news import (
    collect_news,
    gather_news,
    import_news,
    known_fear_greed,
    store_headlines,
)
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.settings.news import NewsSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.fear_greed import newest_fear_greed, read_fear_greed, upsert_fear_greed
from triplegain_pipelines.store.headlines import read_headlines, upsert_headlines

pytestmark = pytest.mark.integration

NOW = datetime(2024, 8, 5, 11, tzinfo=UTC)
DAY = datetime(2024, 8, 5, tzinfo=UTC)
SECONDS = int(DAY.timestamp())


@pytest.fixture
def server() -> Iterator[NewsServer]:
    with NewsServer() as running:
        yield running


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(NOW)


def fetcher(timeout: float = 5.0, largest: int = 10_000) -> Fetcher:
    return Fetcher(timeout_seconds=timeout, largest_answer_bytes=largest)


def settings_of(server: NewsServer, *feeds: str, index_path: str | None = None) -> NewsSettings:
    return NewsSettings.model_validate(
        {
            "feeds": [{"name": name, "url": server.url(f"/{name}")} for name in feeds],
            "fear_greed_url": index_path and server.url(index_path),
            "timeout_seconds": 1,
            "largest_answer_bytes": 100_000,
        }
    )


def all_headlines(database: Database) -> list[Headline]:
    with database.connection() as connection:
        return read_headlines(connection, NOW - timedelta(days=9999), NOW + timedelta(days=999))


# The fetch -------------------------------------------------------------------------------------


def test_a_request_says_who_asks_and_nothing_else(server: NewsServer) -> None:
    """M6: some publishers refuse clients without a name; compressed answers could be a thousand times larger."""
    server.pages["/feed"] = Page(
        b"hello", content_type="text/xml; charset=utf-8", headers={"Set-Cookie": "a=b; Path=/"}
    )
    asking = fetcher()
    for _ in range(2):
        answer = asking.get("post", server.url("/feed"))
    assert (answer.body, answer.content_type) == (b"hello", "text/xml; charset=utf-8")
    for _, headers in server.requests:
        assert headers["User-Agent"].startswith("TripleGainPipelines")
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization", "Referer"} & set(headers)


def test_unchanged_feeds_are_not_sent_again_and_not_lost(server: NewsServer) -> None:
    """M6: a 304 after a round whose storing failed must not swallow what was read then."""
    server.pages["/feed"] = Page(b"first", headers={"ETag": '"1"', "Last-Modified": "Mon, 05 Aug 2024 10:00:00 GMT"})
    asking = fetcher()
    assert asking.get("post", server.url("/feed")).body == b"first"
    assert asking.get("post", server.url("/feed")).body == b"first"
    assert server.requests[1][1]["If-None-Match"] == '"1"'
    assert server.requests[1][1]["If-Modified-Since"] == "Mon, 05 Aug 2024 10:00:00 GMT"
    server.pages["/feed"] = Page(b"second", headers={"ETag": '"2"'})
    assert asking.get("post", server.url("/feed")).body == b"second"
    server.pages["/other"] = Page(status=304)
    with pytest.raises(TransientError, match="304"):
        asking.get("post", server.url("/other"))


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (Page(status=403), "status 403"),
        (Page(status=429), "status 429"),
        (Page(status=503), "status 503"),
        (Page(b"x" * 10_001), "more than 10000 bytes"),
        (Page(b"x", headers={"Content-Encoding": "gzip"}), "compressed"),
        (Page(b"half", claims=400), "could not be read"),
        (Page(hangs=True), "did not answer within 1 s"),
        (Page(b"x" * 60, drips=True), "did not answer within 1 s"),
        (Page.redirect(""), "not a plain web address"),
        (Page.redirect("file:///etc/passwd"), "not a plain web address"),
        (Page.redirect("http://user:password@127.0.0.1/"), "not a plain web address"),
        (Page.redirect("http://10.0.0.1/feed"), "not a public host"),
        (Page.redirect("http://169.254.169.254/latest/meta-data"), "not a public host"),
        (Page.redirect("http://[::1]/feed"), "not a public host"),
        (Page.redirect("/feed"), f"more than {MAXIMUM_REDIRECTS} times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_that_are_not_taken(server: NewsServer, page: Page, reason: str) -> None:
    """M6: what is too slow, too large, cut off or led astray is an error that names the feed, never no news."""
    server.pages["/feed"] = page
    began = monotonic_seconds()
    with pytest.raises(TransientError, match=reason) as raised:
        fetcher(timeout=1.0).get("coin_post", server.url("/feed"))
    assert str(raised.value).startswith("coin_post: ")
    assert monotonic_seconds() - began < 3


def test_redirects_are_followed_within_reason(server: NewsServer) -> None:
    """M6: feeds move; a redirect by name into our own machine is no move of a feed."""
    server.pages["/feed"] = Page(b"moved", headers={})
    for number in range(MAXIMUM_REDIRECTS):
        target = "/feed" if number == 0 else f"/{number - 1}"
        server.pages[f"/{number}"] = Page(
            status=301, headers={"Location": target, "Set-Cookie": f"tracked={number}; Path=/"}
        )
    # By name: cookies of a host without one are refused by every client.
    named = f"http://localhost:{server.port}/{MAXIMUM_REDIRECTS - 1}"
    assert fetcher().get("post", named).body == b"moved"
    assert len(server.requests) == MAXIMUM_REDIRECTS + 1
    assert all("Cookie" not in headers for _, headers in server.requests)
    server.pages["/inside"] = Page.redirect(f"http://localhost:{server.port}/feed")
    with pytest.raises(TransientError, match="localhost, which is not a public host"):
        fetcher().get("post", server.url("/inside"))


def test_a_name_that_changes_its_address_does_not_lead_inside(
    server: NewsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M6: a stranger's name server says a public address to whoever looks first, and a private one to who connects."""
    server.pages["/feed"] = Page.redirect(f"http://feeds.example:{server.port}/secret")
    server.pages["/secret"] = Page(b"inside")
    real, asked = socket.getaddrinfo, []

    def changing(host: str, *arguments: Any, **named: Any) -> Any:
        if host != "feeds.example":
            return real(host, *arguments, **named)
        asked.append(host)
        return real("8.8.8.8" if len(asked) == 1 else "127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.ThreadedResolver)
    asking = fetcher(timeout=1.0)
    for _ in range(2):
        with pytest.raises(TransientError):
            asking.get("post", server.url("/feed"))
    assert "/secret" not in [path for path, _ in server.requests]


@pytest.mark.parametrize(
    "page",
    [Page(status=403), Page(hangs=True), Page(b"x", claims=9), Page.redirect("ftp://x/"), Page(headers={"A\0": "b"})],
    ids=["refused", "silent", "cut off", "led astray", "not HTTP"],
)
def test_no_key_stands_in_an_error(server: NewsServer, page: Page) -> None:
    """D4: some feeds have their key in the address; errors are stored as alerts, logged, and shown to everybody."""
    server.pages["/feed?token=secret"] = page
    with pytest.raises(TransientError, match=r"post: http://127\.0\.0\.1:\d+/feed ") as raised:
        fetcher(timeout=0.3).get("post", f"http://me:secret@127.0.0.1:{server.port}/feed?token=secret")
    shown = "".join(traceback.format_exception_only(raised.value)) + str(raised.value.__cause__)
    assert "secret" not in shown


def test_nobody_there() -> None:
    """M6: a site that cannot be reached is an error of that feed."""
    with NewsServer() as gone:
        url = gone.url("/feed")
    with pytest.raises(TransientError, match="post"):
        fetcher(timeout=2.0).get("post", url)


# A round ---------------------------------------------------------------------------------------


def test_first_sight_counts(database: Database, server: NewsServer, clock: ReplayClock) -> None:
    """M6: a later sighting, an edited title or a new date changes nothing of what was known when."""
    settings = settings_of(server, "coin")
    server.pages["/coin"] = Page(rss(["SEC approves spot Bitcoin ETF", "Ether falls"]))
    summary = collect_news(database, settings, clock)
    assert [(one.source, one.new, one.joined, one.failure) for one in summary.sources] == [("coin", 2, 0, None)]
    before = all_headlines(database)
    assert {one.first_seen_at for one in before} == {NOW}
    clock.advance_to(NOW + timedelta(hours=1))
    again = collect_news(database, settings, clock)
    assert (again.new, again.failed) == (0, ())
    assert all_headlines(database) == before
    server.pages["/coin"] = Page(rss(["SEC approves nothing of the kind", "Ether falls"]))
    edited = collect_news(database, settings, clock)
    assert (edited.sources[0].new, edited.sources[0].joined) == (1, 1)
    after = all_headlines(database)
    assert after[:2] == before
    assert after[2].first_seen_at == NOW + timedelta(hours=1)
    assert after[2].story in {one.headline_id for one in before}


def test_what_was_seen_long_ago_opens_no_story_again(
    database: Database, server: NewsServer, clock: ReplayClock
) -> None:
    """M6: an entry that stays in its feed for days is old; a new one like it must not be hidden behind it."""
    settings = settings_of(server, "coin")
    titles = ["What traders of Bitcoin fear", "Ether miners move south", "Why Solana stood still", "XRP in court again"]
    server.pages["/coin"] = Page(rss(titles))
    collect_news(database, settings, clock)
    clock.advance_to(NOW + timedelta(days=3))
    server.pages["/coin"] = Page(rss([*titles, *titles]))
    assert (collect_news(database, settings, clock).sources[0].new) == 4
    stored = {one.headline_id: one for one in all_headlines(database)}
    assert len(stored) == 8
    for one in stored.values():
        assert one.first_seen_at - stored[one.story].first_seen_at == timedelta(0)


def test_storing_twice_keeps_the_first_sight(connection: psycopg.Connection) -> None:
    """M6: whatever is stored again, the time and the story of the first sight stay."""
    seen = Headline("a", "coin", "Ether rises", None, NOW, story_id="a")
    assert upsert_headlines(connection, [seen]) == 1
    assert upsert_headlines(connection, [replace(seen, first_seen_at=NOW - timedelta(hours=1), story_id="b")]) == 0
    assert read_headlines(connection, NOW - timedelta(days=1), NOW) == [seen]


def test_copies_of_a_story_are_joined_over_feeds_and_rounds(
    database: Database, server: NewsServer, clock: ReplayClock
) -> None:
    """M6: a story that three feeds carry is one story, opened by the first that had it."""
    settings = settings_of(server, "coin", "chain", "block")
    title = "Large exchange halts all withdrawals"
    server.pages["/coin"] = Page(rss(["Something else happened"], "https://coin.example"))
    server.pages["/chain"] = Page(rss([title], "https://chain.example"))
    server.pages["/block"] = Page(rss([f"BREAKING: {title}"], "https://block.example"))
    summary = collect_news(database, settings, clock)
    assert [(one.new, one.joined) for one in summary.sources] == [(1, 0), (1, 0), (1, 1)]
    clock.advance_to(NOW + timedelta(hours=30))
    server.pages["/coin"] = Page(rss([title], "https://late.example"))
    assert collect_news(database, settings, clock).sources[0].joined == 1
    stored = {(one.source, one.title): one for one in all_headlines(database)}
    opening = stored["chain", title].headline_id
    assert {one.story for key, one in stored.items() if title in key[1]} == {opening}


def test_a_failing_feed_hides_no_other_and_is_not_silent(
    database: Database, server: NewsServer, clock: ReplayClock
) -> None:
    """M6, rule 4: a block page is worth an alert; the feeds after it are read all the same."""
    settings = settings_of(server, "blocked", "slow", "good", "absent", index_path="/index")
    server.pages["/blocked"] = Page(BLOCK_PAGE, content_type="text/html")
    server.pages["/slow"] = Page(hangs=True)
    server.pages["/good"] = Page(rss(["Ether rises", " "]))
    server.pages["/index"] = Page(index(("40", "Fear", SECONDS)), content_type="application/json")
    summary = collect_news(database, settings, clock)
    assert [one.source for one in summary.failed] == ["blocked", "slow", "absent"]
    assert "not a feed but a <html> document" in str(summary.failed[0].failure)
    good, mood = summary.sources[2], summary.sources[4]
    assert (good.new, good.left_out, good.failure) == (1, 1, None)
    assert (mood.source, mood.new) == ("alternative.me", 1)
    server.pages["/index"] = Page(BLOCK_PAGE, content_type="text/html")
    assert collect_news(database, settings, clock).failed[-1].source == "alternative.me"


def test_no_database_is_not_a_failing_feed(
    server: NewsServer, clock: ReplayClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: when nothing can be stored the round fails as a whole, and is offered again the next time."""
    server.pages["/coin"] = Page(rss(["Ether rises"]))
    monkeypatch.setattr("triplegain_pipelines.store.database._WAIT_SECONDS", 0.3)
    nowhere = Database("postgresql://nobody@127.0.0.1:9/none?connect_timeout=1")
    with pytest.raises(UnavailableError):
        collect_news(nowhere, settings_of(server, "coin"), clock)
    nowhere.close()


def test_news_belong_to_their_world(database: Database, server: NewsServer, clock: ReplayClock) -> None:
    """M6, rule 8: a replay or a day that is over must not ask for today's news, and a simulated market has its own."""
    server.pages["/coin"] = Page(rss(["Ether rises"]))
    server.pages["/index"] = Page(index(("40", "Fear", SECONDS)), content_type="application/json")
    configured = load_settings(Environment(profile="demo"))
    configured = configured.model_copy(update={"news": settings_of(server, "coin", index_path="/index")})
    live = Session("paper", "kraken", ("BTC/USDT",), replay=False, settings=configured, clock=clock)
    day = DAY, DAY + timedelta(days=1)
    assert gather_news(database, replace(live, replay=True), StoredFeed(), *day).sources == ()
    assert gather_news(database, live, StoredFeed(), DAY - timedelta(days=1), DAY).sources == ()
    assert server.requests == []
    simulated = replace(live, venue="simulated")
    feed = choose_feed(simulated)
    begins = datetime.combine(configured.profile.simulator.starts_on, time(), UTC)
    week = begins, begins + timedelta(days=7)
    assert gather_news(database, simulated, feed, *week).new == len(feed.headlines(*week)) > 0
    assert server.requests == []
    assert gather_news(database, live, StoredFeed(), *day).new == 2
    since = DAY - timedelta(days=1)
    with database.connection() as connection:
        assert [one.title for one in known_headlines(connection, live, since, NOW)] == ["Ether rises"]
        assert {one.source for one in known_headlines(connection, simulated, since, max(week))} == {"simulated"}
        assert [one.score for one in known_fear_greed(connection, live, since, NOW)] == [40]
        assert known_fear_greed(connection, simulated, since, NOW) == []


# The index -------------------------------------------------------------------------------------


def value(day: int, score: int, seen_hours: float, *, assumed: bool = False) -> FearGreedReading:
    published_at = DAY + timedelta(days=day)
    seen_at = published_at + timedelta(hours=seen_hours)
    return FearGreedReading("alternative.me", published_at, score, "fear", seen_at, assumed)


def test_a_changed_value_is_a_new_row(connection: psycopg.Connection) -> None:
    """M6, rule 7: what a decision knew of the index must stay what it knew."""
    assert upsert_fear_greed(connection, [value(0, 40, 5)]).new == 1
    assert upsert_fear_greed(connection, [value(0, 40, 6)]).known == 1
    assert upsert_fear_greed(connection, [value(0, 44, 7)]).new == 1
    assert upsert_fear_greed(connection, [value(0, 40, 8)]).new == 1
    assert upsert_fear_greed(connection, []).new == 0
    stored = read_fear_greed(connection, DAY, DAY + timedelta(days=1))
    assert stored == [value(0, 40, 5), value(0, 44, 7), value(0, 40, 8)]
    for hours in (0, 5, 6.5, 7, 7.5, 8, 40):
        as_of = DAY + timedelta(hours=hours)
        assert newest_fear_greed(connection, as_of) == newest_known(stored, as_of, timedelta(days=9))


def test_an_archive_never_changes_what_was_seen(connection: psycopg.Connection) -> None:
    """M6: an imported value would be known from midnight on, before the true one was seen."""
    upsert_fear_greed(connection, [value(0, 40, 5)])
    count = upsert_fear_greed(
        connection, [value(0, 40, 0, assumed=True), value(1, 50, 0, assumed=True), value(0, 41, 0, assumed=True)]
    )
    assert (count.new, count.known, count.contradicting) == (1, 1, 1)
    assert newest_fear_greed(connection, DAY + timedelta(hours=4)) is None
    newest = newest_fear_greed(connection, DAY + timedelta(days=1))
    assert newest is not None
    assert (newest.score, newest.first_seen_assumed) == (50, True)


# Files -----------------------------------------------------------------------------------------


@pytest.mark.no_cover
def test_the_recorded_files_import_once(database: Database, recorded_data: Path, clock: ReplayClock) -> None:
    """Issue 3, hold point 1: every row of the recorded news is stored or counted, and a second import adds none."""
    clock.advance_to(datetime(2026, 1, 1, tzinfo=UTC))
    for name, new in (
        ("cryptonews_2021-10_2022-07.parquet", 7496),
        ("crypto_news_sentiment_2024-03_2024-05.parquet", 834),
        ("fear_greed_index_2018-02_2025-06.csv", 2703),
    ):
        place = recorded_data / "news" / name
        first = import_news(database, place, clock=clock)
        assert first.new == new
        assert first.rows == first.new + first.left_out + first.repeated
        again = import_news(database, place, clock=clock)
        assert (again.new, again.known, again.contradicting) == (0, new, 0)
    assert all(one.first_seen_assumed for one in all_headlines(database))


def test_news_of_the_future_is_refused(database: Database, tmp_path: Path, clock: ReplayClock) -> None:
    """M6: a file with a wrong date would be unknown until then and known ever after."""
    place = tmp_path / "news.parquet"
    moments = [NOW - timedelta(days=1), NOW + timedelta(minutes=1)]
    pl.DataFrame({"time": moments, "headline": ["was", "will be"]}).write_parquet(place)
    with pytest.raises(InputError, match="still to come"):
        import_news(database, place, clock=clock)
    assert all_headlines(database) == []


def test_an_archive_does_not_rewrite_stories(database: Database) -> None:
    """Rule 7: an older headline that is imported later opens its own story; what is stored stays as it is."""
    seen = Headline("later", "coin", "SEC approves spot Bitcoin ETF", None, NOW)
    old = Headline("older", "archive", seen.title, NOW, NOW - timedelta(hours=1), first_seen_assumed=True)
    with database.connection() as connection:
        store_headlines(connection, [seen])
        store_headlines(connection, [old])
    assert {one.headline_id: one.story_id for one in all_headlines(database)} == {"later": "later", "older": "older"}
