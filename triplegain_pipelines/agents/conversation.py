"""A conversation with a seat as a pure function of the calls made so far: what is asked next, or what it answered.

Who makes the calls is in `asking`. Stored calls give the same answer as fresh ones, without a network, because both
go through here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from triplegain_pipelines.agents.schemas import AnswerT, reason_of
from triplegain_pipelines.agents.seat_calls import SeatCall
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.secrets import redacted

_TURNS = 2  # the question, and one request to repair an answer that breaks the schema
_ERROR_LENGTH = 300
_REPAIRABLE = frozenset({ReasonCode.SEAT_SCHEMA, ReasonCode.SEAT_OUT_OF_RANGE})
_DATED = r"(-(\d{4}|\d{8}|\d{4}-\d{2}-\d{2}))?"


@dataclass(frozen=True, slots=True)
class Question:
    """What a seat is asked next: which turn, which attempt at it, and after how long a wait."""

    turn: int
    attempt: int
    messages: tuple[Mapping[str, str], ...]
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why what came back is no answer."""

    reason: ReasonCode
    words: str


def proceed(call: SeatCall[AnswerT], made: Sequence[ModelCall]) -> Question | AnswerT | NoAnswer:
    """What to ask after the calls `made`; where the conversation is over, the answer or why there is none.

    A call whose end nobody saw is asked again: it is not known to have been answered.
    """
    if not made:
        return Question(1, 1, _opening(call))
    last = made[-1]
    if last.status is CallStatus.ANSWERED:
        return _after_answer(call, made, last)
    if last.status is CallStatus.SENT:
        return Question(last.turn, last.attempt + 1, _messages(call, made))
    if last.retry_in_seconds is not None:
        return Question(last.turn, last.attempt + 1, _messages(call, made), last.retry_in_seconds)
    return NoAnswer(last.reason_code or ReasonCode.SEAT_PROVIDER_ERROR, last.error or "")


def judge(call: SeatCall[AnswerT], text: str, answered_by: str | None) -> AnswerT | NoAnswer:
    """The answer in `text`, or why it is none. What another model says is never this seat's answer."""
    if not _same_model(call.names, answered_by):
        asked = call.names[0]
        return NoAnswer(ReasonCode.SEAT_WRONG_MODEL, f"{asked} was asked, and {answered_by or 'nobody'} answered")
    try:
        answer = call.answer.model_validate_json(text)
    except ValidationError as error:
        return NoAnswer(reason_of(error), in_words(error))
    cleaned: AnswerT = _all_storable(answer)
    return cleaned


def in_words(error: ValidationError) -> str:
    """What the schema said of an answer, field by field."""
    broken = (f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors())
    return storable("; ".join(broken))[:_ERROR_LENGTH]


def storable(text: str) -> str:
    """`text` without secrets, and without what PostgreSQL's text cannot hold: NUL and lone surrogates."""
    return redacted(text.replace("\0", "�").encode(errors="replace").decode())


def _all_storable(value: Any) -> Any:  # noqa: ANN401 - any value of an answer
    """`value` with every text inside it storable: what JSON had escaped was none of the text's characters before."""
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _all_storable(one) for name, one in value})
    if isinstance(value, list | tuple):
        return type(value)(_all_storable(one) for one in value)
    # An enumeration's member is a text too, and stays a member.
    return storable(value) if type(value) is str else value


def _after_answer(call: SeatCall[AnswerT], made: Sequence[ModelCall], last: ModelCall) -> Question | AnswerT | NoAnswer:
    answer = judge(call, last.raw_answer or "", last.answered_by)
    if isinstance(answer, NoAnswer) and answer.reason in _REPAIRABLE and last.turn < _TURNS:
        return Question(last.turn + 1, 1, _messages(call, made))
    return answer


def _opening(call: SeatCall[AnswerT]) -> tuple[Mapping[str, str], ...]:
    return (
        {"role": "system", "content": call.prompt.system_text},
        {"role": "user", "content": call.prompt.user_text},
    )


def _messages(call: SeatCall[AnswerT], made: Sequence[ModelCall]) -> tuple[Mapping[str, str], ...]:
    messages = list(_opening(call))
    for one in made:
        if one.status is CallStatus.ANSWERED:
            raw = one.raw_answer or ""
            answer = judge(call, raw, one.answered_by)
            words = answer.words if isinstance(answer, NoAnswer) else ""
            messages += [
                # An empty message is refused by some providers.
                {"role": "assistant", "content": raw or "(nothing)"},
                {"role": "user", "content": f"That was not a valid answer. Reply with the JSON object only. {words}"},
            ]
    return tuple(messages)


def _same_model(names: Sequence[str], answered_by: str | None) -> bool:
    return answered_by is not None and _pattern(tuple(names)).fullmatch(answered_by.rpartition("/")[2]) is not None


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"({'|'.join(map(re.escape, names))}){_DATED}")
