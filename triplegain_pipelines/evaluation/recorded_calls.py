"""What recorded portfolios said about direction, and what came of it, by a rule fixed before any of it was looked at.

A call is what a model's trades in one symbol on one day come to: bought more than sold is up, the other way round is
down. It is settled over one day. By our rule (`NEXT_DAY`) the entry is the next day's price, because a record does not
tell the time of day and its own price was known to the model; `SAME_DAY` takes the record's own price and is shown
beside it. The prices are those at which the records themselves traded. Where nobody traded a symbol on a day there is
none, and the call stays unsettled: nothing is filled in.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedStep

HORIZON = timedelta(days=1)
NEXT_DAY, SAME_DAY = timedelta(days=1), timedelta(0)

Prices = Mapping[tuple[date, str], Decimal]


@dataclass(frozen=True, slots=True)
class DirectionCall:
    """A model's word on a symbol: up or down, without a probability."""

    model: str
    day: date
    symbol: str
    up: bool


@dataclass(frozen=True, slots=True)
class SettledCall:
    """A call with what came of it: `move` is exit over entry, less 1."""

    call: DirectionCall
    move: float

    @property
    def went_up(self) -> bool:
        """Whether the exit was above the entry."""
        return self.move > 0

    @property
    def gained(self) -> float:
        """What following the call made before costs, as a share of the entry."""
        return self.move if self.call.up else -self.move


def day_prices(steps: Iterable[RecordedStep]) -> dict[tuple[date, str], Decimal]:
    """The price of each symbol on each day that somebody traded it: that of the largest trade, rounded the least."""
    largest: dict[tuple[date, str], tuple[Decimal, Decimal]] = {}
    for step in steps:
        if step.price is None or step.symbol is None:
            continue
        size = (step.amount * step.price, step.price)
        place = (step.day, step.symbol)
        largest[place] = max(largest.get(place, size), size)
    return {place: price for place, (_, price) in sorted(largest.items())}


def direction_calls(steps: Iterable[RecordedStep]) -> list[DirectionCall]:
    """The calls of all models, by day, symbol and model. Trades that cancel each other are no call.

    A step that was overwritten is a call all the same: the model made it before it knew what came.
    """
    net: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
    for step in steps:
        if step.symbol is not None:
            net[step.day, step.symbol, step.model] += step.amount if step.action is RecordedAction.BUY else -step.amount
    return [DirectionCall(model, day, symbol, net > 0) for (day, symbol, model), net in sorted(net.items()) if net]


def settle_calls(calls: Sequence[DirectionCall], prices: Prices, wait: timedelta = NEXT_DAY) -> list[SettledCall]:
    """The calls whose entry, `wait` after their day, and exit, `HORIZON` later, both have a price."""
    settled = []
    for call in calls:
        entry = prices.get((call.day + wait, call.symbol))
        out = prices.get((call.day + wait + HORIZON, call.symbol))
        if entry is not None and out is not None:
            settled.append(SettledCall(call, float(out / entry - 1)))
    return settled
