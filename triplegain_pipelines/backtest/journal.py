"""What trials showed, kept in a file from the moment they showed it until the database has it.

A transaction for each trial would take longer than the trial. So each walk of a trial, over its train bars and over its
test bars, is a line here before its thread begins the next one, and the database is written many trials at a time.
Whoever goes on after a kill, an outage or a full disk finds every walk that had ended: lost are those that were being
walked, one a thread.

A line is written in one piece and not synced: it outlives the process, and the database, but not a power cut. It begins
with the checksum of the rest of it; one that was cut off in the middle is passed over and walked again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from triplegain_pipelines.backtest.trials import Evaluated
from triplegain_pipelines.domain.errors import UnavailableError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_Parameters = Mapping[str, Any]


class Stretch(StrEnum):
    """Which bars of its fold a trial was walked over."""

    TRAIN = "train"
    TEST = "test"


class Journal:
    """The walks of some trials of one fold. One worker writes, from several threads; `journal_of` opens it.

    Args:
        file: of the worker's batch.
        found: the walks that were written before, by place and stretch, each with the trial's parameters.
    """

    def __init__(self, file: Path, found: Mapping[tuple[int, Stretch], tuple[_Parameters, Evaluated]]) -> None:
        self._file, self._found = file, found
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def walked(self, place: int, stretch: Stretch, parameters: _Parameters) -> Evaluated | None:
        """What this trial with these parameters showed before, or None where that is not known."""
        written, evaluated = self._found.get((place, stretch), (None, None))
        return evaluated if written == parameters else None

    def write(self, place: int, stretch: Stretch, parameters: _Parameters, evaluated: Evaluated) -> None:
        """Keep what a trial showed.

        Raises:
            UnavailableError: there is no room for it, or the file cannot be written.
        """
        content = json.dumps([place, stretch, parameters, evaluated.figures, evaluated.trades_hash], allow_nan=False)
        # It begins a line of its own: what is there may end in the middle of one.
        line = f"\n{zlib.crc32(content.encode()):08x} {content}\n".encode()
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise _unwritten(self._file, error.errno) from error
        if written < len(line):
            raise _unwritten(self._file, errno.ENOSPC)

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Forget the walks, which the database has now."""
        self._file.unlink(missing_ok=True)


@contextmanager
def journal_of(folder: Path, fold: int, batch: str) -> Iterator[Journal]:
    """The journal of a batch, with what any worker wrote of its fold: batches may be cut otherwise than before.

    Args:
        folder: of the study.
        fold: number of the fold.
        batch: name of the batch.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    file = folder / f"{fold}_{batch}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = dict(walk for one in sorted(folder.glob(f"{fold}_*.jsonl")) for walk in _walks_in(one))
        journal = Journal(file, found)
    except OSError as error:
        raise _unwritten(file, error.errno) from error
    try:
        yield journal
    finally:
        journal.close()


def remove_journals(folder: Path) -> None:
    """Remove all journals of a study; nothing where there are none."""
    shutil.rmtree(folder, ignore_errors=True)


def _walks_in(file: Path) -> Iterator[tuple[tuple[int, Stretch], tuple[_Parameters, Evaluated]]]:
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:  # its worker was done in this moment
        return
    for line in lines:
        checksum, _, content = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(content):
            place, stretch, parameters, figures, trades_hash = json.loads(content)
            yield (place, Stretch(stretch)), (parameters, Evaluated(figures, trades_hash))


def _unwritten(file: Path, number: int | None) -> UnavailableError:
    why = os.strerror(number or errno.EIO)
    advice = "free some space there" if number in _NO_ROOM else "see that it can be written"
    return UnavailableError(f"what a trial showed cannot be kept in {file.parent} ({why}); {advice} and run it again")
