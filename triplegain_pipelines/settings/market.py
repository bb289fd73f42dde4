"""`config/market.yaml`: how streams are followed, when a venue counts as unhealthy, which candles are doubtful."""

from datetime import timedelta

from pydantic import Field, field_validator

from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe
from triplegain_pipelines.settings.section import Section

_ROUNDING = 1e-9


class StreamSettings(Section):
    """How the stream service behaves. All are seconds or minutes between two times that it does something.

    A feed of which nothing came for `silent_seconds` counts as silent and is opened anew. Between two attempts lie
    `first_wait_seconds`, doubled up to `longest_wait_seconds`, each with jitter. Every `look_seconds` minutes that have
    closed are stored and holes asked for; what a stream stored is confirmed by REST after `confirm_minutes`. Every
    `beat_seconds` it tells how the channels stand and looks after the source; every `book_seconds` it stores the best
    prices of each symbol; every `clock_seconds` it compares the venues' clocks with ours.
    """

    silent_seconds: float = Field(gt=0)
    first_wait_seconds: float = Field(gt=0)
    longest_wait_seconds: float = Field(gt=0)
    look_seconds: float = Field(gt=0)
    confirm_minutes: int = Field(ge=1)
    beat_seconds: float = Field(gt=0)
    book_seconds: float = Field(gt=0)
    clock_seconds: float = Field(gt=0)

    @property
    def silence(self) -> timedelta:
        """How long nothing may come over a connection, heartbeats of the venue included."""
        return timedelta(seconds=self.silent_seconds)

    @property
    def confirm_after(self) -> timedelta:
        """How long what only a stream told may stay unconfirmed."""
        return timedelta(minutes=self.confirm_minutes)


class FailoverSettings(Section):
    """M7: when the main venue is left, and when it is taken again.

    It is left when it gave no candle for `unhealthy_seconds`, and taken again after it was healthy for `quiet_minutes`.
    The basis between the two venues is the median over the last `basis_minutes` common minutes.
    """

    unhealthy_seconds: int = Field(ge=60)
    quiet_minutes: int = Field(ge=1)
    basis_minutes: int = Field(ge=10)

    @property
    def unhealthy(self) -> timedelta:
        """How long the main venue may give nothing."""
        return timedelta(seconds=self.unhealthy_seconds)

    @property
    def quiet(self) -> timedelta:
        """How long it must be healthy before it is taken again."""
        return timedelta(minutes=self.quiet_minutes)


class QualitySettings(Section):
    """When a candle, a feed or a clock is doubtful.

    An outlier moved by more than `outlier_move` and by more than `outlier_scale` times the usual move of a minute.
    `stuck_candles` equal candles with volume in a row are a stuck feed. A clock `clock_skew_seconds` off is reported,
    and at `clock_refuse_seconds` no new risk is taken.
    """

    outlier_move: float = Field(gt=0, le=1)
    outlier_scale: float = Field(gt=1)
    stuck_candles: int = Field(ge=2)
    clock_skew_seconds: float = Field(gt=0)
    clock_refuse_seconds: float = Field(gt=0)


class MarketSettings(Section):
    """Everything about market data that is the same in every profile. `timeframe_weights` (I2) is each one's say."""

    stream: StreamSettings
    failover: FailoverSettings
    quality: QualitySettings
    timeframe_weights: dict[Timeframe, float]

    @field_validator("timeframe_weights")
    @classmethod
    def _weights_of_all(cls, weights: dict[Timeframe, float]) -> dict[Timeframe, float]:
        if (
            set(weights) != set(DECISION_TIMEFRAMES)
            or min(weights.values()) < 0
            or abs(sum(weights.values()) - 1) > _ROUNDING
        ):
            msg = f"a weight of at least 0 belongs to each of {', '.join(DECISION_TIMEFRAMES)}, and their sum must be 1"
            raise ValueError(msg)
        return {timeframe: weights[timeframe] for timeframe in DECISION_TIMEFRAMES}
