"""The terms of a backtest: what trading costs, how much is risked, and in which steps the instrument trades."""

import math
from dataclasses import asdict, dataclass

from triplegain_pipelines.domain.errors import InputError

_FRACTIONS = ("fee", "slippage", "fill_rate", "risk_per_trade", "max_position")
_POSITIVE = ("starting_equity", "reward_to_risk", "price_step", "quantity_step")
_OPTIONAL = ("minimum_quantity", "minimum_cost")


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for both engines. Each number stands for the decimal that it is spelt as.

    Attributes:
        starting_equity: quote currency.
        fee: share of what each fill is worth, in quote currency.
        slippage: share of the price by which a market order or a stop is filled worse.
        fill_rate: share of market orders that are filled in one piece; the others are filled in two.
        seed: of the luck of partial fills.
        risk_per_trade: share of the equity that is lost if the stop is filled at its trigger, costs apart.
        max_position: what a position may be worth at its entry, as a share of the equity.
        reward_to_risk: distance of the take profit, in distances of the stop.
        price_step: grid of prices, in quote currency.
        quantity_step: grid of quantities, in base currency.
        minimum_quantity: smallest quantity of an order, in base currency.
        minimum_cost: smallest worth of an order, in quote currency.
        short_selling: whether a target of -1 opens a short position; without it, it only closes a long one.
    """

    starting_equity: float = 2100.0
    fee: float = 0.001
    slippage: float = 0.0005
    fill_rate: float = 0.98
    seed: int = 0
    risk_per_trade: float = 0.01
    max_position: float = 0.20
    reward_to_risk: float = 2.0
    price_step: float = 0.01
    quantity_step: float = 0.000001
    minimum_quantity: float = 0.000001
    minimum_cost: float = 5.0
    short_selling: bool = False

    def __post_init__(self) -> None:
        """Refuse what no market has.

        Raises:
            InputError: a fraction outside of [0, 1], or a number that must be positive and is not.
        """
        for name in (*_FRACTIONS, *_POSITIVE, *_OPTIONAL):
            value = getattr(self, name)
            fits = math.isfinite(value) and (value > 0 if name in _POSITIVE else value >= 0)
            if not fits or (name in _FRACTIONS and value > 1):
                wanted = "from 0 to 1" if name in _FRACTIONS else "over 0" if name in _POSITIVE else "0 or more"
                msg = f"{name} of a backtest's terms is {value}; it must be {wanted}"
                raise InputError(msg)

    def document(self) -> dict[str, float]:
        """The terms as they are written beside a result."""
        return asdict(self)
