"""Headlines as agents may see them: known at the time, cleaned, once each, few and short.

A headline is untrusted text. Cleaning cannot take the meaning out of it; it takes away markup, links and hidden
characters, so that a title stays one short line wherever it is shown.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta

from triplegain_pipelines.market.headlines import Headline

MAXIMUM_HEADLINES = 10
MAXIMUM_AGE = timedelta(hours=24)
MAXIMUM_LENGTH = 160

_RAW_LENGTH = 1000
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)


def clean_title(title: str) -> str:
    """One line of plain text without markup, links and hidden characters, at most 160 characters.

    >>> clean_title("<b>Bitcoin</b> falls &amp; rises: [more](https://example.org/x)")
    'Bitcoin falls & rises: more'
    """
    text = unicodedata.normalize("NFKC", html.unescape(title[:_RAW_LENGTH]))[:_RAW_LENGTH]
    # What cannot be printed: controls, direction marks, zero-width characters, which also hide links.
    text = "".join(" " if mark.isspace() else mark for mark in text if mark.isspace() or mark.isprintable())
    text = _MARKDOWN_LINK.sub(r"\1", _TAG.sub(" ", text))
    words = re.sub(r"[<>`]", " ", text).split()
    return " ".join(word for word in words if not _LINK.search(word))[:MAXIMUM_LENGTH].rstrip()


def known_headlines(headlines: Iterable[Headline], as_of: datetime) -> list[Headline]:
    """The newest headlines that we had seen by `as_of` and within the day before it, newest first, titles cleaned.

    A story that several sources carry counts once, as it was first seen.
    """
    known = [one for one in headlines if as_of - MAXIMUM_AGE < one.first_seen_at <= as_of]
    stories: dict[str, Headline] = {}
    for one in sorted(known, key=lambda one: (one.first_seen_at, one.headline_id)):
        title = clean_title(one.title)
        if title:
            stories.setdefault(
                title.casefold(),
                Headline(one.headline_id, clean_title(one.source), title, one.published_at, one.first_seen_at),
            )
    return list(stories.values())[::-1][:MAXIMUM_HEADLINES]
