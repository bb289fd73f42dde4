"""Counts for the data-quality report: findings and how they ended, gaps by kind, revisions, the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.market.clock_skew import ALL_SYMBOLS


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many findings of a code there are, how those ended that are settled, and how many still hold a candle."""

    code: str
    found: int
    confirmed: int
    corrected: int
    over: int
    unsettled: int
    holding: int


@dataclass(frozen=True, slots=True)
class GapCount:
    """How many gaps of a kind a symbol has, and how many of their minutes lie in the period."""

    symbol: str
    kind: str
    gaps: int
    minutes: int


@dataclass(frozen=True, slots=True)
class RevisionCount:
    """How many candles of a symbol were changed after they had been stored, and how often in all."""

    symbol: str
    candles: int
    revisions: int


@dataclass(frozen=True, slots=True)
class ClockSpell:
    """A time in which the venue's clock and ours were apart. Seconds, the venue's clock less ours."""

    began_at: datetime
    ended_at: datetime | None
    offset_seconds: float
    largest_seconds: float
    refused: bool


_FINDINGS: LiteralString = """
    SELECT code, count(*)::int AS found,
        (count(*) FILTER (WHERE settlement = 'confirmed'))::int AS confirmed,
        (count(*) FILTER (WHERE settlement = 'corrected'))::int AS corrected,
        (count(*) FILTER (WHERE settlement = 'over'))::int AS over,
        (count(*) FILTER (WHERE settled_at IS NULL))::int AS unsettled,
        (count(*) FILTER (WHERE settled_at IS NULL AND held))::int AS holding
    FROM market.data_findings
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND at >= %(start)s AND at < %(end)s
    GROUP BY code ORDER BY code
"""
# A gap that reaches out of the period counts there with its other minutes.
_GAPS: LiteralString = """
    SELECT symbol, kind, count(*)::int AS gaps, sum(1 + extract(epoch FROM
        least(ends_at, %(end)s::timestamptz - interval '1 minute') - greatest(starts_at, %(start)s::timestamptz)
        ) / 60)::int AS minutes
    FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND timeframe = '1m'
        AND ends_at >= %(start)s AND starts_at < %(end)s
    GROUP BY symbol, kind ORDER BY symbol, kind
"""
_REVISIONS: LiteralString = """
    SELECT symbol, count(DISTINCT opened_at)::int AS candles, count(*)::int AS revisions
    FROM market.candle_revisions
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND timeframe = '1m'
        AND opened_at >= %(start)s AND opened_at < %(end)s
    GROUP BY symbol ORDER BY symbol
"""
_CLOCK: LiteralString = """
    SELECT at AS began_at, settled_at AS ended_at, (detail->>'offset_seconds')::float8 AS offset_seconds,
        coalesce((detail->>'largest_seconds')::float8, abs((detail->>'offset_seconds')::float8)) AS largest_seconds,
        (detail->>'refuses')::int <> 0 AS refused
    FROM market.data_findings
    WHERE venue = %(venue)s AND symbol = ANY(%(symbols)s) AND code = 'CLOCK_SKEW' AND at < %(end)s
        AND coalesce(settled_at, 'infinity') >= %(start)s
    ORDER BY at
"""


def finding_counts(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime, end: datetime
) -> list[FindingCount]:
    """The findings of [start, end) about these symbols and about the venue as a whole, by code."""
    with connection.cursor(row_factory=class_row(FindingCount)) as cursor:
        return cursor.execute(_FINDINGS, _key(venue, [*symbols, ALL_SYMBOLS], start, end)).fetchall()


def gap_counts(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime, end: datetime
) -> list[GapCount]:
    """The gaps of 1-minute candles that reach into [start, end), by symbol and kind."""
    with connection.cursor(row_factory=class_row(GapCount)) as cursor:
        return cursor.execute(_GAPS, _key(venue, symbols, start, end)).fetchall()


def revision_counts(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], start: datetime, end: datetime
) -> list[RevisionCount]:
    """The 1-minute candles opened in [start, end) that were changed, by symbol; whenever they were."""
    with connection.cursor(row_factory=class_row(RevisionCount)) as cursor:
        return cursor.execute(_REVISIONS, _key(venue, symbols, start, end)).fetchall()


def clock_spells(connection: psycopg.Connection, venue: str, start: datetime, end: datetime) -> list[ClockSpell]:
    """The times in [start, end) in which the clocks were apart, oldest first."""
    with connection.cursor(row_factory=class_row(ClockSpell)) as cursor:
        return cursor.execute(_CLOCK, _key(venue, [ALL_SYMBOLS], start, end)).fetchall()


def _key(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> dict[str, object]:
    return {"venue": venue, "symbols": list(symbols), "start": start, "end": end}
