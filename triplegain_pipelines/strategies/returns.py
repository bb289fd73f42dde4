"""What the strategies returned day by day, and the regime that each day ended in: what the meta-strategy looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StrategyReturns:
    """Daily returns of the strategies, oldest first.

    Attributes:
        known_at: when each day was over, UTC, rising.
        returns: by strategy the return of each day after costs, a fraction; NaN where it did not run.
        regimes: the regime that was known when each day was over.
    """

    known_at: tuple[datetime, ...]
    returns: Mapping[str, Floats]
    regimes: tuple[Regime, ...]

    def __post_init__(self) -> None:
        """Raises DataError where the parts do not belong together, or a day is not later than the one before."""
        days = len(self.known_at)
        wrong = [name for name, series in self.returns.items() if len(series) != days]
        if wrong or len(self.regimes) != days:
            msg = (
                f"{days} days need as many regimes and returns; {', '.join(wrong) or 'the regimes'} have another number"
            )
            raise DataError(msg)
        late = [at for before, at in zip(self.known_at, self.known_at[1:], strict=False) if require_utc(at) <= before]
        if late:
            msg = f"the day that was over at {late[0].isoformat()} is no later than the one before it; sort the days"
            raise DataError(msg)
        infinite = [name for name, series in self.returns.items() if np.isinf(series).any()]
        if infinite:
            msg = f"{infinite[0]} has an infinite return; a day without one is NaN"
            raise DataError(msg)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Their names, sorted, so that nothing depends on the order they came in."""
        return tuple(sorted(self.returns))

    @property
    def regime(self) -> Regime | None:
        """The newest one that is known."""
        return self.regimes[-1] if self.regimes else None

    def until(self, as_of: datetime, window: timedelta) -> StrategyReturns:
        """The days that were over at `as_of`, and not longer ago than `window`."""
        kept = [place for place, at in enumerate(self.known_at) if require_utc(as_of) - window < at <= as_of]
        return StrategyReturns(
            tuple(self.known_at[place] for place in kept),
            {name: self.returns[name][kept] for name in self.strategies},
            tuple(self.regimes[place] for place in kept),
        )

    def began_in(self, regime: Regime | None) -> Bools:
        """Whether each day began in `regime`: whether the day before ended in it. Of the first day nobody knows."""
        return np.array([False, *(one is regime for one in self.regimes[:-1])][: len(self.known_at)], dtype=np.bool_)
