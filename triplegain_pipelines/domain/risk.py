"""What the risk engine is asked, what it looks at, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.reasons import Reason


class ProposalKind(StrEnum):
    """Whether a proposal opens a position or closes one."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"


class VerdictStatus(StrEnum):
    """How a proposal ends."""

    APPROVED = "APPROVED"
    MODIFIED = "MODIFIED"
    REJECTED = "REJECTED"


class BreakerName(StrEnum):
    """The circuit breakers."""

    RAPID_LOSS = "rapid_loss"
    CONSECUTIVE_LOSSES = "consecutive_losses"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"


class BreakerState(StrEnum):
    """CLOSED lets new risk through, OPEN refuses it, HALF_OPEN allows trial trades at reduced size."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


def fall(before: Decimal, now: Decimal) -> Decimal:
    """How far an amount fell, as a fraction of `before`: 0 where it rose, or where there was nothing to lose.

    >>> fall(Decimal(200), Decimal(150))
    Decimal('0.25')
    """
    return (before - now) / before if before > 0 and now < before else Decimal(0)


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker as stored. `trials_left` counts the trial trades of HALF_OPEN."""

    name: BreakerName
    state: BreakerState
    changed_at: datetime
    reason: str
    trials_left: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A position that a decision asks for, before risk has spoken.

    `quantity` is in base currency, or None to let the risk engine size it from the stop distance;
    prices are in quote currency. `size_factor` in (0, 1] lowers the size: disagreement of the seats.
    `engine_sized` is set by the risk engine where it chose the quantity, so that its own answer, checked
    again, is judged as the first time.
    """

    proposal_id: UUID
    decision_id: UUID
    account: str
    symbol: str
    kind: ProposalKind
    direction: Direction
    quantity: Decimal | None
    entry_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    leverage: Decimal
    confidence: float
    regime: Regime
    size_factor: Decimal = Decimal(1)
    engine_sized: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """An open position. `quantity` is signed: negative is short. Prices in quote currency."""

    symbol: str
    quantity: Decimal
    average_entry: Decimal
    mark_price: Decimal
    stop_loss: Decimal | None

    @property
    def value(self) -> Decimal:
        """Signed market value in quote currency."""
        return self.quantity * self.mark_price


@dataclass(frozen=True, slots=True)
class PortfolioState:
    """The account at one moment, marked to market, as the risk engine sees it.

    `peak_equity` and `day_start_equity` have deposits and withdrawals taken out. `losses_in_a_row`
    counts closed trades; `last_loss_risk` is what the last losing trade had at risk at its entry, in
    quote currency, if the newest closed trade lost.
    """

    account: str
    at: datetime
    cash: Decimal
    holdings: tuple[Holding, ...]
    peak_equity: Decimal
    day_start_equity: Decimal
    losses_in_a_row: int
    last_loss_risk: Decimal | None
    drawdown_locked: bool
    unresolved_symbols: frozenset[str] = frozenset()

    @property
    def equity(self) -> Decimal:
        """Cash plus the value of all positions."""
        return self.cash + sum((holding.value for holding in self.holdings), Decimal(0))

    @property
    def drawdown(self) -> Decimal:
        """Fall from the peak as a fraction of the peak, 0 or more."""
        return fall(self.peak_equity, self.equity)

    @property
    def daily_loss(self) -> Decimal:
        """Fall since the start of the UTC day as a fraction of the equity then, 0 or more."""
        return fall(self.day_start_equity, self.equity)

    def holding(self, symbol: str) -> Holding | None:
        """The open position in `symbol`, or None."""
        return next((holding for holding in self.holdings if holding.symbol == symbol), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The risk engine's answer: the status, every reason, and the proposal as it may be traded."""

    status: VerdictStatus
    reasons: tuple[Reason, ...]
    proposal: Proposal

    @property
    def allows(self) -> bool:
        """Whether an order may be made of it."""
        return self.status is not VerdictStatus.REJECTED


BreakerStates = Mapping[BreakerName, Breaker]
