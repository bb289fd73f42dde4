"""The offline models `offline/<baseline>`: they read a prompt and write JSON, as a model would, without a network.

The text goes through the same parsing, validation and bookkeeping as a real answer. Here is only what they
say; `seats` puts them behind litellm's interface.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from triplegain_pipelines.agents.baselines import BASELINES
from triplegain_pipelines.agents.prompt import EVIDENCE_CLOSES, EVIDENCE_OPENS
from triplegain_pipelines.domain.errors import InputError

PROVIDER = "offline"
CHARACTERS_PER_TOKEN = 4
"""The usual rule of thumb. Nothing is billed by it, so a tokenizer would only cost time."""


@dataclass(frozen=True, slots=True)
class OfflineReply:
    """What an offline model wrote, with the tokens that a model would have read and written, estimated."""

    text: str
    input_tokens: int
    output_tokens: int


def reply(baseline: str, messages: Sequence[Mapping[str, str]]) -> OfflineReply:
    """The answer of `baseline` to a conversation whose first user message holds the evidence block.

    Raises:
        InputError: there is no such baseline, or no evidence block.
    """
    if baseline not in BASELINES:
        msg = f"there is no offline model {baseline!r}; config/models.yaml may name: {', '.join(BASELINES)}"
        raise InputError(msg)
    question = next(message["content"] for message in messages if message["role"] == "user")
    text = BASELINES[baseline](_evidence(question)).model_dump_json()
    read = sum(len(message["content"]) for message in messages)
    return OfflineReply(text, read // CHARACTERS_PER_TOKEN, len(text) // CHARACTERS_PER_TOKEN)


@lru_cache(maxsize=64)
def _evidence(question: str) -> dict[str, Any]:
    """The document between the markers. Six baselines ask for the same one; none of them changes it."""
    _, opened, rest = question.partition(EVIDENCE_OPENS)
    document, closed, _ = rest.rpartition(EVIDENCE_CLOSES)
    if not (opened and closed):
        msg = "the prompt holds no evidence block between ```json and ```; prompts/forecast_user.md must have one"
        raise InputError(msg)
    evidence: dict[str, Any] = json.loads(document)
    return evidence
