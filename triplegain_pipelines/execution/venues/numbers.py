"""Numbers on their way to a venue and back: exact, on the venue's grid, spelt without an exponent.

A rounding is never in favour of more risk: a stop's trigger goes towards the entry.
"""

from decimal import Decimal
from math import isfinite

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import rounded_down, rounded_up
from triplegain_pipelines.domain.orders import Side

_BASIS_POINT = Decimal("0.0001")


def exact(value: object, what: str) -> Decimal:
    """The decimal that a venue sent as text or as a JSON number; a float has lost it already.

    Raises:
        DataError: it is no finite number.

    >>> exact("0.10", "a price")
    Decimal('0.10')
    """
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            number = Decimal(value)
        except ArithmeticError:
            number = Decimal("NaN")
        if isfinite(number):
            return number
    msg = f"{what} is {str(value)[:40]!r}, which is no number"
    raise DataError(msg)


def spelt(value: Decimal) -> str:
    """`value` as venues want it: no exponent, no zeros at the end.

    >>> spelt(Decimal("0.10000000")), spelt(Decimal("1E-8")), spelt(Decimal("100"))
    ('0.1', '0.00000001', '100')
    """
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def trigger_on_grid(trigger: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """The trigger of a stop on the price grid, moved towards the entry: up where it sells, down where it buys."""
    step = instrument.price_step
    return rounded_up(trigger, step) if side is Side.SELL else rounded_down(trigger, step)


def limit_beyond(price: Decimal, side: Side, basis_points: Decimal, instrument: Instrument) -> Decimal:
    """The worst price to take: `basis_points` from `price` against the order, on the price grid.

    Rounded so that it never lies further away than that.
    """
    limit = price * (1 + side.sign * basis_points * _BASIS_POINT)
    step = instrument.price_step
    return rounded_down(limit, step) if side is Side.BUY else rounded_up(limit, step)
