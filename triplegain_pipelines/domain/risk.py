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
    """Whether a proposal opens a position, adds to one, takes a part of it away, or closes it."""

    OPEN = "OPEN"
    INCREASE = "INCREASE"
    REDUCE = "REDUCE"
    CLOSE = "CLOSE"

    @property
    def adds_risk(self) -> bool:
        """Whether every limit applies. What only makes a position smaller stays possible."""
        return self in _ADDING


_ADDING = frozenset({ProposalKind.OPEN, ProposalKind.INCREASE})


class VerdictStatus(StrEnum):
    """How a proposal ends."""

    APPROVED = "APPROVED"
    MODIFIED = "MODIFIED"
    REJECTED = "REJECTED"


class BreakerName(StrEnum):
    """The circuit breakers of R6."""

    RAPID_LOSS = "rapid_loss"
    ALL_STRATEGIES_LOSING = "all_strategies_losing"
    VOLATILITY = "volatility"
    CONSECUTIVE_LOSSES = "consecutive_losses"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    ANOMALY = "anomaly"


class BreakerState(StrEnum):
    """CLOSED lets new risk through, OPEN refuses it, HALF_OPEN allows trial trades at reduced size."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class TradingMode(StrEnum):
    """What an account may do at all, over all breakers, from the loosest to the strictest."""

    ACTIVE = "ACTIVE"  # everything that risk lets through
    REDUCING = "REDUCING"  # only what makes a position smaller
    HALTED = "HALTED"  # nothing that a decision asks for; stops stay, and what lacks one gets it


@dataclass(frozen=True, slots=True)
class MarketState:
    """What risk knows of the market beside the prices, as it was known at `as_of`.

    `volatilities` is the annualised standard deviation of hourly log-returns by symbol, `percentiles` where the
    volatility of the last day lies among those of the days before it (0 to 1), `correlations` those of hourly
    log-returns by pair of symbols in alphabetical order. What is not known is left out, and refuses where it is needed.
    """

    as_of: datetime
    volatilities: Mapping[str, float]
    percentiles: Mapping[str, float]
    correlations: Mapping[tuple[str, str], float]


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
    `confidence` is None where nothing was forecast. `engine_sized` is set by the risk engine where it chose the
    quantity, so that its own answer, checked again, is judged as the first time.
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
    confidence: float | None
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
    take_profit: Decimal | None = None

    @property
    def value(self) -> Decimal:
        """Signed market value in quote currency."""
        return self.quantity * self.mark_price


@dataclass(frozen=True, slots=True)
class PortfolioState:
    """The account at one moment, marked to market, as the risk engine sees it.

    `peak_equity` and `day_start_equity` are scaled by deposits and withdrawals, so that those change neither drawdown
    nor the day's loss as fractions; `day_opened_equity` is what the UTC day began with and `day_flow` what was paid in
    or out since, for the day's loss in money. `day_volume` is the value of the entries ordered this UTC day, whole
    orders, in quote currency. `losses_in_a_row` counts closed trades; `last_loss_risk` is what the last losing trade
    had at risk at its entry, in quote currency, if the newest closed trade lost.
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
    day_opened_equity: Decimal = Decimal(0)
    day_flow: Decimal = Decimal(0)
    day_volume: Decimal = Decimal(0)

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

    @property
    def daily_loss_money(self) -> Decimal:
        """What the account lost since the start of the UTC day in quote currency, 0 or more, payments taken out."""
        return max(Decimal(0), self.day_opened_equity + self.day_flow - self.equity)

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
