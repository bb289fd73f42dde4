"""The seats as registered models: a version for each model with its wording, in the order of their first forecasts.

The alias `champion` is on the version of a seat that leads the leaderboard alone, and on none otherwise; the alias
`offline-baseline` on the newest plain rule that sat in the seat.
"""

from collections.abc import Sequence

from triplegain_pipelines.evaluation.leaderboard import Leaderboard, Variant
from triplegain_pipelines.evaluation.tracking_content import TrackedModel, TrackedVersion
from triplegain_pipelines.store.traced_calls import SeatVersion

PREFIX = "triplegain."


def registered_models(board: Leaderboard, known: Sequence[SeatVersion]) -> tuple[TrackedModel, ...]:
    """A registered model for each seat that ever forecast.

    Args:
        board: names the leader; nobody is the champion of a simulated market.
        known: in the order of their first forecasts.
    """
    leader = None if board.simulated else sole_leader(board)
    return tuple(_model(seat, [one for one in known if one.seat == seat], leader) for seat in _seats(known))


def sole_leader(board: Leaderboard) -> Variant | None:
    """The series that leads alone. Of several leaders none is the winner."""
    if len(board.leaders) != 1:
        return None
    leader = board.leaders[0]
    led = [row.variant for row in board.rows if leader in {row.name, row.variant.forecaster, row.variant.variant_id}]
    return led[0] if len(led) == 1 else None


def model_name(seat: str) -> str:
    """The name of a seat's registered model."""
    return f"{PREFIX}{seat}"


def _seats(known: Sequence[SeatVersion]) -> list[str]:
    return sorted({one.seat for one in known})


def _model(seat: str, known: Sequence[SeatVersion], leader: Variant | None) -> TrackedModel:
    versions = {one: _version(one) for one in known}
    baselines = [version for one, version in versions.items() if one.baseline]
    leading = [version for one, version in versions.items() if leader is not None and _is(one, leader)]
    return TrackedModel(
        name=model_name(seat),
        description=f"Seat {seat} of the six. The evidence is in PostgreSQL; docs/models.md tells how to read it.",
        versions=tuple(versions.values()),
        offline_baseline=baselines[-1] if baselines else None,
        champion=leading[-1] if leading else None,
    )


def _is(version: SeatVersion, variant: Variant) -> bool:
    return (version.seat, version.model, version.template_hash) == (
        variant.forecaster,
        variant.model,
        variant.template_hash,
    )


def _version(one: SeatVersion) -> TrackedVersion:
    what = "A plain rule without a model, offline baseline" if one.baseline else "A language model"
    return TrackedVersion(
        model=one.model,
        template_hash=one.template_hash,
        tags={
            "seat": one.seat,
            "vendor": one.vendor,
            "model": one.model,
            "template_hash": one.template_hash,
            "baseline": "true" if one.baseline else "false",
            "first_recorded_at": one.first_recorded_at.isoformat(),
        },
        description=f"{what}: {one.model}, wording {one.template_hash[:12]}.",
    )
