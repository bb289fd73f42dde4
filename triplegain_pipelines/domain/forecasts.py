"""What is asked of a seat, what it forecast, and what the pool made of it: the evidence behind a decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Action, ForecastStatus
from triplegain_pipelines.domain.reasons import ReasonCode


@dataclass(frozen=True, slots=True)
class Prompt:
    """What all six seats are asked about one snapshot, or one seat as a side question, hashed byte for byte.

    `template_hash` identifies the wording and the schema without the evidence: another wording is
    another model, and starts a new series of evaluation.
    """

    prompt_hash: str
    template_hash: str
    system_text: str
    user_text: str


@dataclass(frozen=True, slots=True)
class SeatForecast:
    """One call of a seat, answered or abstained, as `research.seat_forecasts` holds it.

    The fields from `action` to `reasoning` are None exactly where the seat abstained, and
    `reason_code` says why; `error` holds the words of the provider or of the schema. Prices are what
    the model wrote, in quote currency; nothing trades on them. `cost_usd` is what all calls of the
    conversation cost, a call that hides its cost at its worst case, and `latency_ms` how long they took.
    """

    forecast_id: UUID
    snapshot_id: UUID
    prompt_hash: str
    seat: str
    vendor: str
    model: str
    baseline: bool
    code_version: str
    parameters: Mapping[str, object]
    status: ForecastStatus
    reason_code: ReasonCode | None
    raw_answer: str | None
    error: str | None
    turns: int
    action: Action | None
    confidence: float | None
    p_up_4h: float | None
    p_up_24h: float | None
    entry: float | None
    stop_loss: float | None
    take_profit: float | None
    leverage: float | None
    reasoning: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    latency_ms: float


@dataclass(frozen=True, slots=True)
class PooledForecast:
    """The pool's forecast of a decision before the slope, kept to learn the slope from its outcome."""

    symbol: str
    as_of: datetime
    log_odds: float
