"""Tables of the paper venue. They are the venue's alone: the books of an account are kept elsewhere and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.orders import Execution, Fill, OrderState, OrderType, Side

_SELECT: LiteralString = """
    SELECT client_order_id, venue_order_id, account, symbol, side, order_type, quantity, filled_quantity, trigger_price,
           one_cancels_other, state, accepted_at
    FROM paper_venue.orders """
_LIVE: LiteralString = "state IN ('OPEN', 'PARTIALLY_FILLED')"
_ACCEPT: LiteralString = """
    WITH taken AS (
        INSERT INTO paper_venue.client_order_ids VALUES (%s, false) ON CONFLICT DO NOTHING RETURNING client_order_id),
    accepted AS (
        INSERT INTO paper_venue.orders (client_order_id, venue_order_id, account, symbol, side, order_type, quantity,
            filled_quantity, trigger_price, one_cancels_other, state, seed, accepted_at)
        SELECT client_order_id, %s, %s, %s, %s, %s, %s, %s, %s::numeric, %s::uuid, %s, %s, %s FROM taken),
    filled AS (
        INSERT INTO paper_venue.fills (trade_id, client_order_id, quantity, price, fee, fee_currency, filled_at)
        SELECT %s::text, client_order_id, %s::numeric, %s::numeric, %s::numeric, %s::text, %s::timestamptz
        FROM taken WHERE %s)
    SELECT EXISTS (SELECT FROM taken), set_config('synchronous_commit', 'off', true)"""
_WITHDRAW: LiteralString = """
    UPDATE paper_venue.orders SET state = 'CANCELED'
    WHERE client_order_id = %s AND state IN ('OPEN', 'PARTIALLY_FILLED')
    RETURNING client_order_id, venue_order_id, account, symbol, side, order_type, quantity, filled_quantity,
        trigger_price, one_cancels_other, state, accepted_at, set_config('synchronous_commit', 'off', true)"""


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """An order as the paper venue keeps it."""

    client_order_id: UUID
    venue_order_id: str
    account: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    filled_quantity: Decimal
    trigger_price: Decimal | None
    one_cancels_other: UUID | None
    state: OrderState
    accepted_at: datetime


def relax(connection: psycopg.Connection) -> None:
    """Do not wait for the disk at the end of this transaction.

    The books are in the same server, and their next commit takes along whatever was committed before it. Where the
    server crashes in between, the order never arrived, which is what the books then hear.
    """
    connection.execute("SET LOCAL synchronous_commit = off")


def register(connection: psycopg.Connection, client_order_id: UUID, *, refused: bool) -> bool | None:
    """Take the id for ever. None if it was free; else whether it is a refused one.

    The unique id makes a submission and a look-up that come together wait for each other, so that one of them sees
    what the other has done.
    """
    inserted = connection.execute(
        "INSERT INTO paper_venue.client_order_ids VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING refused",
        [client_order_id, refused],
    )
    if inserted.fetchone() is not None:
        return None
    row = connection.execute(
        "SELECT refused FROM paper_venue.client_order_ids WHERE client_order_id = %s", [client_order_id]
    ).fetchone()
    return bool(row and row[0])


def accept(connection: psycopg.Connection, order: RestingOrder, seed: str, fill: Fill | None) -> bool:
    """Take the id for ever and write the order with its first fill, if its id was free; whether it was.

    One statement, meant for a connection that is in no transaction. It does not wait for the disk, as with `relax`.
    """
    row = connection.execute(_ACCEPT, [*_values(order, seed), *_fill_values(fill)]).fetchone()
    return bool(row and row[0])


def withdraw(connection: psycopg.Connection, client_order_id: UUID) -> RestingOrder | None:
    """Cancel the order if it is live, and return it as it is then; None where there is no such live order.

    One statement, meant for a connection that is in no transaction. It does not wait for the disk, as with `relax`.
    """
    row = connection.execute(_WITHDRAW, [client_order_id]).fetchone()
    return _order(row) if row else None


def read(connection: psycopg.Connection, client_order_id: UUID) -> RestingOrder | None:
    """The order, or None. Its row is held until the transaction ends."""
    row = connection.execute(_SELECT + "WHERE client_order_id = %s FOR UPDATE", [client_order_id]).fetchone()
    return _order(row) if row else None


def live(connection: psycopg.Connection, account: str, symbol: str | None = None) -> list[RestingOrder]:
    """Orders of the account that may still be filled, in a fixed order. Their rows are held."""
    rows = connection.execute(
        _SELECT
        + "WHERE account = %s AND symbol = coalesce(%s, symbol) AND "
        + _LIVE
        + " ORDER BY accepted_at, symbol, order_type, quantity, client_order_id FOR UPDATE",
        [account, symbol],
    ).fetchall()
    return [_order(row) for row in rows]


def update(connection: psycopg.Connection, client_order_id: UUID, state: OrderState, filled_quantity: Decimal) -> None:
    """Change state and filled quantity of an order."""
    connection.execute(
        "UPDATE paper_venue.orders SET state = %s, filled_quantity = %s WHERE client_order_id = %s",
        [state, filled_quantity, client_order_id],
    )


def insert_fills(connection: psycopg.Connection, fills: Sequence[Fill]) -> None:
    """Write fills. Their ids are unique."""
    for fill in fills:
        connection.execute(
            """INSERT INTO paper_venue.fills (trade_id, client_order_id, quantity, price, fee, fee_currency, filled_at)
               VALUES (%s, %s, %s, %s, %s, %s, %s)""",
            [
                fill.trade_id,
                fill.client_order_id,
                fill.quantity,
                fill.price,
                fill.fee,
                fill.fee_currency,
                fill.filled_at,
            ],
        )


def fills(connection: psycopg.Connection, order: RestingOrder, venue: str) -> tuple[Fill, ...]:
    """Every fill of the order, oldest first."""
    rows = connection.execute(
        """SELECT trade_id, quantity, price, fee, fee_currency, filled_at FROM paper_venue.fills
           WHERE client_order_id = %s ORDER BY filled_at, trade_id""",
        [order.client_order_id],
    ).fetchall()
    return tuple(
        Fill(
            venue=venue,
            trade_id=trade_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            fee=fee,
            fee_currency=fee_currency,
            filled_at=filled_at,
        )
        for trade_id, quantity, price, fee, fee_currency, filled_at in rows
    )


def _values(order: RestingOrder, seed: str) -> list[object]:
    return [
        order.client_order_id,
        order.venue_order_id,
        order.account,
        order.symbol,
        order.side,
        order.order_type,
        order.quantity,
        order.filled_quantity,
        order.trigger_price,
        order.one_cancels_other,
        order.state,
        seed,
        order.accepted_at,
    ]


def _fill_values(fill: Fill | None) -> list[object]:
    if fill is None:
        return [None, None, None, None, None, None, False]
    return [fill.trade_id, fill.quantity, fill.price, fill.fee, fill.fee_currency, fill.filled_at, True]


def _order(row: tuple[Any, ...]) -> RestingOrder:
    client_order_id, venue_order_id, account, symbol, side, order_type, *rest = row
    quantity, filled, trigger, group, state, accepted_at, *_ = rest
    return RestingOrder(
        client_order_id=client_order_id,
        venue_order_id=venue_order_id,
        account=account,
        symbol=symbol,
        side=Side(side),
        order_type=OrderType(order_type),
        quantity=quantity,
        filled_quantity=filled,
        trigger_price=trigger,
        one_cancels_other=group,
        state=OrderState(state),
        accepted_at=accepted_at,
    )


def executions(connection: psycopg.Connection, account: str, venue: str, since: datetime) -> tuple[Execution, ...]:
    """Every fill of the account from `since` on, oldest first."""
    rows = connection.execute(
        """SELECT f.trade_id, o.venue_order_id, o.symbol, o.side, f.quantity, f.price, f.fee, f.fee_currency,
               f.filled_at
           FROM paper_venue.fills f JOIN paper_venue.orders o USING (client_order_id)
           WHERE o.account = %s AND f.filled_at >= %s ORDER BY f.filled_at, f.trade_id""",
        [account, since],
    ).fetchall()
    return tuple(
        Execution(venue, trade_id, venue_order_id, symbol, Side(side), *rest)
        for trade_id, venue_order_id, symbol, side, *rest in rows
    )
