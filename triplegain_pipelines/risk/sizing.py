"""Where stop and target of a position lie. How much of it may be held is the engine's."""

from decimal import Decimal, localcontext

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.money import CAUTIOUS, rounded_down, rounded_up
from triplegain_pipelines.settings.risk import SizingSettings


def protective_levels(
    direction: Direction, entry: Decimal, atr: Decimal, sizing: SizingSettings, price_step: Decimal
) -> tuple[Decimal, Decimal]:
    """Stop loss and take profit of a position entered at `entry`, on the price grid, in quote currency.

    The stop lies `stop_atr_multiple` x `atr` from the entry, rounded towards it: a rounding never raises
    the loss per unit. The target lies `reward_to_risk` x the rounded stop distance away, rounded away
    from the entry: a rounding never lowers the reward-to-risk ratio. A level may come out at or beyond
    zero, or a stop at the entry, where the range is out of proportion to the price; risk refuses those.
    """
    # Up is towards the entry for a long stop and away from it for a long target; for a short both are down.
    on_grid = rounded_up if direction is Direction.LONG else rounded_down
    with localcontext(CAUTIOUS):
        stop = on_grid(max(Decimal(0), entry - direction.sign * sizing.stop_atr_multiple * atr), price_step)
        target = entry + sizing.reward_to_risk * (entry - stop)
        return stop, on_grid(max(Decimal(0), target), price_step)
