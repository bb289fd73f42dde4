"""The headline as it is stored and shown to the sentiment agent, and how text and links of strangers become plain.

Where headlines come from is said in `market.news`; which of them an agent may see is said in `agents.headlines`.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from triplegain_pipelines.domain.canonical import content_hash

LONGEST_TITLE = 300
LONGEST_LINK = 2000

_RAW_LENGTH = 1000
# Signs that count as printable and show nothing: fillers, joiners, and the selectors of variants, in which a whole
# text can be hidden from people that a language model reads.
_HIDDEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Headline:
    """A news headline. `first_seen_at` is when *we* saw it, and the only time by which it may be used.

    `published_at` is what the publisher says, kept as it came. `link` is data and never followed. `story_id` is the
    `headline_id` of the first headline of the same story. `first_seen_assumed` is true where the time of publication
    stands in for the moment nobody recorded: imported archives.
    """

    headline_id: str
    source: str
    title: str
    published_at: datetime | None
    first_seen_at: datetime
    link: str | None = None
    story_id: str | None = None
    first_seen_assumed: bool = False

    @property
    def story(self) -> str:
        """The story it belongs to; its own where it was never compared with others."""
        return self.story_id or self.headline_id


def headline_identity(source: str, reference: str | None, title: str) -> str:
    """The id of a headline: the same source, link (or entry id) and title are the same headline, whenever it is seen.

    A title that its publisher edits is another headline, of the same story.
    """
    return content_hash(["headline", source, reference, title])[:32]


def plain_text(text: str, limit: int) -> str:
    """One line of plain text without markup, links and hidden characters, at most `limit` characters.

    Entities are decoded once, so that text about markup stays text about markup.

    >>> plain_text("<b>Bitcoin</b> falls &amp; rises: [more](https://example.org/x)", 100)
    'Bitcoin falls & rises: more'
    """
    text = _HIDDEN.sub("", unicodedata.normalize("NFKC", html.unescape(text[:_RAW_LENGTH]))[:_RAW_LENGTH])
    # What cannot be printed: controls, direction marks, zero-width characters, which also hide links.
    text = "".join(" " if mark.isspace() else mark for mark in text if mark.isspace() or mark.isprintable())
    text = _MARKDOWN_LINK.sub(r"\1", _TAG.sub(" ", text))
    words = re.sub(r"[<>`]", " ", text).split()
    return " ".join(word for word in words if not _LINK.search(word))[:limit].rstrip()


def web_link(text: str | None) -> str | None:
    """`text` where it is a plain http or https address, else None. One that is too long is no link, not half of one.

    >>> web_link("javascript:alert(1)") is None
    True
    """
    text = (text or "").strip()
    if not text or len(text) > LONGEST_LINK or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return None
    return text if known else None
