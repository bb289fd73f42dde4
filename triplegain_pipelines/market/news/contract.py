"""What every source of news is to the rest: a name, and a reading of what it says now."""

from dataclasses import dataclass
from typing import Protocol

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading


@dataclass(frozen=True, slots=True)
class NewsReading:
    """The headlines of one reading, and how many entries were left out: without a title, or beyond the most we take."""

    headlines: tuple[Headline, ...]
    left_out: int


class NewsSource(Protocol):
    """A source of headlines."""

    name: str

    def read(self, clock: Clock) -> NewsReading:
        """What it says now. `first_seen_at` is the moment its answer had arrived.

        Raises:
            TransientError: there was no answer, or it is not a feed. That is never to be read as 'no news'.
        """
        ...


class IndexSource(Protocol):
    """A source of the fear-and-greed index."""

    name: str

    def read(self, clock: Clock) -> tuple[FearGreedReading, ...]:
        """What it says now, never empty.

        Raises:
            TransientError: there was no answer, or it is not the index.
        """
        ...
