"""What happened to an account, counted: for a person who wants to know what was survived."""

from collections import Counter
from dataclasses import dataclass

import psycopg

from triplegain_pipelines.domain.orders import OrderState
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class Survived:
    """Counts by name.

    `decisions` by how each ended and why, `orders` by leg and state; `unknown` are orders that were of unknown outcome
    once, by the state they are in now; `differences` what reconciliations found, by kind, each finding counted once.
    """

    decisions: Counter[str]
    orders: Counter[str]
    fills: int
    late_fills: int
    unknown: Counter[str]
    reconciliations: int
    differences: Counter[str]


def count_survived(connection: psycopg.Connection, schema: str, account: str) -> Survived:
    """Count what happened to the account since it was opened."""

    def counted(query: bytes, *parameters: object) -> Counter[str]:
        return Counter(dict(connection.execute(query, [account, *parameters]).fetchall()))

    decisions = counted(
        statement(
            """SELECT status || ' ' || coalesce(reason_code, 'yet'), count(*) FROM {schema}.outbox
               WHERE account = %s GROUP BY 1""",
            schema,
        )
    )
    orders = counted(
        statement(
            """SELECT i.leg || ' ' || o.state, count(*) FROM {schema}.orders o
               JOIN {schema}.intents i USING (client_order_id) WHERE o.account = %s GROUP BY 1""",
            schema,
        )
    )
    fills = counted(statement("SELECT 'fills', count(*) FROM {schema}.fills WHERE account = %s", schema))
    unknown = counted(
        statement(
            """SELECT o.state, count(*) FROM {schema}.orders o
               WHERE o.account = %s AND o.client_order_id IN (
                   SELECT (payload::json ->> 'client_order_id')::uuid FROM {schema}.trading_events
                   WHERE account = o.account AND kind = %s AND payload::json ->> 'after' = %s)
               GROUP BY 1""",
            schema,
        ),
        EventKind.ORDER_CHANGED,
        OrderState.UNKNOWN,
    )
    late = counted(
        statement(
            """SELECT 'late', count(*) FROM {schema}.trading_events
               WHERE account = %s AND kind = %s AND payload::json ->> 'reason' = %s""",
            schema,
        ),
        EventKind.ORDER_CHANGED,
        ReasonCode.LATE_FILL,
    )
    compared = counted(statement("SELECT 'all', count(*) FROM {schema}.reconciliations WHERE account = %s", schema))
    differences = counted(
        statement(
            """SELECT found ->> 'kind', count(DISTINCT (found ->> 'subject', found ->> 'numbers'))
               FROM {schema}.reconciliations CROSS JOIN jsonb_array_elements(differences) found
               WHERE account = %s GROUP BY 1""",
            schema,
        )
    )
    return Survived(decisions, orders, fills["fills"], late["late"], unknown, compared["all"], differences)
