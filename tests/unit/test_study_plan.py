"""A study is planned from the settings: long enough distances, the same question for the same words."""

import pytest
from research_market import RESEARCH, planned, random_walk

from triplegain_pipelines.backtest.search import Method, fixed_trials
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.operations.studies import bar_of
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.unit

SERIES = random_walk(1, 24 * 260)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("method", list(Method))
def test_no_indicator_and_no_trade_reaches_from_train_to_test(name: str, method: Method) -> None:
    """I5: an average of 300 bars that is trained on up to a bar before the test has seen the test begin."""
    study = planned(SERIES, strategy=name, method=method)
    tries = fixed_trials(STRATEGIES[name], Method.GRID if method is Method.GRID else Method.SOBOL, 7, 20)
    longest = max(STRATEGIES[name].warm_up(one) for one in tries)
    walk = RESEARCH.walk_forward
    for train_start, train_stop, test_start, test_stop in study.folds:
        assert train_start >= longest
        if test_stop > test_start:
            assert test_start - train_stop >= max(longest, walk.longest_holding_bars) + walk.embargo_bars


def test_the_same_question_is_the_same_study() -> None:
    """I5: asked twice it goes on where it was; whatever decides the result makes it another."""
    study = planned(SERIES)
    assert study.study_id == planned(random_walk(1, 24 * 260)).study_id
    others = [
        planned(random_walk(2, 24 * 260)),
        planned(SERIES, seed=8),
        planned(SERIES, method=Method.SOBOL),
        planned(SERIES, venue="elsewhere"),
        planned(SERIES, strategy="macd"),
    ]
    assert len({one.study_id for one in (study, *others)}) == 6


def test_too_little_history_is_refused() -> None:
    """I5: a study without a test would conclude from nothing."""
    with pytest.raises(InputError, match="too few for a walk"):
        planned(random_walk(1, 24 * 100))


def test_the_shipped_settings_ask_for_enough() -> None:
    """I5: the level is 5 %, and nothing is said of less than a quarter of a year."""
    bar = bar_of(load_settings(Environment(profile="demo")).research)
    assert bar.level == 0.05
    assert bar.fewest_days >= 90
