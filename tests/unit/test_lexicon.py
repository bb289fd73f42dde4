"""The words of the trade: where they come from, and what they are worth on headlines labelled by hand."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
from labelled_headlines import FIRST, FIRST_LABELS, SECOND, SECOND_LABELS
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from triplegain_pipelines.agents.headlines import clean_title
from triplegain_pipelines.agents.lexicon import FALLS, LEXICON, NAMES, PROGRESS, RARE, RISES, TROUBLE
from triplegain_pipelines.agents.sentiment import headline_tone

pytestmark = pytest.mark.unit

SAID = 0.05
"""VADER's own bound: a compound score nearer to 0 says nothing."""

PLAIN = SentimentIntensityAnalyzer()


def plain_tone(title: str) -> float:
    return float(PLAIN.polarity_scores(title)["compound"])


def headlines(folder: Path, name: str) -> list[str]:
    return [title or "" for title in pl.read_parquet(folder / "news" / name)["headline"]]


def test_every_word_stands_in_one_group_on_vaders_scale() -> None:
    """A3: a word that stands twice has the weight of the later group, and nobody would see which."""
    groups = (RISES, FALLS, TROUBLE, PROGRESS, NAMES, RARE)
    assert sum(len(group) for group in groups) == len(LEXICON)
    assert all(0 < weight <= 4 for group in (RISES, PROGRESS) for weight in group.values())
    assert all(-4 <= weight < 0 for group in (FALLS, TROUBLE) for weight in group.values())
    assert set(NAMES.values()) == {0.0}
    # VADER looks words up in lower case; another spelling would never be found.
    assert all(word == word.lower() and len(word.split()) == 1 for word in LEXICON)


def test_the_words_are_the_headlines_own(recorded_data: Path) -> None:
    """A3: the lexicon says where its words come from; a word from nowhere would be somebody's opinion."""
    titles = [title.lower() for name in (FIRST, SECOND) for title in headlines(recorded_data, name)]
    used = {word for title in titles for word in re.findall(r"[a-z][a-z\-]+", title)}
    assert set(LEXICON) - set(RARE) <= used
    assert not set(RARE) & used


def right(
    titles: Sequence[str], labels: Mapping[int, Sequence[int]], tone: Callable[[str], float]
) -> tuple[float, int]:
    """The share of labelled headlines whose sign is right, and how many have the opposite one."""
    signs = [
        (label, (score >= SAID) - (score <= -SAID))
        for label, rows in labels.items()
        for score in (tone(clean_title(titles[row].replace("|", ","))) for row in rows)
    ]
    return sum(one == two for one, two in signs) / len(signs), sum(one * two < 0 for one, two in signs)


@pytest.mark.parametrize(("name", "labels"), [(FIRST, FIRST_LABELS), (SECOND, SECOND_LABELS)])
def test_labelled_headlines_are_heard_better_than_by_plain_vader(
    recorded_data: Path, name: str, labels: Mapping[int, Sequence[int]]
) -> None:
    """A3: words that do not add to VADER are decoration; and bad news that counts as good is worse than silence."""
    titles = headlines(recorded_data, name)
    (ours, opposite), (theirs, opposite_theirs) = (right(titles, labels, tone) for tone in (headline_tone, plain_tone))
    assert ours >= theirs + 0.1
    assert ours >= 0.68
    assert opposite <= 1 < opposite_theirs
