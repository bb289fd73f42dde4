"""What a venue said of an order, word for word. Rows are never changed."""

from datetime import datetime
from uuid import UUID

import psycopg

from triplegain_pipelines.store.statements import statement


def insert(
    connection: psycopg.Connection, schema: str, account: str, client_order_id: UUID, answer: str, at: datetime
) -> None:
    """Keep an answer. One without words (the paper venue's) is not kept."""
    if answer:
        connection.execute(
            statement(
                """INSERT INTO {schema}.venue_answers (account, client_order_id, answer, received_at)
                   VALUES (%s, %s, %s, %s)""",
                schema,
            ),
            [account, client_order_id, answer, at],
        )


def of_order(connection: psycopg.Connection, schema: str, client_order_id: UUID) -> list[str]:
    """Every answer about the order that was kept, oldest first."""
    rows = connection.execute(
        statement("SELECT answer FROM {schema}.venue_answers WHERE client_order_id = %s ORDER BY answer_id", schema),
        [client_order_id],
    ).fetchall()
    return [row[0] for row in rows]
