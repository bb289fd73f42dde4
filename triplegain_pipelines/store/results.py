"""One hash over what an account decided and did: two runs with the same inputs have the same one."""

import hashlib
from datetime import datetime
from typing import LiteralString

import psycopg

from triplegain_pipelines.store.statements import statement

# Every column that the inputs determine, none that the machine's clock or a sequence does.
_PARTS: tuple[LiteralString, ...] = (
    """SELECT decision_id, symbol, as_of, action, reason_code, p_up, confidence, regime, size_factor
       FROM research.consensus_decisions WHERE account = %s AND as_of < %s ORDER BY as_of, symbol""",
    """SELECT i.client_order_id, i.symbol, i.leg, i.side, i.order_type, i.quantity, i.decided_price, i.trigger_price,
              i.intended_at, o.state, o.filled_quantity, o.reason_code
       FROM {schema}.intents i JOIN {schema}.orders o USING (client_order_id)
       WHERE i.account = %s AND i.intended_at <= %s ORDER BY i.intended_at, i.symbol, i.leg, i.attempt""",
    """SELECT trade_id, client_order_id, quantity, price, fee, fee_currency, filled_at
       FROM {schema}.fills WHERE account = %s AND filled_at <= %s ORDER BY filled_at, trade_id""",
    """SELECT at, cash, positions_value, equity, peak
       FROM {schema}.equity WHERE account = %s AND at <= %s ORDER BY at""",
)


def result_hash(connection: psycopg.Connection, schema: str, account: str, end: datetime) -> str:
    """SHA-256 over the account's decisions, orders, fills and equity marks up to `end`, in order."""
    digest = hashlib.sha256()
    for number, part in enumerate(_PARTS):
        digest.update(f"part {number}\n".encode())
        query = b"COPY (" + statement(part, schema) + b") TO STDOUT"
        with connection.cursor() as cursor, cursor.copy(query, (account, end)) as copy:
            for rows in copy:
                digest.update(rows)
    return digest.hexdigest()
