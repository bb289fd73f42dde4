"""Orders of which the venue says nothing any more: a person who has looked there says what became of them.

Only of those that the program cannot find out itself. Until then they keep their symbol from new risk. What is said by
hand can be told from what the venue said: by the order's reason, by an event with who and why, and by the trade's id,
which fill and ledger have. Should the venue come to know the order after all, the reconciliation compares and halts.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Fill, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.answers import Answer
from triplegain_pipelines.execution.booking import record_all
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.resolving import MARGIN, MISSES
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order

_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class HandFill:
    """What a person saw filled of an order beyond what is booked: base currency, its average price, and the whole fee.

    `quantity` None is all that was open; of less, the rest counts as cancelled.
    """

    price: Decimal
    fee: Decimal
    fee_currency: str
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Unclear:
    """An order of which it is not known what the venue makes of it, and why no person may settle it yet, if so."""

    order: Order
    refusal: str

    def document(self) -> dict[str, object]:
        """The form for --json."""
        order = self.order
        return {
            "order": str(order.client_order_id),
            "symbol": order.intent.symbol,
            "leg": order.intent.leg.value,
            "side": order.intent.side.value,
            "state": order.state.value,
            "quantity": order.intent.quantity,
            "filled": order.filled_quantity,
            "sent": order.submitted_at,
            "may_arrive_until": order.expires_at,
            "look_ups_that_found_nothing": order.misses,
            "settle_by_hand": self.refusal or "possible",
        }


def unclear_orders(desk: Desk) -> list[Unclear]:
    """The account's orders that wait for a word of the venue, and those that it has forgotten."""
    at = desk.clock.now()
    with desk.database.connection() as connection:
        alive = orders.alive(connection, desk.schema, desk.account)
    sent = [order for order in alive if order.submitted_at is not None and (order.is_unresolved or order.misses)]
    return [Unclear(order, _refusal(order, at)) for order in sent]


def settle_by_hand(desk: Desk, client_order_id: UUID, fill: HandFill | None, *, who: str, why: str) -> Order:
    """Write down what became of an order, by a person's word; the order as it is then.

    Args:
        desk: of the account; nothing is asked of its venue.
        client_order_id: the order.
        fill: what was filled of it beyond what is booked; None where it ended without that.
        who: the person.
        why: what they saw and where; kept with the order's event.

    Raises:
        InputError: there is no such order, the program can still find out itself, or the fill cannot be.
        AccountBusyError: another process is at work on the account.
    """
    if not (who.strip() and why.strip()):
        msg = "say who settles the order and because of what: both are kept with it"
        raise InputError(msg)
    with (
        OrderPath(desk, wait=_WAIT_SECONDS) as path,
        account_transaction(path.desk, path.newest_token()) as transaction,
    ):
        order = orders.read(transaction.connection, transaction.schema, client_order_id)
        if order is None or order.intent.account != desk.account:
            msg = f"the account {desk.account} has no order {client_order_id}; 'triplegain orders unclear' lists them"
            raise InputError(msg)
        refusal = _refusal(order, transaction.at)
        if refusal:
            msg = f"order {client_order_id} is not settled by hand: {refusal}"
            raise InputError(msg)
        fills: tuple[Fill, ...] = () if fill is None else (_fill(transaction, order, fill),)
        is_filled = bool(fills) and fills[0].quantity == order.open_quantity
        state = OrderState.FILLED if is_filled else OrderState.CANCELED
        transaction.note(
            EventKind.ORDER_SETTLED,
            decision_id=order.intent.decision_id,
            client_order_id=client_order_id,
            symbol=order.intent.symbol,
            before=order.state,
            after=state,
            trades=[one.trade_id for one in fills],
            settled_by=who,
            why=why,
        )
        said = VenueOrder(client_order_id, order.venue_order_id or "", state, fills)
        booked = record_all(transaction, [Answer(order, said, ReasonCode.SETTLED_BY_HAND)])
    return booked.orders[0]


def _refusal(order: Order, at: datetime) -> str:
    """Why the order is not a person's to settle, or nothing."""
    if order.state.is_final:
        return f"it is {order.state.value} already"
    if order.submitted_at is None:
        return "it was never handed to the venue, so it ends by itself"
    if order.state in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN}:
        until = (order.expires_at or order.submitted_at) + MARGIN
        return f"the venue may still take it until {until:%Y-%m-%d %H:%M:%S} UTC; wait" if at <= until else ""
    if order.misses >= MISSES:
        return ""
    return f"it is {order.state.value}, and the venue is being asked for it; cancel it there, and that is taken over"


def _fill(transaction: AccountTransaction, order: Order, said: HandFill) -> Fill:
    quantity = order.open_quantity if said.quantity is None else said.quantity
    numbers = (said.price, quantity, said.fee)
    if not all(number.is_finite() for number in numbers) or said.price <= 0 or not 0 < quantity <= order.open_quantity:
        msg = (
            f"{quantity} at {said.price} with a fee of {said.fee} cannot be a fill of order {order.client_order_id}: "
            f"{order.open_quantity} of it is open, and a price is more than nothing"
        )
        raise InputError(msg)
    return Fill(
        venue=transaction.desk.broker.venue,
        trade_id=f"by-hand:{order.client_order_id}",
        client_order_id=order.client_order_id,
        symbol=order.intent.symbol,
        side=order.intent.side,
        quantity=quantity,
        price=said.price,
        fee=said.fee,
        fee_currency=said.fee_currency,
        filled_at=transaction.at,
    )
