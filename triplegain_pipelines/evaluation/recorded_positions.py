"""What recorded portfolios made: results of what they sold, and what they were worth where every price is known.

The records pay no fees. Results here do: `cost` of each side, as our paper venue takes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedStep
from triplegain_pipelines.evaluation.recorded_calls import Prices


@dataclass(frozen=True, slots=True)
class RealisedResult:
    """A sale against the average cost of what was held. Money in quote currency, fees of both sides deducted."""

    day: date
    symbol: str
    invested: Decimal
    profit: Decimal

    @property
    def share(self) -> float:
        """The profit over what the sold part had cost."""
        return float(self.profit / self.invested)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a portfolio was worth on a day, without fees: cash and holdings at that day's prices."""

    day: date
    equity: Decimal


def realised_results(steps: Iterable[RecordedStep], cost: Decimal) -> list[RealisedResult]:
    """The results of one model's sales, in order; overwritten steps never happened to the portfolio.

    Args:
        steps: of one model, in the order of the file.
        cost: of each side, as a share of what is traded.
    """
    held: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    results = []
    for step in steps:
        if step.overwritten or step.symbol is None or step.price is None:
            continue
        quantity, invested = held[step.symbol]
        traded = step.amount * step.price
        if step.action is RecordedAction.BUY:
            held[step.symbol] = (quantity + step.amount, invested + traded * (1 + cost))
            continue
        if not quantity:
            continue  # a rest that rounding left: the file knows of it, its cost is gone
        part = min(Decimal(1), step.amount / quantity)
        sold = invested * part
        results.append(RealisedResult(step.day, step.symbol, sold, traded * (1 - cost) - sold))
        held[step.symbol] = (max(Decimal(0), quantity - step.amount), invested - sold)
    return results


def last_worth(steps: Sequence[RecordedStep], prices: Prices) -> Worth | None:
    """One model's portfolio at the end of the newest day on which everything that it held has a price; None without."""
    ends = {step.day: step for step in steps if not step.overwritten}
    for day, step in sorted(ends.items(), reverse=True):
        held = {symbol: amount for symbol, amount in step.holdings.items() if amount}
        if all((day, symbol) in prices for symbol in held):
            return Worth(day, step.cash + sum(prices[day, symbol] * amount for symbol, amount in held.items()))
    return None
