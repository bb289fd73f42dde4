"""The meta-strategy: how much of the account each strategy may use, moved by regime, by results and by correlation.

From what was known at a time it makes an allocation, in these steps:

1. what is believed of each strategy in the present regime, shrunk towards what all have in common (`beliefs`);
2. strategies that probably lose are switched off, and on again only when they probably earn;
3. those that are on share the account: equal parts, tilted by what is believed of them, none over `most_each`;
4. those that are one bet get less together (`overlaps`);
5. from the allocation before it goes towards this one as far as the turnover allows. Switching off does not wait.

What nobody gets stays in cash. It is a pure function: the same inputs give the same allocation, and nothing that became
known after `as_of` changes it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.beliefs import Belief, beliefs
from triplegain_pipelines.strategies.meta_words import Change, explanation
from triplegain_pipelines.strategies.overlaps import Overlap, overlaps, shares_left
from triplegain_pipelines.strategies.returns import StrategyReturns

_GRAIN = 1_000_000  # parts of the account that weights count


@dataclass(frozen=True, slots=True)
class Allocation:
    """How much of the account each strategy may use.

    Attributes:
        as_of: when it was made.
        regime: the newest regime that was known then, None where none was.
        weights: by strategy, fractions of the account in millionths; 0 for one that is off; the rest is cash.
        active: by strategy, whether it is on.
        switched: the strategies that this change switched on or off, sorted.
        warnings: pairs of strategies that move together.
        turnover: what changed hands, as a fraction of the account: the larger of what was added and what was taken.
        explanation: sentences with the numbers, one for each thing that was decided.
    """

    as_of: datetime
    regime: Regime | None
    weights: Mapping[str, float]
    active: Mapping[str, bool]
    switched: tuple[str, ...]
    warnings: tuple[Overlap, ...]
    turnover: float
    explanation: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises DataError for weights that are no shares of one account."""
        if any(weight < 0 for weight in self.weights.values()) or math.fsum(self.weights.values()) > 1 + 1 / _GRAIN:
            msg = f"weights must be at least 0 and their sum at most 1, but they are {dict(self.weights)}"
            raise DataError(msg)


def allocate(
    returns: StrategyReturns, as_of: datetime, previous: Allocation | None, settings: MetaStrategySettings
) -> Allocation:
    """The allocation at `as_of`.

    Args:
        returns: of every strategy that is there to choose from; days after `as_of` are not looked at.
        as_of: UTC.
        previous: the allocation before; None starts from equal parts with everything on.
        settings: beliefs before the data, and limits.

    Raises:
        DataError: `previous` is not older than `as_of`.
    """
    if previous is not None and previous.as_of >= as_of:
        msg = f"the allocation before is of {previous.as_of.isoformat()}, which is not before {as_of.isoformat()}"
        raise DataError(msg)
    seen = returns.until(as_of, settings.window)
    believed = beliefs(seen, settings)
    thresholds = _thresholds(seen.strategies, previous, settings)
    active = {name: believed[name].earns >= thresholds[name] for name in seen.strategies}
    found = overlaps(seen, settings)
    left = shares_left(found, frozenset(name for name, on in active.items() if on))
    wanted = _wanted(believed, active, left, settings)
    before = _weights_before(seen.strategies, previous, settings)
    kept = {name: before.get(name, 0.0) if active[name] else 0.0 for name in seen.strategies}
    asked = _turnover(kept, wanted)
    way = min(1.0, settings.turnover / asked) if asked > 0 else 1.0
    weights = {name: _whole(kept[name] + way * (wanted[name] - kept[name])) for name in seen.strategies}
    was_on = {name: previous is None or previous.active.get(name, False) for name in seen.strategies}
    switched = tuple(name for name in seen.strategies if active[name] != was_on[name])
    change = Change(seen, believed, thresholds, active, switched, found, left, before, weights, asked, way)
    return Allocation(
        as_of,
        seen.regime,
        weights,
        active,
        switched,
        found,
        _turnover(before, weights),
        explanation(change, settings),
    )


def _weights_before(
    strategies: tuple[str, ...], previous: Allocation | None, settings: MetaStrategySettings
) -> Mapping[str, float]:
    if previous is None:
        return dict.fromkeys(strategies, min(1 / len(strategies), settings.most_each) if strategies else 0.0)
    return previous.weights


def _thresholds(
    strategies: tuple[str, ...], previous: Allocation | None, settings: MetaStrategySettings
) -> dict[str, float]:
    """The probability of earning from which each strategy is on: lower for one that is, higher for one that is off."""
    states = previous.active if previous is not None else {}
    edges = {True: settings.off_under, False: settings.on_from, None: settings.first_from}
    return {name: edges[states.get(name)] for name in strategies}


def _wanted(
    believed: Mapping[str, Belief],
    active: Mapping[str, bool],
    left: Mapping[str, float],
    settings: MetaStrategySettings,
) -> dict[str, float]:
    """The weights where no turnover is limited: e^(tilt x Sharpe ratio), as shares of those that are on."""
    best = max((belief.sharpe for name, belief in believed.items() if active[name]), default=0.0)
    pulls = {
        name: math.exp(settings.tilt * (belief.sharpe - best)) if active[name] else 0.0
        for name, belief in believed.items()
    }
    total = math.fsum(pulls.values())
    return {
        name: min(pull / total, settings.most_each) * left.get(name, 1.0) if pull > 0 else 0.0
        for name, pull in pulls.items()
    }


def _turnover(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    names = sorted(before.keys() | after.keys())
    changes = [after.get(name, 0.0) - before.get(name, 0.0) for name in names]
    return max(math.fsum(max(0.0, change) for change in changes), math.fsum(max(0.0, -change) for change in changes))


def _whole(weight: float) -> float:
    """In whole millionths, down: so the sum stays at most 1, and what rests does not creep."""
    return math.floor(weight * _GRAIN + 1e-6) / _GRAIN
