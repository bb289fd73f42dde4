"""Recorded models from the file to the board, through the database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.files.model_records import read_model_records
from triplegain_pipelines.operations.recorded_records import import_records, judge_records
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.recorded_records import recorded_scores, recorded_steps

pytestmark = pytest.mark.integration

CLOCK = ReplayClock(datetime(2026, 11, 1, tzinfo=UTC))


@pytest.fixture
def positions(recorded_data: Path) -> Path:
    return recorded_data / "llm" / "llm_crypto_positions_2025-11.jsonl"


@pytest.fixture
def headlines(recorded_data: Path) -> Path:
    return recorded_data / "llm" / "llm_headline_scores_2025-07.csv"


def test_what_is_stored_is_what_the_files_say(database: Database, positions: Path, headlines: Path) -> None:
    """Issue 5, point 5: a number that changed on its way through the database would be another model's record."""
    assert import_records(database, positions, clock=CLOCK).new
    assert import_records(database, headlines, clock=CLOCK).new
    with database.connection() as connection:
        assert recorded_steps(connection) == [list(read_model_records(positions).steps)]
        assert recorded_scores(connection) == [list(read_model_records(headlines).scores)]


def test_the_same_file_twice_changes_nothing(database: Database, positions: Path) -> None:
    """A7: a record that counts twice would halve the interval around it."""
    first, second = (import_records(database, positions, clock=CLOCK) for _ in range(2))
    assert (first.new, second.new) == (True, False)
    with database.connection() as connection:
        assert len(recorded_steps(connection)) == 1


def test_records_of_tomorrow_are_refused_whole(database: Database, positions: Path) -> None:
    """B2: a record from the future is a wrong clock or a forgery; nothing of its file is kept."""
    with pytest.raises(InputError, match="2025-11-15 00:00, which is still to come"):
        import_records(database, positions, clock=ReplayClock(datetime(2025, 11, 10, tzinfo=UTC)))
    with database.connection() as connection:
        assert recorded_steps(connection) == []


def test_the_board_is_made_of_what_is_stored(database: Database, positions: Path, headlines: Path) -> None:
    """Issue 5, point 5: six models judged after fees, each with its gate, and what the records do not allow."""
    for path in (positions, headlines):
        import_records(database, path, clock=CLOCK)
    document = judge_records(database, load_settings().profile.paper, lambda _: 0.0).document()
    (portfolio,), (scores,) = document["portfolios"], document["headline_scores"]
    assert len(portfolio["models"]) == 6
    assert {row["model"]: row["settled"] for row in portfolio["models"]}["claude-3.7-sonnet"] == 36
    assert len(portfolio["not_allowed"]) >= 10
    assert (scores["headlines"], scores["repeated"]) == (99, 1)


def test_nothing_imported_is_an_empty_board(database: Database) -> None:
    """M4: without records there is nothing to say, and no error either."""
    judged = judge_records(database, load_settings().profile.paper, lambda _: 0.0)
    assert judged.document() == {"portfolios": [], "headline_scores": []}
