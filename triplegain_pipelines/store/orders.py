"""Intents and the orders made of them: written before sending, moved only along `TRANSITIONS`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.orders import (
    TRANSITIONS,
    Intent,
    Leg,
    OrderReference,
    OrderState,
    OrderType,
    Side,
)
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.gathered import Change, write
from triplegain_pipelines.store.statements import statement

_SELECT: LiteralString = """
    SELECT i.account, i.decision_id, i.symbol, i.leg, i.attempt, i.side, i.order_type, i.quantity, i.decided_price,
           i.trigger_price, i.one_cancels_other, i.proposal_id, o.state, o.filled_quantity, o.submitted_at,
           o.venue_order_id, o.expires_at, o.misses, o.missed_from, o.asked_at
    FROM {schema}.orders o JOIN {schema}.intents i USING (client_order_id) """
_ALIVE: LiteralString = "o.state IN ('PENDING_SUBMIT', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_CANCEL')"

_INTENT = (
    "client_order_id",
    "account",
    "decision_id",
    "proposal_id",
    "symbol",
    "leg",
    "attempt",
    "side",
    "order_type",
    "quantity",
    "decided_price",
    "trigger_price",
    "one_cancels_other",
    "token",
    "intended_at",
)

_MEANT: LiteralString = """
    meant AS (
        INSERT INTO {schema}.intents ({columns}) VALUES {values}
        RETURNING client_order_id, account, symbol, intended_at),
    ordered AS (
        INSERT INTO {schema}.orders (client_order_id, account, symbol, state, reason_code, submitted_at, expires_at,
            changed_at)
        SELECT client_order_id, account, symbol, 'PENDING_SUBMIT', 'WITHIN_LIMITS', %s::timestamptz, %s::timestamptz,
            intended_at
        FROM meant)"""
_MOVED: LiteralString = """
    moved AS (
        UPDATE {schema}.orders AS stored SET state = meant.state, reason_code = meant.reason,
            filled_quantity = meant.filled, changed_at = %s, misses = 0, missed_from = NULL,
            venue_order_id = coalesce(meant.venue_order_id, stored.venue_order_id)
        FROM (VALUES {values}) AS meant ({columns})
        WHERE stored.client_order_id = meant.client_order_id AND stored.state = meant.from_state
            AND stored.filled_quantity = meant.from_filled
        RETURNING stored.client_order_id)"""
_MOVE = ("client_order_id", "from_state", "from_filled", "state", "reason", "filled", "venue_order_id")


class IllegalTransitionError(PermanentError):
    """An order was to move to a state that cannot follow the one it is in."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order and the intent behind it. `submitted_at` is None as long as it was never handed to a venue.

    `expires_at` is when a venue that has not got it by then will not take it any more; `misses` look-ups in a row found
    nothing, the first at `missed_from` and the last at `asked_at`.
    """

    intent: Intent
    proposal_id: UUID
    state: OrderState
    filled_quantity: Decimal
    submitted_at: datetime | None
    venue_order_id: str | None = None
    expires_at: datetime | None = None
    misses: int = 0
    missed_from: datetime | None = None
    asked_at: datetime | None = None

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
        return self.state.is_unresolved

    @property
    def reference(self) -> OrderReference:
        """How a venue is asked for it.

        Raises:
            ValueError: it was never handed over, so no venue can know it.
        """
        if self.submitted_at is None:
            msg = f"order {self.client_order_id} was never handed to a venue; there is nothing to ask for"
            raise ValueError(msg)
        intent = self.intent
        return OrderReference(
            client_order_id=self.client_order_id,
            venue_order_id=self.venue_order_id,
            symbol=intent.symbol,
            side=intent.side,
            order_type=intent.order_type,
            quantity=intent.quantity,
            trigger_price=intent.trigger_price,
            sent_at=self.submitted_at,
            expires_at=self.expires_at or self.submitted_at,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """That an order goes to a state with so much filled; `venue_order_id` is None where the venue named none."""

    order: Order
    state: OrderState
    reason: ReasonCode
    filled_quantity: Decimal
    venue_order_id: str | None

    def require_legal(self) -> None:
        """Compare with the table of transitions.

        Raises:
            IllegalTransitionError: the state cannot follow, or too much was filled.
        """
        order, filled = self.order, self.filled_quantity
        legal = self.state is order.state or self.state in TRANSITIONS[order.state]
        if not legal or not order.filled_quantity <= filled <= order.intent.quantity:
            msg = (
                f"order {order.client_order_id} cannot go from {order.state} with {order.filled_quantity} filled "
                f"to {self.state} with {filled} of {order.intent.quantity}; compare it with the venue"
            )
            raise IllegalTransitionError(msg)

    def values(self) -> list[object]:
        """The row of `_MOVE`."""
        order = self.order
        before = (order.client_order_id, order.state, order.filled_quantity)
        return [*before, self.state, self.reason, self.filled_quantity, self.venue_order_id]

    def after(self) -> Order:
        """The order as it is stored then."""
        return replace(
            self.order,
            state=self.state,
            filled_quantity=self.filled_quantity,
            venue_order_id=self.venue_order_id or self.order.venue_order_id,
            misses=0,
            missed_from=None,
        )


def insert(
    connection: psycopg.Connection,
    schema: str,
    intents: Sequence[Intent],
    *,
    proposal_id: UUID,
    token: int,
    at: datetime,
    submitted_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> list[Order]:
    """Write `intents`, and an order in PENDING_SUBMIT for each. Nothing may be sent before this is committed.

    `submitted_at` and `expires_at` are given where the sending follows at once and the orders must count as sent from
    now on. Returns the orders as they are stored.
    """
    if intents:
        values = [value for intent in intents for value in _intent_values(intent, proposal_id, token, at)]
        written = Change(
            statement(_MEANT, schema, _INTENT, len(intents)),
            [*values, submitted_at, expires_at],
            frozenset(["meant", *(intent.client_order_id for intent in intents)]),
        )
        write(connection, written)
    return [
        Order(
            intent,
            proposal_id,
            OrderState.PENDING_SUBMIT,
            Decimal(0),
            submitted_at=submitted_at,
            expires_at=expires_at,
        )
        for intent in intents
    ]


def mark_submitted(
    connection: psycopg.Connection, schema: str, order: Order, at: datetime, expires_at: datetime
) -> Order:
    """Note that the order is about to be handed to the venue; from here on its absence must be proved.

    Returns it as it is stored then, which is how it has to be sent.

    Raises:
        IllegalTransitionError: it was handed over before, or is not waiting to be.
    """
    cursor = connection.execute(
        statement(
            """UPDATE {schema}.orders SET submitted_at = %s, expires_at = %s, changed_at = %s
               WHERE client_order_id = %s AND state = 'PENDING_SUBMIT' AND submitted_at IS NULL
               RETURNING client_order_id""",
            schema,
        ),
        [at, expires_at, at, order.client_order_id],
    )
    if cursor.fetchone() is None:
        msg = f"order {order.client_order_id} was handed to the venue before; resolve it, never send it again"
        raise IllegalTransitionError(msg)
    return replace(order, submitted_at=at, expires_at=expires_at)


def move(connection: psycopg.Connection, schema: str, moves: Sequence[Move], at: datetime) -> list[Order]:
    """Move orders, each from the state it was read in; to stay in it is allowed. Returns them as they are stored then.

    Raises:
        IllegalTransitionError: a state cannot follow, a stored state is another by now, or too much was filled. Nothing
            may be kept of this transaction then. What is stored is looked at when the change is written (`gathered`).
    """
    if not moves:
        return []
    for one in moves:
        one.require_legal()
    moved = Change(
        statement(_MOVED, schema, _MOVE, len(moves)),
        [at, *(value for one in moves for value in one.values())],
        frozenset(["moved", *(one.order.client_order_id for one in moves)]),
        b"ARRAY(SELECT client_order_id FROM moved)",
        partial(_require_moved, moves),
    )
    write(connection, moved)
    return [one.after() for one in moves]


def _require_moved(moves: Sequence[Move], found: Iterable[UUID]) -> None:
    """That each of `moves` found its order in the state it was read in."""
    moved = set(found)
    for one in moves:
        if one.order.client_order_id in moved:
            moved.remove(one.order.client_order_id)  # one that stands here twice cannot move twice
        else:
            msg = f"order {one.order.client_order_id} is not {one.order.state} any more; read it again"
            raise IllegalTransitionError(msg)


def record_miss(connection: psycopg.Connection, schema: str, order: Order, asked_at: datetime) -> Order:
    """Note that the venue, asked at `asked_at`, did not know the order. Returns it as it is stored then."""
    missed = replace(order, misses=order.misses + 1, missed_from=order.missed_from or asked_at, asked_at=asked_at)
    connection.execute(
        statement(
            "UPDATE {schema}.orders SET misses = %s, missed_from = %s, asked_at = %s WHERE client_order_id = %s", schema
        ),
        [missed.misses, missed.missed_from, asked_at, order.client_order_id],
    )
    return missed


def forget_misses(connection: psycopg.Connection, schema: str, client_order_id: UUID) -> None:
    """Note that the venue knows the order: misses count in a row only."""
    connection.execute(
        statement("UPDATE {schema}.orders SET misses = 0, missed_from = NULL WHERE client_order_id = %s", schema),
        [client_order_id],
    )


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


def every(connection: psycopg.Connection, schema: str, account: str) -> list[Order]:
    """Every order of the account, done or not, in a fixed order."""
    where = "WHERE o.account = %s ORDER BY i.intended_at, i.symbol, i.leg, i.attempt"
    return _orders(connection, schema, where, [account])


def concerned(
    connection: psycopg.Connection,
    schema: str,
    account: str,
    *,
    client_order_ids: Sequence[UUID],
    venue_order_ids: Sequence[str],
) -> list[Order]:
    """The account's unfinished orders and those that either id names, in a fixed order."""
    where = (
        "WHERE o.account = %s AND (" + _ALIVE + " OR o.client_order_id = ANY (%s) OR o.venue_order_id = ANY (%s))"
        " ORDER BY i.intended_at, i.symbol, i.leg, i.attempt"
    )
    return _orders(connection, schema, where, [account, list(client_order_ids), list(venue_order_ids)])


def of_decision(connection: psycopg.Connection, schema: str, account: str, decision_id: UUID) -> list[Order]:
    """Every order made for the decision, by leg and attempt."""
    where = "WHERE i.account = %s AND i.decision_id = %s ORDER BY i.leg, i.attempt"
    return _orders(connection, schema, where, [account, decision_id])


def _orders(
    connection: psycopg.Connection, schema: str, where: LiteralString, parameters: Sequence[object]
) -> list[Order]:
    return [_order(row) for row in connection.execute(statement(_SELECT + where, schema), parameters).fetchall()]


def _order(row: tuple[Any, ...]) -> Order:
    account, decision_id, symbol, leg, attempt, side, order_type, quantity, decided, trigger, group, *rest = row
    proposal_id, state, filled_quantity, *of_venue = rest
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
        submitted_at=of_venue[0],
        venue_order_id=of_venue[1],
        expires_at=of_venue[2],
        misses=of_venue[3],
        missed_from=of_venue[4],
        asked_at=of_venue[5],
    )


def _intent_values(intent: Intent, proposal_id: UUID, token: int, at: datetime) -> list[object]:
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
    ]
