"""Findings about market data. Every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Effect, Finding, QualityCode, Settlement

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding with what became of it. `held` means that no decision sees the candle until it is settled."""

    finding_id: UUID
    finding: Finding
    held: bool
    detected_at: datetime
    settled_at: datetime | None
    settlement: Settlement | None


# Found again, a finding keeps its row; only a count in its detail may have grown. What was settled because other
# values came, and is found again, is back: the values are those of then once more.
_INSERT: LiteralString = """
    INSERT INTO market.data_findings AS f
        (finding_id, venue, symbol, timeframe, at, code, held, detail, published, source, detected_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (finding_id) DO UPDATE SET detail = excluded.detail, settled_at = NULL, settlement = NULL
    WHERE (f.settled_at IS NULL AND f.detail <> excluded.detail) OR f.settlement = 'corrected'
    RETURNING xmax = 0
"""
_SETTLE: LiteralString = """
    UPDATE market.data_findings SET settled_at = %(at)s, settlement = %(settlement)s
    WHERE finding_id = ANY(%(ids)s) AND settled_at IS NULL
"""
_READ: LiteralString = """
    SELECT finding_id, venue, symbol, timeframe, at, code, held, detail, published, source, detected_at, settled_at,
        settlement
    FROM market.data_findings
    WHERE venue = %(venue)s AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s) AND at >= %(start)s AND at < %(end)s
    ORDER BY at, symbol, code, finding_id
"""
_IDS: LiteralString = """
    SELECT finding_id FROM market.data_findings
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND at >= %(start)s AND at < %(end)s
"""
# The newest is what holds now: an older one that was never settled may come from a run that died.
NEWEST_SKEW: LiteralString = """
    SELECT detail FROM market.data_findings
    WHERE venue = %(venue)s AND symbol = '*' AND code = 'CLOCK_SKEW' AND settled_at IS NULL AND at <= %(now)s
    ORDER BY at DESC LIMIT 1
"""
_READ_OPEN: LiteralString = """
    SELECT finding_id, venue, symbol, timeframe, at, code, held, detail, published, source, detected_at, settled_at,
        settlement
    FROM market.data_findings
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND at >= %(start)s AND at < %(end)s
        AND settled_at IS NULL AND code = ANY(%(codes)s)
    ORDER BY at, symbol, code, finding_id
"""


def record_findings(connection: psycopg.Connection, findings: Sequence[Finding], at: datetime) -> int:
    """Store findings that were made at `at`, and return how many are new. The same finding made again is one row.

    Args:
        connection: in a transaction.
        findings: in any order.
        at: when they were made.
    """
    # In one order everywhere, so that two writers never wait for each other in a circle.
    ordered = sorted({finding.finding_id: finding for finding in findings}.items(), key=lambda item: str(item[0]))
    if not ordered:
        return 0
    rows = [
        (
            finding_id,
            one.venue,
            one.symbol,
            one.timeframe,
            one.at,
            one.code.value,
            one.code.effect is Effect.HELD,
            Jsonb(dict(one.detail)),
            None if one.published is None else Jsonb(dict(one.published)),
            one.source,
            at,
        )
        for finding_id, one in ordered
    ]
    new = 0
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows, returning=True)
        while True:
            new += sum(bool(row[0]) for row in cursor.fetchall())
            if not cursor.nextset():
                return new


def settle(connection: psycopg.Connection, finding_id: UUID, settlement: Settlement, at: datetime) -> bool:
    """End a finding; False where it was settled before, which stays as it is."""
    return settle_all(connection, [finding_id], settlement, at) == 1


def settle_all(
    connection: psycopg.Connection, finding_ids: Sequence[UUID], settlement: Settlement, at: datetime
) -> int:
    """End those of the findings that are not settled, and return how many those were."""
    if not finding_ids:
        return 0
    values = {"ids": list(finding_ids), "settlement": settlement.value, "at": at}
    return connection.execute(_SETTLE, values).rowcount


def read_findings(
    connection: psycopg.Connection, venue: str, symbol: str | None, start: datetime, end: datetime
) -> list[StoredFinding]:
    """The findings of a venue about candles opened, or moments, in [start, end), by time; of all symbols with None.

    Raises:
        DataError: one has a code that is not known here.
    """
    values = {"venue": venue, "symbol": symbol, "start": start, "end": end}
    return [_stored(row) for row in connection.execute(_READ, values).fetchall()]


def known_ids(connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime) -> set[UUID]:
    """The ids of the findings about a symbol in [start, end), whatever became of them."""
    rows = connection.execute(_IDS, {"venue": venue, "symbol": symbol, "start": start, "end": end}).fetchall()
    return {finding_id for (finding_id,) in rows}


def open_findings(
    connection: psycopg.Connection,
    venue: str,
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    codes: Sequence[QualityCode],
) -> list[StoredFinding]:
    """The findings of these codes about [start, end) that are not settled, by time."""
    values = {
        "venue": venue,
        "symbols": list(symbols),
        "start": start,
        "end": end,
        "codes": [code.value for code in codes],
    }
    return [_stored(row) for row in connection.execute(_READ_OPEN, values).fetchall()]


def clock_trusted(connection: psycopg.Connection, venue: str, now: datetime) -> bool:
    """Whether our clock and the venue's agree well enough to decide anything new.

    False while the newest finding of CLOCK_SKEW that is not settled says that it refuses. No measurement at all is not
    seen here: that the clock is measured is the measuring service's heartbeat.
    """
    row = connection.execute(NEWEST_SKEW, {"venue": venue, "now": now}).fetchone()
    return is_trusted(row[0] if row else None)


def is_trusted(skew: Mapping[str, Any] | None) -> bool:
    """Whether the newest finding of CLOCK_SKEW, or that there is none, lets our clock be trusted.

    A finding without the mark cannot be read, and what cannot be read is not trusted.
    """
    return skew is None or skew.get("refuses") == 0


def findings_frame(findings: Sequence[StoredFinding]) -> pl.DataFrame:
    """`findings` as a frame that keeps the contract `data_findings`."""
    import polars as pl

    from triplegain_pipelines.market.contracts import FINDING_COLUMNS

    rows = [
        (one.finding.venue, one.finding.symbol, one.finding.at, one.finding.code.value, one.held, one.settlement)
        for one in findings
    ]
    return pl.DataFrame(rows, schema=dict(FINDING_COLUMNS), orient="row")


def _stored(row: tuple[Any, ...]) -> StoredFinding:
    finding_id, venue, symbol, timeframe, at, code, held, detail, published, source, detected, settled, settlement = row
    if code not in QualityCode.__members__:
        msg = f"the finding {finding_id} about {venue} {symbol} has the unknown code {code!r}; newer code wrote it"
        raise DataError(msg)
    return StoredFinding(
        finding_id,
        Finding(venue, symbol, at, QualityCode[code], source, detail, published, timeframe),
        held,
        detected,
        settled,
        None if settlement is None else Settlement(settlement),
    )
