"""The headline as it is stored and shown to the sentiment agent. Where headlines come from is not said here."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Headline:
    """A news headline. `first_seen_at` is when *we* saw it, and the only time by which it may be used."""

    headline_id: str
    source: str
    title: str
    published_at: datetime | None
    first_seen_at: datetime
