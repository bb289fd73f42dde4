"""The state of every account at a glance: for `triplegain status` and the page."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.store.statements import statement

_QUERY = """
    SELECT a.account, a.venue, a.simulated, a.currency, a.starting_cash, a.opened_at,
        e.at AS marked_at, e.equity, e.equity / e.peak - 1 AS below_peak,
        ARRAY(SELECT p.symbol || ' ' || trim_scale(p.quantity) || ' @ ' || trim_scale(round(p.average_entry, 8))
              FROM {schema}.positions p WHERE p.account = a.account ORDER BY p.symbol) AS positions,
        (SELECT count(*) FROM {schema}.trades t WHERE t.account = a.account) AS trades,
        (SELECT count(*) FROM {schema}.orders o WHERE o.account = a.account AND o.state = 'UNKNOWN') AS unknown_orders,
        (SELECT count(*) FROM {schema}.outbox x WHERE x.account = a.account AND x.status IN ('PENDING', 'CLAIMED'))
            AS waiting_decisions,
        ARRAY(SELECT b.name || ' ' || b.state FROM ops.breakers b
              WHERE b.account = a.account AND b.state <> 'CLOSED' ORDER BY b.name) AS breakers,
        coalesce((SELECT r.drawdown_locked FROM {schema}.risk_state r WHERE r.account = a.account), false) AS locked,
        (SELECT h.beat_at FROM ops.heartbeats h WHERE h.account = a.account AND h.name = 'breakers') AS heartbeat_at,
        (SELECT r.path FROM ops.reports r WHERE r.account = a.account ORDER BY r.created_at DESC LIMIT 1) AS report
    FROM {schema}.accounts a
    LEFT JOIN LATERAL (
        SELECT at, equity, peak FROM {schema}.equity WHERE account = a.account ORDER BY at DESC LIMIT 1
    ) e ON true
    ORDER BY e.at DESC NULLS LAST, a.account
"""


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """One account: what it is worth, what it holds, and what stops it. Amounts in its currency."""

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
    breakers: list[str]
    locked: bool
    heartbeat_at: datetime | None
    report: str | None

    def document(self) -> dict[str, Any]:
        """The form for --json."""
        return asdict(self)


def read_overviews(connection: psycopg.Connection, schema: str) -> list[AccountOverview]:
    """Every account, the one marked last first."""
    with connection.cursor(row_factory=class_row(AccountOverview)) as cursor:
        return cursor.execute(statement(_QUERY, schema)).fetchall()
