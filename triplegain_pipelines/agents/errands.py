"""Side questions to one seat that are no forecasts: the tone of headlines, a report's sentences in other words.

An errand goes the way of a forecast (`asking`): the class of its answer writes the prompt's schema, asks for it and
validates; one repair turn; budget, bench, and a row for every call. The stored calls are its answer for ever: the same
errand is asked once, and where it failed it stays failed. It counts in its seat's bill, and in no leaderboard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic
from uuid import UUID

from triplegain_pipelines.agents.asking import converse
from triplegain_pipelines.agents.calls import StoredBook
from triplegain_pipelines.agents.conversation import NoAnswer, Question, proceed
from triplegain_pipelines.agents.schemas import AnswerT
from triplegain_pipelines.agents.seat_calls import SeatCall, side_call
from triplegain_pipelines.domain.forecasts import Prompt
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import ModelSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.forecasts import save_prompts
from triplegain_pipelines.store.model_calls import read_calls


@dataclass(frozen=True, slots=True)
class Errand(Generic[AnswerT]):
    """A question to one seat, and the class of its answer.

    `purpose` says in a few words what it is for ("headline tones"); it is stored with each call and is part of the
    errand's identity. `seat` is a name in `config/models.yaml`. `prompt` holds the schema of `answer`, and what others
    wrote as data (`prompt.render_wording`, `prompt.as_data`).
    """

    purpose: str
    seat: str
    prompt: Prompt
    answer: type[AnswerT]


def run_errands(
    database: Database, errands: Sequence[Errand[AnswerT]], models: ModelSettings, *, llm_enabled: bool
) -> list[AnswerT | NoAnswer]:
    """The answer to each errand, in order, or why there is none. All that were never asked are asked at once.

    While offline, with models turned off, or where a replay has no stored calls, nothing is asked and nothing invented.
    Must not be called from inside a running event loop.

    Raises:
        UnavailableError: the database cannot be reached.
        SeatBusyError: another process is asking the same at this moment.
        ValueError: a seat does not exist.
    """
    if models.offline or not llm_enabled:
        reason = ReasonCode.SEAT_OFFLINE if models.offline else ReasonCode.SEATS_DISABLED
        return [NoAnswer(reason, reason.meaning) for _ in errands]
    calls = [_call(errand, models) for errand in errands]
    ends = _ends(database, {call.conversation_id: call for call in calls}, models)
    return [ends[call.conversation_id] for call in calls]


def conversation_of(errand: Errand[AnswerT], models: ModelSettings) -> UUID:
    """Where the errand's calls are stored, whether they were made or not."""
    return _call(errand, models).conversation_id


def _call(errand: Errand[AnswerT], models: ModelSettings) -> SeatCall[AnswerT]:
    return side_call(errand.purpose, errand.prompt, errand.answer, errand.seat, models)


def _ends(
    database: Database, calls: dict[UUID, SeatCall[AnswerT]], models: ModelSettings
) -> dict[UUID, AnswerT | NoAnswer]:
    with database.connection() as connection:
        save_prompts(connection, [call.prompt for call in calls.values()])
        made = read_calls(connection, calls)
    ends: dict[UUID, AnswerT | NoAnswer] = {}
    asked: list[SeatCall[AnswerT]] = []
    for identity, call in calls.items():
        step = proceed(call, made.get(identity, ()))
        if not isinstance(step, Question):
            ends[identity] = step
        elif call.recorded_only:
            reason = ReasonCode.SEAT_NOT_RECORDED
            ends[identity] = NoAnswer(reason, reason.meaning)
        else:
            asked.append(call)
    if asked:
        talks = converse(asked, StoredBook(database, models.budget, models.bench), made)
        ends |= {call.conversation_id: one.end for call, one in zip(asked, talks, strict=True)}
    return ends
