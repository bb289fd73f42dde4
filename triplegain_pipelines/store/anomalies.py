"""What may be wrong around an account: data that stands still, crossed books, orders that failed."""

from collections.abc import Sequence
from datetime import datetime

import psycopg

from triplegain_pipelines.store.series import newest_closes
from triplegain_pipelines.store.sources import current_source
from triplegain_pipelines.store.statements import statement


def newest_data(connection: psycopg.Connection, market: str, symbols: Sequence[str], now: datetime) -> datetime | None:
    """The moment of the newest usable candle or quote of any of `symbols`, from the market's source; None without any.

    What lies after `now` is not seen: the age of data from the future means nothing.
    """
    source = current_source(connection, market)
    quoted = connection.execute(
        """SELECT max(newest.at) FROM unnest(%(symbols)s::text[]) AS wanted (symbol) CROSS JOIN LATERAL (
               SELECT t.at FROM market.top_of_book t
               WHERE t.venue = %(venue)s AND t.symbol = wanted.symbol AND t.at <= %(now)s ORDER BY t.at DESC LIMIT 1
           ) AS newest""",
        {"venue": source, "symbols": list(symbols), "now": now},
    ).fetchone()
    moments = [*newest_closes(connection, source, symbols, now).values(), quoted[0] if quoted else None]
    return max((moment for moment in moments if moment is not None), default=None)


def crossed_books(
    connection: psycopg.Connection, market: str, symbols: Sequence[str], since: datetime
) -> tuple[str, ...]:
    """Those of `symbols` whose book was crossed from `since` on, with a finding that is not settled."""
    rows = connection.execute(
        """SELECT DISTINCT symbol FROM market.data_findings
           WHERE venue = %s AND symbol = ANY (%s) AND at >= %s AND code = 'CROSSED_BOOK' AND settled_at IS NULL
           ORDER BY symbol""",
        [current_source(connection, market), list(symbols), since],
    ).fetchall()
    return tuple(symbol for (symbol,) in rows)


def failed_orders(connection: psycopg.Connection, schema: str, account: str, since: datetime) -> list[datetime]:
    """When orders of the account were refused, lost, or left without an answer, after `since`, oldest first."""
    rows = connection.execute(
        statement(
            """SELECT changed_at FROM {schema}.orders
               WHERE account = %s AND state IN ('REJECTED', 'UNKNOWN', 'LOST') AND changed_at > %s
               ORDER BY changed_at""",
            schema,
        ),
        [account, since],
    ).fetchall()
    return [changed_at for (changed_at,) in rows]
