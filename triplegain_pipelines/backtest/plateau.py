"""A plateau rather than a peak: how good a set of parameters is together with those beside it.

The best of many noisy figures is the noisiest. Parameters that work because of something in the market work about as
well one step further; a lone peak does not. So a trial's score is the lower median of its own figure and those of its
neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import InputError

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

EDGE = 0.05
"""Share of a parameter's range, at either end, that counts as its edge where there is no grid."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The trial that was chosen: its place, its own figure, its plateau's, and whether it lies at the edge."""

    place: int
    figure: float
    score: float
    at_edge: bool


def grid_scores(figures: Floats, places: Places, shape: Sequence[int]) -> Floats:
    """Lower median of each trial and of those one step away in one parameter.

    Args:
        figures: of each trial, shape (n,); NaN for one that never traded, which counts as 0: it earned nothing.
        places: of each trial in the grid, row-major as `shape` says; shape (n,). Absent places are no neighbours.
        shape: how many values each parameter has.

    Raises:
        InputError: the figures and places do not belong together, or a place is outside of the grid.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if figures.shape != places.shape or (len(places) and not 0 <= places.min() <= places.max() < size):
        msg = f"{figures.shape} figures at {places.shape} places do not fit a grid of {tuple(shape)}"
        raise InputError(msg)
    grid = np.full(size, np.nan)
    grid[places] = np.nan_to_num(figures)
    grid = grid.reshape(tuple(shape))
    around = [grid]
    for axis, length in enumerate(shape):
        nothing = np.full_like(np.take(grid, [0], axis), np.nan)
        around.append(np.concatenate([nothing, np.take(grid, range(length - 1), axis)], axis))
        around.append(np.concatenate([np.take(grid, range(1, length), axis), nothing], axis))
    return _lower_median(np.stack([one.reshape(-1)[places] for one in around], axis=1))


def cloud_scores(figures: Floats, points: Floats) -> Floats:
    """Lower median of each trial and of its nearest neighbours, twice as many as there are parameters.

    Args:
        figures: of each trial, shape (n,); NaN counts as 0, as in `grid_scores`.
        points: of each trial, each parameter's range as 0 to 1; shape (n, parameters).
    """
    from scipy.spatial import KDTree

    if not len(figures):
        return figures
    nearest = min(2 * points.shape[1] + 1, len(figures))
    _, found = KDTree(points).query(points, k=[*range(1, nearest + 1)])
    return _lower_median(np.nan_to_num(figures)[found])


def grid_edges(places: Places, shape: Sequence[int], choice: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Whether each place is the first or last value of a parameter that has more than two and is no mere choice."""
    indices = np.unravel_index(places, tuple(shape))
    at_edge = np.zeros(len(places), dtype=bool)
    for index, length, mere_choice in zip(indices, shape, choice, strict=True):
        if length > 2 and not mere_choice:  # noqa: PLR2004 - of two values each is an edge, and there is no better place for a choice
            at_edge |= (index == 0) | (index == length - 1)
    return at_edge


def cloud_edges(points: Floats, choice: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Whether each point lies within `EDGE` of an end of the range of a parameter that is no mere choice."""
    ranged = points[:, ~np.array(choice)]
    return np.asarray(((ranged <= EDGE) | (ranged >= 1 - EDGE)).any(axis=1))


def choose(figures: Floats, scores: Floats, at_edge: npt.NDArray[np.bool_]) -> Choice | None:
    """The trial on the highest plateau; of equals the one with the better figure, then the earlier one.

    None where no trial ever traded.
    """
    traded = np.flatnonzero(~np.isnan(figures))
    if not len(traded):
        return None
    best = min(traded.tolist(), key=lambda place: (-scores[place], -figures[place], place))
    return Choice(best, float(figures[best]), float(scores[best]), bool(at_edge[best]))


def _lower_median(values: Floats) -> Floats:
    """Of each row without its NaN; of an even number the lower one, so that two do not lend each other half."""
    ordered = np.sort(values, axis=1)  # NaN at the end
    known = (~np.isnan(values)).sum(axis=1)
    return np.asarray(ordered[np.arange(len(values)), np.maximum(known - 1, 0) // 2])
