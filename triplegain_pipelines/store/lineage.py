"""Everything that hangs on one order, read for `trace` and `verify`. Read only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.statements import statement

SCHEMAS = ("paper_trading", "live_trading")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order with where it was found, and what of its row the order path has no use for."""

    schema: str
    order: Order
    client_order_id: UUID
    venue_order_id: str | None
    reason_code: str
    intended_at: datetime
    changed_at: datetime
    filled_quantity: Decimal


def find_order(connection: psycopg.Connection, client_order_id: UUID) -> OrderRow:
    """The order, on paper or live.

    Raises:
        InputError: there is no such order.
    """
    for schema in SCHEMAS:
        order = orders.read(connection, schema, client_order_id)
        if order is None:
            continue
        row = connection.execute(
            statement(
                """SELECT client_order_id, venue_order_id, reason_code, intended_at, changed_at, filled_quantity
                   FROM {schema}.orders JOIN {schema}.intents USING (client_order_id) WHERE client_order_id = %s""",
                schema,
            ),
            [client_order_id],
        ).fetchone()
        if row is not None:
            return OrderRow(schema, order, *row)
    msg = f"there is no order {client_order_id}; 'triplegain status' shows the newest ones"
    raise InputError(msg)


def fills_of(connection: psycopg.Connection, schema: str, client_order_id: UUID) -> list[dict[str, Any]]:
    """The fills of an order, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            statement(
                """SELECT venue, trade_id, side, quantity, price, fee, fee_currency, filled_at
                   FROM {schema}.fills WHERE client_order_id = %s ORDER BY filled_at, trade_id""",
                schema,
            ),
            [client_order_id],
        ).fetchall()
