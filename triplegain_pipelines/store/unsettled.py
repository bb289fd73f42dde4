"""Forecasts whose horizon is over and that have no outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

_UNSETTLED: LiteralString = """
    SELECT DISTINCT s.symbol, s.as_of, due.horizon_hours
    FROM research.snapshots s
    CROSS JOIN unnest(%(horizons)s::integer[], %(waits)s::interval[]) AS due (horizon_hours, wait)
    WHERE s.venue = %(venue)s AND s.symbol = ANY(%(symbols)s) AND s.as_of >= %(since)s
      AND s.as_of + due.wait <= %(until)s
      AND NOT EXISTS (
        SELECT FROM research.forecast_outcomes o
        WHERE (o.venue, o.symbol, o.as_of, o.horizon_hours) = (s.venue, s.symbol, s.as_of, due.horizon_hours))
    ORDER BY s.as_of, s.symbol, due.horizon_hours
"""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A moment that was forecast, and a horizon of it that is over and has no outcome."""

    symbol: str
    as_of: datetime
    horizon_hours: int


def read_unsettled(
    connection: psycopg.Connection,
    venue: str,
    symbols: Sequence[str],
    since: datetime,
    until: datetime,
    waits: Mapping[int, timedelta],
) -> list[Unsettled]:
    """Horizons without an outcome, by time, symbol and horizon.

    Args:
        connection: to the database.
        venue: of the snapshots.
        symbols: of the snapshots.
        since: moments before are not looked at.
        until: horizons that had to settle later are not looked at.
        waits: by horizon in hours, how long after the moment an outcome settles at the latest.
    """
    parameters = {
        "venue": venue,
        "symbols": list(symbols),
        "since": since,
        "until": until,
        "horizons": list(waits),
        "waits": list(waits.values()),
    }
    with connection.cursor(row_factory=class_row(Unsettled)) as cursor:
        return cursor.execute(_UNSETTLED, parameters).fetchall()
