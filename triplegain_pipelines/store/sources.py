"""Which venue a market's data came from, and when that changed. Every function works in the caller's transaction.

A market is named after its main venue. Without a switch its data comes from there.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import LiteralString

import psycopg

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.market.failover import SourceSpan, Switch, source_spans

_SWITCHES: LiteralString = """
    SELECT from_venue, to_venue, switched_at, reason FROM market.source_switches
    WHERE market = %(market)s ORDER BY sequence
"""
_LAST: LiteralString = """
    SELECT from_venue, to_venue, switched_at, reason FROM market.source_switches
    WHERE market = %(market)s ORDER BY sequence DESC LIMIT 1
"""
_INSERT: LiteralString = """
    INSERT INTO market.source_switches (market, sequence, from_venue, to_venue, switched_at, reason, basis)
    SELECT %(market)s, coalesce(max(sequence), 0) + 1, %(from_venue)s, %(to_venue)s, %(at)s, %(reason)s, %(basis)s
    FROM market.source_switches WHERE market = %(market)s
"""


def lock_source(connection: psycopg.Connection, market: str) -> None:
    """Keep the source of the market as it is until the transaction ends, but for the caller."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('triplegain.source.' || %s, 0))", [market])


def record_switch(
    connection: psycopg.Connection, market: str, switch: Switch, basis: Mapping[str, float | None]
) -> None:
    """Write a switch of the market's source.

    Args:
        connection: in a transaction.
        market: the main venue.
        switch: must leave the current source, and come after the switch before it.
        basis: by symbol, the price of the new venue over that of the old, less one; None where it is not known.

    Raises:
        DataError: the switch does not follow on the last one.
    """
    lock_source(connection, market)
    last = last_switch(connection, market)
    source = last.to_venue if last else market
    if switch.from_venue != source or switch.to_venue == source:
        msg = (
            f"the source of the market {market} is {source}, so it cannot be switched from {switch.from_venue} to "
            f"{switch.to_venue}; read the current source again"
        )
        raise DataError(msg)
    if last and switch.switched_at <= last.switched_at:
        msg = (
            f"the source of the market {market} was switched at {last.switched_at.isoformat()}; a switch at "
            f"{switch.switched_at.isoformat()} would change what past decisions saw. Check the machine's clock"
        )
        raise DataError(msg)
    row = {"market": market, "from_venue": switch.from_venue, "to_venue": switch.to_venue, "reason": switch.reason}
    connection.execute(_INSERT, {**row, "at": switch.switched_at, "basis": json.dumps(dict(basis), allow_nan=False)})


def last_switch(connection: psycopg.Connection, market: str) -> Switch | None:
    """The newest switch of the market, or None where its main venue was never left."""
    row = connection.execute(_LAST, {"market": market}).fetchone()
    return Switch(*row) if row else None


def current_source(connection: psycopg.Connection, market: str) -> str:
    """The venue that the market's data comes from now."""
    last = last_switch(connection, market)
    return last.to_venue if last else market


def spans(connection: psycopg.Connection, market: str, start: datetime, end: datetime) -> list[SourceSpan]:
    """Which venue the candles that close in (start, end] belong to: spans without overlap or hole, oldest first."""
    rows = connection.execute(_SWITCHES, {"market": market}).fetchall()
    return source_spans(market, [Switch(*row) for row in rows], start, end)
