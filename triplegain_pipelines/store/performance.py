"""What an account did in a period: marks, trades, filled orders, verdicts, refusals. Read only, for reports.

Money rows (marks, fills, trades) belong to `(start, end]`: a mark at `start` is what the period begins with. What was
thought and what the market did is in evidence.py. Every function takes the schema of the trading tables,
`paper_trading` or `live_trading`, and reads inside the caller's transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Leg, Side
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.bulk import copy_out
from triplegain_pipelines.store.statements import statement

_EQUITY = {
    "at": pl.Datetime("us", "UTC"),
    "equity": pl.Float64(),
    "positions_value": pl.Float64(),
    "external_flow": pl.Float64(),
}


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """A trade, flat to flat, with the words of the decision that opened it and of the verdict that let it through.

    Prices in quote currency, `profit` net of `fees`, both in the account's currency. `take_profit` is the target that
    the verdict let through. `rebalancing` says that a rebalancing opened it, so that nobody forecast anything.
    """

    decision_id: UUID
    symbol: str
    direction: Direction
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    decided_price: Decimal
    fees: Decimal
    profit: Decimal
    initial_risk: Decimal | None
    r_multiple: Decimal | None
    exit_leg: Leg
    opened_at: datetime
    closed_at: datetime
    p_up: float
    regime: Regime
    answers: int
    explanation: str
    risk_reasons: tuple[str, ...]
    take_profit: Decimal | None = None
    rebalancing: bool = False

    @property
    def planned_reward(self) -> float | None:
        """The distance to the target in multiples of what was at risk, or None without either."""
        if self.take_profit is None or self.initial_risk is None or self.initial_risk <= 0:
            return None
        reward = (self.take_profit - self.entry_price) * self.direction.sign
        return float(reward * self.quantity / self.initial_risk)


@dataclass(frozen=True, slots=True)
class ExecutedOrder:
    """An order with at least one fill. `value` is the sum of quantity x price in quote currency.

    `latency_seconds` runs from the intent's event to the first fill's by the database's clock, which is the machine's
    in a replay too; None where the trail of events does not tell.
    """

    symbol: str
    leg: Leg
    side: Side
    quantity: Decimal
    value: Decimal
    decided_price: Decimal
    trigger_price: Decimal | None
    filled_at: datetime
    latency_seconds: float | None

    @property
    def wanted_price(self) -> Decimal:
        """The price it should have got: its trigger, or the price decided on."""
        return self.trigger_price or self.decided_price


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position that is open now and was opened before the period ended. `quantity` is negative for a short."""

    symbol: str
    quantity: Decimal
    average_entry: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How often a stage ended things with `status` for a reason, and when first and last."""

    stage: str
    status: str
    code: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class TradingCounts:
    """Rows of the period, for the summary."""

    proposals: int
    approved: int
    modified: int
    rejected: int
    orders: int
    fills: int


def read_account(connection: psycopg.Connection, schema: str, account: str) -> Account:
    """The account.

    Raises:
        InputError: there is none of that name.
    """
    rows = _rows(
        connection,
        schema,
        """SELECT account, venue, currency, starting_cash, simulated, opened_at
           FROM {schema}.accounts WHERE account = %(account)s""",
        {"account": account},
    )
    if not rows:
        msg = f"there is no account {account!r} in {schema}; run 'triplegain status' to see which there are"
        raise InputError(msg)
    return Account(**rows[0])


def starting_equity(connection: psycopg.Connection, schema: str, account: Account, start: datetime) -> Decimal:
    """Equity at the last mark at or before `start`; before any mark it is the starting cash."""
    rows = _rows(
        connection,
        schema,
        "SELECT equity FROM {schema}.equity WHERE account = %(account)s AND at <= %(start)s ORDER BY at DESC LIMIT 1",
        {"account": account.account, "start": start},
    )
    return rows[0]["equity"] if rows else account.starting_cash


def equity_curve(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """Marks in `(start, end]`: `at`, `equity`, `positions_value`, `external_flow`, floats for statistics and charts."""
    query = sql.SQL(
        """SELECT at, equity::float8, positions_value::float8, external_flow::float8 FROM {schema}.equity
           WHERE account = %s AND at > %s AND at <= %s ORDER BY at"""
    ).format(schema=sql.Identifier(schema))
    return copy_out(connection, query, (account, start, end), _EQUITY)


def trade_records(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[TradeRecord]:
    """Trades closed in `(start, end]`, in the order in which they closed."""
    rows = _rows(
        connection,
        schema,
        """SELECT t.decision_id, t.symbol, t.direction, t.quantity, t.entry_price, t.exit_price, t.decided_price,
                  t.fees, t.profit, t.initial_risk, t.r_multiple, t.exit_leg, t.opened_at, t.closed_at,
                  d.p_up, d.regime, d.answers, d.explanation, d.target_quantity IS NOT NULL AS rebalancing,
                  ARRAY(SELECT reason ->> 'code' FROM {schema}.proposals p JOIN {schema}.verdicts v USING (proposal_id),
                        jsonb_array_elements(v.reasons) reason
                        WHERE p.decision_id = t.decision_id AND p.kind = 'OPEN') AS risk_reasons,
                  (SELECT (v.outcome::json ->> 'take_profit')::numeric
                   FROM {schema}.proposals p JOIN {schema}.verdicts v USING (proposal_id)
                   WHERE p.decision_id = t.decision_id AND p.kind = 'OPEN') AS take_profit
           FROM {schema}.trades t JOIN research.consensus_decisions d USING (decision_id)
           WHERE t.account = %(account)s AND t.closed_at > %(start)s AND t.closed_at <= %(end)s
           ORDER BY t.closed_at, t.symbol""",
        {"account": account, "start": start, "end": end},
    )
    return [
        TradeRecord(
            **row
            | {
                "direction": Direction(row["direction"]),
                "exit_leg": Leg(row["exit_leg"]),
                "regime": Regime(row["regime"]),
                "risk_reasons": tuple(row["risk_reasons"]),
            }
        )
        for row in rows
    ]


def executed_orders(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[ExecutedOrder]:
    """Orders filled, in whole or in part, in `(start, end]`, by their first fill."""
    rows = _rows(
        connection,
        schema,
        """WITH trail AS (
               SELECT payload::json ->> 'client_order_id' AS id, extract(epoch FROM
                      min(recorded_at) FILTER (WHERE kind = 'fill_booked')
                      - min(recorded_at) FILTER (WHERE kind = 'order_intended'))::float8 AS latency_seconds
               FROM {schema}.trading_events
               WHERE account = %(account)s AND kind IN ('order_intended', 'fill_booked') GROUP BY 1)
           SELECT i.symbol, i.leg, i.side, sum(f.quantity) AS quantity, sum(f.quantity * f.price) AS value,
                  i.decided_price, i.trigger_price, min(f.filled_at) AS filled_at, t.latency_seconds
           FROM {schema}.fills f JOIN {schema}.intents i USING (client_order_id)
           LEFT JOIN trail t ON t.id = i.client_order_id::text
           WHERE f.account = %(account)s AND f.filled_at > %(start)s AND f.filled_at <= %(end)s
           GROUP BY i.client_order_id, t.latency_seconds ORDER BY min(f.filled_at), i.client_order_id""",
        {"account": account, "start": start, "end": end},
    )
    return [ExecutedOrder(**row | {"leg": Leg(row["leg"]), "side": Side(row["side"])}) for row in rows]


def open_positions(connection: psycopg.Connection, schema: str, account: str, end: datetime) -> list[OpenPosition]:
    """Positions that are open now, without those opened after `end`."""
    rows = _rows(
        connection,
        schema,
        """SELECT symbol, quantity, average_entry, stop_loss, take_profit, opened_at FROM {schema}.positions
           WHERE account = %(account)s AND opened_at <= %(end)s ORDER BY symbol""",
        {"account": account, "end": end},
    )
    return [OpenPosition(**row) for row in rows]


def trading_counts(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> TradingCounts:
    """Proposals by verdict, and orders and fills, in `(start, end]`."""
    rows = _rows(
        connection,
        schema,
        """SELECT
             (SELECT count(*) FROM {schema}.proposals
              WHERE account = %(account)s AND proposed_at > %(start)s AND proposed_at <= %(end)s) AS proposals,
             count(*) FILTER (WHERE status = 'APPROVED') AS approved,
             count(*) FILTER (WHERE status = 'MODIFIED') AS modified,
             count(*) FILTER (WHERE status = 'REJECTED') AS rejected,
             (SELECT count(*) FROM {schema}.intents
              WHERE account = %(account)s AND intended_at > %(start)s AND intended_at <= %(end)s) AS orders,
             (SELECT count(*) FROM {schema}.fills
              WHERE account = %(account)s AND filled_at > %(start)s AND filled_at <= %(end)s) AS fills
           FROM {schema}.verdicts
           WHERE account = %(account)s AND decided_at > %(start)s AND decided_at <= %(end)s""",
        {"account": account, "start": start, "end": end},
    )
    return TradingCounts(**rows[0])


def reason_counts(
    connection: psycopg.Connection, schema: str, account: str, start: datetime, end: datetime
) -> list[ReasonCount]:
    """Why decisions went on or ended, by stage.

    `consensus`: what the seats decided, one reason each. `order path`: decisions that were to be traded and made no
    order, one reason each. `risk`: verdicts, which count under each of their reasons.
    """
    rows = _rows(
        connection,
        schema,
        """SELECT 'consensus' AS stage, action AS status, reason_code AS code,
                  count(*), min(as_of) AS first_at, max(as_of) AS last_at
           FROM research.consensus_decisions
           WHERE account = %(account)s AND as_of >= %(start)s AND as_of < %(end)s AND target_quantity IS NULL
           GROUP BY 2, 3
           UNION ALL
           SELECT 'risk', v.status, reason ->> 'code', count(*), min(v.decided_at), max(v.decided_at)
           FROM {schema}.verdicts v, jsonb_array_elements(v.reasons) reason
           WHERE v.account = %(account)s AND v.decided_at > %(start)s AND v.decided_at <= %(end)s GROUP BY 2, 3
           UNION ALL
           SELECT 'order path', status, coalesce(reason_code, status), count(*), min(changed_at), max(changed_at)
           FROM {schema}.outbox
           WHERE account = %(account)s AND changed_at > %(start)s AND changed_at <= %(end)s
             AND status IN ('REFUSED', 'EXPIRED') GROUP BY 2, 3
           ORDER BY 1, 4 DESC, 2, 3""",
        {"account": account, "start": start, "end": end},
    )
    return [ReasonCount(**row) for row in rows]


def _rows(
    connection: psycopg.Connection, schema: str, query: LiteralString, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(query, schema), parameters).fetchall()
