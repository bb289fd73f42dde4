"""What a seat is asked: one call each, whose identity is known before it is made.

Six calls about a snapshot are forecasts; a call that is about none is a side question (`errands`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Generic
from uuid import UUID

from triplegain_pipelines.agents import offline
from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.baselines import BASELINES_VERSION
from triplegain_pipelines.agents.schemas import AnswerT
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.forecasts import Prompt
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.settings.models import CallMode, ModelSettings, Price, SeatSettings

SEATS_VERSION = "seats-2"
FORECAST = "forecast"

_FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0), as_of=date(2024, 1, 1), source="it is code")


@dataclass(frozen=True, slots=True)
class SeatCall(Generic[AnswerT]):
    """One question to one seat, and the class of its answer. `parameters` is what changes it besides the prompt.

    `purpose` is `FORECAST`, or what a side question is for. `names` are those under which the asked model answers.
    Without a `price` it is not asked. With `recorded_only` only a stored answer counts.
    """

    purpose: str
    snapshot_id: UUID | None
    prompt: Prompt
    answer: type[AnswerT]
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
    def conversation_id(self) -> UUID:
        """Identity of the conversation and of its forecast, known beforehand: the same call is never made twice."""
        return deterministic_id(self.purpose, *self._identity)

    @property
    def absence_id(self) -> UUID:
        """Identity of the abstention for want of a stored answer: it must not be taken for the answer itself."""
        return deterministic_id(f"unrecorded {self.purpose}", *self._identity)

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


ForecastCall = SeatCall[SeatAnswer]


def plan_calls(snapshot_id: UUID, prompt: Prompt, models: ModelSettings, *, llm_enabled: bool) -> list[ForecastCall]:
    """The six calls for one snapshot, in the order of `config/models.yaml`.

    With `models.offline` the seats' baselines sit in. With `llm_enabled` off nothing is called: all seats abstain.
    """
    if models.offline:
        return [
            _baseline_call(snapshot_id, prompt, name, seat, llm_enabled=llm_enabled)
            for name, seat in models.seats.items()
        ]
    return [
        _model_call(FORECAST, snapshot_id, prompt, SeatAnswer, name, models, llm_enabled=llm_enabled)
        for name in models.seats
    ]


def side_call(
    purpose: str, prompt: Prompt, answer: type[AnswerT], name: str, models: ModelSettings
) -> SeatCall[AnswerT]:
    """The call of the model in the seat `name` for something that is no forecast.

    Raises:
        ValueError: there is no such seat, or the purpose is that of forecasts.
    """
    if name not in models.seats or purpose == FORECAST:
        msg = f"{name} cannot be asked about {purpose!r}; side questions go to one of {', '.join(models.seats)}"
        raise ValueError(msg)
    return _model_call(purpose, None, prompt, answer, name, models, llm_enabled=True)


def _baseline_call(
    snapshot_id: UUID, prompt: Prompt, name: str, seat: SeatSettings, *, llm_enabled: bool
) -> ForecastCall:
    return SeatCall(
        purpose=FORECAST,
        snapshot_id=snapshot_id,
        prompt=prompt,
        answer=SeatAnswer,
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
    purpose: str,
    snapshot_id: UUID | None,
    prompt: Prompt,
    answer: type[AnswerT],
    name: str,
    models: ModelSettings,
    *,
    llm_enabled: bool,
) -> SeatCall[AnswerT]:
    seat = models.seats[name]
    return SeatCall(
        purpose=purpose,
        snapshot_id=snapshot_id,
        prompt=prompt,
        answer=answer,
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
        recorded_only=models.calls is CallMode.REPLAY,
    )
