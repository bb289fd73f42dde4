"""What can be sold is bounded by what the venue holds: a spot venue refuses to sell what is not there.

So a position may be left while an order that would sell it is still unknown there, and may yet arrive: with the balance
gone, the venue refuses that one; should it have come first, the venue refuses the exit. This needs no word about the
order itself, which some venues give only after minutes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Instrument, split_symbol
from triplegain_pipelines.domain.money import CAUTIOUS
from triplegain_pipelines.domain.orders import Leg, OrderState, Side
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.resolving import MISSES
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

SHOWN_AFTER = timedelta(seconds=10)
"""By then a venue lists what it has accepted: an exit beside it would only be refused."""


def is_backed(desk: Desk, position: Position, alive: Sequence[Order]) -> bool:
    """Whether the venue itself keeps more than `position` from being sold, whatever becomes of the orders in its way.

    That holds where it has as much of the base currency as the position is, no purchase is under way that could add to
    it, and every other sale in the symbol is one that the venue does not know, as far as it can be asked.

    Args:
        desk: of the account, at a venue that keeps balances.
        position: what is to be left.
        alive: the account's unfinished orders.
    """
    base, _ = split_symbol(position.symbol)
    in_the_way = [order for order in alive if order.intent.symbol == position.symbol]
    buying = [
        order for order in alive if order.intent.leg is Leg.ENTRY and split_symbol(order.intent.symbol)[0] == base
    ]
    at = desk.clock.now()
    if buying or position.quantity < 0 or not all(_is_unknown(order, at) for order in in_the_way):
        return False
    try:
        listed = any(one.symbol == position.symbol and one.side is Side.SELL for one in desk.broker.open_orders())
        balances = desk.broker.balances()
    except UnavailableError:
        return False
    if listed or balances is None:
        return False
    differs = abs(balances.get(base, Decimal(0)) - position.quantity)
    return differs < _least(desk.instrument(position.symbol), position.average_entry)


def _is_unknown(order: Order, at: datetime) -> bool:
    """Whether the venue has had time to list the order, and was asked for it to no avail."""
    if order.submitted_at is None or at - order.submitted_at < SHOWN_AFTER:
        return False
    forgotten = order.state is OrderState.PENDING_CANCEL and order.misses >= MISSES
    return order.state is OrderState.UNKNOWN or forgotten


def _least(instrument: Instrument, price: Decimal) -> Decimal:
    """The smallest quantity that can be sold at `price`: what a balance differs by less than that, nobody can sell."""
    with localcontext(CAUTIOUS):
        return max(instrument.minimum_quantity, instrument.minimum_cost / price)
