"""What a seat must answer. This one class writes the schema in the prompt, asks for it, and validates it (`schemas`).

Nothing here knows how a seat is called. An answer that does not fit is no answer: the seat abstains.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from triplegain_pipelines.agents.schemas import without_length
from triplegain_pipelines.domain.decisions import Action

FIRST_HORIZON_HOURS = 4
SECOND_HORIZON_HOURS = 24


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
        json_schema_extra=without_length,
    )
