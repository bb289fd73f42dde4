"""A clock that can be moved forward, and that a venue on loopback and its clients in other processes share."""

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from triplegain_pipelines.domain.clock import SystemClock, require_utc

_OFFSET = struct.Struct("=q")  # microseconds from the machine's clock to this one
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ShiftableClock:
    """The machine's clock with an offset: time passes, and can be moved forward so that nobody waits for an expiry.

    A process that was forked from this one shares the offset. A process that was not shares it by opening the same
    `file`.

    Args:
        start: what it shows at first; None: the machine's time, or what the file has.
        file: where the offset is kept; None: in memory that forked processes share.
    """

    def __init__(self, start: datetime | None = None, file: Path | None = None) -> None:
        self._machine = SystemClock()
        if file is None:
            self._offset = mmap.mmap(-1, _OFFSET.size)
        else:
            if not file.exists():
                file.write_bytes(bytes(_OFFSET.size))
            with file.open("r+b") as opened:
                self._offset = mmap.mmap(opened.fileno(), _OFFSET.size)
        if start is not None:
            self._set(require_utc(start) - self._machine.now())

    def now(self) -> datetime:
        """The present moment, UTC and aware."""
        (offset,) = _OFFSET.unpack_from(self._offset)
        return self._machine.now() + int(offset) * _MICROSECOND

    def advance(self, duration: timedelta) -> None:
        """Move it forward by `duration`.

        Raises:
            ValueError: the duration is negative.
        """
        if duration < timedelta(0):
            msg = f"a clock cannot run backwards: {duration} is less than nothing"
            raise ValueError(msg)
        (offset,) = _OFFSET.unpack_from(self._offset)
        self._set(int(offset) * _MICROSECOND + duration)

    def advance_to(self, moment: datetime) -> None:
        """Move it forward to `moment`; where it has passed that already, it stays as it is: time passes by itself."""
        self.advance(max(require_utc(moment) - self.now(), timedelta(0)))

    def milliseconds(self) -> int:
        """Milliseconds since 1970, as venues count."""
        return (self.now() - _EPOCH) // timedelta(milliseconds=1)

    def _set(self, offset: timedelta) -> None:
        _OFFSET.pack_into(self._offset, 0, offset // _MICROSECOND)
