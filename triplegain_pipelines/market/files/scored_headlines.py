"""Headlines with the scores that a model gave them, as CSV. The text is a stranger's: made plain before it is kept."""

import csv
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.recorded import RecordedScore
from triplegain_pipelines.market.headlines import LONGEST_TITLE, plain_text

_FIELDS = ["timestamp", "headline", "score", "reason"]
_MOST_ROWS = 100_000
_FIRST_NEWS = datetime(2009, 1, 3, tzinfo=UTC)


def are_scored_headlines(header: str) -> bool:
    """Whether a CSV file with this first line holds headlines with scores."""
    return [name.strip().strip('"') for name in header.split(",")] == _FIELDS


def read_scored_headlines(text: str) -> tuple[RecordedScore, ...]:
    """The rows of a text in CSV, in its order.

    Raises:
        InputError: a row is broken; the message names it.
    """
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    found = []
    try:
        for number, row in enumerate(reader, 1):
            if number > _MOST_ROWS:
                _refuse(number, f"the file has more than the {_MOST_ROWS:,} rows that are read at once")
            found.append(_score(number, row))
    except csv.Error as error:
        _refuse(len(found) + 1, f"it is no CSV ({error})")
    return tuple(found)


def _score(number: int, row: Mapping[str | None, object]) -> RecordedScore:
    values = [row.get(name) for name in _FIELDS]
    if None in row or not all(isinstance(value, str) for value in values):
        _refuse(number, f"it must have {len(_FIELDS)} values")
    moment, headline, score, reason = map(str, values)
    title = plain_text(headline, LONGEST_TITLE)
    if not title:
        _refuse(number, "it has no headline")
    return RecordedScore(
        number, _time(number, moment), title, _number(number, score), plain_text(reason, LONGEST_TITLE)
    )


def _time(number: int, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment < _FIRST_NEWS:
        _refuse(number, "its timestamp must be a time with its zone, like 2025-07-17 06:10:18+00:00")
    return moment.astimezone(UTC)


def _number(number: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not -1 <= score <= 1:
        _refuse(number, "its score must be a number from -1 to 1")
    return score


def _refuse(number: int, why: str) -> NoReturn:
    msg = f"row {number}: {why}; correct it or get the file again"
    raise InputError(msg)
