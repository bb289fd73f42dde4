"""What the data-quality page says beside its expectations: findings, gaps, revisions, clock, latency."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.domain.quality import Effect, GapKind, QualityCode
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.doubts import USUAL_SPAN, doubtful
from triplegain_pipelines.settings.market import QualitySettings
from triplegain_pipelines.store.candles import read_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import known_ids
from triplegain_pipelines.store.quality_figures import (
    ClockSpell,
    FindingCount,
    GapCount,
    RevisionCount,
    clock_spells,
    finding_counts,
    gap_counts,
    revision_counts,
)
from triplegain_pipelines.store.statistics import QualityStatistics, quality_statistics

CODE_MEANINGS: Mapping[str, str] = {code.value: code.meaning for code in QualityCode}
KIND_MEANINGS: Mapping[str, str] = {kind.value: kind.meaning for kind in GapKind}
_PIECE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Flag:
    """Candles of a symbol that the rules doubt and that were never held: history that came as an archive."""

    symbol: str
    code: str
    candles: int


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """The figures of a period. `statistics` are by symbol."""

    findings: Sequence[FindingCount]
    gaps: Sequence[GapCount]
    revisions: Sequence[RevisionCount]
    clock: Sequence[ClockSpell]
    statistics: Mapping[str, QualityStatistics]
    flags: Sequence[Flag]


def quality_figures(
    database: Database,
    venue: str,
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    rules: QualitySettings | None,
) -> QualityFigures:
    """Count what is recorded about [start, end), and look at the candles there once more.

    Args:
        database: where the rows are.
        venue: of the candles.
        symbols: of the candles.
        start: beginning of the period.
        end: its end.
        rules: what counts as doubtful; None leaves out the second look.

    Raises:
        UnavailableError: the database does not answer.
    """
    period = (venue, symbols, start, end)
    flags = [flag for symbol in symbols for flag in _flags(database, venue, symbol, start, end, rules)] if rules else []
    with database.connection() as connection:
        return QualityFigures(
            findings=finding_counts(connection, *period),
            gaps=gap_counts(connection, *period),
            revisions=revision_counts(connection, *period),
            clock=clock_spells(connection, venue, start, end),
            statistics={symbol: quality_statistics(connection, venue, symbol, start, end) for symbol in symbols},
            flags=flags,
        )


def _flags(
    database: Database, venue: str, symbol: str, start: datetime, end: datetime, rules: QualitySettings
) -> list[Flag]:
    counts: Counter[str] = Counter()
    piece = start
    while piece < end:
        until = min(piece + _PIECE, end)
        with database.connection() as connection:
            frame = read_candles(connection, venue, symbol, Timeframe.M1, piece - USUAL_SPAN, until)
            known = known_ids(connection, venue, symbol, piece - USUAL_SPAN, until)
        doubts = doubtful(frame, venue=venue, symbol=symbol, source="report", rules=rules, since=piece)
        counts.update(
            doubt.code.value
            for doubt in doubts
            if doubt.code.effect is Effect.HELD and doubt.finding_id not in known and doubt.at >= piece
        )
        piece = until
    return [Flag(symbol, code, candles) for code, candles in sorted(counts.items())]
