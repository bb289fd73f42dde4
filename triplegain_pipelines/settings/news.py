"""`config/news.yaml`: where headlines and the fear-and-greed index come from."""

from pydantic import Field, HttpUrl

from triplegain_pipelines.settings.section import Section


class RssFeed(Section):
    """An RSS or Atom feed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    url: HttpUrl


class NewsSettings(Section):
    """Feeds of headlines and the address of the fear-and-greed index, how long to wait and how much to read of each."""

    feeds: tuple[RssFeed, ...]
    fear_greed_url: HttpUrl
    timeout_seconds: float = Field(gt=0)
    largest_answer_bytes: int = Field(gt=0)
