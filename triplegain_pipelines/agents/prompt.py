"""The question that the six seats are asked: one wording, versioned by its content, with the evidence as data.

The texts are in `prompts/`, for each wording one for the system and one for the user. What a seat must answer is in
`answer`, how it is called in `seats`. Side questions have wordings of their own, made in the same way.
"""

from functools import cache
from importlib import resources
from string import Template

from pydantic import BaseModel

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.schemas import schema_text
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import Prompt

EVIDENCE_OPENS = "```json\n"
EVIDENCE_CLOSES = "\n```"
FORECAST_WORDING = "forecast"


def render_prompt(snapshot: Snapshot, signals: Signals) -> Prompt:
    """The question about `snapshot`: the same bytes for the same evidence, whenever it is asked."""
    technical, regime, sentiment = signals.technical, signals.regime, signals.sentiment
    evidence = as_data(
        {
            "snapshot": snapshot.content,
            "technical": {
                "bias": technical.bias,
                "confidence": technical.confidence,
                "reasons": technical.reasons,
            },
            "regime": {"regime": regime.regime, "confidence": regime.confidence, "reasons": regime.reasons},
            "sentiment": {
                "score": sentiment.score,
                "headlines": sentiment.headlines,
                "reasons": sentiment.reasons,
            },
        }
    )
    return render_wording(
        FORECAST_WORDING, SeatAnswer, symbol=snapshot.symbol, as_of=snapshot.as_of.isoformat(), evidence=evidence
    )


def render_wording(wording: str, answer: type[BaseModel], **values: str) -> Prompt:
    """The question `prompts/<wording>_user.md` with `values` in it, and what goes before it to every question.

    Args:
        wording: whose two files are taken.
        answer: the class of the answer; its schema stands where the system's file says `$schema`.
        values: what stands where the user's file names it; what others wrote goes through `as_data`.

    Raises:
        KeyError: the file names what `values` lacks.
    """
    system_text = _system_text(wording, answer)
    user_text = Template(_text(f"{wording}_user.md")).substitute(values)
    return Prompt(content_hash([system_text, user_text]), template_hash(wording, answer), system_text, user_text)


def as_data(document: object) -> str:
    """Canonical JSON that a question shows in a code block, which nothing inside can close.

    A line break is always escaped in JSON, and a backtick is here.
    """
    return canonical_json(document).replace("`", "\\u0060")


@cache
def template_hash(wording: str = FORECAST_WORDING, answer: type[BaseModel] = SeatAnswer) -> str:
    """Identity of the wording and the schema, without any evidence: a change starts a new series of evaluation."""
    return content_hash([_system_text(wording, answer), _text(f"{wording}_user.md")])


@cache
def _system_text(wording: str, answer: type[BaseModel]) -> str:
    return Template(_text(f"{wording}_system.md")).substitute(schema=schema_text(answer))


@cache
def _text(name: str) -> str:
    return (resources.files("triplegain_pipelines.agents") / "prompts" / name).read_text(encoding="utf-8")
