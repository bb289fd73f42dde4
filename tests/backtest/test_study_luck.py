"""Where nobody can have an edge no study finds one, and where there is one it is found."""

from pathlib import Path

import pytest
from research_market import RESEARCH, laboratory, planned, random_walk, trending

from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.evaluation.sharpe import probabilistic_sharpe_ratio
from triplegain_pipelines.operations.studies import run_study
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.studies import StoredStudy

pytestmark = pytest.mark.backtest

WIDE = RESEARCH.model_copy(update={"batch_trials": 500, "portion_trials": 100})
BARS = 24 * 310
LEVEL = 0.05


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


def studied(place: Laboratory, market: str, seed: int, bars: int = BARS) -> StoredStudy:
    series = {"walk": random_walk, "trend": trending}[market](seed, bars)
    study = planned(series, venue=f"{market} {seed}", research=WIDE)
    return run_study(place, WIDE, study, series)


def naive_chance(concluded: StoredStudy) -> float:
    """What somebody would believe who looks at the choice where it was chosen, and counts no trials."""
    assert concluded.conclusion is not None
    shown = concluded.conclusion["folds"][0]["in_sample"]
    return probabilistic_sharpe_ratio(
        shown["daily_sharpe"], shown["days"], skew=shown["skew"], kurtosis=shown["kurtosis"]
    )


def require_no_edge(found: list[StoredStudy]) -> None:
    """No more than one in twenty is called significant, though many of them look it."""
    fooled = [number for number, one in enumerate(found) if one.verdict == "significant"]
    assert len(fooled) <= LEVEL * len(found), f"seeds {fooled}"
    assert {one.verdict for one in found} <= {"significant", "not significant"}, "the walks must be long enough to say"
    naive = [number for number, one in enumerate(found) if naive_chance(one) > 1 - LEVEL]
    assert len(naive) > 4 * LEVEL * len(found), f"only {naive} looked good: this market puts nobody to the test"


def test_a_random_walk_has_no_significant_strategy(place: Laboratory) -> None:
    """Issue 6.5: of ten markets without memory, traded without costs, none has a strategy. `make soak` asks 200."""
    require_no_edge([studied(place, "walk", seed) for seed in range(10)])


@pytest.mark.slow
@pytest.mark.long
def test_two_hundred_random_walks(place: Laboratory) -> None:
    """Issue 6.5: at most 5 % of 200 seeds."""
    require_no_edge([studied(place, "walk", seed) for seed in range(200)])


def test_a_planted_edge_is_found(place: Laboratory) -> None:
    """Issue 6.5: a correction that never believes anything would be right about every random walk as well."""
    found = [studied(place, "trend", seed, 24 * 400) for seed in (1, 2, 7)]
    assert [one.verdict for one in found] == ["significant"] * 3
    assert all(one.conclusion and one.conclusion["proposed"]["parameters"] for one in found)


def test_trying_until_luck_strikes(place: Laboratory) -> None:
    """I5: who searches the same walk again and again meets a higher bar each time, and finds nothing."""
    series = random_walk(2, BARS)
    studies = [
        planned(series, method=method, trials=40, seed=seed, research=WIDE)
        for method, seed in ((Method.GRID, 0), (Method.SOBOL, 1), (Method.SOBOL, 2), (Method.SOBOL, 3))
    ]
    found = [run_study(place, WIDE, study, series) for study in studies]
    trials = [one.conclusion["out_of_sample"]["trials"] for one in found if one.conclusion]
    assert trials == sorted(set(trials))
    assert trials[-1] > 100
    assert all(one.verdict == "not significant" for one in found)
