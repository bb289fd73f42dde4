"""A market's time that runs faster than ours, the same in every process that is told where it began."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import SystemClock

_SYSTEM = SystemClock()


@dataclass(frozen=True)
class ScaledClock:
    """It showed `market_start` when it was `real_start`, and runs `speed` times as fast as the machine's clock."""

    market_start: datetime
    real_start: datetime
    speed: float

    @classmethod
    def starting(cls, market_start: datetime, speed: float) -> "ScaledClock":
        """A clock that begins now."""
        return cls(market_start, _SYSTEM.now(), speed)

    def now(self) -> datetime:
        """The market's present moment."""
        return self.market_start + (_SYSTEM.now() - self.real_start) * self.speed

    def real_seconds(self, market: timedelta) -> float:
        """How long that much of the market's time takes."""
        return market.total_seconds() / self.speed

    def document(self) -> dict[str, str | float]:
        """For another process."""
        start, real = self.market_start.isoformat(), self.real_start.isoformat()
        return {"market_start": start, "real_start": real, "speed": self.speed}

    @classmethod
    def of_document(cls, document: dict[str, str | float]) -> "ScaledClock":
        """As told by another process."""
        start, real = (datetime.fromisoformat(str(document[name])) for name in ("market_start", "real_start"))
        return cls(start, real, float(document["speed"]))
