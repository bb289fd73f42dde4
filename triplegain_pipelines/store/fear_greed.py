"""The fear-and-greed index: every value of a day that we saw, by when we first saw it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.market.news.fear_greed import FearGreedReading

_INSERT: LiteralString = """
    INSERT INTO market.fear_greed (source, published_at, score, classification, first_seen_at, first_seen_assumed)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_LATEST: LiteralString = """
    SELECT DISTINCT ON (published_at) published_at, score FROM market.fear_greed
    WHERE published_at BETWEEN %s AND %s ORDER BY published_at, first_seen_at DESC, source DESC
"""
_READ: LiteralString = """
    SELECT source, published_at, score, classification, first_seen_at, first_seen_assumed FROM market.fear_greed
    WHERE published_at >= %s AND first_seen_at <= %s ORDER BY published_at, first_seen_at, source
"""
_NEWEST: LiteralString = """
    SELECT source, published_at, score, classification, first_seen_at, first_seen_assumed FROM market.fear_greed
    WHERE first_seen_at <= %(as_of)s AND published_at <= %(as_of)s
    ORDER BY published_at DESC, first_seen_at DESC, source DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class FearGreedCount:
    """What became of readings: stored, known already, or of an archive that contradicts what is stored."""

    new: int
    known: int
    contradicting: int


def upsert_fear_greed(connection: psycopg.Connection, readings: Sequence[FearGreedReading]) -> FearGreedCount:
    """Store values that are new: of a new day, or another value than the last one seen of that day.

    What was seen counts more than what an archive says: a reading whose first sight is assumed is stored only where
    nothing of its day is, so that an import never changes what a past decision knew.
    """
    if not readings:
        return FearGreedCount(0, 0, 0)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('fear_greed', 0))")
    days = [one.published_at for one in readings]
    latest: dict[datetime, int] = dict(connection.execute(_LATEST, (min(days), max(days))).fetchall())
    new = []
    known = 0
    for one in sorted(readings, key=lambda one: (one.published_at, one.first_seen_at)):
        stored = latest.get(one.published_at)
        if stored == one.score:
            known += 1
        elif stored is None or not one.first_seen_assumed:
            new.append(one)
            latest[one.published_at] = one.score
    rows = [
        (one.source, one.published_at, one.score, one.classification, one.first_seen_at, one.first_seen_assumed)
        for one in new
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
    return FearGreedCount(len(new), known, len(readings) - len(new) - known)


def read_fear_greed(connection: psycopg.Connection, since: datetime, until: datetime) -> list[FearGreedReading]:
    """The values of the days from `since` on that were first seen by `until`, by day, then first sight."""
    with connection.cursor(row_factory=class_row(FearGreedReading)) as cursor:
        return cursor.execute(_READ, (since, until)).fetchall()


def newest_fear_greed(connection: psycopg.Connection, as_of: datetime) -> FearGreedReading | None:
    """The newest day's value that we had seen by `as_of`, however old; None where there is none."""
    with connection.cursor(row_factory=class_row(FearGreedReading)) as cursor:
        return cursor.execute(_NEWEST, {"as_of": as_of}).fetchone()
