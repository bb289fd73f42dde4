"""Headlines: stored once, by the time we first saw them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.market.headlines import Headline

# A later sighting changes nothing: what was known when must stay as it was.
_INSERT: LiteralString = """
    INSERT INTO market.headlines
        (headline_id, source, title, published_at, first_seen_at, link, story_id, first_seen_assumed)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (headline_id) DO NOTHING
"""
_READ: LiteralString = """
    SELECT headline_id, source, title, published_at, first_seen_at, link, story_id, first_seen_assumed
    FROM market.headlines WHERE first_seen_at > %s AND first_seen_at <= %s ORDER BY first_seen_at, headline_id
"""


def upsert_headlines(connection: psycopg.Connection, headlines: Sequence[Headline]) -> int:
    """Store those headlines that are new, and return how many were."""
    rows = [
        (
            item.headline_id,
            item.source,
            item.title,
            item.published_at,
            item.first_seen_at,
            item.link,
            item.story_id,
            item.first_seen_assumed,
        )
        for item in headlines
    ]
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
        return cursor.rowcount


def read_headlines(connection: psycopg.Connection, since: datetime, until: datetime) -> list[Headline]:
    """The headlines first seen after `since` and not after `until`, oldest first."""
    with connection.cursor(row_factory=class_row(Headline)) as cursor:
        return cursor.execute(_READ, (since, until)).fetchall()


def stored_headlines(connection: psycopg.Connection, headline_ids: Iterable[str]) -> set[str]:
    """Which of these ids are stored."""
    rows = connection.execute(
        "SELECT headline_id FROM market.headlines WHERE headline_id = ANY(%s)", (list(headline_ids),)
    )
    return {row[0] for row in rows}


def lock_headlines(connection: psycopg.Connection) -> None:
    """Keep other writers of headlines waiting until the transaction ends, so that nobody opens a story twice."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('headlines', 0))")
