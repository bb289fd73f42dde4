"""An order as it goes to a venue: its numbers on the grid, and checked again after the rounding. Pure functions."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.orders import Intent, OrderReference, OrderType, Side
from triplegain_pipelines.execution.broker import NotExecutedError, VenueRejectionError
from triplegain_pipelines.execution.venues.markets import Market
from triplegain_pipelines.execution.venues.numbers import trigger_on_grid


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order with its numbers on the venue's grid. `trigger` is that of a stop, None for a market order."""

    client_order_id: UUID
    market: Market
    side: Side
    order_type: OrderType
    quantity: Decimal
    decided_price: Decimal
    trigger: Decimal | None
    sent_at: datetime
    expires_at: datetime

    def reference(self, venue_order_id: str) -> OrderReference:
        """The order as the venue is asked for it."""
        return OrderReference(
            client_order_id=self.client_order_id,
            venue_order_id=venue_order_id,
            symbol=self.market.symbol,
            side=self.side,
            order_type=self.order_type,
            quantity=self.quantity,
            trigger_price=self.trigger,
            sent_at=self.sent_at,
            expires_at=self.expires_at,
        )


def ticket_of(intent: Intent, market: Market, sent_at: datetime, expires_at: datetime) -> Ticket:
    """The order on the grid of `market`.

    A quantity is never cut here: what is sent is what was decided, so that what is filled can be held against it.

    Raises:
        NotExecutedError: its quantity was rounded to a step that the venue no longer has; a new attempt is sized anew.
        VenueRejectionError: it is of a type that venues are not sent, or below their minimums.
    """
    stops = intent.order_type is OrderType.STOP
    if intent.order_type is OrderType.TAKE_PROFIT or stops is (intent.trigger_price is None):
        msg = (
            f"order {intent.client_order_id} is a {intent.order_type.value} with the trigger {intent.trigger_price}: a "
            "venue is sent market orders, and stops with a trigger; the guardian holds the rest"
        )
        raise VenueRejectionError(msg)
    trigger = (
        None if intent.trigger_price is None else trigger_on_grid(intent.trigger_price, intent.side, market.instrument)
    )
    ticket = Ticket(
        client_order_id=intent.client_order_id,
        market=market,
        side=intent.side,
        order_type=intent.order_type,
        quantity=intent.quantity,
        decided_price=intent.decided_price,
        trigger=trigger,
        sent_at=sent_at,
        expires_at=expires_at,
    )
    _require_step(ticket)
    _require_minimums(ticket, reducing=intent.leg.reduces_risk)
    return ticket


def _require_step(ticket: Ticket) -> None:
    step = ticket.market.instrument.quantity_step
    if rounded_down(ticket.quantity, step) != ticket.quantity:
        msg = (
            f"{ticket.market.symbol} is traded in steps of {step} now, and order {ticket.client_order_id} has "
            f"{ticket.quantity}: it was not sent, and the next attempt is sized by the new step"
        )
        raise NotExecutedError(msg)


def _require_minimums(ticket: Ticket, *, reducing: bool) -> None:
    """See that the order is not too small. Whether a reducing one is worth enough at its price, the venue says."""
    instrument = ticket.market.instrument
    cost = ticket.quantity * ticket.decided_price
    too_little = ticket.quantity < instrument.minimum_quantity or not ticket.quantity
    if too_little or (not reducing and cost < instrument.minimum_cost):
        msg = (
            f"{instrument.symbol} is traded from {instrument.minimum_quantity} and from a cost of "
            f"{instrument.minimum_cost} on, and order {ticket.client_order_id} has {ticket.quantity} for {cost}: it "
            "was not sent"
        )
        raise VenueRejectionError(msg)
