"""How much of an account each strategy was given, and the regimes by which that moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.decisions import Regime


@dataclass(frozen=True, slots=True)
class StoredAllocation:
    """An allocation as it is kept. Weights are fractions of the account; the rest is cash."""

    account: str
    as_of: datetime
    regime: str | None
    weights: Mapping[str, float]
    active: Mapping[str, bool]
    switched: Sequence[str]
    turnover: float
    explanation: Sequence[str]
    allocated_at: datetime


def save_allocation(connection: psycopg.Connection, allocation: StoredAllocation) -> None:
    """Keep an allocation. One of the same account and time stays as it was."""
    connection.execute(
        """INSERT INTO research.strategy_allocations
               (account, as_of, regime, weights, active, switched, turnover, explanation, allocated_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (account, as_of) DO NOTHING""",
        [
            allocation.account,
            allocation.as_of,
            allocation.regime,
            Jsonb(dict(allocation.weights)),
            Jsonb(dict(allocation.active)),
            list(allocation.switched),
            allocation.turnover,
            list(allocation.explanation),
            allocation.allocated_at,
        ],
    )


def newest_allocation(connection: psycopg.Connection, account: str, before: datetime) -> StoredAllocation | None:
    """The last allocation of the account before a time, or None."""
    with connection.cursor(row_factory=class_row(StoredAllocation)) as cursor:
        return cursor.execute(
            """SELECT account, as_of, regime, weights, active, switched, turnover, explanation, allocated_at
               FROM research.strategy_allocations WHERE account = %s AND as_of < %s ORDER BY as_of DESC LIMIT 1""",
            [account, before],
        ).fetchone()


def regimes_known_at(
    connection: psycopg.Connection, venue: str, symbol: str, moments: Sequence[datetime], code_version: str
) -> dict[datetime, Regime]:
    """The regime that was known at each moment, by that moment; a moment before the first is left out."""
    rows = connection.execute(
        """SELECT moment, found.regime FROM unnest(%(moments)s::timestamptz[]) AS wanted (moment)
           CROSS JOIN LATERAL (
               SELECT r.regime FROM research.snapshots s JOIN research.regime_signals r USING (snapshot_id)
               WHERE s.venue = %(venue)s AND s.symbol = %(symbol)s AND s.as_of <= moment
                   AND r.code_version = %(version)s
               ORDER BY s.as_of DESC LIMIT 1) AS found""",
        {"moments": list(moments), "venue": venue, "symbol": symbol, "version": code_version},
    )
    return {moment: Regime(regime) for moment, regime in rows}
