"""What a strategy is: typed parameters, and a pure function from indicator values to the position it wants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from triplegain_pipelines.indicators.values import IndicatorValues

Targets = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]


class StrategyParameters(BaseModel):
    """The parameters that every strategy has. A subclass adds its own, each with bounds and a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_atr: float = Field(
        default=2.0, gt=0, le=10, description="Distance of the stop, in ATR(14) of the strategy's bars."
    )


@dataclass(frozen=True, slots=True)
class Signals:
    """What a strategy wants after the close of each bar.

    Attributes:
        target: -1 short, 0 flat, 1 long. 0 during the warm-up.
        reason: why, as a place in the strategy's `reasons`; 0 where there is nothing to say.
        atr: average true range at each bar in quote currency, NaN during its warm-up; shared memory, never written to.
        stop_atr: a position's stop lies so many ATR of the deciding bar from its entry.
    """

    target: Targets
    reason: Targets
    atr: Floats
    stop_atr: float


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy.

    Attributes:
        name: as in registry, reports and rows.
        parameters: the type of its parameters; its defaults are what is run until others are approved.
        function: from indicator values and parameters to signals. Pure; sees bar i only through values at or before i.
        warm_up: bars until the first signal can be other than 0, for given parameters.
        grid: values to try for each parameter that is worth trying.
        reasons: what the codes of `Signals.reason` mean, in words; place 0 is empty.
    """

    name: str
    parameters: type[StrategyParameters]
    function: Callable[[IndicatorValues, Any], Signals]
    warm_up: Callable[[Any], int]
    grid: Mapping[str, tuple[float | int, ...]]
    reasons: tuple[str, ...]
