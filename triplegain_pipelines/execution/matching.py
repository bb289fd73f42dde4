"""At which price the paper venue fills: pure functions of an order, a price or a candle, and the venue's costs.

Pessimistic wherever a candle leaves a choice. Inside one candle a stop is filled before a target. A gap through a
stop fills at the open, and no stop is ever filled better than its trigger; a target is filled at its trigger even
where the candle opens beyond it. Slippage and rounding are always against the order.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.market import Candle, Instrument
from triplegain_pipelines.domain.money import EXACT, rounded_down, rounded_up
from triplegain_pipelines.domain.orders import Intent, Leg, OrderType, Side
from triplegain_pipelines.store.paper_venue import RestingOrder

_FEE_STEP = Decimal("0.00000001")
_CANDLE = timedelta(minutes=1)
_PART = (0.2, 0.8)


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs: slippage and fee as fractions, the share of market orders filled in one piece, and a seed."""

    slippage: Decimal
    fee: Decimal
    fill_rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class Touch:
    """A resting order that a candle reaches: the price before slippage, and when."""

    price: Decimal
    at: datetime


def draw_seed(seed: int, decision_id: UUID, leg: Leg) -> str:
    """Seed of an order's luck. The attempt is no part of it: a second one has the fills the first would have had."""
    return content_hash({"seed": seed, "decision_id": decision_id, "leg": leg})


def first_part(quantity: Decimal, instrument: Instrument, fill_rate: float, seed: str) -> Decimal:
    """How much of a market order is filled at the first price: all of it, or now and then 20 to 80 per cent."""
    generator = np.random.default_rng(int(seed, 16))
    if generator.random() < fill_rate:
        return quantity
    return part_of(quantity, float(generator.uniform(*_PART)), instrument)


def part_of(quantity: Decimal, share: float, instrument: Instrument) -> Decimal:
    """`share` of a quantity on the quantity grid, or all of it where that would be nothing."""
    part = rounded_down(EXACT.multiply(quantity, Decimal(repr(share))), instrument.quantity_step)
    return part if part > 0 else quantity


def slipped(price: Decimal, side: Side, slippage: Decimal, instrument: Instrument) -> Decimal:
    """`price` with slippage, on the price grid, both against the order."""
    factor = EXACT.add(1, side.sign * slippage)
    onto_grid = rounded_up if side is Side.BUY else rounded_down
    return max(onto_grid(EXACT.multiply(price, factor), instrument.price_step), instrument.price_step)


def fee_of(quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """Fee in quote currency, rounded up to eight decimals."""
    return rounded_up(EXACT.multiply(EXACT.multiply(quantity, price), rate), _FEE_STEP)


def touch(order: RestingOrder | Intent, candle: Candle, length: timedelta = _CANDLE) -> Touch | None:
    """Where a `candle` of `length` reaches a STOP or TAKE_PROFIT order, or None where it does not.

    A fill at the open is dated to it, one inside the candle to its end: it happened no later than that.
    """
    trigger = order.trigger_price
    if trigger is None:
        return None
    # A stop fires when the price moves against its side: down for a sell, up for a buy. A target the other way.
    falling = (order.side is Side.SELL) == (order.order_type is OrderType.STOP)
    if not (candle.low <= trigger if falling else candle.high >= trigger):
        return None
    gapped = candle.open <= trigger if falling else candle.open >= trigger
    price = candle.open if gapped and order.order_type is OrderType.STOP else trigger
    return Touch(price, candle.opened_at if gapped else candle.opened_at + length)
