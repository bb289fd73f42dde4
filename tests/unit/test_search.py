"""Searches: deterministic, resumable, inside the space that the strategy's types allow."""

from typing import Literal, Self

import numpy as np
import pytest
from pydantic import Field, model_validator

from triplegain_pipelines.backtest.search import (
    FixedSearch,
    Method,
    Space,
    TpeSearch,
    fixed_trials,
    grid_size,
    search_for,
)
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

pytestmark = pytest.mark.unit


class Own(StrategyParameters):
    """Parameters of every kind."""

    fast: int = Field(default=5, ge=2, le=50)
    slow: int = Field(default=20, ge=2, le=60)
    width: float = Field(default=1.0, gt=0, le=3)
    filter: Literal[0, 60, 1440] = 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            msg = "fast must be under slow"
            raise ValueError(msg)
        return self


def no_signals(*_: object) -> Signals:
    raise NotImplementedError


GRID = {"fast": (5, 10, 20), "slow": (10, 20, 40), "width": (0.5, 2.5), "filter": (0, 60, 1440)}
STRATEGY = Strategy("own", Own, no_signals, lambda _: 0, GRID, ("",))


def score(one: StrategyParameters) -> float:
    """Best at fast 12, slow 30, width 1.7 and the filter of 60 minutes."""
    assert isinstance(one, Own)
    return -abs(one.fast - 12) / 15 - abs(one.slow - 30) / 30 - abs(one.width - 1.7) - (one.filter != 60)


def search_through(search: TpeSearch, trials: int) -> list[tuple[StrategyParameters, float]]:
    found: list[tuple[StrategyParameters, float]] = []
    while len(found) < trials and (new := search.propose(len(found), search.together)):
        results = [(one, score(one)) for one in new]
        search.tell(results)
        found += results
    return found


def test_a_grid_is_every_combination_that_is_allowed() -> None:
    """I5: a combination that the type refuses must be left out, not crash the study; no other may be missing."""
    tried = fixed_trials(STRATEGY, Method.GRID, 0, 0)
    wanted = {(fast, slow) for fast in GRID["fast"] for slow in GRID["slow"] if fast < slow}
    assert {(one.fast, one.slow) for one in tried} == wanted  # type: ignore[attr-defined]
    assert len(tried) == len(set(tried)) == len(wanted) * 2 * 3
    assert grid_size(STRATEGY) == 54


@pytest.mark.parametrize("method", [Method.SOBOL, Method.TPE])
@pytest.mark.parametrize("strategy", [STRATEGY, *STRATEGIES.values()], ids=lambda one: one.name)
def test_proposals_stay_inside_the_grid_s_range(strategy: Strategy, method: Method) -> None:
    """I5: parameters outside of what the strategy is meant for, or twice the same, would be wasted or worse."""
    search = search_for(strategy, method, seed=3, fold=1, trials=40)
    proposed = search.propose(0, 16)
    assert len(proposed) == len(set(proposed)) == 16
    space = Space.of(strategy)
    for one in proposed:
        for name, known, choice in zip(space.names, space.values, space.choice, strict=True):
            value = getattr(one, name)
            assert known[0] <= value <= known[-1]
            assert not choice or value in known


def test_a_quasi_random_spread_fills_the_space_more_evenly_than_chance() -> None:
    """I5: that is what it is for. Compared by discrepancy with draws of the same number."""
    from scipy.stats import qmc

    space = Space.of(STRATEGIES["bollinger"])
    points = space.points(fixed_trials(STRATEGIES["bollinger"], Method.SOBOL, 5, 128))
    drawn = [qmc.discrepancy(np.random.default_rng(seed).random(points.shape)) for seed in range(20)]
    assert qmc.discrepancy(points) < min(drawn)


def test_the_same_seed_proposes_the_same_and_another_does_not() -> None:
    """I5: a study that cannot be repeated is no evidence."""
    first, again, other = (fixed_trials(STRATEGY, Method.SOBOL, seed, 50) for seed in (1, 1, 2))
    assert first == again != other
    assert fixed_trials(STRATEGY, Method.SOBOL, 1, 20) == first[:20]
    told = [search_through(TpeSearch(Space.of(STRATEGY), seed, 0, 48), 48) for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_a_resumed_search_proposes_on() -> None:
    """I5: after a crash a search that was told what is stored goes on as the first one would have."""
    whole = search_through(TpeSearch(Space.of(STRATEGY), 9, 0, 64), 64)
    resumed = TpeSearch(Space.of(STRATEGY), 9, 0, 64)
    resumed.tell(whole[:32])
    assert resumed.propose(32, 16) == [one for one, _ in whole[32:48]]
    with pytest.raises(InputError, match="tell all before it"):
        resumed.propose(48, 16)


def test_folds_search_apart() -> None:
    """I5: a fold that knew what another found would know of its future."""
    first, second = (TpeSearch(Space.of(STRATEGY), 1, fold, 16).propose(0, 16) for fold in (0, 1))
    assert first != second


def test_the_estimator_learns() -> None:
    """I5: a search that is no better than a spread would be work for nothing. Means over three seeds."""
    learned = [max(came for _, came in search_through(TpeSearch(Space.of(STRATEGY), s, 0, 80), 80)) for s in range(3)]
    spread = [max(map(score, fixed_trials(STRATEGY, Method.SOBOL, s, 80))) for s in range(3)]
    assert np.mean(learned) > np.mean(spread)


def test_a_small_space_is_tried_once() -> None:
    """I5: a space of six combinations has six trials, whatever number was asked for."""
    small = Strategy("small", Own, no_signals, lambda _: 0, {"fast": (5, 6), "filter": (0, 60, 1440)}, ("",))
    assert len(fixed_trials(small, Method.SOBOL, 1, 100)) == 6
    assert len(search_through(TpeSearch(Space.of(small), 1, 0, 100), 100)) == 6


def test_a_grid_with_what_is_no_parameter() -> None:
    """I5: a misspelt name would never be varied, and nobody would know."""
    with pytest.raises(InputError, match="names sloow"):
        Space.of(Strategy("odd", Own, no_signals, lambda _: 0, {"sloow": (1, 2)}, ("",)))
    with pytest.raises(InputError, match="no values"):
        Space.of(Strategy("empty", Own, no_signals, lambda _: 0, {}, ("",)))


def test_a_fixed_search_ends() -> None:
    """I5: asked for more than there is, it gives what there is."""
    tried = fixed_trials(STRATEGY, Method.GRID, 0, 0)
    assert FixedSearch(tried).propose(len(tried) - 2, 10) == tried[-2:]
