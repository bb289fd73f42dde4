"""Headlines read by a seat instead of the list of words, where `sentiment.scorer` names one in `config/models.yaml`.

A set of headlines is one side question (`errands`), asked once: snapshots that show the same ones share its answer.
What the seat says is data like the headlines themselves: one number for each, which `sentiment` bounds as it bounds
those of the list. A headline that the seat obeys moves nothing else. Where the seat gives no answer the list of words
scores, and the signal says why.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from triplegain_pipelines.agents.conversation import NoAnswer
from triplegain_pipelines.agents.errands import Errand, conversation_of, run_errands
from triplegain_pipelines.agents.prompt import as_data, render_wording, template_hash
from triplegain_pipelines.agents.schemas import without_length
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION, SeatReading, score_headlines, titles_of
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import SentimentSignal, Snapshot
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.settings.models import LEXICON, ModelSettings
from triplegain_pipelines.store.database import Database

PURPOSE = "headline tones"
_WORDING = "headlines"
_MEANING = "How good or bad each headline is for prices, from -1 to 1, in the order of the headlines."

_Tone = Annotated[float, Field(ge=-1, le=1)]


class HeadlineTones(BaseModel):
    """The tone of each headline."""  # is in the schema, so a model reads it

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    tones: list[_Tone] = Field(description=_MEANING)


def sentiment_version(models: ModelSettings) -> str:
    """How headlines are scored under these settings: another scorer is another series of signals.

    It names the list of words also where a seat scores, because the list stands in for it.
    """
    scorer = models.sentiment.scorer
    if scorer == LEXICON:
        return SENTIMENT_VERSION
    return f"{SENTIMENT_VERSION}+{scorer}/{models.seats[scorer].model}+{template_hash(_WORDING, HeadlineTones)[:12]}"


def score_snapshots(
    database: Database, snapshots: Sequence[Snapshot], models: ModelSettings, *, llm_enabled: bool
) -> dict[UUID, SentimentSignal]:
    """The sentiment of each snapshot by its id, scored by whom `models` names; sets of headlines are asked for at once.

    Raises:
        UnavailableError: a seat is to score, and the database cannot be reached.
        SeatBusyError: another process is asking the same at this moment.
    """
    readings = _readings(database, snapshots, models, llm_enabled=llm_enabled)
    return {one.snapshot_id: score_headlines(one, readings.get(one.snapshot_id)) for one in snapshots}


def read_again(snapshot: Snapshot, signal: SentimentSignal, calls: Sequence[ModelCall]) -> SeatReading | None:
    """What the seat said behind a stored signal, from its stored calls; None where the list of words was to score.

    Raises:
        DataError: the calls are missing, were about other headlines, or do not hold an answer.
    """
    if signal.conversation_id is None:
        return None
    if signal.fallback is not None:
        return SeatReading(signal.conversation_id, signal.fallback)
    titles = titles_of(snapshot)
    last = calls[-1] if calls else None
    if last is None or last.prompt_hash != _errand(titles, last.seat).prompt.prompt_hash:
        msg = f"no seat's answer to today's question about these headlines is stored under {signal.conversation_id}"
        raise DataError(msg)
    try:
        said = _tones_of(len(titles)).model_validate_json(last.raw_answer or "")
    except ValidationError as error:
        msg = f"what {last.seat} said of the headlines does not fit the schema: {error.error_count()} errors"
        raise DataError(msg) from None
    return SeatReading(signal.conversation_id, tuple(said.tones), _reader(last.seat, last.model))


def _readings(
    database: Database, snapshots: Sequence[Snapshot], models: ModelSettings, *, llm_enabled: bool
) -> dict[UUID, SeatReading]:
    scorer = models.sentiment.scorer
    if scorer == LEXICON:
        return {}
    errands = {one.snapshot_id: _errand(titles, scorer) for one in snapshots if (titles := titles_of(one))}
    ends = run_errands(database, list(errands.values()), models, llm_enabled=llm_enabled)
    reader = _reader(scorer, models.seats[scorer].model)
    return {
        snapshot_id: SeatReading(
            conversation_of(errand, models), end.reason if isinstance(end, NoAnswer) else tuple(end.tones), reader
        )
        for (snapshot_id, errand), end in zip(errands.items(), ends, strict=True)
    }


def _errand(titles: Sequence[str], seat: str) -> Errand[HeadlineTones]:
    answer = _tones_of(len(titles))
    numbered = [{"number": number, "title": title} for number, title in enumerate(titles, 1)]
    prompt = render_wording(_WORDING, answer, count=str(len(titles)), headlines=as_data({"headlines": numbered}))
    return Errand(PURPOSE, seat, prompt, answer)


@cache
def _tones_of(count: int) -> type[HeadlineTones]:
    """The answer about so many headlines. Its schema says no number, so that the wording is one for all of them."""
    # A list, because a tuple with one number out of range is said to be too short as well.
    limits = Field(min_length=count, max_length=count, description=_MEANING, json_schema_extra=without_length)
    return create_model(
        HeadlineTones.__name__,
        __base__=HeadlineTones,
        __doc__=HeadlineTones.__doc__,
        tones=(list[_Tone], limits),
    )


def _reader(seat: str, model: str) -> str:
    return f"{seat} ({model})"
