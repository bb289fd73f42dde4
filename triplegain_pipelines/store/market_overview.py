"""What is known of the market data at a glance: for `triplegain data` and the page. It only reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

# The newest candle is one step into the primary key for each series, however long it is.
_SERIES: LiteralString = """
    SELECT asked.venue, asked.symbol,
        (SELECT max(c.opened_at) FROM market.candles c
         WHERE c.venue = asked.venue AND c.symbol = asked.symbol AND c.timeframe = '1m') AS newest_opened_at,
        (SELECT coalesce(sum(g.missing), 0) FROM market.candle_gaps g
         WHERE g.venue = asked.venue AND g.symbol = asked.symbol AND g.timeframe = '1m' AND g.kind = 'missing')
            AS minutes_missing,
        (SELECT count(*) FROM market.data_findings f
         WHERE f.venue = asked.venue AND f.symbol = asked.symbol AND f.held AND f.settled_at IS NULL) AS candles_held
    FROM unnest(%(venues)s::text[]) WITH ORDINALITY AS v (venue, place)
        CROSS JOIN unnest(%(symbols)s::text[]) AS s (symbol)
        CROSS JOIN LATERAL (SELECT v.venue, s.symbol) AS asked
    ORDER BY v.place, asked.symbol
"""


@dataclass(frozen=True, slots=True)
class SeriesState:
    """One series of 1-minute candles: its newest, what is missing for no known reason, and what is held back."""

    venue: str
    symbol: str
    newest_opened_at: datetime | None
    minutes_missing: int
    candles_held: int


def read_series_states(
    connection: psycopg.Connection, venues: Sequence[str], symbols: Sequence[str]
) -> list[SeriesState]:
    """Every series of `symbols` at `venues`, in the order of the venues."""
    with connection.cursor(row_factory=class_row(SeriesState)) as cursor:
        return cursor.execute(_SERIES, {"venues": list(venues), "symbols": list(symbols)}).fetchall()
