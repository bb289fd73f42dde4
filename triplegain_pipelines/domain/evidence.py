"""What a decision rests on: indicator readings, snapshots, and the signals of the agents that are code.

Forecasts of seats and decisions are in `decisions`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from triplegain_pipelines.domain.decisions import Bias, Regime
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.timeframes import Timeframe

Readings = Mapping[str, float | None]
"""Indicator values at one bar by name; None where there is no value (warm-up, or a market that stood still)."""


@dataclass(frozen=True, slots=True)
class IndicatorReading:
    """The indicators of one timeframe as a decision at `as_of` sees them.

    `opened_at` is the opening time of the bar they were read at, `bars` the number of bars they were computed from and
    `data_hash` the hash of those bars.
    """

    venue: str
    symbol: str
    timeframe: Timeframe
    as_of: datetime
    code_version: str
    opened_at: datetime
    bars: int
    data_hash: str
    readings: Readings


@dataclass(frozen=True)
class Snapshot:
    """Exactly what an agent may see of a symbol at `as_of`: a JSON document, hashed byte for byte.

    `data_version` is the hash of the bars behind it and `code_version` names the rules that made it.
    """

    snapshot_id: UUID
    venue: str
    symbol: str
    as_of: datetime
    content_hash: str
    data_version: str
    code_version: str
    document: str

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed document. Do not change it: everybody who asks gets the same object."""
        content: dict[str, Any] = json.loads(self.document)
        return content

    @property
    def complete(self) -> bool:
        """Whether it may lead to new risk: fresh candles and the readings that sizing needs."""
        return bool(self.content["complete"])

    @property
    def simulated(self) -> bool:
        """Whether the market in it is a simulated one."""
        return bool(self.content["simulated"])

    @property
    def reference_price(self) -> float | None:
        """Close of the newest 1m candle, in quote currency."""
        price: float | None = self.content["reference_price"]
        return price

    @property
    def atr(self) -> float | None:
        """Average true range (14) of the 1h candles, in quote currency."""
        atr: float | None = self.content["atr"]
        return atr

    @property
    def fear_greed(self) -> int | None:
        """The newest known fear-and-greed index: 0 extreme fear, 100 extreme greed; None where none is fresh.

        Snapshots of before it was an input do not have the entry at all.
        """
        index: Mapping[str, int] | None = self.content.get("fear_greed")
        return index["score"] if index else None

    @property
    def timeframe_weights(self) -> dict[Timeframe, float]:
        """The say of each timeframe (I2)."""
        weights: dict[str, float] = self.content["timeframe_weights"]
        return {Timeframe(name): weight for name, weight in weights.items()}

    def readings(self, timeframe: Timeframe) -> Readings:
        """The indicators of `timeframe`; empty where the snapshot has none."""
        readings: Readings = self.content["timeframes"].get(timeframe.value, {}).get("indicators", {})
        return readings


@dataclass(frozen=True, slots=True)
class TechnicalSignal:
    """The technical agent's view, with a confidence from 0 to 1 and its reasons in words."""

    bias: Bias
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegimeSignal:
    """The state of the market, with a confidence from 0 to 1 and the reasons in words."""

    regime: Regime
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SentimentSignal:
    """The tone of the news from -1 to 1, the number of headlines behind it, and the reasons in words.

    `conversation_id` names the conversation in which a seat was to score the headlines, None where that was not wanted;
    `fallback` says why it did not, so that the list of words scored them.
    """

    score: float
    headlines: int
    reasons: tuple[str, ...]
    conversation_id: UUID | None = None
    fallback: ReasonCode | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What the three agents say about one snapshot."""

    technical: TechnicalSignal
    regime: RegimeSignal
    sentiment: SentimentSignal
