"""Room on the disks that an account's state lies on: where it runs out, nothing new is begun before it does.

What is begun must be recorded to its end, so the last of the room is kept for that.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 2**20
LOW = 2048 * MEBIBYTE
"""With less than these bytes free a person is warned."""
TOO_LOW = 500 * MEBIBYTE
"""With less than these bytes free no new risk is taken."""


class Room(NamedTuple):
    """The free bytes of the disk that a folder lies on."""

    folder: Path
    free: int

    def __str__(self) -> str:
        """For a message."""
        return f"{self.free // MEBIBYTE:,} MiB free for {self.folder}"


def least_room(folders: Sequence[Path]) -> Room:
    """Where there is the least room.

    A folder that is not there yet has the room of its parent, one that cannot be asked has none.
    """
    return min((Room(folder, _free(folder)) for folder in folders), key=lambda room: room.free)


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    except OSError:
        return 0
