"""Exact arithmetic: the contexts in which money is computed, rounding to steps, division to a number of places.

A function of the core that computes money does so in one of these contexts, and not in the thread's own,
so that its result is the same everywhere. Nothing here knows of orders or limits.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

_FAULTS = [InvalidOperation, DivisionByZero, Overflow]

# For sums and products, which must not lose a digit: one that would is an error and not a rounded number.
EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[*_FAULTS, Inexact])
# For limits: a quotient is never larger than the true one, so a limit is never passed by a rounding.
CAUTIOUS = Context(prec=50, rounding=ROUND_DOWN, traps=_FAULTS)
_DIVIDING = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=_FAULTS)


def divided(dividend: Decimal, divisor: Decimal, places: int) -> Decimal:
    """The quotient rounded half to even at `places` decimals, without trailing zeros.

    >>> divided(Decimal(2), Decimal(3), 4), divided(Decimal(200), Decimal(2), 4)
    (Decimal('0.6667'), Decimal('100'))
    """
    return rounded(_DIVIDING.divide(dividend, divisor), places)


def rounded(value: Decimal, places: int) -> Decimal:
    """`value` rounded half to even at `places` decimals, without trailing zeros."""
    short = value.quantize(Decimal(1).scaleb(-places), context=_DIVIDING).normalize(_DIVIDING)
    # 100 would otherwise be spelt 1E+2
    return short.quantize(Decimal(1), context=_DIVIDING) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]


def rounded_down(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not over `value`, both 0 or more.

    >>> rounded_down(Decimal("0.12999"), Decimal("0.01"))
    Decimal('0.12')
    """
    return value // step * step


def rounded_up(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not under `value`, both 0 or more.

    >>> rounded_up(Decimal("0.121"), Decimal("0.01"))
    Decimal('0.13')
    """
    down = rounded_down(value, step)
    return down if down >= value else down + step
