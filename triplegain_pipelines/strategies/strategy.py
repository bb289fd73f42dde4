"""What a strategy is: typed parameters, and a pure function from indicator values to the position it wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.indicators.volatility import atr
from triplegain_pipelines.indicators.warmup import WILDER

Targets = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]

ATR_PERIOD = 14
ATR_WARM_UP = WILDER * ATR_PERIOD
"""No strategy signals earlier: without a settled range there is no honest stop."""

_ParametersT = TypeVar("_ParametersT", bound="StrategyParameters")


class StrategyParameters(BaseModel):
    """The parameters that every strategy has. A subclass adds its own, each with bounds and a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stop_atr: float = Field(
        default=2.0, gt=0, le=10, description="Distance of the stop, in ATR(14) of the strategy's bars."
    )


@dataclass(frozen=True, slots=True)
class Signals:
    """What a strategy wants after the close of each bar.

    Attributes:
        target: -1 short, 0 flat, 1 long. 0 during the warm-up.
        reason: why the target is what it is, as a place in the strategy's `reasons`: it stays while the target stands,
            so a trade's entry and exit both have theirs at the bar that decided them. 0 where there is nothing to say.
        atr: average true range at each bar in quote currency, NaN during its warm-up; shared memory, never written to.
        stop_atr: a position's stop lies so many ATR of the deciding bar from its entry.
    """

    target: Targets
    reason: Targets
    atr: Floats
    stop_atr: float

    @classmethod
    def of(cls, values: IndicatorValues, parameters: StrategyParameters, target: Targets, reason: Targets) -> Signals:
        """The signals with the range and the stop that all strategies share."""
        return cls(target, reason, values.of(atr, period=ATR_PERIOD)[0], parameters.stop_atr)


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy.

    Attributes:
        name: as in registry, reports and rows.
        parameters: the type of its parameters; its defaults are what is run until others are approved.
        function: from indicator values and parameters to signals. Pure; sees bar i only through values at or before i.
        warm_up: bars until the first signal can be other than 0, for given parameters.
        grid: values to try for each parameter that is worth trying; every combination is valid.
        reasons: what the codes of `Signals.reason` mean, in words; place 0 is empty.
    """

    name: str
    parameters: type[StrategyParameters]
    function: Callable[[IndicatorValues, Any], Signals]
    warm_up: Callable[[Any], int]
    grid: Mapping[str, tuple[float | int, ...]]
    reasons: tuple[str, ...]


def ordered(parameters: _ParametersT, smaller: str, larger: str) -> _ParametersT:
    """The parameters, of which one is smaller than another; for validators.

    Raises:
        ValueError: it is not.
    """
    if getattr(parameters, smaller) >= getattr(parameters, larger):
        msg = (
            f"{smaller} is {getattr(parameters, smaller)} and {larger} is {getattr(parameters, larger)}; "
            f"{smaller} must be the smaller one"
        )
        raise ValueError(msg)
    return parameters
