"""Marking to market: cash and positions at a price each. Peaks, drawdown and returns are not here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.portfolio.positions import Position


@dataclass(frozen=True, slots=True)
class Equity:
    """An account marked to market: `equity` = `cash` + `positions_value`, to the last digit.

    `marks` is symbol -> {"quantity", "price"} as text, from which `positions_value` can be computed again.
    """

    cash: Decimal
    positions_value: Decimal
    equity: Decimal
    marks: Mapping[str, Mapping[str, str]]


def value(cash: Decimal, positions: Iterable[Position], marks: Mapping[str, Decimal]) -> Equity:
    """The account's equity with every position at its price in `marks` (symbol -> quote currency).

    Raises:
        UnavailableError: a position has no price; leaving it out would look like a loss.
    """
    total = Decimal(0)
    used: dict[str, dict[str, str]] = {}
    with localcontext(EXACT):
        for position in sorted(positions, key=lambda held: held.symbol):
            price = marks.get(position.symbol)
            if price is None:
                msg = f"no price is known for {position.symbol}, so the account cannot be valued; fetch its candles"
                raise UnavailableError(msg)
            total += position.quantity * price
            used[position.symbol] = {"quantity": format(position.quantity, "f"), "price": format(price, "f")}
        return Equity(cash, total, cash + total, used)
