"""Comparisons of an account's books with its venue: what was found and done, and what of the books is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest watermark, the account's opening, and the differences written down since an overlap before it."""

    watermark: datetime
    opened_at: datetime
    differences: tuple[Mapping[str, Any], ...]

    def since(self, overlap: timedelta) -> datetime:
        """From when on trades have to be asked for: no trade from before the account's opening is its."""
        return max(self.opened_at, self.watermark - overlap)


def insert(
    connection: psycopg.Connection,
    schema: str,
    account: str,
    *,
    at: datetime,
    watermark: datetime,
    differences: Sequence[Mapping[str, object]],
) -> None:
    """Write a comparison. `watermark` is the time up to which all trades of the venue are known."""
    connection.execute(
        statement(
            """INSERT INTO {schema}.reconciliations (account, reconciled_at, watermark, differences)
               VALUES (%s, %s, %s, %s)""",
            schema,
        ),
        [account, at, watermark, Jsonb(list(differences))],
    )


def recent(connection: psycopg.Connection, schema: str, account: str, overlap: timedelta) -> Recent:
    """What is known from earlier comparisons. An account that was never compared begins at its opening."""
    rows = connection.execute(
        statement(
            """WITH newest AS (SELECT max(watermark) AS watermark FROM {schema}.reconciliations
                               WHERE account = %(account)s AND reconciliation_id = (
                                   SELECT max(reconciliation_id) FROM {schema}.reconciliations
                                   WHERE account = %(account)s))
               SELECT coalesce(newest.watermark, a.opened_at), a.opened_at, r.differences
               FROM {schema}.accounts a CROSS JOIN newest
               LEFT JOIN {schema}.reconciliations r ON r.account = a.account
                   AND r.reconciled_at >= newest.watermark - %(overlap)s
               WHERE a.account = %(account)s ORDER BY r.reconciliation_id""",
            schema,
        ),
        {"account": account, "overlap": overlap},
    ).fetchall()
    differences = tuple(difference for *_, written in rows for difference in written or ())
    return Recent(rows[0][0], rows[0][1], differences)


def booked_trades(
    connection: psycopg.Connection, schema: str, account: str, since: datetime, trades: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Symbols by venue and trade id of the fills booked that happened from `since` on, and of those of `trades`."""
    rows = connection.execute(
        statement(
            """SELECT venue, trade_id, symbol FROM {schema}.fills
               WHERE account = %(account)s AND filled_at >= %(since)s
               UNION
               SELECT venue, trade_id, symbol FROM {schema}.fills
               WHERE (venue, trade_id) IN (SELECT * FROM unnest(%(venues)s::text[], %(trade_ids)s::text[]))""",
            schema,
        ),
        {
            "account": account,
            "since": since,
            "venues": [venue for venue, _ in trades],
            "trade_ids": [trade_id for _, trade_id in trades],
        },
    ).fetchall()
    return {(venue, trade_id): symbol for venue, trade_id, symbol in rows}


def owned(connection: psycopg.Connection, schema: str, account: str) -> dict[str, Decimal]:
    """What the account owns of each currency by its books, dust included."""
    rows = connection.execute(
        statement(
            """SELECT currency, sum(amount) FROM (
                   SELECT currency, amount FROM {schema}.balances WHERE account = %(account)s
                   UNION ALL
                   SELECT split_part(symbol, '/', 1), quantity FROM {schema}.dust WHERE account = %(account)s) held
               GROUP BY currency""",
            schema,
        ),
        {"account": account},
    ).fetchall()
    return dict(rows)


def unplaced(connection: psycopg.Connection, schema: str, account: str) -> dict[str, Decimal]:
    """What the account owns of each currency and is in no position: payments, dust, and fees of trades in others."""
    rows = connection.execute(
        statement(
            """SELECT currency, sum(amount) FROM (
                   SELECT currency, amount FROM {schema}.flows WHERE account = %(account)s
                   UNION ALL
                   SELECT split_part(symbol, '/', 1), quantity FROM {schema}.dust WHERE account = %(account)s
                   UNION ALL
                   SELECT fee_currency, -fee FROM {schema}.fills WHERE account = %(account)s
                       AND fee_currency NOT IN (split_part(symbol, '/', 1), split_part(symbol, '/', 2))) apart
               GROUP BY currency""",
            schema,
        ),
        {"account": account},
    ).fetchall()
    return dict(rows)
