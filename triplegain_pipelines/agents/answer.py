"""What a seat must answer. This one class writes the schema in the prompt, asks for it, and validates it.

Nothing here knows how a seat is called. An answer that does not fit is no answer: the seat abstains.
"""

from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.reasons import ReasonCode

FIRST_HORIZON_HOURS = 4
SECOND_HORIZON_HOURS = 24

_RANGES = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})


def _without_length(schema: JsonDict) -> None:
    """Providers that enforce a schema refuse one that limits the length of a text: the description says it."""
    schema.pop("maxLength", None)


class SeatAnswer(BaseModel):
    """A seat's forecast and what it would do about it."""  # is in the schema, so a model reads it

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    action: Literal[Action.BUY, Action.SELL, Action.HOLD, Action.CLOSE] = Field(
        description="BUY to be long, SELL to be short or out, HOLD to leave things as they are, "
        "CLOSE to end an open position."
    )
    confidence: float = Field(ge=0, le=1, description="How sure you are of the action.")
    p_up_4h: float = Field(ge=0, le=1, description="Probability that the price is higher 4 hours after as_of.")
    p_up_24h: float = Field(ge=0, le=1, description="Probability that the price is higher 24 hours after as_of.")
    entry: float | None = Field(gt=0, description="Price at which you would enter, or null.")
    stop_loss: float | None = Field(gt=0, description="Price at which the idea is wrong, or null.")
    take_profit: float | None = Field(gt=0, description="Price at which the idea has worked, or null.")
    leverage: float = Field(ge=1, le=10, description="Leverage you would use; limits may lower it.")
    reasoning: str = Field(
        max_length=600,
        description="Why, in at most 600 characters.",
        json_schema_extra=_without_length,
    )


@cache
def schema_text() -> str:
    """The schema as the prompt shows it: canonical JSON."""
    return canonical_json(SeatAnswer.model_json_schema())


@cache
def response_format() -> dict[str, object]:
    """The schema as it is asked of a provider that enforces one."""
    return {
        "type": "json_schema",
        "json_schema": {"name": SeatAnswer.__name__, "schema": SeatAnswer.model_json_schema(), "strict": True},
    }


@cache
def answering_tool() -> dict[str, object]:
    """The schema as a tool, for a provider that takes one in no other way."""
    return {
        "type": "function",
        "function": {
            "name": SeatAnswer.__name__,
            "description": SeatAnswer.__doc__,
            "parameters": SeatAnswer.model_json_schema(),
        },
    }


def reason_of(error: ValidationError) -> ReasonCode:
    """Why an answer is none: its numbers cannot be, or it has another shape altogether."""
    in_shape = all(one["type"] in _RANGES for one in error.errors())
    return ReasonCode.SEAT_OUT_OF_RANGE if in_shape else ReasonCode.SEAT_SCHEMA
