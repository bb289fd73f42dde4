"""The fear-and-greed index: 0 is extreme fear, 100 extreme greed, one value for each UTC day."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.market.headlines import plain_text
from triplegain_pipelines.market.news.fetch import Answer, Fetcher

SOURCE = "alternative.me"
FIRST_DAY = datetime(2018, 2, 1, tzinfo=UTC)
HIGHEST = 100
NOT_STATED = "not stated"
"""The classification where a source gives the number only."""

_CLASSIFICATIONS = frozenset({"extreme fear", "fear", "neutral", "greed", "extreme greed"})
_SHOWN = 60
_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FearGreedReading:
    """The index of the day that begins at `published_at`, from 0 to 100, and when *we* first saw this value.

    `first_seen_assumed` is true where the day itself stands in for that moment: imported archives.
    """

    source: str
    published_at: datetime
    score: int
    classification: str
    first_seen_at: datetime
    first_seen_assumed: bool = False


class FearGreedIndex:
    """The index of alternative.me."""

    name = SOURCE

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url
        self._fetcher = fetcher

    def read(self, clock: Clock) -> tuple[FearGreedReading, ...]:
        """The values that it gives, first seen now.

        Raises:
            TransientError: it did not answer, or what answered is not the index.
        """
        return parse_index(self._fetcher.get(self.name, self._url), clock.now())


def parse_index(answer: Answer, seen_at: datetime) -> tuple[FearGreedReading, ...]:
    """The readings in an answer of alternative.me, all or none.

    Raises:
        TransientError: the answer is not the index, holds no value, or one that cannot be.
    """
    try:
        document = json.loads(answer.body)
        error = document["metadata"]["error"]
        rows = document["data"]
    except (ValueError, RecursionError, KeyError, TypeError) as failure:
        kind = plain_text(answer.content_type, _SHOWN) or "no content type"
        msg = f"{SOURCE}: the answer is not the fear-and-greed index ({kind})"
        raise TransientError(msg) from failure
    if error is not None or not isinstance(rows, list) or not rows:
        msg = f"{SOURCE}: the fear-and-greed index reports an error or holds no value; it is asked again the next time"
        raise TransientError(msg)
    readings = tuple(_reading(row, seen_at) for row in rows)
    if len({one.published_at for one in readings}) < len({(one.published_at, one.score) for one in readings}):
        msg = f"{SOURCE}: the fear-and-greed index gives two values for one day; it is asked again the next time"
        raise TransientError(msg)
    return readings


def newest_known(
    readings: Iterable[FearGreedReading], as_of: datetime, maximum_age: timedelta
) -> FearGreedReading | None:
    """The newest day's value that we had seen by `as_of`, None where there is none of the last `maximum_age`.

    A day has the value that was seen last: it is sometimes corrected.
    """
    known = [one for one in readings if one.first_seen_at <= as_of and as_of - maximum_age <= one.published_at <= as_of]
    return max(known, key=lambda one: (one.published_at, one.first_seen_at, one.source), default=None)


def _reading(row: Mapping[str, Any], seen_at: datetime) -> FearGreedReading:
    try:
        score, seconds = _whole(row["value"]), _whole(row["timestamp"])
        classification = str(row["value_classification"])[:20].strip().lower()
        published_at = datetime.fromtimestamp(seconds, UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        msg = f"{SOURCE}: a value of the fear-and-greed index cannot be read ({type(error).__name__})"
        raise TransientError(msg) from error
    if score > HIGHEST or not FIRST_DAY <= published_at <= seen_at + _AHEAD or classification not in _CLASSIFICATIONS:
        msg = (
            f"{SOURCE}: the fear-and-greed index cannot be {score} ({classification!r}) on {published_at.isoformat()}; "
            "if its service has changed, it has to be read in another way"
        )
        raise TransientError(msg)
    return FearGreedReading(SOURCE, published_at, score, classification, seen_at)


def _whole(value: object) -> int:
    """A number that is sent as text. `int` alone would take '4_0', '-1' and True."""
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        msg = f"{text[:20]!r} is not a whole number"
        raise ValueError(msg)
    return int(text)
