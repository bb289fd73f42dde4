"""How many independent voters the seats are worth, from how alike they err, and what that means in words.

Models that read the same papers make the same mistakes. Six seats whose errors correlate by 0.6 are worth one and a
half voters, and their agreement says little. What an error is here, is said in `evaluation.attribution`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.evaluation.attribution import effective_voters, error_correlation

Floats = NDArray[np.float64]

FEWEST_PAIRS = 30.0
"""Independent settled forecasts of two voters under which their correlation is not told: its error is 0.18 there."""

ONE_OPINION = 2.0
"""Under so many effective voters the consensus is close to one opinion."""

_DIGITS = 9  # so that the last bits of sums, which differ between machines, do not reach what is stored


def known_correlation(p_up: Floats, went_up: NDArray[np.bool_], overlap: float) -> Floats:
    """The correlation of each pair of voters' errors, NaN where fewer than `FEWEST_PAIRS` of both have settled.

    Args:
        p_up: what the voters said, shape (n, voters), NaN where one abstained.
        went_up: the outcomes, shape (n,).
        overlap: how many independent forecasts each is worth, in (0, 1].
    """
    answered = (~np.isnan(p_up)).astype(np.int64)
    enough = (answered.T @ answered) * overlap >= FEWEST_PAIRS
    if not enough.any():
        return np.full(enough.shape, np.nan)
    return np.where(enough, np.round(error_correlation(p_up, went_up), _DIGITS), np.nan)


def known_voters(correlation: Floats) -> float | None:
    """How many independent voters these are worth, from 1 to their number; None where no pair of them is known."""
    if np.isnan(correlation[np.triu_indices(len(correlation), 1)]).all():
        return None
    return round(effective_voters(correlation), _DIGITS)


def voters_in_words(seats: Sequence[str], correlation: Floats, effective: float | None, settled: int) -> str:
    """What a person should know of the seats as voters before trusting that they agree."""
    if effective is None:
        return f"{settled} forecasts of these seats have settled: too few to tell how alike they err."
    pairs = [
        (float(correlation[one, other]), seats[one], seats[other])
        for one in range(len(seats))
        for other in range(one + 1, len(seats))
        if not np.isnan(correlation[one, other])
    ]
    closest, one, other = max(pairs)
    words = (
        f"By {settled} settled forecasts the {len(seats)} seats are worth {effective:.1f} independent voters; "
        f"{one} and {other} err most alike (correlation {closest:.2f})."
    )
    return f"{words} The consensus is close to one opinion." if effective < ONE_OPINION else words
