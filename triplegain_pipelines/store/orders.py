"""Intents, the orders made of them, and their fills: written before sending, moved only along `TRANSITIONS`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.orders import TRANSITIONS, Fill, Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.statements import statement

_SELECT: LiteralString = """
    SELECT i.account, i.decision_id, i.symbol, i.leg, i.attempt, i.side, i.order_type, i.quantity, i.decided_price,
           i.trigger_price, i.one_cancels_other, i.proposal_id, o.state, o.filled_quantity, o.submitted_at
    FROM {schema}.orders o JOIN {schema}.intents i USING (client_order_id) """
_ALIVE: LiteralString = "o.state IN ('PENDING_SUBMIT', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_CANCEL')"


class IllegalTransitionError(PermanentError):
    """An order was to move to a state that cannot follow the one it is in."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order and the intent behind it. `submitted_at` is None as long as it was never handed to a venue."""

    intent: Intent
    proposal_id: UUID
    state: OrderState
    filled_quantity: Decimal
    submitted_at: datetime | None

    @property
    def client_order_id(self) -> UUID:
        """The id of the intent."""
        return self.intent.client_order_id

    @property
    def open_quantity(self) -> Decimal:
        """What may still be filled, in base currency."""
        return Decimal(0) if self.state.is_final else self.intent.quantity - self.filled_quantity

    @property
    def is_unresolved(self) -> bool:
        """Whether it is not known what the venue makes of it."""
        return self.state in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN, OrderState.PENDING_CANCEL}


def insert(
    connection: psycopg.Connection,
    schema: str,
    intents: Sequence[Intent],
    *,
    proposal_id: UUID,
    token: int,
    at: datetime,
    submitted_at: datetime | None = None,
) -> None:
    """Write `intents`, and an order in PENDING_SUBMIT for each. Nothing may be sent before this is committed.

    `submitted_at` is given where the sending follows at once and the order must count as sent from now on.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            statement(
                """WITH meant AS (
                       INSERT INTO {schema}.intents (client_order_id, account, decision_id, proposal_id, symbol, leg,
                           attempt, side, order_type, quantity, decided_price, trigger_price, one_cancels_other, token,
                           intended_at)
                       VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                       RETURNING client_order_id, account, symbol, intended_at)
                   INSERT INTO {schema}.orders (client_order_id, account, symbol, state, reason_code, submitted_at,
                       changed_at)
                   SELECT client_order_id, account, symbol, 'PENDING_SUBMIT', 'WITHIN_LIMITS', %s, intended_at
                   FROM meant""",
                schema,
            ),
            [_intent_values(intent, proposal_id, token, at, submitted_at) for intent in intents],
        )


def mark_submitted(connection: psycopg.Connection, schema: str, client_order_id: UUID, at: datetime) -> None:
    """Note that the order is about to be handed to the venue; from here on its absence must be proved.

    Raises:
        IllegalTransitionError: it was handed over before, or is not waiting to be.
    """
    cursor = connection.execute(
        statement(
            """UPDATE {schema}.orders SET submitted_at = %s, changed_at = %s
               WHERE client_order_id = %s AND state = 'PENDING_SUBMIT' AND submitted_at IS NULL
               RETURNING client_order_id""",
            schema,
        ),
        [at, at, client_order_id],
    )
    if cursor.fetchone() is None:
        msg = f"order {client_order_id} was handed to the venue before; resolve it, never send it again"
        raise IllegalTransitionError(msg)


def move(
    connection: psycopg.Connection,
    schema: str,
    order: Order,
    state: OrderState,
    *,
    reason: ReasonCode,
    filled_quantity: Decimal,
    venue_order_id: str | None,
    at: datetime,
) -> None:
    """Move `order` from the state it was read in to `state`; to stay in it is allowed.

    Raises:
        IllegalTransitionError: `state` cannot follow, the stored state is another by now, or too much was filled.
    """
    legal = state is order.state or state in TRANSITIONS[order.state]
    if not legal or not order.filled_quantity <= filled_quantity <= order.intent.quantity:
        msg = (
            f"order {order.client_order_id} cannot go from {order.state} with {order.filled_quantity} filled "
            f"to {state} with {filled_quantity} of {order.intent.quantity}; compare it with the venue"
        )
        raise IllegalTransitionError(msg)
    cursor = connection.execute(
        statement(
            """UPDATE {schema}.orders SET state = %s, reason_code = %s, filled_quantity = %s, changed_at = %s,
                   venue_order_id = coalesce(%s, venue_order_id)
               WHERE client_order_id = %s AND state = %s AND filled_quantity = %s RETURNING client_order_id""",
            schema,
        ),
        [state, reason, filled_quantity, at, venue_order_id, order.client_order_id, order.state, order.filled_quantity],
    )
    if cursor.fetchone() is None:
        msg = f"order {order.client_order_id} is not {order.state} any more; read it again"
        raise IllegalTransitionError(msg)


def read(connection: psycopg.Connection, schema: str, client_order_id: UUID) -> Order | None:
    """The order, or None."""
    return next(iter(_orders(connection, schema, "WHERE o.client_order_id = %s", [client_order_id])), None)


def read_many(connection: psycopg.Connection, schema: str, client_order_ids: Sequence[UUID]) -> dict[UUID, Order]:
    """Those of the orders that exist, by id."""
    found = _orders(connection, schema, "WHERE o.client_order_id = ANY (%s)", [list(client_order_ids)])
    return {order.client_order_id: order for order in found}


def alive(connection: psycopg.Connection, schema: str, account: str) -> list[Order]:
    """Every order of the account that is not in a final state, in a fixed order."""
    where = "WHERE o.account = %s AND " + _ALIVE + " ORDER BY i.intended_at, i.symbol, i.leg, i.attempt"
    return _orders(connection, schema, where, [account])


def of_decision(connection: psycopg.Connection, schema: str, account: str, decision_id: UUID) -> list[Order]:
    """Every order made for the decision, by leg and attempt."""
    where = "WHERE i.account = %s AND i.decision_id = %s ORDER BY i.leg, i.attempt"
    return _orders(connection, schema, where, [account, decision_id])


def insert_fills(connection: psycopg.Connection, schema: str, account: str, fills: Sequence[Fill]) -> list[Fill]:
    """Write those of `fills` that are new, and return them: only these may be booked."""
    new = []
    for fill in fills:
        cursor = connection.execute(
            statement(
                """INSERT INTO {schema}.fills (venue, trade_id, account, client_order_id, symbol, side, quantity, price,
                       fee, fee_currency, filled_at)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
                   RETURNING trade_id""",
                schema,
            ),
            [
                fill.venue,
                fill.trade_id,
                account,
                fill.client_order_id,
                fill.symbol,
                fill.side,
                fill.quantity,
                fill.price,
                fill.fee,
                fill.fee_currency,
                fill.filled_at,
            ],
        )
        if cursor.fetchone() is not None:
            new.append(fill)
    return new


def _orders(
    connection: psycopg.Connection, schema: str, where: LiteralString, parameters: Sequence[object]
) -> list[Order]:
    return [_order(row) for row in connection.execute(statement(_SELECT + where, schema), parameters).fetchall()]


def _order(row: tuple[Any, ...]) -> Order:
    account, decision_id, symbol, leg, attempt, side, order_type, quantity, decided, trigger, group, *rest = row
    proposal_id, state, filled_quantity, submitted_at = rest
    return Order(
        intent=Intent(
            account=account,
            decision_id=decision_id,
            symbol=symbol,
            leg=Leg(leg),
            attempt=attempt,
            side=Side(side),
            order_type=OrderType(order_type),
            quantity=quantity,
            decided_price=decided,
            trigger_price=trigger,
            one_cancels_other=group,
        ),
        proposal_id=proposal_id,
        state=OrderState(state),
        filled_quantity=filled_quantity,
        submitted_at=submitted_at,
    )


def _intent_values(
    intent: Intent, proposal_id: UUID, token: int, at: datetime, submitted_at: datetime | None
) -> list[object]:
    return [
        intent.client_order_id,
        intent.account,
        intent.decision_id,
        proposal_id,
        intent.symbol,
        intent.leg,
        intent.attempt,
        intent.side,
        intent.order_type,
        intent.quantity,
        intent.decided_price,
        intent.trigger_price,
        intent.one_cancels_other,
        token,
        at,
        submitted_at,
    ]
