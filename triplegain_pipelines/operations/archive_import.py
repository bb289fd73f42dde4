"""The import of an archive: read and checked whole, then stored in one transaction with its gaps."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.files.archives import Archive, read_archive
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.operations.import_summary import ImportSummary
from triplegain_pipelines.store.candle_writes import lock_series
from triplegain_pipelines.store.candles import UpsertCount, opening_times, upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gaps import record_gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleSummary(ImportSummary):
    """What became of a file of candles.

    `gaps` and `missing` count runs of missing candles, and missing candles, between the first and the last of the
    file.
    """

    timeframe: Timeframe
    gaps: int
    missing: int
    revised: int

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return ImportSummary.document(self) | {
            "timeframe": self.timeframe.value,
            "gaps": self.gaps,
            "missing": self.missing,
            "revised": self.revised,
        }


def import_archive(
    database: Database,
    path: Path,
    *,
    clock: Clock,
    symbol: str | None = None,
    venue: str | None = None,
    timeframe: Timeframe | None = None,
) -> CandleSummary:
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
    count = _store(database, archive, first, last, gaps)
    return CandleSummary(
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


def _store(database: Database, archive: Archive, first: datetime, last: datetime, found: pl.DataFrame) -> UpsertCount:
    """Store the candles and bring the series' gaps up to date; `found` are the gaps of the file by itself."""
    venue, symbol, timeframe = series = (archive.venue, archive.symbol, archive.timeframe)
    end = last + timeframe.duration
    with database.connection() as connection:
        lock_series(connection, venue, [symbol], timeframe)
        before = opening_times(connection, *series, first, last)
        count = upsert_candles(connection, *series, archive.frame, f"archive:{archive.digest[:16]}")
        # What is missing in the file may have been stored before: what is stored decides. Nobody else writes meanwhile.
        stored = before.append(archive.frame["opened_at"]).unique().sort()
        gaps = found if stored.len() == archive.frame.height else find_gaps(stored, timeframe)
        record_gaps(connection, *series, first, end, gaps)
    return count
