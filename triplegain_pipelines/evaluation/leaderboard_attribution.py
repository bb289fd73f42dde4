"""What each seat adds to the pool on the events that are compared, and how many opinions the seats are worth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from triplegain_pipelines.evaluation.attribution import (
    effective_voters,
    error_correlation,
    log_odds_pool,
    shapley_values,
)
from triplegain_pipelines.evaluation.leaderboard import LeaderboardRow
from triplegain_pipelines.evaluation.leaderboard_inference import Compared


def with_shapley(
    rows: Sequence[LeaderboardRow], slopes: Sequence[pl.DataFrame], together: Compared | None, clip: float
) -> list[LeaderboardRow]:
    """The rows with each compared seat's share in what the pool gained, with the slopes that the consensus used.

    Args:
        rows: of all forecasters.
        slopes: `symbol`, `as_of`, `slope` of each series of the consensus; the shares stay unknown without any.
        together: the common events.
        clip: of the consensus pool.
    """
    seats = _compared_seats(rows, together)
    if together is None or not seats or not slopes or not len(together.went_up):
        return list(rows)
    known = together.events.select("symbol", "as_of").join(
        pl.concat(slopes).unique(["symbol", "as_of"]), on=["symbol", "as_of"], how="left", maintain_order="left"
    )
    slope = known.get_column("slope").fill_null(0.0).to_numpy().astype(np.float64)
    places = [together.names.index(seat) for seat in seats]
    values = shapley_values(together.p_up[:, places], together.went_up, log_odds_pool(clip, slope))
    shares = dict(zip(seats, values.tolist(), strict=True))
    return [replace(row, shapley=shares.get(row.variant.variant_id)) for row in rows]


def voters(rows: Sequence[LeaderboardRow], together: Compared | None) -> float | None:
    """How many independent opinions the compared seats are worth; None where none is compared."""
    seats = _compared_seats(rows, together)
    if together is None or not seats or not len(together.went_up):
        return None
    places = [together.names.index(seat) for seat in seats]
    return effective_voters(error_correlation(together.p_up[:, places], together.went_up))


def _compared_seats(rows: Sequence[LeaderboardRow], together: Compared | None) -> list[str]:
    return [
        row.variant.variant_id
        for row in rows
        if together is not None and row.seat is not None and row.variant.variant_id in together.names
    ]
