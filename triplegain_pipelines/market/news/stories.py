"""Which headlines tell the same story.

A story is opened by its first headline and takes, for 48 hours from then, what has the link of one of its headlines or
a title much like the first one's. Titles are compared with the first only: likeness is not handed on, so that a chain
of daily columns does not become one story for ever. Headlines are taken in order of first sight, so the groups depend
on the headlines alone, not on the order in which they are given or on how many came at once.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl, urlencode, urlsplit

from triplegain_pipelines.market.headlines import Headline

JOINED_WITHIN = timedelta(hours=48)
LEAST_LIKENESS = 0.7
"""Of the pairs of neighbouring words that occur in either title, how many must occur in both.

A prefix like 'Breaking:' or a publisher's name at the end stays above it; one other word in the middle of a title of up
to twelve words ('approves', 'rejects') does not.
"""

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_TRACKING = re.compile(r"utm_.*|(?:fb|g|ms|y|tw|dc)clid|mc_[ce]id|igshid|ref|ref_src|cmp|cmpid|ncid|source|rss|via")

Pairs = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Opening:
    """What later headlines are compared with."""

    at: datetime
    pairs: Pairs
    numbers: frozenset[str]


class _Stories:
    """The stories found so far."""

    def __init__(self) -> None:
        self._opened: dict[str, _Opening] = {}
        self._by_link: dict[str, set[str]] = defaultdict(set)
        self._by_pair: dict[tuple[str, ...], set[str]] = defaultdict(set)

    def find(self, headline: Headline) -> str | None:
        """The oldest story that `headline` belongs to."""
        words = title_words(headline.title)
        pairs, numbers = word_pairs(words), _numbers(words)
        linked = self._by_link.get(canonical_link(headline.link) or "", set())
        likely = {story for pair in pairs for story in self._by_pair.get(pair, ())}
        found = []
        for story in linked | likely:
            opening = self._opened[story]
            alike = opening.numbers == numbers and likeness(opening.pairs, pairs) >= LEAST_LIKENESS
            if (story in linked or alike) and headline.first_seen_at - opening.at <= JOINED_WITHIN:
                found.append((opening.at, story))
        return min(found)[1] if found else None

    def add(self, headline: Headline) -> None:
        """Open the story of `headline`, or let the story know of its link too."""
        story = headline.story
        if story == headline.headline_id:
            words = title_words(headline.title)
            self._opened[story] = _Opening(headline.first_seen_at, word_pairs(words), _numbers(words))
            for pair in self._opened[story].pairs:
                self._by_pair[pair].add(story)
        link = canonical_link(headline.link)
        # A story whose opening is not known here is too old to take anything.
        if link and story in self._opened:
            self._by_link[link].add(story)


def join_stories(headlines: Iterable[Headline], known: Iterable[Headline] = ()) -> list[Headline]:
    """`headlines` with their stories, in order of first sight.

    Args:
        headlines: new ones, each id once.
        known: those stored in the 48 hours before them or later. They keep the stories that they have.
    """
    stories = _Stories()
    stored = list(known)
    kept = {one.headline_id for one in stored}
    joined = []
    for one in sorted([*stored, *headlines], key=lambda one: (one.first_seen_at, one.headline_id)):
        placed = one
        if one.headline_id not in kept:
            placed = replace(one, story_id=stories.find(one) or one.headline_id)
            joined.append(placed)
        stories.add(placed)
    return joined


def title_words(title: str) -> tuple[str, ...]:
    """Words and numbers of a title, without case, signs and thousands separators.

    >>> title_words("Bitcoin's price: $70,000!")
    ('bitcoin', 's', 'price', '70000')
    """
    text = unicodedata.normalize("NFKC", title).casefold()
    return tuple(word.replace(",", "") for word in _WORD.findall(text)) or (text,)


def word_pairs(words: tuple[str, ...]) -> Pairs:
    """Neighbouring words; a single word stands for itself."""
    return frozenset(pairwise(words)) or frozenset({words})


def likeness(one: Pairs, other: Pairs) -> float:
    """Jaccard's index of two sets, from 0 to 1."""
    return len(one & other) / len(one | other)


def canonical_link(link: str | None) -> str | None:
    """The part of a link that names the article: without scheme, `www.`, fragment and tracking parameters.

    None for a front page, which many entries of a careless feed share.

    >>> canonical_link("https://www.Example.org/a/?utm_source=rss&id=7#top")
    'example.org/a?id=7'
    """
    if not link:
        return None
    parts = urlsplit(link)
    query = sorted(
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0].lower())
    )
    path = parts.path.rstrip("/")
    if not path and not query:
        return None
    return f"{(parts.hostname or '').removeprefix('www.')}{path}{'?' + urlencode(query) if query else ''}"


def _numbers(words: tuple[str, ...]) -> frozenset[str]:
    """Titles that differ in a number, a price or a date, are news of their own."""
    return frozenset(word for word in words if word[0].isdigit())
