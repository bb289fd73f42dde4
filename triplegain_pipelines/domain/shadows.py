"""What other ways of pooling make of the same six answers: evidence beside a decision, never a reason for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from triplegain_pipelines.domain.decisions import Action


class ShadowMethod(StrEnum):
    """A way of pooling that is logged and not traded on."""

    MAJORITY = "MAJORITY"
    MEDIAN = "MEDIAN"
    CONFIDENCE_WEIGHTED = "CONFIDENCE_WEIGHTED"
    PER_MODEL_RECALIBRATED = "PER_MODEL_RECALIBRATED"
    LEARNED_WEIGHTS = "LEARNED_WEIGHTS"
    HEDGE = "HEDGE"
    BEST_SINGLE = "BEST_SINGLE"
    BASELINE_FORECASTER = "BASELINE_FORECASTER"
    """It has no seats: a logistic regression on what the technical, regime and sentiment agents say."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What was said about a symbol at one moment, kept to learn from its outcome.

    `voters` are seat, model and template, parted by spaces: another model or wording is another voter. `p_up` is in
    their order, None where one abstained. `features` are those of `features_version`.
    """

    symbol: str
    as_of: datetime
    features_version: str
    voters: tuple[str, ...]
    p_up: tuple[float | None, ...]
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ShadowForecast:
    """What one method comes to: the chance of a rise over the first horizon, None without a quorum, and the action."""

    p_up: float | None
    log_odds: float | None
    action: Action


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """Everything beside one decision: the inputs, what was known of the voters then, and each method's forecast.

    `settled` is how many panels had settled by then. `error_correlation` is of the voters' errors, row by row, None
    where too few forecasts of both had settled; `effective_voters` is how many independent ones they are worth, None
    where that cannot be told, and `words` says it to a person.
    """

    decision_id: UUID
    forecast_ids: tuple[UUID, ...]
    code_version: str
    panel: Panel
    unanimous: bool
    agreement: float
    disagreement: float
    settled: int
    effective_voters: float | None
    error_correlation: tuple[float | None, ...]
    words: str
    forecasts: Mapping[ShadowMethod, ShadowForecast]
