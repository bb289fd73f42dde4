"""What six seats are asked about one snapshot: one call each, whose identity is known before it is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from triplegain_pipelines.agents import offline
from triplegain_pipelines.agents.baselines import BASELINES_VERSION
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.forecasts import Prompt
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.settings.models import CallMode, ModelSettings, Price, SeatSettings

SEATS_VERSION = "seats-2"

_FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0), as_of=date(2024, 1, 1), source="it is code")


@dataclass(frozen=True, slots=True)
class SeatCall:
    """One question to one seat. `parameters` is what changes the answer besides the prompt.

    `names` are those under which the asked model answers. Without a `price` it is not asked. With `recorded_only` only
    a stored answer counts.
    """

    snapshot_id: UUID
    prompt: Prompt
    seat: str
    vendor: str
    model: str
    baseline: bool
    parameters: Mapping[str, Any]
    names: tuple[str, ...]
    price: Price | None
    recorded_only: bool

    @property
    def code_version(self) -> str:
        """Version of how seats are asked; of the baselines too where one sits in."""
        return f"{SEATS_VERSION}+{BASELINES_VERSION}" if self.baseline else SEATS_VERSION

    @property
    def forecast_id(self) -> UUID:
        """Identity of the forecast, known before it is asked for: the same call is never made twice."""
        return deterministic_id("forecast", *self._identity)

    @property
    def absence_id(self) -> UUID:
        """Identity of the abstention for want of a stored answer: it must not be taken for the answer itself."""
        return deterministic_id("unrecorded forecast", *self._identity)

    @property
    def _identity(self) -> tuple[str, ...]:
        return (
            self.seat,
            self.vendor,
            self.model,
            self.prompt.prompt_hash,
            content_hash(self.parameters),
            self.code_version,
        )


def plan_calls(snapshot_id: UUID, prompt: Prompt, models: ModelSettings, *, llm_enabled: bool) -> list[SeatCall]:
    """The six calls for one snapshot, in the order of `config/models.yaml`.

    With `models.offline` the seats' baselines sit in. With `llm_enabled` off nothing is called: all seats abstain.
    """
    return [
        (_baseline_call if models.offline else _model_call)(
            snapshot_id, prompt, name, seat, models.calls, llm_enabled=llm_enabled
        )
        for name, seat in models.seats.items()
    ]


def _baseline_call(
    snapshot_id: UUID, prompt: Prompt, name: str, seat: SeatSettings, _: CallMode, *, llm_enabled: bool
) -> SeatCall:
    return SeatCall(
        snapshot_id=snapshot_id,
        prompt=prompt,
        seat=name,
        vendor=seat.vendor,
        model=f"{offline.PROVIDER}/{seat.baseline}",
        baseline=True,
        parameters={
            "deadline_seconds": seat.deadline_seconds,
            "llm_enabled": llm_enabled,
            "max_tokens": seat.max_tokens,
        },
        names=(seat.baseline,),
        price=_FREE,
        recorded_only=False,
    )


def _model_call(
    snapshot_id: UUID, prompt: Prompt, name: str, seat: SeatSettings, calls: CallMode, *, llm_enabled: bool
) -> SeatCall:
    return SeatCall(
        snapshot_id=snapshot_id,
        prompt=prompt,
        seat=name,
        vendor=seat.vendor,
        model=seat.model,
        baseline=False,
        parameters={
            "answer_format": seat.answer_format,
            "deadline_seconds": seat.deadline_seconds,
            "llm_enabled": llm_enabled,
            "max_tokens": seat.max_tokens,
            "reasoning": seat.reasoning,
        },
        names=(seat.model.partition("/")[2], *seat.answers_as),
        price=seat.price,
        recorded_only=calls is CallMode.REPLAY,
    )
