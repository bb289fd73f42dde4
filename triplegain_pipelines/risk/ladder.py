"""R5: the drawdown ladder. What a step does to a proposal is the engine's, the lock is the risk state's."""

from decimal import Decimal
from enum import StrEnum

from triplegain_pipelines.settings.risk import DrawdownLadder


class LadderStep(StrEnum):
    """How far down the account is: full size, half size, no new risk, or no new risk until a person unlocks."""

    NORMAL = "NORMAL"
    HALF_SIZE = "HALF_SIZE"
    PAUSED = "PAUSED"
    LOCKED = "LOCKED"


def ladder_step(drawdown: Decimal, locked: bool, ladder: DrawdownLadder) -> LadderStep:  # noqa: FBT001
    """The step at `drawdown`, a fraction of the peak. A step is taken when its threshold is passed, not when it is met.

    `locked` is the latch of the risk state: once over the last step, a recovery does not unlock.
    """
    if locked or drawdown > ladder.lock:
        return LadderStep.LOCKED
    if drawdown > ladder.pause:
        return LadderStep.PAUSED
    if drawdown > ladder.half_size:
        return LadderStep.HALF_SIZE
    return LadderStep.NORMAL
