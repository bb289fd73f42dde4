"""Sentences of a report in the words of a seat, each only where it keeps the facts (requirement A8).

The template's sentence is the fact, and stays what is stored: in the JSON, in the journal, in every row. Another
wording is shown on the page with the fact beside it. Sentences are asked for by UTC day, so that the reports of
following nights, which tell of the same days, ask the same questions: a stored answer is not paid for again.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, groupby

from triplegain_pipelines.agents.conversation import NoAnswer
from triplegain_pipelines.evaluation.same_facts import fault_of, plain

_TOGETHER = 8
_NOT_ASKED = "The sentence holds signs that are no plain text, so no seat was shown it."
_REPEATED = "The seat repeated the sentence word for word."


@dataclass(frozen=True, slots=True)
class Fact:
    """A template's sentence, the moment it is about, and its phrases that every wording must keep."""

    at: datetime
    sentence: str
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who words sentences. `label` names seat and model; `ask` has a list of wordings, or why none, for each group."""

    label: str
    ask: Callable[[Sequence[Sequence[Fact]]], Sequence[Sequence[str] | NoAnswer]]


@dataclass(frozen=True, slots=True)
class Rewording:
    """Which sentences are shown in whose words. `kept` counts, by reason in words, those that stay the template's."""

    label: str
    texts: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    def of(self, sentence: str) -> str:
        """The sentence as it is shown."""
        return self.texts.get(sentence, sentence)

    def facts(self, *sentences: str) -> str:
        """The template's sentences where at least one of these is shown in other words, else nothing."""
        return " ".join(sentences) if any(one in self.texts for one in sentences) else ""

    @property
    def sentence(self) -> str:
        """How much of the page is in whose words, and why not the rest; nothing where there was nothing to word."""
        done = len(self.texts)
        asked = done + sum(self.kept.values())
        if not asked:
            return ""
        told = (
            f"{done} of {asked} sentences are worded by {self.label} and labelled so, with the facts beside them. "
            "Their numbers and names were checked."
            if done
            else f"Every sentence is the template's. {self.label} was to word {asked} of them."
        )
        kept = [f"Not worded: {count}. {why}" for why, count in sorted(self.kept.items())]
        return " ".join([told, *kept])


TEMPLATE = Rewording("the template")
"""Nobody was asked."""


def reword(writer: Writer, groups: Sequence[Sequence[Fact]]) -> Rewording:
    """The sentences of `groups` in the writer's words where those keep the facts."""
    asked = [[fact for fact in group if plain(fact.sentence)] for group in groups]
    kept = Counter({_NOT_ASKED: sum(map(len, groups)) - sum(map(len, asked))})
    asked = [group for group in asked if group]
    texts: dict[str, str] = {}
    for group, answer in zip(asked, writer.ask(asked) if asked else [], strict=True):
        if isinstance(answer, NoAnswer):
            kept[answer.reason.meaning] += len(group)
            continue
        for fact, wording in zip(group, answer, strict=True):
            fault = fault_of(fact.sentence, fact.fixed, wording)
            if fault is not None:
                kept[fault.meaning] += 1
            elif wording == fact.sentence:
                kept[_REPEATED] += 1
            else:
                texts[fact.sentence] = wording
    return Rewording(writer.label, texts, +kept)


def newest_groups(facts: Sequence[Fact], least: int) -> list[Sequence[Fact]]:
    """The newest groups that hold at least `least` facts, newest first.

    A group is at most eight sentences of one UTC day, counted from the day's beginning: what happens later, or what a
    window leaves out before, changes no group of another day. A sentence that is told twice in a day is in once.
    """
    days = groupby(sorted(facts, key=lambda one: one.at), key=lambda one: one.at.date())
    once = [list({fact.sentence: fact for fact in day}.values()) for _, day in days]
    groups = [day[start : start + _TOGETHER] for day in once for start in range(0, len(day), _TOGETHER)][::-1]
    before = accumulate(map(len, groups), initial=0)
    return [group for group, newer in zip(groups, before, strict=False) if newer < least]
