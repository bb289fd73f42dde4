"""Headlines as agents may see them: known at the time, cleaned, each story once, few and short.

A headline is untrusted text. Cleaning cannot take the meaning out of it; it takes away markup, links and hidden
characters, so that a title stays one short line wherever it is shown.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from triplegain_pipelines.market.headlines import Headline, plain_text

MAXIMUM_HEADLINES = 10
MAXIMUM_AGE = timedelta(hours=24)
MAXIMUM_LENGTH = 160


def clean_title(title: str) -> str:
    """One line of plain text without markup, links and hidden characters, at most 160 characters.

    Feeds are cleaned when they are read; what reaches an agent is cleaned whoever stored it.

    >>> clean_title("<b>Bitcoin</b> falls &amp; rises: [more](https://example.org/x)")
    'Bitcoin falls & rises: more'
    """
    return plain_text(title, MAXIMUM_LENGTH)


def known_headlines(headlines: Iterable[Headline], as_of: datetime) -> list[Headline]:
    """The newest headlines that we had seen by `as_of` and within the day before it, newest first, titles cleaned.

    A story that several sources carry counts once, as it was first seen: one that was first seen more than a day ago
    is old news, whoever repeats it now. Titles that are the same are one story, whatever else is said of them.
    """
    known = [one for one in headlines if as_of - MAXIMUM_AGE < one.first_seen_at <= as_of]
    opened = {one.headline_id for one in known}
    stories: set[str] = set()
    titles: set[str] = set()
    found: list[Headline] = []
    for one in sorted(known, key=lambda one: (one.first_seen_at, one.headline_id)):
        title = clean_title(one.title)
        if not title or one.story not in opened or one.story in stories or title.casefold() in titles:
            continue
        stories.add(one.story)
        titles.add(title.casefold())
        found.append(replace(one, source=clean_title(one.source), title=title))
    return found[::-1][:MAXIMUM_HEADLINES]
