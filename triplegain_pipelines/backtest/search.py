"""Which parameters a study tries: every one of a grid, a quasi-random spread, or those a model of the results proposes.

A search is a function of its seed and of what it was told. One that is made again after a crash and told what is stored
proposes what the first one would have proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

Values = dict[str, float]
_BLOCK = 10  # Sobol points are drawn 2^10 at a time
_MOST_BLOCKS = 256
_QUESTIONS = 4  # how often the sampler is asked for one proposal that is new and allowed


class Method(StrEnum):
    """How a study searches."""

    GRID = "grid"
    SOBOL = "sobol"
    TPE = "tpe"


class Search(Protocol):
    """What every search can do."""

    together: int
    """How many trials are proposed before the first of them is told."""

    def propose(self, first: int, count: int) -> list[StrategyParameters]:
        """The parameters of the trials `first` to `first` + `count` - 1, fewer where there are no more."""
        ...

    def tell(self, results: Sequence[tuple[StrategyParameters, float | None]]) -> None:
        """What came of the next trials, in order; None for one that never traded."""
        ...


@dataclass(frozen=True, slots=True)
class Space:
    """The parameters that are worth trying, as the strategy's grid and types say. Those beside them keep their default.

    Attributes:
        strategy: whose parameters.
        names: of the parameters, in the grid's order.
        values: of each, rising.
        whole: whether each is a whole number.
        choice: whether each is one of these values and nothing between them.
    """

    strategy: Strategy
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    whole: tuple[bool, ...]
    choice: tuple[bool, ...]

    @classmethod
    def of(cls, strategy: Strategy) -> Space:
        """The space of a strategy.

        Raises:
            InputError: its grid is empty or names what is no parameter.
        """
        unknown = sorted(set(strategy.grid) - set(strategy.parameters.model_fields))
        if unknown or not strategy.grid or not all(strategy.grid.values()):
            msg = f"the grid of {strategy.name} " + (
                f"names {', '.join(unknown)}, which is no parameter of it" if unknown else "has no values to try"
            )
            raise InputError(msg)
        values = tuple(tuple(sorted(set(one))) for one in strategy.grid.values())
        kinds = [strategy.parameters.model_fields[name].annotation for name in strategy.grid]
        whole, choice = (kind is int for kind in kinds), (kind not in (int, float) for kind in kinds)
        return cls(strategy, tuple(strategy.grid), values, tuple(whole), tuple(choice))

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values the grid has of each parameter."""
        return tuple(len(one) for one in self.values)

    def allowed(self, values: Sequence[float]) -> StrategyParameters | None:
        """The parameters with these values, or None where the strategy's type refuses them."""
        chosen = {
            name: round(value) if whole else value
            for name, value, whole in zip(self.names, values, self.whole, strict=True)
        }
        try:
            return self.strategy.parameters(**chosen)
        except ValidationError:
            return None

    def points(self, parameters: Sequence[StrategyParameters]) -> npt.NDArray[np.float64]:
        """Each set of parameters in a cube whose sides are the ranges of the grid; shape (n, parameters)."""
        columns = []
        for name, known, choice in zip(self.names, self.values, self.choice, strict=True):
            taken = np.array([getattr(one, name) for one in parameters], dtype=np.float64)
            if choice:
                columns.append(np.searchsorted(known, taken) / max(len(known) - 1, 1))
            else:
                columns.append((taken - known[0]) / (known[-1] - known[0] or 1.0))
        return np.column_stack(columns)

    def grid_places(self, parameters: Sequence[StrategyParameters]) -> npt.NDArray[np.int64]:
        """The row-major place in the grid of each set of parameters, which must come from it."""
        found = [
            tuple(known.index(getattr(one, name)) for name, known in zip(self.names, self.values, strict=True))
            for one in parameters
        ]
        columns = np.array(found, dtype=np.int64).reshape(-1, len(self.names)).T
        return np.asarray(np.ravel_multi_index(tuple(columns), self.shape), dtype=np.int64)

    def at(self, point: Sequence[float]) -> tuple[float, ...]:
        """The values at a point of the cube, each side of it from 0 to under 1."""
        return tuple(
            known[int(share * len(known))] if choice else known[0] + share * (known[-1] - known[0])
            for known, choice, share in zip(self.values, self.choice, point, strict=True)
        )


class FixedSearch:
    """Proposes what was known from the start, in order. What comes of it changes nothing.

    Args:
        parameters: all of them.
    """

    def __init__(self, parameters: Sequence[StrategyParameters]) -> None:
        self._parameters = parameters
        self.together = max(len(parameters), 1)

    def propose(self, first: int, count: int) -> list[StrategyParameters]:
        """See `Search`."""
        return list(self._parameters[first : first + count])

    def tell(self, results: Sequence[tuple[StrategyParameters, float | None]]) -> None:
        """Nothing is learned."""


class TpeSearch:
    """Optuna's tree-structured Parzen estimator, asked for a batch at a time (Bergstra et al. 2011).

    The study in memory is made anew for each batch, from all that was told and a seed of the batch's own: so it is the
    same whether or not the process that asks is the one that began.

    Args:
        space: where to search.
        seed: of the study.
        fold: of the walk. Each fold searches alone, or later folds would tell earlier ones of the future.
        trials: how many at most.
    """

    together = 16  # fewer learn sooner, more cost less

    def __init__(self, space: Space, seed: int, fold: int, trials: int) -> None:
        self._space, self._seed, self._fold, self._trials = space, seed, fold, trials
        self._told: list[tuple[StrategyParameters, float | None]] = []

    def propose(self, first: int, count: int) -> list[StrategyParameters]:
        """See `Search`.

        Raises:
            InputError: not exactly the trials before `first` were told.
        """
        import optuna

        if first != len(self._told):
            msg = f"{len(self._told)} results were told, so trial {first} cannot be proposed; tell all before it"
            raise InputError(msg)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        seed = int(np.random.SeedSequence([self._seed, self._fold, first]).generate_state(1)[0])
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        distributions = self._distributions()
        for parameters, score in self._told:
            taken = {name: getattr(parameters, name) for name in distributions}
            # A trial that never traded earned nothing, which is worth knowing.
            study.add_trial(optuna.trial.create_trial(params=taken, distributions=distributions, value=score or 0.0))
        known = {parameters for parameters, _ in self._told}
        spread = spread_of(self._space, self._seed)
        proposed: list[StrategyParameters] = []
        for _ in range(min(count, self._trials - first)):
            new = self._asked(study, distributions, known) or next((one for one in spread if one not in known), None)
            if new is None:
                break
            known.add(new)
            proposed.append(new)
        return proposed

    def tell(self, results: Sequence[tuple[StrategyParameters, float | None]]) -> None:
        """See `Search`."""
        self._told.extend(results)

    def _asked(
        self,
        study: Any,  # noqa: ANN401 - optuna's, which has no types
        distributions: dict[str, Any],
        known: set[StrategyParameters],
    ) -> StrategyParameters | None:
        """A proposal that is allowed and new, or None where the sampler has none to give."""
        import optuna

        for _ in range(_QUESTIONS):
            trial = study.ask(distributions)
            values = [
                trial.params.get(name, one[0]) for name, one in zip(self._space.names, self._space.values, strict=True)
            ]
            parameters = self._space.allowed(values)
            if parameters is not None and parameters not in known:
                return parameters
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found = {}
        space = self._space
        for name, known, whole, choice in zip(space.names, space.values, space.whole, space.choice, strict=True):
            if len(known) > 1 and choice:
                found[name] = CategoricalDistribution(known)
            elif len(known) > 1:
                found[name] = (IntDistribution if whole else FloatDistribution)(known[0], known[-1])
        return found


def search_for(strategy: Strategy, method: Method, *, seed: int, fold: int, trials: int) -> Search:
    """The search of one fold of a study.

    Raises:
        InputError: the strategy has no grid.
    """
    space = Space.of(strategy)
    if method is Method.TPE:
        return TpeSearch(space, seed, fold, trials)
    return FixedSearch(fixed_trials(strategy, method, seed, trials))


def fixed_trials(strategy: Strategy, method: Method, seed: int, trials: int) -> list[StrategyParameters]:
    """What a search proposes that learns nothing: the whole grid, or the first `trials` quasi-random points."""
    space = Space.of(strategy)
    if method is Method.GRID:
        allowed = (space.allowed(values) for values in product(*space.values))
        return [one for one in allowed if one is not None]
    return [one for _, one in zip(range(trials), spread_of(space, seed), strict=False)]


def grid_size(strategy: Strategy) -> int:
    """How many sets of parameters the grid has, those included that the strategy's type may refuse."""
    return prod(Space.of(strategy).shape)


def spread_of(space: Space, seed: int) -> Iterator[StrategyParameters]:
    """Distinct allowed parameters, spread evenly by a scrambled Sobol sequence (Owen 1998), until there are no more."""
    from scipy.stats import qmc

    known: set[StrategyParameters] = set()
    points = qmc.Sobol(len(space.names), rng=np.random.default_rng(seed))
    for _ in range(_MOST_BLOCKS):
        before = len(known)
        for point in points.random(2**_BLOCK):
            parameters = space.allowed(space.at(point.tolist()))
            if parameters is not None and parameters not in known:
                known.add(parameters)
                yield parameters
        if len(known) == before:  # a whole block brought nothing new
            return
