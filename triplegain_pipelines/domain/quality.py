"""What can be wrong with market data: the kinds of gaps, and the codes of findings with what each leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.explained_code import ExplainedCode
from triplegain_pipelines.domain.ids import deterministic_id


class EmptyMinute(StrEnum):
    """What a venue publishes for a minute in which nobody traded."""

    ZERO_VOLUME = "zero_volume"  # a candle without volume
    ABSENT = "absent"  # nothing
    NEVER = "never"  # it does not happen there: a missing minute is an outage


class GapKind(ExplainedCode):
    """Why candles are missing, with what it means in `meaning`. A gap is a row; nothing fills one silently."""

    MISSING = "missing", "Not known yet: the venue has not been asked, or did not answer. The repair job asks it."
    NO_TRADES = "no_trades", "The venue was asked and has no candle, because nobody traded."
    OUTAGE = "outage", "The venue was asked and has no candle, although it publishes every minute: it was down."
    REPAIRED = "repaired", "The candles came later and are stored now."


class Effect(StrEnum):
    """What a finding means for decisions."""

    REFUSED = "refused"  # it is not stored as a candle; the gap stays
    HELD = "held"  # stored, but no decision sees it until it is settled
    NOTED = "noted"  # stored and used; counted in the report


class QualityCode(StrEnum):
    """What was found, with what it means and what it leads to. The docs' table is generated from this."""

    effect: Effect
    meaning: str

    def __new__(cls, value: str, effect: Effect, meaning: str) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.effect = effect
        member.meaning = meaning
        return member

    CROSSED = "CROSSED", Effect.REFUSED, "High, low, open and close contradict each other, or a price is not positive."
    NOT_FINITE = "NOT_FINITE", Effect.REFUSED, "A price or the volume is missing, infinite or not a number."
    OFF_GRID = "OFF_GRID", Effect.REFUSED, "The opening time is not on the grid of the timeframe."
    UNFINISHED = "UNFINISHED", Effect.REFUSED, "The candle had not closed when it came; it is taken when it has."
    CONFLICTING = "CONFLICTING", Effect.REFUSED, "One delivery holds two different candles of the same minute."
    CROSSED_BOOK = "CROSSED_BOOK", Effect.REFUSED, "The best bid is not below the best ask."
    BOOK_CHECKSUM = "BOOK_CHECKSUM", Effect.REFUSED, "The order book does not have the checksum that the venue sent."
    OUTLIER = "OUTLIER", Effect.HELD, "The price jumped far beyond what this market does in a minute; unconfirmed."
    STUCK_FEED = "STUCK_FEED", Effect.HELD, "The same candle came again and again, volume included: the feed stands."
    DUPLICATE = "DUPLICATE", Effect.NOTED, "One delivery held the same candle twice; one was kept."
    ZERO_VOLUME = "ZERO_VOLUME", Effect.NOTED, "A candle without a trade; its price is the one before."
    REVISED = "REVISED", Effect.NOTED, "A later delivery changed a stored candle; the values before are kept."
    CLOCK_SKEW = "CLOCK_SKEW", Effect.NOTED, "Our clock and the venue's differ by more than is allowed."
    SILENT_FEED = "SILENT_FEED", Effect.NOTED, "Nothing came from a stream for longer than is allowed."


class Settlement(StrEnum):
    """How a finding ended."""

    CONFIRMED = "confirmed"  # the venue stands by it: it is used
    CORRECTED = "corrected"  # other values replaced it
    OVER = "over"  # the condition is gone


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the data of a series at a moment.

    `at` is the opening time of the candle, or the moment where it is about no candle. `detail` are the numbers that led
    to it. `published` are the values as they came, where they could not be stored. `source` is what delivered them.
    """

    venue: str
    symbol: str
    at: datetime
    code: QualityCode
    source: str
    detail: Mapping[str, str | float | int]
    published: Mapping[str, str | float | int | None] | None = None
    timeframe: str = "1m"

    @property
    def finding_id(self) -> UUID:
        """The same fault found again has the same id, so that it is one row."""
        place = (self.venue, self.symbol, self.timeframe, self.at.isoformat(), self.code.value)
        return deterministic_id("data_finding", *place, canonical_json(dict(self.published or {})))
