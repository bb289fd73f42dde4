"""The journal of a study's walks: what was written whole is found, whatever happened to the file after it."""

from pathlib import Path

import pytest

from triplegain_pipelines.backtest.journal import Journal, Stretch, journal_of, remove_journals
from triplegain_pipelines.backtest.trials import Evaluated
from triplegain_pipelines.domain.errors import UnavailableError

pytestmark = pytest.mark.unit

PARAMETERS = {"entry": 20, "stop_atr": 0.1 + 0.2}
SHOWN = Evaluated({"sharpe": 1 / 3, "trades": 7, "profit_factor": None}, "00ff" * 4)


def written(folder: Path, places: range, batch: str = "b") -> bytes:
    """A file with the walks of these trials over their train bars."""
    with journal_of(folder, 0, batch) as journal:
        for place in places:
            journal.write(place, Stretch.TRAIN, PARAMETERS, SHOWN)
    return (folder / f"0_{batch}.jsonl").read_bytes()


def found(journal: Journal, places: range) -> list[int]:
    """The trials whose walks are known, each exactly as it was written."""
    known = {place: journal.walked(place, Stretch.TRAIN, PARAMETERS) for place in places}
    assert all(one in (SHOWN, None) for one in known.values())
    return [place for place, one in known.items() if one is not None]


def test_a_file_that_ends_anywhere(tmp_path: Path) -> None:
    """Issue 6.6: a line that was cut off by a kill or a full disk must be walked again, and spoil none beside it."""
    whole = written(tmp_path / "whole", range(2))
    line = len(whole) // 2
    cut = tmp_path / "cut"
    for end in range(len(whole)):
        cut.mkdir()
        (cut / "0_b.jsonl").write_bytes(whole[:end])
        written(cut, range(2, 3))  # who goes on writes behind the half line
        with journal_of(cut, 0, "b") as journal:
            # The line feed at the end of a line is no part of what it says.
            assert found(journal, range(3)) == [*range((end + 1) // line), 2], end
        remove_journals(cut)


def test_a_byte_that_is_another(tmp_path: Path) -> None:
    """Issue 6.6: figures that were spoilt on the disk must not be believed."""
    whole = written(tmp_path, range(1))
    for at in range(1, len(whole) - 1):
        (tmp_path / "0_b.jsonl").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with journal_of(tmp_path, 0, "b") as journal:
            assert found(journal, range(1)) == [], at


def test_walks_of_other_parameters_or_stretches_or_folds_are_others(tmp_path: Path) -> None:
    """I5: figures of one set of parameters must never be shown as those of another."""
    written(tmp_path, range(1))
    with journal_of(tmp_path, 0, "cut otherwise") as journal:
        assert journal.walked(0, Stretch.TRAIN, PARAMETERS) == SHOWN
        assert journal.walked(0, Stretch.TRAIN, PARAMETERS | {"entry": 21}) is None
        assert journal.walked(0, Stretch.TEST, PARAMETERS) is None
    with journal_of(tmp_path, 1, "b") as journal:
        assert journal.walked(0, Stretch.TRAIN, PARAMETERS) is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Issue 6.6: a study that cannot keep what it finds must say so before it begins, in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="see that it can be written"), journal_of(tmp_path / "file", 0, "b"):
        pass
