"""The import of an archive: read and checked whole, then stored in one transaction with its gaps."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.archives import Archive, read_archive
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.store.candles import UpsertCount, read_candles, replace_gaps, upsert_candles
from triplegain_pipelines.store.database import Database


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What a file held and what became of it.

    `gaps` and `missing` count runs of missing candles, and missing candles, between the first and the last of the
    file. `ignored` are columns that have no place in a candle.
    """

    file: str
    format: str
    venue: str
    symbol: str
    timeframe: Timeframe
    rows: int
    first: datetime
    last: datetime
    gaps: int
    missing: int
    new: int
    identical: int
    revised: int
    ignored: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "file": self.file,
            "format": self.format,
            "venue": self.venue,
            "symbol": self.symbol,
            "timeframe": self.timeframe.value,
            "rows": self.rows,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "gaps": self.gaps,
            "missing": self.missing,
            "new": self.new,
            "identical": self.identical,
            "revised": self.revised,
            "ignored_columns": list(self.ignored),
        }


def import_archive(
    database: Database,
    path: Path,
    *,
    clock: Clock,
    symbol: str | None = None,
    venue: str | None = None,
    timeframe: Timeframe | None = None,
) -> ImportSummary:
    """Store the candles of a file, all or none, and record their gaps.

    Args:
        database: where to.
        path: of a format that `read_archive` understands.
        clock: a candle that has not closed by now is refused, and the file with it.
        symbol: where the file does not tell it.
        venue: where the file does not tell it.
        timeframe: where the file does not tell it.

    Raises:
        InputError: the file cannot be imported; nothing of it was stored.
        UnavailableError: the database cannot be reached; nothing was stored.
    """
    archive = read_archive(path, symbol=symbol, venue=venue, timeframe=timeframe)
    opened_at = archive.frame["opened_at"]
    first, last = opened_at[0], opened_at[-1]
    if last + archive.timeframe.duration > clock.now():
        msg = f"{path.name}: the candle opened at {last.isoformat()} has not closed yet; remove it and what follows"
        raise InputError(msg)
    gaps = find_gaps(opened_at, archive.timeframe)
    count = _store(database, archive, first, last)
    return ImportSummary(
        file=str(path),
        format=archive.format.value,
        venue=archive.venue,
        symbol=archive.symbol,
        timeframe=archive.timeframe,
        rows=archive.frame.height,
        first=first,
        last=last,
        gaps=gaps.height,
        missing=int(gaps["missing"].sum()),
        new=count.new,
        identical=count.identical,
        revised=count.revised,
        ignored=archive.ignored,
    )


def _store(database: Database, archive: Archive, first: datetime, last: datetime) -> UpsertCount:
    series = (archive.venue, archive.symbol, archive.timeframe)
    end = last + archive.timeframe.duration
    with database.connection() as connection:
        source = f"archive:{archive.digest[:16]}"
        count = upsert_candles(connection, *series, archive.frame, source)
        # What is missing in the file may have been stored before: what is stored decides.
        stored = read_candles(connection, *series, first, end)["opened_at"]
        replace_gaps(connection, *series, first, end, find_gaps(stored, archive.timeframe))
    return count
