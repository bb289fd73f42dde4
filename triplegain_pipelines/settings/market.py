"""`config/market.yaml`: how streams are followed, when a venue counts as unhealthy, which candles are doubtful."""

from datetime import timedelta

from pydantic import Field

from triplegain_pipelines.settings.section import Section


class StreamSettings(Section):
    """How the stream service behaves.

    A feed of which nothing came for `silent_seconds` counts as silent and is opened anew. Between two attempts lie
    `first_wait_seconds`, doubled up to `longest_wait_seconds`, each with jitter. `book_seconds` is the time between two
    stored top-of-book rows of a symbol.
    """

    silent_seconds: float = Field(gt=0)
    first_wait_seconds: float = Field(gt=0)
    longest_wait_seconds: float = Field(gt=0)
    poll_seconds: float = Field(gt=0)
    book_seconds: float = Field(gt=0)


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
    and at `clock_refuse_seconds` nothing new is decided. No decision rests on a candle older than
    `maximum_age_seconds`.
    """

    outlier_move: float = Field(gt=0, le=1)
    outlier_scale: float = Field(gt=1)
    stuck_candles: int = Field(ge=3)
    clock_skew_seconds: float = Field(gt=0)
    clock_refuse_seconds: float = Field(gt=0)
    maximum_age_seconds: int = Field(ge=60, le=600)

    @property
    def maximum_age(self) -> timedelta:
        """How old the newest candle may be for a decision that adds risk."""
        return timedelta(seconds=self.maximum_age_seconds)


class MarketSettings(Section):
    """Everything about market data that is the same in every profile."""

    stream: StreamSettings
    failover: FailoverSettings
    quality: QualitySettings
