"""Files of what other people's models did: recognised by their content, checked whole.

What models wrote in prose is not imported: a sentence has no probability, and reading one out of it would be ours.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.recorded import RecordedScore, RecordedStep
from triplegain_pipelines.market.files.content import read_content, text_of
from triplegain_pipelines.market.files.portfolio_steps import are_portfolio_steps, object_keys, read_portfolio_steps
from triplegain_pipelines.market.files.scored_headlines import are_scored_headlines, read_scored_headlines


class RecordsKind(StrEnum):
    """What a file of records holds."""

    POSITIONS = "positions"
    HEADLINE_SCORES = "headline_scores"


@dataclass(frozen=True, slots=True)
class RecordsFile:
    """What a file of records holds: steps of portfolios or scores of headlines. `digest` is its SHA-256."""

    name: str
    kind: RecordsKind
    digest: str
    steps: tuple[RecordedStep, ...] = ()
    scores: tuple[RecordedScore, ...] = ()

    @property
    def rows(self) -> int:
        """How many records it holds."""
        return len(self.steps) + len(self.scores)


def read_model_records(path: Path) -> RecordsFile:
    """Read a file of records.

    Raises:
        InputError: there is no such file, it is too large, holds no records, or a line of it is broken.
    """
    try:
        content = read_content(path)
        return _records(path.name, content.digest, text_of(content))
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def _records(name: str, digest: str, text: str) -> RecordsFile:
    opening = text.partition("\n")[0]
    keys = object_keys(opening)
    if are_portfolio_steps(keys):
        return RecordsFile(name, RecordsKind.POSITIONS, digest, steps=read_portfolio_steps(text))
    if are_scored_headlines(opening.rstrip("\r")):
        scores = read_scored_headlines(text)
        if scores:
            return RecordsFile(name, RecordsKind.HEADLINE_SCORES, digest, scores=scores)
    if "new_messages" in keys:
        msg = "it holds what models wrote, in prose; no field of it is a forecast, so import the file of positions"
        raise InputError(msg)
    msg = "it holds no records of models: it needs JSON lines of model, date, id and positions, or a CSV file of "
    raise InputError(msg + "timestamp, headline, score and reason")
