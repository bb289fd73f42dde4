"""The errand of putting a report's sentences into other words. Which answers may be shown is for `evaluation`."""

from collections.abc import Sequence
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, create_model

from triplegain_pipelines.agents.errands import Errand
from triplegain_pipelines.agents.prompt import as_data, render_wording
from triplegain_pipelines.agents.schemas import without_length

PURPOSE = "report sentences"
_WORDING = "rewording"


class Wordings(BaseModel):
    """The sentences in other words."""  # is in the schema, so a model reads it

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sentences: tuple[str, ...] = Field(
        description="Each given sentence in other words: as many as were given, in their order.",
        json_schema_extra=without_length,
    )


def rewording_errand(seat: str, sentences: Sequence[tuple[str, Sequence[str]]]) -> Errand[Wordings]:
    """Ask `seat` to word `sentences`, each given with its phrases that must stay."""
    document = [
        {"number": number, "sentence": sentence, "keep": list(fixed)}
        for number, (sentence, fixed) in enumerate(sentences, start=1)
    ]
    answer = _wordings(len(sentences))
    return Errand(PURPOSE, seat, render_wording(_WORDING, answer, sentences=as_data(document)), answer)


@cache
def _wordings(count: int) -> type[Wordings]:
    """The class of an answer to so many sentences. Its schema is that of all others: limits of length are no part."""
    field = Wordings.model_fields["sentences"]
    limited = Field(min_length=count, max_length=count, description=field.description, json_schema_extra=without_length)
    return create_model("Wordings", __base__=Wordings, __doc__=Wordings.__doc__, sentences=(tuple[str, ...], limited))
