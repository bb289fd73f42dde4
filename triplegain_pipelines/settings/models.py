"""`config/models.yaml`: the six seats, the quorum and the consensus pool."""

from pydantic import Field

from triplegain_pipelines.settings.section import Section


class SeatSettings(Section):
    """A seat: who serves it, which model sits in it, and which baseline sits in while offline."""

    vendor: str
    model: str
    baseline: str


class Quorum(Section):
    """How many of the six seats, and of how many vendors, must answer."""

    answers: int = Field(ge=4, le=6)
    vendors: int = Field(ge=1, le=6)


class PoolSettings(Section):
    """The consensus pool: clipping of p, slope before `settled_needed` settled forecasts, dead band around 0.5."""

    clip: float = Field(gt=0, lt=0.5)
    prior_slope: float = Field(ge=0, le=1)
    settled_needed: int = Field(ge=1)
    dead_band: float = Field(ge=0, lt=0.5)


class ModelSettings(Section):
    """`config/models.yaml`."""

    offline: bool
    deadline_seconds: float = Field(gt=0)
    max_tokens: int = Field(gt=0)
    quorum: Quorum
    pool: PoolSettings
    seats: dict[str, SeatSettings] = Field(min_length=6, max_length=6)
