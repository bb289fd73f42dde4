"""How a venue on loopback judges an order: pure functions of the order, the best prices and the venue's rules."""

from decimal import Decimal

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.fees import fee_in_quote, taken_in
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, OrderRequest, RefusedError, VenueRefusal, VenueRules

Prices = tuple[Decimal, Decimal]
"""Best bid and ask."""


def market_price(side: Side, prices: Prices) -> Decimal:
    """The price of a market order."""
    bid, ask = prices
    return ask if side is Side.BUY else bid


def trigger_passed(request: OrderRequest, trigger: Decimal, prices: Prices) -> bool:
    """Whether the market has reached a trigger, from below if it waits for a rise, else from above."""
    bid, ask = prices
    return ask >= trigger if request.rising else bid <= trigger


def check_steps(request: OrderRequest, instrument: Instrument, basis: Decimal) -> None:
    """Check steps and minimums; the cost is taken at the price `basis`.

    Raises:
        RefusedError: the quantity or the limit is off its grid, or the order is too small.
    """
    if request.quantity <= 0 or request.quantity % instrument.quantity_step:
        raise RefusedError(VenueRefusal.QUANTITY_STEP)
    if request.limit is not None and (request.limit <= 0 or request.limit % instrument.price_step):
        raise RefusedError(VenueRefusal.PRICE_STEP)
    if request.quantity < instrument.minimum_quantity:
        raise RefusedError(VenueRefusal.MINIMUM_QUANTITY)
    if request.quantity * basis < instrument.minimum_cost:
        raise RefusedError(VenueRefusal.MINIMUM_COST)


def check_trigger(request: OrderRequest, instrument: Instrument, prices: Prices, rules: VenueRules) -> None:
    """Check the trigger of an order that has one.

    Raises:
        RefusedError: it is off its grid, or already passed at a venue that does not take such an order.
    """
    if request.trigger is None:
        return
    if request.trigger <= 0 or request.trigger % instrument.price_step:
        raise RefusedError(VenueRefusal.PRICE_STEP)
    if rules.refuses_passed_triggers and trigger_passed(request, request.trigger, prices):
        raise RefusedError(VenueRefusal.TRIGGER_PASSED)


def given_up(
    request: OrderRequest, quantity: Decimal, price: Decimal, instrument: Instrument, rules: VenueRules, rate: Decimal
) -> tuple[str, Decimal]:
    """Currency and amount that a fill of `quantity` at `price` takes: of a buy with a fee in quote currency."""
    if request.side is Side.SELL:
        return instrument.base, quantity
    cost = quantity * price
    if taken_in(request.fee_in or rules.fee_in, request.side, instrument) == instrument.quote:
        cost += fee_in_quote(cost, rate, instrument).amount
    return instrument.quote, cost


def next_part(order: ExchangeOrder, instrument: Instrument) -> Decimal:
    """How much is filled at the present price: the rest, or half of an order that comes in parts."""
    if not order.request.in_parts or order.filled:
        return order.rest
    return rounded_down(order.rest / 2, instrument.quantity_step) or order.rest
