"""What agents and seats say: actions, directions, regimes and signals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from triplegain_pipelines.domain.reasons import ReasonCode


class Action(StrEnum):
    """What a seat, or the consensus, would do in a symbol."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"
    CLOSE = "CLOSE"


class Bias(StrEnum):
    """The technical agent's view."""

    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"


class Direction(StrEnum):
    """The side of a position."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self is Direction.LONG else -1


class Regime(StrEnum):
    """The state of a market, by which risk limits differ."""

    TRENDING_BULL = "trending_bull"
    TRENDING_BEAR = "trending_bear"
    RANGING = "ranging"
    VOLATILE_BULL = "volatile_bull"
    VOLATILE_BEAR = "volatile_bear"
    CHOPPY = "choppy"


class ForecastStatus(StrEnum):
    """Whether a seat answered. A failed seat abstains; it never holds."""

    ANSWERED = "answered"
    ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the consensus decided for one account and symbol, with the evidence it rests on.

    `p_up` is the calibrated probability that the price is higher after the first horizon and
    `confidence` the larger of p_up and 1 - p_up. `pooled_log_odds` is the mean before the slope,
    `settled_count` the number of independent settled forecasts behind the slope. `agreement` is the share of answers on
    the majority's side and `disagreement` the standard deviation of the log-odds. `reference_price`
    is the last close the seats saw and `atr` the 1h average true range, both in quote currency,
    None where the snapshot had none.

    `target_quantity` is set where nobody forecast anything: a rebalancing, which brings the position to so much of the
    base currency. Then there are no forecasts and no answers, the probability is one half, and the reference price is
    that of the plan.
    """

    decision_id: UUID
    account: str
    venue: str
    symbol: str
    as_of: datetime
    valid_until: datetime
    snapshot_id: UUID
    forecast_ids: tuple[UUID, ...]
    regime: Regime
    action: Action
    reason_code: ReasonCode
    p_up: float
    confidence: float
    pooled_log_odds: float
    slope: float
    settled_count: float
    answers: int
    vendors: int
    quorum_met: bool
    unanimous: bool
    agreement: float
    disagreement: float
    size_factor: Decimal
    leverage: Decimal
    reference_price: float | None
    atr: float | None
    explanation: str
    code_version: str
    code_versions: Mapping[str, str]
    target_quantity: Decimal | None = None
