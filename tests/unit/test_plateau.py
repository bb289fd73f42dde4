"""A plateau rather than a peak."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.backtest.plateau import (
    choose,
    cloud_edges,
    cloud_scores,
    grid_edges,
    grid_scores,
)
from triplegain_pipelines.domain.errors import InputError

pytestmark = pytest.mark.unit

# Rows and columns are two parameters. A lone peak of 9 at (1, 1), a plateau of about 3 around (3, 4).
LANDSCAPE = np.array(
    [
        [0.1, 0.2, 0.1, 0.0, 0.1, 0.0],
        [0.2, 9.0, 0.1, 0.2, 0.3, 0.2],
        [0.0, 0.1, 0.3, 2.8, 2.9, 2.7],
        [0.1, 0.0, 0.2, 2.9, 3.0, 2.8],
        [0.2, 0.1, 0.1, 2.7, 3.1, 2.6],
    ]
)
PLACES = np.arange(LANDSCAPE.size)


def test_a_lone_peak_loses_to_a_plateau() -> None:
    """I5: the best figure of a grid is the one that luck helped most."""
    figures = LANDSCAPE.reshape(-1)
    choice = choose(figures, grid_scores(figures, PLACES, LANDSCAPE.shape), grid_edges(PLACES, (5, 6), (False, False)))
    assert choice is not None
    assert divmod(choice.place, 6) == (3, 4)
    assert choice.figure == 3.0
    assert choice.score == 2.9  # of 3.0, 2.9, 3.1, 2.9 and 2.8, worked out by hand
    assert not choice.at_edge


def test_a_lone_peak_loses_to_a_plateau_without_a_grid() -> None:
    """I5: the same where the points were not chosen on a grid."""
    rows, columns = np.divmod(PLACES, 6)
    points = np.column_stack([rows / 4, columns / 5])
    figures = LANDSCAPE.reshape(-1)
    choice = choose(figures, cloud_scores(figures, points), cloud_edges(points, (False, False)))
    assert choice is not None
    assert divmod(choice.place, 6) == (3, 4)


@pytest.mark.parametrize("place", [0, 5, 24, 29, 2, 12])
def test_a_peak_at_the_edge_wins_nothing_by_having_few_neighbours(place: int) -> None:
    """I5: at a corner two of three neighbours are missing; what is missing must not count as good."""
    figures = np.zeros(30)
    figures[place] = 9.0
    assert grid_scores(figures, PLACES, (5, 6))[place] == 0.0


def test_two_neighbours_do_not_lend_each_other_half() -> None:
    """I5: with one parameter an edge has one neighbour, and the mean of the two would be half a peak."""
    assert grid_scores(np.array([9.0, 0.0, 0.0]), np.arange(3), (3,)).tolist() == [0.0, 0.0, 0.0]


def test_edges_are_flagged() -> None:
    """I5: the best value at the end of a range says that the range is wrong; a mere choice has no end."""
    edges = grid_edges(np.arange(12), (4, 3), (False, False)).reshape(4, 3)
    assert edges.tolist() == [[True] * 3, [True, False, True], [True, False, True], [True] * 3]
    assert grid_edges(np.arange(12), (4, 3), (False, True)).reshape(4, 3)[:, 0].tolist() == [True, False, False, True]
    assert not grid_edges(np.arange(2), (2,), (False,)).any()
    points = np.array([[0.5, 0.5], [0.99, 0.5], [0.5, 0.01], [0.5, 0.94]])
    assert cloud_edges(points, (False, False)).tolist() == [False, True, True, False]
    assert cloud_edges(points, (False, True)).tolist() == [False, True, False, False]


def test_what_never_traded_is_never_chosen() -> None:
    """I5: parameters under which nothing happens have no Sharpe ratio; among losers they must not win by it."""
    figures = np.array([-1.0, np.nan, -2.0])
    scores = grid_scores(figures, np.arange(3), (3,))
    choice = choose(figures, scores, np.zeros(3, dtype=bool))
    assert choice is not None
    assert choice.place == 0
    assert choose(np.full(3, np.nan), np.zeros(3), np.zeros(3, dtype=bool)) is None


def test_absent_combinations_are_no_neighbours() -> None:
    """I5: a combination that the type refuses says nothing, neither good nor bad."""
    figures = np.array([3.0, 3.0, 3.0])
    assert grid_scores(figures, np.array([0, 1, 3]), (2, 2)).tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(InputError, match="do not fit"):
        grid_scores(figures, np.array([0, 1, 4]), (2, 2))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order(figures: list[float], rows: int, shuffled: object) -> None:
    """I5: trials come from the store in an order of their own."""
    shape = (rows, -(-len(figures) // rows))
    values, places = np.array(figures), np.arange(len(figures))
    order = np.array(sorted(places, key=lambda _: shuffled.random()))  # type: ignore[attr-defined]
    assert (grid_scores(values[order], order, shape) == grid_scores(values, places, shape)[order]).all()


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=60))
def test_no_score_is_over_the_best_figure_nor_under_the_worst(figures: list[float]) -> None:
    """I5: a score is a figure of somebody nearby."""
    values = np.array(figures)
    scores = grid_scores(values, np.arange(len(values)), (len(values),))
    assert values.min() <= scores.min() <= scores.max() <= values.max()
    points = np.linspace(0, 1, len(values))[:, None]
    assert set(cloud_scores(values, points)) <= set(figures)
