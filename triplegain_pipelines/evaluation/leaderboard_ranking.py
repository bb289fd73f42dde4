"""Places on the leaderboard, and who leads it. A place says who was better; to lead takes more than that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from triplegain_pipelines.evaluation.evidence_gate import Standing
from triplegain_pipelines.evaluation.leaderboard import LeaderboardRow
from triplegain_pipelines.evaluation.leaderboard_inference import Compared, Inference

_COIN = 0.25  # the Brier score of always one half


def ranked(
    rows: Sequence[LeaderboardRow], standing: Mapping[str, Standing], together: Compared | None
) -> list[LeaderboardRow]:
    """The rows with ranks, best Brier score first: of those with enough data that are better than any constant.

    A forecaster that always says the same can therefore have no rank, whatever it says.
    """
    eligible = [
        row
        for row in rows
        if together is not None
        and row.compared_brier is not None
        and standing[row.variant.variant_id].enough
        and row.compared_brier < min(together.best_constant, _COIN)
    ]
    order = sorted(eligible, key=lambda row: (row.compared_brier or 0.0, row.variant.variant_id))
    places = {row.variant.variant_id: place for place, row in enumerate(order, 1)}
    return [replace(row, rank=places.get(row.variant.variant_id)) for row in rows]


def leaders(
    rows: Sequence[LeaderboardRow], standing: Mapping[str, Standing], together: Compared | None, inference: Inference
) -> tuple[str, ...]:
    """Who leads: by the gate, kept by the confidence set, and with a better score than each plain baseline."""
    if together is None:
        return ()
    bar = together.scores[len(together.names) - together.baselines :].min()
    return tuple(
        row.name
        for row in sorted(rows, key=lambda row: row.rank or 0)
        if row.rank is not None
        and standing[row.variant.variant_id].leads
        and inference.in_confidence_set.get(row.variant.variant_id, False)
        and row.compared_brier is not None
        and row.compared_brier < bar
    )
