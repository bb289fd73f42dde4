"""The state of every account at a glance: for `triplegain status` and the page."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.store.statements import statement

_QUERY = """
    SELECT a.account, a.venue, a.simulated, a.currency, a.starting_cash, a.opened_at,
        e.at AS marked_at, e.equity, trim_scale(round(e.equity / e.peak - 1, 6)) AS below_peak,
        ARRAY(SELECT p.symbol || ' ' || trim_scale(p.quantity) || ' @ ' || trim_scale(round(p.average_entry, 8))
              FROM {schema}.positions p WHERE p.account = a.account ORDER BY p.symbol) AS positions,
        (SELECT count(*) FROM {schema}.trades t WHERE t.account = a.account) AS trades,
        (SELECT count(*) FROM {schema}.orders o WHERE o.account = a.account AND o.state = 'UNKNOWN') AS unknown_orders,
        (SELECT count(*) FROM {schema}.outbox x WHERE x.account = a.account AND x.status IN ('PENDING', 'CLAIMED'))
            AS waiting_decisions,
        ARRAY(SELECT d.symbol || ' ' || trim_scale(sum(d.quantity)) FROM {schema}.dust d
              WHERE d.account = a.account GROUP BY d.symbol ORDER BY d.symbol) AS dust,
        coalesce((SELECT m.mode FROM ops.trading_modes m
                  WHERE m.account = a.account ORDER BY m.sequence DESC LIMIT 1), 'ACTIVE') AS mode,
        ARRAY(SELECT to_char(s.raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI ') || s.raised_by || ': ' || s.why
              FROM ops.emergency_stops s
              WHERE s.released_at IS NULL AND (s.account = a.account OR (s.account IS NULL
                  AND NOT EXISTS (SELECT FROM ops.replays r WHERE r.account = a.account)))
              ORDER BY s.stop_id) AS emergency_stops,
        ARRAY(SELECT b.name || ' ' || b.state FROM ops.breakers b
              WHERE b.account = a.account AND b.state <> 'CLOSED' ORDER BY b.name) AS breakers,
        coalesce(r.drawdown_locked, false) AS locked,
        EXISTS (SELECT FROM ops.breakers b WHERE b.account = a.account AND b.state = 'HALF_OPEN'
                AND b.name IN ('drawdown', 'consecutive_losses')) AS safe_mode,
        coalesce(r.losses_in_a_row, 0) AS losses_in_a_row,
        (SELECT max(p.value::float8) FROM jsonb_each_text(v.document -> 'percentiles') p) AS volatility_percentile,
        v.as_of AS volatility_as_of,
        (SELECT max(l.expires_at) FROM ops.live_armings l
         WHERE l.account = a.account AND l.disarmed_at IS NULL) AS armed_until,
        (SELECT h.beat_at FROM ops.heartbeats h WHERE h.account = a.account AND h.name = 'breakers') AS heartbeat_at,
        (SELECT r.path FROM ops.reports r WHERE r.account = a.account ORDER BY r.created_at DESC LIMIT 1) AS report
    FROM {schema}.accounts a
    LEFT JOIN LATERAL (
        SELECT at, equity, peak FROM {schema}.equity WHERE account = a.account ORDER BY at DESC LIMIT 1
    ) e ON true
    LEFT JOIN {schema}.risk_state r ON r.account = a.account
    LEFT JOIN LATERAL (
        SELECT as_of, document FROM research.market_states WHERE venue = a.venue ORDER BY as_of DESC LIMIT 1
    ) v ON true
    WHERE NOT EXISTS (SELECT FROM research.shadow_books b WHERE b.shadow_account = a.account)
    ORDER BY e.at DESC NULLS LAST, a.account
"""


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """One account: what it is worth, what it holds, and what stops it. Amounts in its currency.

    `dust` is what is left of closed positions, `mode` what a person or the reconciliation set, over which
    `emergency_stops` of the database go. `safe_mode` says that it trades on trial after a lock (R8).
    `volatility_percentile` is the highest of the market's symbols, as it was at `volatility_as_of`. `armed_until` is
    the end of the newest arming that was not ended by hand, and may be over.
    """

    account: str
    venue: str
    simulated: bool
    currency: str
    starting_cash: Decimal
    opened_at: datetime
    marked_at: datetime | None
    equity: Decimal | None
    below_peak: Decimal | None
    positions: list[str]
    trades: int
    unknown_orders: int
    waiting_decisions: int
    dust: list[str]
    mode: str
    emergency_stops: list[str]
    breakers: list[str]
    locked: bool
    safe_mode: bool
    losses_in_a_row: int
    volatility_percentile: float | None
    volatility_as_of: datetime | None
    armed_until: datetime | None
    heartbeat_at: datetime | None
    report: str | None

    def document(self) -> dict[str, Any]:
        """The form for --json."""
        return asdict(self)


def read_overviews(connection: psycopg.Connection, schema: str) -> list[AccountOverview]:
    """Every account but the shadow books of the leaderboard, the one marked last first."""
    with connection.cursor(row_factory=class_row(AccountOverview)) as cursor:
        return cursor.execute(statement(_QUERY, schema)).fetchall()


def require_unused(connection: psycopg.Connection, schema: str, account: str) -> None:
    """See that `schema` has no account of this name, and gets none before the transaction ends.

    Raises:
        InputError: it has one.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('triplegain.name.' || %s, 0))", [account])
    query = statement("SELECT 1 FROM {schema}.accounts WHERE account = %s", schema)
    if connection.execute(query, [account]).fetchone():
        msg = f"the name {account!r} belongs to an account in {schema}; give the new one a name of its own"
        raise InputError(msg)
