"""What risk knew of a market beside the prices, at each decision time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.risk import MarketState

OLDEST = timedelta(hours=2)
NEWEST: LiteralString = """
    SELECT as_of, document FROM research.market_states
    WHERE venue = %(venue)s AND as_of <= %(at)s AND as_of >= %(oldest)s ORDER BY as_of DESC LIMIT 1"""


def newest(connection: psycopg.Connection, venue: str, at: datetime) -> MarketState | None:
    """The newest state of the market known at `at`, at most two hours old; None where there is none."""
    row = connection.execute(NEWEST, {"venue": venue, "at": at, "oldest": at - OLDEST}).fetchone()
    if row is None:
        return None
    return from_document(row[0], row[1])


def save(connection: psycopg.Connection, venue: str, states: Sequence[MarketState], code_version: str) -> None:
    """Store the states of a market. One of a time that has one replaces it: late candles have come in between."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO research.market_states (venue, as_of, document, code_version) VALUES (%s, %s, %s, %s)
               ON CONFLICT (venue, as_of) DO UPDATE
               SET document = excluded.document, code_version = excluded.code_version""",
            [(venue, one.as_of, canonical_json(as_document(one)), code_version) for one in states],
        )


def as_document(state: MarketState) -> dict[str, Any]:
    """The state as values of JSON, without its time: a pair of symbols with its correlation is a list of three."""
    pairs = sorted(state.correlations.items())
    return {
        "volatilities": dict(state.volatilities),
        "percentiles": dict(state.percentiles),
        "correlations": [[first, second, value] for (first, second), value in pairs],
    }


def from_document(as_of: datetime, document: Mapping[str, Any]) -> MarketState:
    """The state that `as_document` wrote."""
    correlations = {(first, second): value for first, second, value in document["correlations"]}
    return MarketState(as_of, document["volatilities"], document["percentiles"], correlations)
