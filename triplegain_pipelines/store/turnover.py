"""How much an account ordered: for MAX_DAILY_VOLUME_USD."""

from datetime import datetime
from decimal import Decimal

import psycopg

from triplegain_pipelines.store.statements import statement


def entries_ordered(connection: psycopg.Connection, schema: str, account: str, since: datetime) -> Decimal:
    """The value of the entries ordered from `since` on, whole orders at the price of their decision, in quote currency.

    What the venue refused, never got, or was never handed does not count.
    """
    row = connection.execute(
        statement(
            """SELECT coalesce(sum(i.quantity * i.decided_price), 0)
               FROM {schema}.intents i JOIN {schema}.orders o USING (client_order_id)
               WHERE i.account = %s AND i.leg = 'ENTRY' AND i.intended_at >= %s
                   AND o.state NOT IN ('REJECTED', 'LOST') AND NOT (o.state = 'CANCELED' AND o.submitted_at IS NULL)""",
            schema,
        ),
        [account, since],
    ).fetchone()
    return Decimal(0) if row is None else row[0]
