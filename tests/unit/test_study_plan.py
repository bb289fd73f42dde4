"""A study is planned from the settings: long enough distances, the same question for the same words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_market import RESEARCH, planned, random_walk

from triplegain_pipelines.backtest.bench import Batch
from triplegain_pipelines.backtest.search import Method, fixed_trials
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.operations.optimising import pieces_of
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


def cut(trials: int, size: int, bars: int) -> tuple[list[Batch], list[tuple[Batch, ...]]]:
    """Batches of two folds of so many trials, and the pieces they are run in."""
    batches = [Batch(fold, first, min(first + size, trials)) for fold in range(2) for first in range(0, trials, size)]
    return batches, pieces_of(batches, bars)


@given(st.integers(1, 5_000), st.integers(1, 700), st.integers(1_000, 3_000_000))
def test_every_batch_is_in_one_piece(trials: int, size: int, bars: int) -> None:
    """I5, D5: a batch that is in no piece leaves the study unfinished; one in two is waited for by both."""
    batches, pieces = cut(trials, size, bars)
    assert [batch for piece in pieces for batch in piece] == batches
    assert all(pieces)
    assert len({piece[0].key for piece in pieces}) == len(pieces) <= 200


def test_a_short_study_is_one_piece_and_a_long_one_many_alike() -> None:
    """I5, D5: a process for each batch spent seconds to begin for each second of work; one alone leaves cores idle."""
    assert len(cut(trials=300, size=500, bars=24 * 365 * 3)[1]) == 1
    _, pieces = cut(trials=100_000, size=500, bars=525_600)
    work = [sum(len(batch.places) for batch in piece) for piece in pieces]
    assert len(pieces) > 100
    assert max(work) - min(work) <= 500
    assert [len(piece) for piece in cut(trials=100_000, size=100_000, bars=525_600)[1]] == [1, 1]
