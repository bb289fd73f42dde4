"""One call of a model as it is stored: the evidence behind what a seat said, and what a replay answers from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from triplegain_pipelines.domain.reasons import ReasonCode


class CallStatus(StrEnum):
    """How a call ended.

    SENT: it left, and its end is not known. ANSWERED: words came back, valid or not. REFUSED: the provider answered
    with an error. TIMEOUT: nothing came within the deadline. BROKEN: the way to the provider failed, or half an answer
    came. WITHHELD: it never left.
    """

    SENT = "sent"
    ANSWERED = "answered"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One turn of a conversation with a seat, or a repeated attempt at it, as `research.model_calls` holds it.

    `purpose` says what the conversation is for: `forecast`, or the side question's. A forecast has the identity of its
    conversation, and is about a snapshot; a side question is about none. `reason_code` says why the turn gave none;
    `retry_in_seconds` is set where the turn was tried again after so long. `parsed` is the answer where it was valid,
    `answered_by` the model that said it answered. `cost_usd` is what its tokens cost; where none were told although the
    call left, it is the worst case that was reserved, unless the provider refused it. `latency_ms` counts from when the
    turn, or the waiting before this attempt, began.
    """

    call_id: UUID
    purpose: str
    conversation_id: UUID
    snapshot_id: UUID | None
    prompt_hash: str
    template_hash: str
    seat: str
    vendor: str
    model: str
    baseline: bool
    code_version: str
    parameters: Mapping[str, object]
    turn: int
    attempt: int
    asked_at: datetime
    status: CallStatus
    reason_code: ReasonCode | None
    retry_in_seconds: float | None
    raw_answer: str | None
    parsed: Mapping[str, object] | None
    answered_by: str | None
    input_tokens: int
    output_tokens: int
    worst_case_usd: Decimal
    cost_usd: Decimal
    latency_ms: float
    http_status: int | None
    error: str | None
