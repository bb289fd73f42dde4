"""Reason codes: why something was refused, changed, skipped or left out. The docs' table is generated from this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self


class ReasonCode(StrEnum):
    """A machine's word for a reason, with what it means in `meaning`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Seats and consensus
    SEAT_TIMEOUT = "SEAT_TIMEOUT", "The seat did not answer before its deadline."
    SEAT_SCHEMA = "SEAT_SCHEMA", "The seat's answer broke the schema, also after one repair turn."
    SEAT_PROVIDER_ERROR = "SEAT_PROVIDER_ERROR", "The seat's provider failed or refused the call."
    SEAT_UNKNOWN_PRICE = "SEAT_UNKNOWN_PRICE", "The seat's model has no known price, so it may not be called."
    SEATS_DISABLED = "SEATS_DISABLED", "Models are turned off by LLM_ENABLED=false."
    QUORUM_NOT_MET = "QUORUM_NOT_MET", "Fewer than the required seats or vendors answered: no new risk."
    CONSENSUS_REACHED = "CONSENSUS_REACHED", "The pooled forecast is on one side by more than the dead band."
    CONSENSUS_UNDECIDED = "CONSENSUS_UNDECIDED", "The pooled forecast is inside the dead band: nothing to do."
    SNAPSHOT_INCOMPLETE = (
        "SNAPSHOT_INCOMPLETE",
        "The snapshot lacks fresh candles or warmed-up indicators: no new risk.",
    )
    NO_HEADLINES = "NO_HEADLINES", "No headline was known, so the tone of the news counts as neutral."
    # Proposals
    ALREADY_POSITIONED = "ALREADY_POSITIONED", "A position in this direction is open; adding to it is not allowed."
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE", "The decision closes a position that does not exist."
    # Risk verdicts
    WITHIN_LIMITS = "WITHIN_LIMITS", "Every rule was kept."
    REDUCES_RISK = "REDUCES_RISK", "The order makes a position smaller, which stays possible at all times."
    SHORT_SELLING_DISABLED = (
        "SHORT_SELLING_DISABLED",
        "The account trades spot only and cannot sell what it does not own.",
    )
    CONFIDENCE_BELOW_MINIMUM = "CONFIDENCE_BELOW_MINIMUM", "Confidence is under the regime's minimum."
    LEVERAGE_REDUCED = "LEVERAGE_REDUCED", "Leverage was lowered to the limit."
    STOP_LOSS_MISSING = "STOP_LOSS_MISSING", "A position needs a stop loss on the losing side of the entry."
    TAKE_PROFIT_MISPLACED = "TAKE_PROFIT_MISPLACED", "The take profit does not lie on the winning side of the entry."
    REWARD_TO_RISK_TOO_LOW = (
        "REWARD_TO_RISK_TOO_LOW",
        "The distance to the take profit is too small for the distance to the stop.",
    )
    RISK_PER_TRADE_REDUCED = (
        "RISK_PER_TRADE_REDUCED",
        "The quantity was lowered so that the stop costs no more than the risk per trade.",
    )
    SYMBOL_EXPOSURE_REDUCED = "SYMBOL_EXPOSURE_REDUCED", "The quantity was lowered to the exposure limit of one asset."
    TOTAL_EXPOSURE_REDUCED = "TOTAL_EXPOSURE_REDUCED", "The quantity was lowered to the limit of total exposure."
    FREE_CASH_REDUCED = "FREE_CASH_REDUCED", "The quantity was lowered to what the free cash pays for, fees included."
    NO_EXPOSURE_LEFT = "NO_EXPOSURE_LEFT", "The exposure limits leave no room for a new position."
    AVERAGING_DOWN = "AVERAGING_DOWN", "Adding to a position is refused: no averaging down."
    MARTINGALE = "MARTINGALE", "The position would risk more than the last one after a loss."
    BELOW_MINIMUM_ORDER = "BELOW_MINIMUM_ORDER", "The quantity is under the venue's minimum after rounding down."
    QUANTITY_ROUNDED = "QUANTITY_ROUNDED", "The quantity was rounded down to the venue's step."
    DRAWDOWN_HALF_SIZE = "DRAWDOWN_HALF_SIZE", "Drawdown is over the first step of the ladder: half size."
    DRAWDOWN_PAUSED = "DRAWDOWN_PAUSED", "Drawdown is over the second step of the ladder: no new risk."
    DRAWDOWN_LOCKED = (
        "DRAWDOWN_LOCKED",
        "Drawdown went over the last step of the ladder: locked until a person unlocks.",
    )
    DAILY_LOSS_WARNING = "DAILY_LOSS_WARNING", "The day's loss is over the warning level."
    DAILY_LOSS_HALTED = "DAILY_LOSS_HALTED", "The day's loss is over the halt level: no new risk today."
    BREAKER_OPEN = "BREAKER_OPEN", "A circuit breaker is open: no new risk."
    BREAKER_HALF_OPEN = "BREAKER_HALF_OPEN", "A circuit breaker is half open: trial size."
    DISAGREEMENT_REDUCED = "DISAGREEMENT_REDUCED", "The seats disagree, so the size was lowered."
    EQUITY_NOT_POSITIVE = "EQUITY_NOT_POSITIVE", "There is no equity to risk."
    UNRESOLVED_ORDER = (
        "UNRESOLVED_ORDER",
        "An order of unknown outcome exists in this symbol: no new risk until it is resolved.",
    )
    ENTRY_UNFINISHED = (
        "ENTRY_UNFINISHED",
        "An entry is still being filled and counts in no limit yet: no new risk until it is done.",
    )
    # The fence: checks in the transaction that inserts an order
    BREAKER_MISSING = "BREAKER_MISSING", "The breakers have no state for this account: no new risk."
    HEARTBEAT_STALE = "HEARTBEAT_STALE", "The breakers were not evaluated recently: no new risk."
    CLOCK_DISTRUSTED = (
        "CLOCK_DISTRUSTED",
        "Our clock and the venue's differ by too much, or were not compared lately: no new risk.",
    )
    DECISION_EXPIRED = "DECISION_EXPIRED", "The decision is older than its validity."
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE", "No current price is known."
    PRICE_STALE = "PRICE_STALE", "The newest price is too old, or comes too late."
    # Orders
    VENUE_ACCEPTED = "VENUE_ACCEPTED", "The venue accepted the order."
    VENUE_FILLED = "VENUE_FILLED", "The venue filled the order, or a part of it."
    VENUE_REJECTED = "VENUE_REJECTED", "The venue refused the order for certain."
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN", "No answer came after sending: the order may or may not exist."
    NEVER_ARRIVED = "NEVER_ARRIVED", "The venue says for certain that the order never arrived."
    ADOPTED = "ADOPTED", "The venue knew the order, and its state was taken over."
    SIBLING_FILLED = "SIBLING_FILLED", "The other order of the pair was filled."
    POSITION_CLOSED = "POSITION_CLOSED", "The position it protected was closed."
    # Breakers
    BREAKER_TRIPPED = "BREAKER_TRIPPED", "A threshold was crossed."
    BREAKER_COOLED_DOWN = "BREAKER_COOLED_DOWN", "The cool-down is over: trial trades are allowed."
    BREAKER_TRIALS_PASSED = "BREAKER_TRIALS_PASSED", "The trial trades went well."
    BREAKER_TRIAL_LOST = "BREAKER_TRIAL_LOST", "A trial trade lost."
    BREAKER_OPERATOR = "BREAKER_OPERATOR", "A person opened or cleared the breaker."
    # Market data
    CANDLES_MISSING = "CANDLES_MISSING", "Candles are missing on the grid."
    CANDLE_REVISED = "CANDLE_REVISED", "A later delivery has other values for a stored candle."


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code with the numbers that led to it, all as text."""

    code: ReasonCode
    context: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The form that is stored."""
        return {"code": self.code.value, "context": dict(self.context)}

    def sentence(self) -> str:
        """The form that a person reads."""
        numbers = ", ".join(f"{name} {value}" for name, value in self.context.items())
        return f"{self.code.meaning}" + (f" ({numbers})" if numbers else "")
