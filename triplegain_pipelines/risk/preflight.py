"""R7: the last look at an order that adds risk, before it is written: size, grid, minimums, balance, price, duplicates.

It trusts nothing that was worked out before, and looks at the order as a venue will.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Side
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.settings.risk import RiskLimits


@dataclass(frozen=True, slots=True)
class Surface:
    """What an order meets at the venue. Prices in quote currency.

    `price` is that of now and `reference` that of the decision. `balances` is what the venue holds for the account by
    currency; None where it keeps no balances. `working` are the account's other unfinished orders.
    """

    instrument: Instrument
    price: Decimal
    reference: Decimal
    fee_rate: Decimal
    balances: Mapping[str, Decimal] | None
    working: tuple[Intent, ...]


def preflight(intent: Intent, surface: Surface, limits: RiskLimits) -> tuple[Reason, ...]:
    """Everything that speaks against sending `intent`; nothing where all is well."""
    checks = (_size, _grid, _minimum, _balance, _price, _duplicate)
    return tuple(reason for check in checks if (reason := check(intent, surface, limits)) is not None)


def out_of_band(price: Decimal, reference: Decimal, limits: RiskLimits) -> Reason | None:
    """That the price of now lies too far from that of the decision, or None."""
    band = limits.price_band.maximum_move
    if reference > 0 and abs(price - reference) <= band * reference:
        return None
    return Reason(ReasonCode.PRICE_OUT_OF_BAND, _numbers(price=price, decided=reference, limit=band))


def _size(intent: Intent, surface: Surface, limits: RiskLimits) -> Reason | None:
    """The price may have moved since the verdict, but within its band."""
    limit = limits.money.max_order_size * (1 + limits.price_band.maximum_move)
    cost = intent.quantity * surface.price
    if cost <= limit:
        return None
    return Reason(ReasonCode.ORDER_TOO_LARGE, _numbers(cost=cost, limit=limit))


def _grid(intent: Intent, surface: Surface, _: RiskLimits) -> Reason | None:
    step, price_step, trigger = surface.instrument.quantity_step, surface.instrument.price_step, intent.trigger_price
    if not intent.quantity % step and (trigger is None or not trigger % price_step):
        return None
    return Reason(ReasonCode.ORDER_OFF_GRID, _numbers(quantity=intent.quantity, step=step))


def _minimum(intent: Intent, surface: Surface, _: RiskLimits) -> Reason | None:
    instrument, cost = surface.instrument, intent.quantity * surface.price
    if 0 < intent.quantity >= instrument.minimum_quantity and cost >= instrument.minimum_cost:
        return None
    numbers = _numbers(
        quantity=intent.quantity,
        minimum_quantity=instrument.minimum_quantity,
        cost=cost,
        minimum_cost=instrument.minimum_cost,
    )
    return Reason(ReasonCode.ORDER_BELOW_MINIMUM, numbers)


def _balance(intent: Intent, surface: Surface, _: RiskLimits) -> Reason | None:
    """What is bought is paid with its fee; what is sold has to be there."""
    if surface.balances is None:
        return None
    if intent.side is Side.BUY:
        currency = surface.instrument.quote
        needed = intent.quantity * surface.price * (1 + surface.fee_rate)
    else:
        currency, needed = surface.instrument.base, intent.quantity
    there = surface.balances.get(currency, Decimal(0))
    if there >= needed:
        return None
    return Reason(ReasonCode.BALANCE_TOO_LOW, {"currency": currency} | _numbers(there=there, needed=needed))


def _price(_: Intent, surface: Surface, limits: RiskLimits) -> Reason | None:
    return out_of_band(surface.price, surface.reference, limits)


def _duplicate(intent: Intent, surface: Surface, _: RiskLimits) -> Reason | None:
    for other in surface.working:
        same_decision = (other.decision_id, other.leg) == (intent.decision_id, intent.leg)
        if same_decision or (other.symbol, other.leg, other.side) == (intent.symbol, intent.leg, intent.side):
            return Reason(ReasonCode.DUPLICATE_ORDER, {"order": str(other.client_order_id), "symbol": other.symbol})
    return None


def _numbers(**numbers: Decimal) -> dict[str, str]:
    return {name: format(number, "f") for name, number in numbers.items()}
