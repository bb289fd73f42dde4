"""What new risk looks at beside the account's books: everything that is always read together, in one statement."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString

import psycopg

from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.store import breakers, findings, heartbeats, live_armings, market_states
from triplegain_pipelines.store.gathered import ask_apart
from triplegain_pipelines.store.statements import statement

_BEATS: LiteralString = """
    SELECT json_object_agg(name, beat_at) FROM ops.heartbeats
    WHERE account = %(account)s AND name = ANY (%(beats)s) OR account = %(venue)s AND name = %(clock)s"""
_ORDERED: LiteralString = """
    SELECT coalesce(sum(i.quantity * i.decided_price), 0)
    FROM {schema}.intents i JOIN {schema}.orders o USING (client_order_id)
    WHERE i.account = %(account)s AND i.leg = 'ENTRY' AND i.intended_at >= %(day)s
        AND o.state NOT IN ('REJECTED', 'LOST') AND NOT (o.state = 'CANCELED' AND o.submitted_at IS NULL)"""
_PARTS: tuple[LiteralString, ...] = (
    _BEATS,
    findings.NEWEST_SKEW,
    live_armings.ARMED_UNTIL,
    "SELECT json_build_array(as_of, document) FROM (" + market_states.NEWEST + ") newest",  # noqa: S608 - ours
    _ORDERED,
)
_ALL: LiteralString = "SELECT " + ", ".join("(" + part + ")" for part in _PARTS)
_TOUCHED_BY = frozenset(["meant", "moved"])  # of all that is gathered, orders alone are read here
_WATCHED = [breakers.HEARTBEAT, heartbeats.GUARDIAN, heartbeats.RECONCILED]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What new risk rests on.

    Attributes:
        beats: when what was watched for was done last, by the name of its heartbeat.
        clock_trusted: as `findings.clock_trusted` has it.
        armed_until: as `live_armings.armed_until` has it.
        market: the newest state of the market, as `market_states.newest` has it.
        ordered: the value of the entries of this UTC day, whole orders at the price of their decision, in quote
            currency. What the venue refused, never got, or was never handed does not count.
    """

    beats: Mapping[str, datetime]
    clock_trusted: bool
    armed_until: datetime | None
    market: MarketState | None
    ordered: Decimal


def read(
    connection: psycopg.Connection, schema: str, account: str, venue: str, config_hash: str, at: datetime, day: datetime
) -> Grounds:
    """What new risk of the account would rest on at `at`, in the UTC day that began at `day`."""
    row = ask_apart(
        connection,
        statement(_ALL, schema),
        {
            "account": account,
            "venue": venue,
            "config_hash": config_hash,
            "at": at,
            "now": at,
            "day": day,
            "oldest": at - market_states.OLDEST,
            "beats": _WATCHED,
            "clock": heartbeats.CLOCK,
        },
        _TOUCHED_BY,
    ).fetchone()
    beats, skew, armed_until, market, ordered = row or (None, None, None, None, Decimal(0))
    return Grounds(
        beats={name: datetime.fromisoformat(beat) for name, beat in (beats or {}).items()},
        clock_trusted=findings.is_trusted(skew),
        armed_until=armed_until,
        market=None if market is None else market_states.from_document(datetime.fromisoformat(market[0]), market[1]),
        ordered=ordered,
    )
