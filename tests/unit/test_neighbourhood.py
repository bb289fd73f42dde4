"""What lies one step of the grid beside the parameters of a backtest: whether they are a peak or a plain."""

from uuid import UUID

import pytest

from triplegain_pipelines.operations.walk_forwards import neighbourhood, tried_sharpes
from triplegain_pipelines.store.studies import StoredTrial
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.unit

STRATEGY = STRATEGIES["bollinger"]
PERIODS, DEVIATIONS = (sorted(STRATEGY.grid[name]) for name in ("period", "deviations"))


def trial(period: float, deviations: float, sharpe: float | None, fold: int = 0) -> StoredTrial:
    parameters = STRATEGY.parameters(period=period, deviations=deviations).model_dump()
    train = {"sharpe": sharpe}
    return StoredTrial(fold, 0, parameters, 1, UUID(int=0), "DONE", train, None, "", None)


def test_the_neighbours_are_one_step_beside_in_one_parameter() -> None:
    """I5: with no neighbours given, a lucky peak is never called unstable; with wrong ones, a plain would be."""
    tried = tried_sharpes(
        [
            trial(PERIODS[1], DEVIATIONS[1], 2.0),
            trial(PERIODS[1], DEVIATIONS[1], 1.0, fold=1),
            trial(PERIODS[0], DEVIATIONS[1], -0.5),
            trial(PERIODS[2], DEVIATIONS[1], None),
            trial(PERIODS[1], DEVIATIONS[2], 0.25),
            trial(PERIODS[2], DEVIATIONS[2], 9.0),
            trial(PERIODS[3], DEVIATIONS[1], 9.0),
        ]
    )
    chosen = STRATEGY.parameters(period=PERIODS[1], deviations=DEVIATIONS[1])
    score, beside = neighbourhood(tried, STRATEGY, chosen)
    assert score == 1.5
    assert sorted(beside, key=str) == sorted((-0.5, None, 0.25), key=str)


def test_what_was_not_tried_has_no_neighbours() -> None:
    """A backtest of other parameters than a study tried must not be judged by that study's figures."""
    tried = tried_sharpes([trial(PERIODS[0], DEVIATIONS[0], 1.0)])
    other = STRATEGY.parameters(period=PERIODS[2], deviations=DEVIATIONS[2])
    assert neighbourhood(tried, STRATEGY, other) == (None, ())
    assert neighbourhood(tried_sharpes([]), STRATEGY, other) == (None, ())
