"""Stories: what belongs together, what does not, and that the order of arrival decides nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.stories import (
    JOINED_WITHIN,
    canonical_link,
    join_stories,
    likeness,
    title_words,
    word_pairs,
)

pytestmark = pytest.mark.unit

START = datetime(2024, 8, 5, tzinfo=UTC)


def headline(name: str, title: str, *, hours: float = 0, link: str | None = None) -> Headline:
    return Headline(name, "coin_post", title, None, START + timedelta(hours=hours), link)


def stories(*headlines: Headline) -> dict[str, str]:
    return {one.headline_id: one.story for one in join_stories(headlines)}


# What belongs together -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SEC approves spot Bitcoin ETF", "BREAKING: SEC approves spot Bitcoin ETF"),
        ("SEC approves spot Bitcoin ETF today", "SEC approves spot bitcoin ETF today - CoinDesk"),
        ("Bitcoin tops $70,000 again", "Bitcoin tops $70000 again!"),
        ("What\u2019s next for Ether?", "What's next for Ether"),
        ("\u6bd4\u7279\u5e01\u4e0a\u6da8", "\u6bd4\u7279\u5e01\u4e0a\u6da8"),
        ("\U0001f680\U0001f680", "\U0001f680\U0001f680"),
    ],
)
def test_copies_are_one_story(one: str, other: str) -> None:
    """M6: a story that many sites copy must not count as many."""
    assert stories(headline("a", one), headline("b", other, hours=1)) == {"a": "a", "b": "a"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SEC approves spot Bitcoin ETF after a long delay", "SEC rejects spot Bitcoin ETF after a long delay"),
        ("Bitcoin rises above $70,000", "Bitcoin falls below $70,000"),
        ("Bitcoin price analysis for the week of 3 March", "Bitcoin price analysis for the week of 4 March"),
        (
            "Bitcoin closes the week at $70,000 while many traders wait for the Fed to speak",
            "Bitcoin closes the week at $17,000 while many traders wait for the Fed to speak",
        ),
        ("Why is Bitcoin price up today?", "Why is Dogecoin price up today?"),
        ("\U0001f680", "\U0001f4c9"),
        ("Bitcoin", "Ether"),
    ],
)
def test_other_news_is_another_story(one: str, other: str) -> None:
    """M6: joining opposite news would hide the second, which is worse than counting one twice."""
    assert stories(headline("a", one), headline("b", other, hours=1)) == {"a": "a", "b": "b"}


def test_the_same_article_is_one_story_whatever_its_title() -> None:
    """M6: a publisher that edits a title does not make news of it, nor does a feed that adds tracking to the link."""
    assert stories(
        headline("a", "Exchange halts withdrawals", link="https://coin.example/halt?utm_source=rss"),
        headline("b", "Update: money is safe, says the firm", hours=1, link="http://www.coin.example/halt/"),
        headline("c", "Exchange halts withdrawals", hours=2, link="https://other.example/copy"),
        headline("d", "Something else altogether", hours=3, link="https://other.example/copy#top"),
    ) == dict.fromkeys("abcd", "a")


def test_a_front_page_is_no_article() -> None:
    """M6: a careless feed gives every entry the same link; its news must not become one story."""
    assert canonical_link("https://www.coin.example/?utm_medium=x") is None
    same = "https://coin.example/"
    assert stories(headline("a", "Bitcoin up", link=same), headline("b", "Ether down", hours=1, link=same)) == {
        "a": "a",
        "b": "b",
    }


@pytest.mark.parametrize(
    ("link", "canonical"),
    [
        ("https://WWW.Coin.example:443/A/?b=2&a=1&UTM_Campaign=x&fbclid=y#z", "coin.example/A?a=1&b=2"),
        ("http://coin.example/?p=17", "coin.example?p=17"),
        (None, None),
    ],
)
def test_canonical_links(link: str | None, canonical: str | None) -> None:
    """M6: what tracks a reader is no part of an article's name; what chooses the article is."""
    assert canonical_link(link) == canonical


def test_a_story_ends_after_two_days_and_is_not_handed_on() -> None:
    """M6: a column with the same title each day would else be one story for ever, and never news again."""
    daily = [
        headline(name, "Here is what happened in crypto today", hours=24 * day) for day, name in enumerate("abcdef")
    ]
    assert stories(*daily) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "d"}
    late = headline("z", "Here is what happened in crypto today", hours=48.001)
    assert stories(daily[0], late)["z"] == "z"
    # Like b, which is like a, but not like a itself.
    chain = (
        headline("a", "one two three four five six seven eight"),
        headline("b", "one two three four five six seven eight nine", hours=1),
        headline("c", "three four five six seven eight nine ten", hours=2),
        headline("d", "two three four five six seven eight nine ten", hours=3),
    )
    assert stories(*chain)["b"] == "a"
    assert stories(*chain)["d"] != "a"


def test_what_is_stored_keeps_its_story() -> None:
    """Rule 7: a later headline may join a story and never rewrites one."""
    first = headline("m", "SEC approves spot Bitcoin ETF", hours=1)
    known = join_stories([first])
    earlier = headline("a", "SEC approves spot Bitcoin ETF", hours=0)
    later = headline("b", "SEC approves spot Bitcoin ETF", hours=2)
    joined = join_stories([later, earlier], known)
    assert [one.headline_id for one in joined] == ["a", "b"]
    assert {one.headline_id: one.story for one in joined} == {"a": "a", "b": "a"}
    member_without_its_opening = Headline("n", "x", first.title, None, START, None, "long gone")
    assert join_stories([later], [member_without_its_opening])[0].story == "b"


# Laws ------------------------------------------------------------------------------------------

_VOCABULARY = ("bitcoin", "ether", "rises", "falls", "above", "below", "70,000", "3", "etf", "sec")
_WORDS = st.lists(st.sampled_from(_VOCABULARY), min_size=1, max_size=7)
_LINKS = st.none() | st.sampled_from([f"https://coin.example/{number}" for number in range(4)])
_SEEN = st.integers(0, 100)
_HEADLINES = st.lists(st.tuples(_WORDS, _LINKS, _SEEN), max_size=14).map(
    lambda rows: [
        headline(f"{number:02}", " ".join(words), hours=hours, link=link)
        for number, (words, link, hours) in enumerate(rows)
    ]
)


@given(_HEADLINES.flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))))
def test_the_order_given_decides_nothing(both: tuple[list[Headline], list[Headline]]) -> None:
    """M6, D1: the same headlines in any order are the same stories."""
    made, shuffled = both
    assert join_stories(made) == join_stories(shuffled)


@given(_HEADLINES, st.integers(0, 100))
def test_stories_do_not_depend_on_how_often_feeds_are_read(made: list[Headline], cut: int) -> None:
    """M6: read every five minutes or once a day, the same first sights make the same stories."""
    moment = START + timedelta(hours=cut)
    earlier = join_stories(one for one in made if one.first_seen_at < moment)
    recent = [one for one in earlier if one.first_seen_at >= moment - JOINED_WITHIN]
    later = join_stories([one for one in made if one.first_seen_at >= moment], recent)
    assert earlier + later == join_stories(made)


@given(_HEADLINES)
def test_a_story_is_named_by_its_first_headline(made: list[Headline]) -> None:
    """M6: the first sighting counts, so every story must have one, not later and at most two days before."""
    joined = {one.headline_id: one for one in join_stories(made)}
    assert set(joined) == {one.headline_id for one in made}
    for one in joined.values():
        opening = joined[one.story]
        assert opening.story == opening.headline_id
        assert timedelta(0) <= one.first_seen_at - opening.first_seen_at <= JOINED_WITHIN


@given(_WORDS, _WORDS)
def test_likeness_is_even_and_bounded(one: list[str], other: list[str]) -> None:
    """M6: being alike has no direction, and only the same is wholly alike."""
    pairs, others = (word_pairs(title_words(" ".join(words))) for words in (one, other))
    assert likeness(pairs, others) == likeness(others, pairs)
    assert 0 <= likeness(pairs, others) <= 1
    assert likeness(pairs, pairs) == 1
