"""What is asked of a model's answer, all of it from one class: the schema in the prompt, the one asked for, the checks.

Fields of such a class are texts, numbers, other such classes, and tuples or lists of these; providers that enforce a
schema need every field required and no others (`extra="forbid"`), and refuse limits of length, which `without_length`
takes out of the schema and leaves to the validator.
"""

from functools import cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.config import JsonDict

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.reasons import ReasonCode

AnswerT = TypeVar("AnswerT", bound=BaseModel)

_RANGES = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})
_LENGTHS = ("maxLength", "minLength", "maxItems", "minItems")


def without_length(schema: JsonDict) -> None:
    """Providers that enforce a schema refuse one that limits the length of a field: the description says it."""
    for name in _LENGTHS:
        schema.pop(name, None)


@cache
def schema_text(answer: type[BaseModel]) -> str:
    """The schema as the prompt shows it: canonical JSON."""
    return canonical_json(answer.model_json_schema())


@cache
def response_format(answer: type[BaseModel]) -> dict[str, object]:
    """The schema as it is asked of a provider that enforces one."""
    return {
        "type": "json_schema",
        "json_schema": {"name": answer.__name__, "schema": answer.model_json_schema(), "strict": True},
    }


@cache
def answering_tool(answer: type[BaseModel]) -> dict[str, object]:
    """The schema as a tool, for a provider that takes one in no other way."""
    return {
        "type": "function",
        "function": {
            "name": answer.__name__,
            "description": answer.__doc__,
            "parameters": answer.model_json_schema(),
        },
    }


def reason_of(error: ValidationError) -> ReasonCode:
    """Why an answer is none: its numbers cannot be, or it has another shape altogether."""
    in_shape = all(one["type"] in _RANGES for one in error.errors())
    return ReasonCode.SEAT_OUT_OF_RANGE if in_shape else ReasonCode.SEAT_SCHEMA
