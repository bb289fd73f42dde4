"""`config/news.yaml`: where headlines and the fear-and-greed index come from."""

from typing import Self

from pydantic import Field, HttpUrl, model_validator

from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.settings.section import Section


class RssFeed(Section):
    """An RSS or Atom feed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    url: HttpUrl


class NewsSettings(Section):
    """Feeds of headlines and the address of the fear-and-greed index, how long to wait and how much to read of each.

    No feeds, or no address of the index, turn them off.
    """

    feeds: tuple[RssFeed, ...]
    fear_greed_url: HttpUrl | None
    timeout_seconds: float = Field(gt=0)
    largest_answer_bytes: int = Field(gt=0)

    @model_validator(mode="after")
    def _tell_feeds_apart(self) -> Self:
        names = [feed.name for feed in self.feeds]
        if len(set(names)) < len(names) or any(name.startswith(SIMULATED_VENUE) for name in names):
            msg = f"every feed needs a name of its own that does not begin with {SIMULATED_VENUE!r}"
            raise ValueError(msg)
        return self
