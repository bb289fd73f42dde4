"""A proposal to add risk with its size: what the rules of the risk engine look at."""

from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.risk import Proposal
from triplegain_pipelines.risk.market import ZERO
from triplegain_pipelines.risk.situation import Situation


@dataclass(slots=True)  # not frozen: that takes five times as long to make, twice for a modified proposal
class Case:
    """A proposal in its situation. Money in quote, quantities in base currency.

    `quantity` is what was asked for, or the engine's own: the budget over the stop distance. `sized` says that one of
    the two is known, `notional` is the quantity at the entry price, and `risk` what it loses at the stop.
    """

    proposal: Proposal
    situation: Situation
    leverage: Decimal
    quantity: Decimal
    sized: bool
    notional: Decimal
    risk: Decimal


def case_of(proposal: Proposal, situation: Situation) -> Case:
    """The case of `proposal`, with the leverage lowered to the highest there may be."""
    quantity, distance, sized = proposal.quantity, situation.stop_distance, True
    if quantity is None:
        sized = distance is not None
        step = situation.instrument.quantity_step
        quantity = ZERO if distance is None else rounded_down(situation.budget / distance, step)
    leverage, highest = proposal.leverage, situation.highest_leverage
    return Case(
        proposal,
        situation,
        min(leverage, highest),
        quantity,
        sized,
        quantity * proposal.entry_price,
        ZERO if distance is None else quantity * distance,
    )
