"""The question that the six seats are asked: one wording, versioned by its content, with the evidence as data.

The texts are in `prompts/`. What a seat must answer is in `answer`, how it is called in `seats`.
"""

from functools import cache
from importlib import resources
from string import Template

from triplegain_pipelines.agents.answer import schema_text
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import Prompt

EVIDENCE_OPENS = "```json\n"
EVIDENCE_CLOSES = "\n```"


def render_prompt(snapshot: Snapshot, signals: Signals) -> Prompt:
    """The question about `snapshot`: the same bytes for the same evidence, whenever it is asked.

    Nothing inside the evidence can close its code block: a line break is always escaped in JSON, and a
    backtick is here.
    """
    technical, regime, sentiment = signals.technical, signals.regime, signals.sentiment
    evidence = canonical_json(
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
    user_text = Template(_text("user.md")).substitute(
        symbol=snapshot.symbol, as_of=snapshot.as_of.isoformat(), evidence=evidence.replace("`", "\\u0060")
    )
    return Prompt(content_hash([_system_text(), user_text]), template_hash(), _system_text(), user_text)


@cache
def template_hash() -> str:
    """Identity of the wording and the schema, without any evidence: a change starts a new series of evaluation."""
    return content_hash([_system_text(), _text("user.md")])


@cache
def _system_text() -> str:
    return Template(_text("system.md")).substitute(schema=schema_text())


@cache
def _text(name: str) -> str:
    return (resources.files("triplegain_pipelines.agents") / "prompts" / name).read_text(encoding="utf-8")
