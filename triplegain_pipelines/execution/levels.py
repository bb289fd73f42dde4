"""Which level of a position a price has reached, and what is to be done about it: pure functions.

A level is reached at the price at which the position can be left: a long one at the bid, a short one at the ask. The
stop comes before the target wherever both could be meant.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import EXACT, rounded_down, rounded_up
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

_RESTS = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class Tick:
    """Best bid and ask of a symbol in quote currency, valid `at`. A last price alone is both."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime


class Due(StrEnum):
    """What a price calls for."""

    NOTHING = "NOTHING"
    ASK = "ASK"  # the level rests at the venue, which should have filled it: ask what became of it
    LEAVE_AT_STOP = "LEAVE_AT_STOP"
    LEAVE_AT_TARGET = "LEAVE_AT_TARGET"


def leaving_price(position: Position, tick: Tick) -> Decimal:
    """The price at which `position` could be left now, in quote currency."""
    return tick.bid if position.quantity > 0 else tick.ask


def reached(position: Position, tick: Tick) -> Leg | None:
    """The level that the price has reached or passed: `Leg.STOP`, `Leg.TAKE_PROFIT` or None."""
    price, sign = leaving_price(position, tick), position.direction.sign
    if position.stop_loss is not None and sign * (price - position.stop_loss) <= 0:
        return Leg.STOP
    if position.take_profit is not None and sign * (price - position.take_profit) >= 0:
        return Leg.TAKE_PROFIT
    return None


def due(leg: Leg | None, resting: Collection[Leg], passed_for: timedelta, patience: timedelta) -> Due:
    """What is to be done where the price has reached `leg`.

    Args:
        leg: what `reached` says.
        resting: the legs that rest at the venue for all of the position; the rest is held here.
        passed_for: how long the price has been beyond the level without a break.
        patience: how long the venue has to fill a stop that rests there before the position is left without it.
    """
    if leg is None:
        return Due.NOTHING
    if leg in resting:
        overdue = leg is Leg.STOP and passed_for > patience
        return Due.LEAVE_AT_STOP if overdue else Due.ASK
    return Due.LEAVE_AT_STOP if leg is Leg.STOP else Due.LEAVE_AT_TARGET


def resting_legs(position: Position, working: Sequence[Order], instrument: Instrument) -> frozenset[Leg]:
    """The legs of `position` that the venue has confirmed to rest there, for as much of it as can be sold."""
    wanted = protected_quantity(position, instrument)
    rests = {
        leg: sum((order.open_quantity for order in working if order.intent.leg is leg and order.state in _RESTS), _NONE)
        for leg in (Leg.STOP, Leg.TAKE_PROFIT)
    }
    return frozenset(leg for leg, quantity in rests.items() if quantity and not is_short(quantity, wanted, instrument))


def protected_quantity(position: Position, instrument: Instrument) -> Decimal:
    """The size of the position in base currency, rounded down to the venue's step: what an order may ask for."""
    return rounded_down(abs(position.quantity), instrument.quantity_step)


def is_short(quantity: Decimal, wanted: Decimal, instrument: Instrument) -> bool:
    """Whether `quantity` lacks so much of `wanted` that an order could be made of what is missing."""
    return wanted - quantity >= max(instrument.minimum_quantity, instrument.quantity_step)


def is_tradable(quantity: Decimal, price: Decimal, instrument: Instrument) -> bool:
    """Whether the venue takes an order of `quantity` at `price` at all; less is dust."""
    enough = quantity > 0 and quantity >= instrument.minimum_quantity
    return enough and EXACT.multiply(quantity, price) >= instrument.minimum_cost


def safe_trigger(position: Position, level: Decimal, instrument: Instrument) -> Decimal:
    """`level` on the venue's grid, rounded so that a stop is reached sooner and never later than it was meant to be."""
    onto_grid = rounded_up if position.quantity > 0 else rounded_down
    return onto_grid(level, instrument.price_step)


_NONE = Decimal(0)
