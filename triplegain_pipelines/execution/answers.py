"""What a venue's answer makes of an order, by what is known of it already: its next state, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Fill, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.store.orders import Move, Order


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue says of an order. `reason` stands for a change that comes of no fill."""

    order: Order
    reported: VenueOrder
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class Change:
    """A move of an order, with why in words and with the venue's words."""

    move: Move
    detail: str = ""
    raw: str = ""

    @property
    def is_one(self) -> bool:
        """Whether anything changes."""
        move = self.move
        return move.state is not move.order.state or move.filled_quantity != move.order.filled_quantity


def followed(answer: Answer, new: Sequence[Fill]) -> Change:
    """The change of the answer's order to where the venue says it is, once its `new` fills are booked."""
    order, reported = answer.order, answer.reported
    filled = order.filled_quantity + sum((fill.quantity for fill in new), Decimal(0))
    move = Move(order, _state(order, reported, filled), _reason(answer, new), filled, reported.venue_order_id or None)
    return Change(move, raw=reported.raw)


def _state(order: Order, reported: VenueOrder, filled: Decimal) -> OrderState:
    """Where the order is now: what the venue says, as far as it can follow what is known already.

    An order that is done stays done: venues give older answers after newer ones, and a late fill that leaves a rest
    does not bring a cancelled order back. What the venue cancels after it had accepted it some call rejected.
    """
    said = reported.state
    if filled > order.intent.quantity or (said is OrderState.FILLED and filled != order.intent.quantity):
        msg = (
            f"the venue says order {order.client_order_id} is {said}, but its fills sum to {filled} "
            f"of {order.intent.quantity}; compare the account with the venue"
        )
        raise DataError(msg)
    if filled == order.intent.quantity and order.state is not OrderState.REJECTED:
        return OrderState.FILLED
    if order.state in {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED}:
        return order.state
    if order.state is OrderState.PENDING_CANCEL and not said.is_final:
        return OrderState.PENDING_CANCEL  # the request to cancel still stands
    if said is OrderState.REJECTED and order.state is OrderState.LOST:
        return OrderState.LOST
    if said is OrderState.REJECTED and (filled or order.state not in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN}):
        return OrderState.CANCELED
    return OrderState.PARTIALLY_FILLED if said is OrderState.OPEN and filled else said


def _reason(answer: Answer, new: Sequence[Fill]) -> ReasonCode:
    order, state = answer.order, answer.reported.state
    if answer.reason is ReasonCode.SETTLED_BY_HAND:
        return answer.reason
    if order.state in {OrderState.LOST, OrderState.REJECTED}:
        return ReasonCode.ADOPTED
    if new:
        return ReasonCode.LATE_FILL if order.state.is_final else ReasonCode.VENUE_FILLED
    if state is OrderState.CANCELED and order.state is OrderState.OPEN and order.intent.one_cancels_other:
        return ReasonCode.SIBLING_FILLED
    return answer.reason
