"""What each seat adds to the pooled forecast, and how far the seats err together.

Shapes: `p_up` (n, seats) with NaN where a seat abstained, `went_up` (n,). A pool is a function from such a matrix to
the pooled forecasts (n,), which must be one half where nobody answered; `log_odds_pool` makes the one in use.
Values are Brier points: 0.01 means that the seat lowered the pool's Brier score by 0.01. Money is `shadow_books`'.
"""

import math
from collections.abc import Callable

import numpy as np

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.probability_scores import EVEN, Bools, Floats, squared_errors

Pooling = Callable[[Floats], Floats]

_MOST_SEATS = 12  # 4,096 coalitions; exact values of more would take minutes
_FEWEST_SHARED = 2  # one forecast has no correlation


def log_odds_pool(clip: float, slope: float | Floats) -> Pooling:
    """The pool of `agents.consensus`: the sigmoid of slope x the mean log-odds of those that answered.

    Args:
        clip: forecasts are taken as at least this far from certainty.
        slope: one for all, or each decision's own, shape (n,).
    """

    def pool(p_up: Floats) -> Floats:
        answered = ~np.isnan(p_up)
        clipped = np.clip(np.where(answered, p_up, EVEN), clip, 1 - clip)
        total = np.log(clipped / (1 - clipped)).sum(axis=1)  # one half adds nothing
        return np.asarray(1 / (1 + np.exp(-slope * total / np.maximum(answered.sum(axis=1), 1))))

    return pool


def shapley_values(p_up: Floats, went_up: Bools, pool: Pooling) -> Floats:
    """Each seat's exact share in the pool's Brier score: its mean contribution over all orders of joining.

    The sum over coalitions S without the seat of |S|! (k - |S| - 1)! / k! (v(S + seat) - v(S)), where v is 0.25 less
    the Brier score of the pool of S (Shapley 1953). They add up to v of all seats; a seat that never answered has 0.
    0 for all without forecasts.

    Returns:
        Brier points, positive where the seat helps; shape (seats,).

    Raises:
        InputError: more than twelve seats, a forecast that is no probability, or shapes that do not belong together.
    """
    worth = _coalition_values(p_up, went_up, pool)
    seats = p_up.shape[1]
    members = np.arange(len(worth))
    sizes = np.array([int(one).bit_count() for one in members])
    weights = np.array(
        [math.factorial(size) * math.factorial(seats - size - 1) / math.factorial(seats) for size in range(seats)]
    )
    values = np.zeros(seats)
    for seat in range(seats):
        without = members[members & (1 << seat) == 0]
        values[seat] = np.sum(weights[sizes[without]] * (worth[without | (1 << seat)] - worth[without]))
    return values


def leave_one_out_values(p_up: Floats, went_up: Bools, pool: Pooling) -> Floats:
    """By how much the pool's Brier score would rise without each seat; shape (seats,), in Brier points.

    Two seats that always agree have nearly none each, however good they are: one of them can go.

    Raises:
        InputError: a forecast that is no probability, or shapes that do not belong together.
    """
    checked_matrix(p_up, went_up)
    everyone = _worth(p_up, went_up, pool)
    without = [
        _worth(np.where(np.arange(p_up.shape[1]) == seat, np.nan, p_up), went_up, pool) for seat in range(p_up.shape[1])
    ]
    return everyone - np.array(without)


def error_correlation(p_up: Floats, went_up: Bools) -> Floats:
    """How far each two seats err together: correlation of their distances to the wrong side of one half.

    The error is (0.5 - p)(2 y - 1): negative on the right side, 0 for one half. The plain error y - p will not do: it
    is mostly what happened, so that seats which toss a coin each would seem to err as one. Over the forecasts that
    both seats gave.

    Returns:
        Symmetric, 1 on the diagonal; NaN where fewer than two forecasts are shared or a seat always says one half.
        Shape (seats, seats).

    Raises:
        InputError: a forecast that is no probability, or shapes that do not belong together.
    """
    checked_matrix(p_up, went_up)
    errors = (EVEN - p_up) * (2.0 * went_up[:, None] - 1)
    seats = p_up.shape[1]
    matrix = np.full((seats, seats), np.nan)
    for one in range(seats):
        for other in range(one, seats):
            shared = ~np.isnan(errors[:, one] + errors[:, other])
            value = _correlation(errors[shared, one], errors[shared, other])
            matrix[one, other] = matrix[other, one] = value
    return matrix


def effective_voters(correlation: Floats) -> float:
    """How many independent seats these are worth: k / (1 + (k - 1) x mean correlation of two) (Kish 1965).

    Six with a correlation of 0.6 are worth 1.5. A negative mean counts as 0, so it is never above k. Seats whose
    correlation with every other one is NaN have no opinion and do not vote: 0 where nobody does, 1 for one alone.

    >>> round(effective_voters(np.full((6, 6), 0.6) + 0.4 * np.eye(6)), 3)
    1.5

    Args:
        correlation: of the seats' errors, from `error_correlation`; shape (seats, seats).
    """
    voters = ~np.isnan(np.diag(correlation))
    count = int(voters.sum())
    pairs = correlation[np.triu_indices(len(correlation), 1)]
    known = pairs[~np.isnan(pairs)]
    mean = max(0.0, float(known.mean())) if len(known) else 0.0
    return count / (1 + (count - 1) * mean) if count else 0.0


def _coalition_values(p_up: Floats, went_up: Bools, pool: Pooling) -> Floats:
    """The worth of each coalition; the bits of its place say who is in it. Shape (2^seats,)."""
    checked_matrix(p_up, went_up)
    seats = p_up.shape[1]
    if seats > _MOST_SEATS:
        msg = f"exact Shapley values of {seats} seats need 2^{seats} pools; give at most {_MOST_SEATS} seats"
        raise InputError(msg)
    bits = 1 << np.arange(seats)
    return np.array(
        [_worth(np.where(coalition & bits > 0, p_up, np.nan), went_up, pool) for coalition in range(1 << seats)]
    )


def _worth(p_up: Floats, went_up: Bools, pool: Pooling) -> float:
    if not len(went_up):
        return 0.0
    return EVEN**2 - float(np.mean(squared_errors(pool(p_up), went_up)))


def _correlation(one: Floats, other: Floats) -> float:
    if len(one) < _FEWEST_SHARED or not np.ptp(one) or not np.ptp(other):
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def checked_matrix(p_up: Floats, went_up: Bools) -> None:
    """Refuse a table of forecasts that does not fit the outcomes or holds no probabilities; NaN is an abstention.

    Raises:
        InputError: the shapes do not belong together, or a forecast is outside [0, 1].
    """
    if p_up.ndim != 2 or p_up.shape[:1] != went_up.shape:  # noqa: PLR2004 - events by seats
        msg = f"forecasts of shape {p_up.shape} do not fit outcomes of shape {went_up.shape}; give (n, seats) and (n,)"
        raise InputError(msg)
    if ((p_up < 0) | (p_up > 1)).any():
        msg = "a forecast is outside [0, 1]; give probabilities, and NaN where a seat abstained"
        raise InputError(msg)
