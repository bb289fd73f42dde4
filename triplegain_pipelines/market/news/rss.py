"""RSS and Atom feeds. feedparser reads bytes that we fetched; what a feed is and what its text may be is said here."""

import codecs
import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from time import struct_time
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate  # what opens files or addresses in it is off, and stays off

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.market.headlines import LONGEST_TITLE, Headline, headline_identity, plain_text, web_link
from triplegain_pipelines.market.news.contract import NewsReading
from triplegain_pipelines.market.news.fetch import Answer, Fetcher

MAXIMUM_ENTRIES = 200
"""The most entries of one reading that are taken, from the top, so that no feed can flood the others."""

_LARGEST_BROKEN = 256 * 1024
_ROOTS = frozenset({"rss", "feed", "rdf"})
_SHOWN = 60
_PROLOGUE = (("<?", "?>"), ("<!--", "-->"), ("<!doctype", ">"))
_VISIBLE = re.compile(r"\S")
_NAME = re.compile(r"<([A-Za-z][\w.:-]{0,40})")


class RssSource:
    """One feed."""

    def __init__(self, name: str, url: str, fetcher: Fetcher) -> None:
        self.name = name
        self._url = url
        self._fetcher = fetcher

    def read(self, clock: Clock) -> NewsReading:
        """The feed's headlines, first seen now.

        Raises:
            TransientError: the feed did not answer, or what answered is not a feed.
        """
        answer = self._fetcher.get(self.name, self._url)
        return parse_feed(self.name, answer, clock.now())


def parse_feed(name: str, answer: Answer, seen_at: datetime) -> NewsReading:
    """The headlines of a feed, in its order, each once.

    Raises:
        TransientError: the body is not a whole RSS or Atom feed: a block page, a cut-off answer, anything else.
    """
    _require_feed(name, answer)
    entries = _entries(name, answer)
    found: dict[str, Headline] = {}
    untitled = 0
    for entry in islice(entries, MAXIMUM_ENTRIES):
        headline = _headline(name, entry, seen_at)
        if headline is None:
            untitled += 1
        else:
            found.setdefault(headline.headline_id, headline)
    return NewsReading(tuple(found.values()), untitled + max(0, len(entries) - MAXIMUM_ENTRIES))


def _require_feed(name: str, answer: Answer) -> None:
    """The body decides, not the content type: publishers send feeds as HTML and block pages as XML."""
    text = _readable(answer.body)
    root = _root(text)
    if root is None or root.rpartition(":")[2].lower() not in _ROOTS:
        shown = f"<{root}> document" if root else "text without a feed's root element"
        kind = plain_text(answer.content_type, _SHOWN) or "no content type"
        msg = f"{name}: the answer is not a feed but a {shown} ({kind}); the site may block us or have moved its feed"
        raise TransientError(msg)
    if not re.search(rf"</{re.escape(root)}\s*>", text):
        msg = f"{name}: the feed is cut off before the end of <{root}>; it is asked again the next time"
        raise TransientError(msg)
    if len(answer.body) > _LARGEST_BROKEN and not _well_formed(answer.body):
        msg = (
            f"{name}: the feed is broken XML of more than {_LARGEST_BROKEN} bytes; tell its publisher, or leave it out"
        )
        raise TransientError(msg)


def _well_formed(body: bytes) -> bool:
    """Whether the body is XML. What is not, feedparser reads with patience: in a time that grows with its square."""
    parser = ParserCreate(namespace_separator=" ")
    try:
        parser.Parse(body, True)  # noqa: FBT003 - it takes no name
    except (ExpatError, ValueError, LookupError):
        return False
    return True


def _root(text: str) -> str | None:
    """The name of the root element: what comes first after declarations, comments and the document type.

    None where there is no element, or where the document type declares entities: no feed needs its own, and they are
    how a small file becomes a huge one, or another file.
    """
    place = 0
    while True:
        visible = _VISIBLE.search(text, place)
        if visible is None:
            return None
        place = visible.start()
        head = text[place : place + 10].lower()
        for opens, closes in _PROLOGUE:
            if head.startswith(opens):
                end = text.find(closes, place)
                if end < 0 or (opens == "<!doctype" and "[" in text[place:end]):
                    return None
                place = end + len(closes)
                break
        else:
            found = _NAME.match(text, place)
            return found[1] if found else None


def _readable(body: bytes) -> str:
    """The body as text in which markup can be found, whatever its encoding."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    return body.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def _entries(name: str, answer: Answer) -> list[Mapping[str, Any]]:
    import feedparser  # type: ignore[import-untyped]

    try:
        # Never the bytes themselves: feedparser would take them for the name of a file, or for an address.
        parsed = feedparser.parse(
            BytesIO(answer.body),
            response_headers={"content-type": answer.content_type},
            resolve_relative_uris=False,
            # It takes minutes over what strangers can write into 2 MB, and a title is made plain by us anyway.
            sanitize_html=False,
        )
    # Whatever a stranger's file does to the parser, the other feeds go on.
    except Exception as error:
        msg = f"{name}: the feed cannot be parsed ({type(error).__name__}: {plain_text(str(error), 100)})"
        raise TransientError(msg) from error
    if not parsed.get("version"):
        msg = f"{name}: the answer looks like a feed and is none that can be read; open its address in a browser"
        raise TransientError(msg)
    entries: list[Mapping[str, Any]] = parsed.entries
    return entries


def _headline(name: str, entry: Mapping[str, Any], seen_at: datetime) -> Headline | None:
    title = plain_text(str(entry.get("title") or ""), LONGEST_TITLE)
    if not title:
        return None
    link = web_link(entry.get("link"))
    reference = link or str(entry.get("id") or "") or None
    return Headline(
        headline_id=headline_identity(name, reference, title),
        source=name,
        title=title,
        published_at=_published(entry),
        first_seen_at=seen_at,
        link=link,
    )


def _published(entry: Mapping[str, Any]) -> datetime | None:
    """What the publisher says, however odd, if it is a time at all."""
    name = "published_parsed" if "published_parsed" in entry else "updated_parsed"
    parsed: struct_time | None = entry[name] if name in entry else None  # noqa: SIM401 - `get` mixes up the two names
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC) if parsed else None
    except (ValueError, OverflowError, OSError):
        return None
