"""One hash over what an account decided and did: two runs with the same inputs have the same one."""

import hashlib
from datetime import datetime
from typing import LiteralString

import psycopg

from triplegain_pipelines.store.statements import statement

# Every column that the inputs determine, none that the machine's clock or a sequence does. A walk that was killed and
# gone on with has orders that never arrived, and later attempts under other ids: neither is a result.
_PARTS: tuple[LiteralString, ...] = (
    """SELECT decision_id, symbol, as_of, action, reason_code, p_up, confidence, regime, size_factor
       FROM research.consensus_decisions WHERE account = %s AND as_of < %s ORDER BY as_of, symbol""",
    """SELECT i.decision_id, i.symbol, i.leg, i.side, i.order_type, i.quantity, i.decided_price, i.trigger_price,
              i.intended_at, o.state, o.filled_quantity
       FROM {schema}.intents i JOIN {schema}.orders o USING (client_order_id)
       WHERE i.account = %s AND i.intended_at <= %s AND o.state <> 'LOST'
       ORDER BY i.intended_at, i.symbol, i.leg, i.attempt""",
    """SELECT i.decision_id, i.leg, f.side, f.quantity, f.price, f.fee, f.fee_currency, f.filled_at
       FROM {schema}.fills f JOIN {schema}.intents i USING (client_order_id)
       WHERE f.account = %s AND f.filled_at <= %s ORDER BY f.filled_at, i.symbol, i.leg, i.attempt, f.trade_id""",
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
