"""Reason codes: why something was refused, changed, skipped or left out. The docs' table is generated from this."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triplegain_pipelines.domain.explained_code import ExplainedCode


class ReasonCode(ExplainedCode):
    """A machine's word for a reason, with what it means in `meaning`."""

    # Seats and consensus
    SEAT_TIMEOUT = "SEAT_TIMEOUT", "The seat did not answer before its deadline."
    SEAT_SCHEMA = "SEAT_SCHEMA", "The seat's answer broke the schema, also after one repair turn."
    SEAT_PROVIDER_ERROR = "SEAT_PROVIDER_ERROR", "The seat's provider failed or refused the call."
    SEAT_UNKNOWN_PRICE = "SEAT_UNKNOWN_PRICE", "The seat's model has no known price, so it may not be called."
    SEAT_OUT_OF_RANGE = "SEAT_OUT_OF_RANGE", "The seat's answer has numbers that cannot be, also after one repair turn."
    SEAT_RATE_LIMITED = "SEAT_RATE_LIMITED", "The seat's provider was asked too often, until the seat's deadline."
    SEAT_WRONG_MODEL = "SEAT_WRONG_MODEL", "Another model answered than the one that sits in the seat."
    SEAT_BENCHED = "SEAT_BENCHED", "The seat failed too often and is not asked for a while."
    SEAT_BUDGET = "SEAT_BUDGET", "What the call could cost at most is more than the budget has left."
    SEAT_NOT_RECORDED = "SEAT_NOT_RECORDED", "Only stored answers are used, and there is none for this question."
    SEATS_DISABLED = "SEATS_DISABLED", "Models are turned off by LLM_ENABLED=false."
    SEAT_OFFLINE = "SEAT_OFFLINE", "Baselines sit in the seats while offline, and they answer no such question."
    SEAT_BUSY = "SEAT_BUSY", "Another process was asking the seat the same at this moment."
    QUORUM_NOT_MET = "QUORUM_NOT_MET", "Fewer than the required seats or vendors answered: no new risk."
    CONSENSUS_REACHED = "CONSENSUS_REACHED", "The pooled forecast is on one side by more than the dead band."
    CLOSE_AGREED = "CLOSE_AGREED", "Most of the seats that count say that a position should be closed."
    CONSENSUS_UNDECIDED = "CONSENSUS_UNDECIDED", "The pooled forecast is inside the dead band: nothing to do."
    SNAPSHOT_INCOMPLETE = (
        "SNAPSHOT_INCOMPLETE",
        "The snapshot lacks fresh candles or warmed-up indicators: no new risk.",
    )
    NO_HEADLINES = "NO_HEADLINES", "No headline was known, so the tone of the news counts as neutral."
    # Proposals
    ALREADY_POSITIONED = "ALREADY_POSITIONED", "A position in this direction is open; adding to it is not allowed."
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE", "The decision closes a position that does not exist."
    NOTHING_TO_INCREASE = "NOTHING_TO_INCREASE", "There is no position in this direction that could be added to."
    # Rebalancing
    REBALANCING = "REBALANCING", "The position is brought back to its target weight."
    WEIGHT_IN_BAND = "WEIGHT_IN_BAND", "The weight is close enough to its target: nothing is traded."
    WEIGHT_REACHED = "WEIGHT_REACHED", "The position has the size already that the rebalancing asked for."
    REST_TOO_SMALL = "REST_TOO_SMALL", "The target is too small to be sold later, so all of the position is sold."
    CASH_SHORT = "CASH_SHORT", "The purchase was lowered to the cash that there is after the sales."
    SHORT_KEPT = "SHORT_KEPT", "A short position is not rebalanced."
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
    MODE_REDUCING = "MODE_REDUCING", "The account only makes positions smaller: no new risk."
    MODE_HALTED = "MODE_HALTED", "The account is halted: nothing is sent for a decision."
    EMERGENCY_STOP = "EMERGENCY_STOP", "The emergency stop is set: all trading is stopped."
    ORDER_SIZE_REDUCED = "ORDER_SIZE_REDUCED", "The quantity was lowered to MAX_ORDER_SIZE_USD."
    DAILY_VOLUME_REDUCED = "DAILY_VOLUME_REDUCED", "The quantity was lowered to what is left of MAX_DAILY_VOLUME_USD."
    DAILY_VOLUME_USED_UP = "DAILY_VOLUME_USED_UP", "MAX_DAILY_VOLUME_USD is used up: no new risk today."
    POSITION_SIZE_REDUCED = "POSITION_SIZE_REDUCED", "The quantity was lowered to MAX_POSITION_SIZE of the equity."
    TOO_MANY_POSITIONS = "TOO_MANY_POSITIONS", "MAX_OPEN_POSITIONS are open."
    DAILY_LOSS_MONEY = "DAILY_LOSS_MONEY", "The day's loss reached MAX_DAILY_LOSS_USD: no new risk today."
    HEAT_REDUCED = (
        "HEAT_REDUCED",
        "The quantity was lowered so that all stops together cost no more than the limit of heat.",
    )
    PORTFOLIO_VOLATILITY_REDUCED = (
        "PORTFOLIO_VOLATILITY_REDUCED",
        "The quantity was lowered to MAX_PORTFOLIO_VOLATILITY.",
    )
    CORRELATION_REDUCED = (
        "CORRELATION_REDUCED",
        "Correlated positions count as one: the quantity was lowered to the exposure limit of one asset.",
    )
    VOLATILITY_REDUCED = "VOLATILITY_REDUCED", "The market is volatile: the size was lowered."
    VOLATILITY_UNKNOWN = "VOLATILITY_UNKNOWN", "How volatile the market is is not known: no new risk."
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
    DISK_LOW = "DISK_LOW", "A disk is almost full, and what is begun has to be recorded: no new risk."
    DECISION_EXPIRED = "DECISION_EXPIRED", "The decision is older than its validity."
    SUPERSEDED = "SUPERSEDED", "A later decision in this symbol was acted on already."
    PRICE_UNAVAILABLE = "PRICE_UNAVAILABLE", "No current price is known."
    PRICE_STALE = "PRICE_STALE", "The newest price is too old, or comes too late."
    LIVE_NOT_ARMED = "LIVE_NOT_ARMED", "Live trading is not armed, or the arming has expired: no new risk."
    NOT_RECONCILED = "NOT_RECONCILED", "Books and venue were not compared lately: no new risk."
    GUARDIAN_MISSING = (
        "GUARDIAN_MISSING",
        "The venue holds no target, and no guardian watches that would: no new risk.",
    )
    # Pre-flight checks of an order
    ORDER_TOO_LARGE = "ORDER_TOO_LARGE", "The order is larger than MAX_ORDER_SIZE_USD at the price of now."
    ORDER_OFF_GRID = "ORDER_OFF_GRID", "Quantity or price does not lie on the venue's grid."
    ORDER_BELOW_MINIMUM = "ORDER_BELOW_MINIMUM", "The order is under the venue's minimum."
    BALANCE_TOO_LOW = "BALANCE_TOO_LOW", "The venue holds too little for the order."
    BALANCE_UNKNOWN = "BALANCE_UNKNOWN", "What the venue holds could not be read: no new risk."
    PRICE_OUT_OF_BAND = "PRICE_OUT_OF_BAND", "The price moved too far since the decision."
    DUPLICATE_ORDER = "DUPLICATE_ORDER", "An order like this one works already."
    # Orders
    VENUE_ACCEPTED = "VENUE_ACCEPTED", "The venue accepted the order."
    VENUE_FILLED = "VENUE_FILLED", "The venue filled the order, or a part of it."
    VENUE_REJECTED = "VENUE_REJECTED", "The venue refused the order for certain."
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN", "No answer came after sending: the order may or may not exist."
    NEVER_ARRIVED = "NEVER_ARRIVED", "The venue says for certain that the order never arrived."
    NOT_EXECUTED = "NOT_EXECUTED", "The venue did not take the request for certain; it may later."
    LOCK_LOST = "LOCK_LOST", "The account's lock was lost before the order was sent, so it was not sent."
    LATE_FILL = "LATE_FILL", "The venue reported a fill after the order was done."
    BREAKER_CANCELED = "BREAKER_CANCELED", "What was left of the entry was cancelled: new risk is not allowed any more."
    FLATTENED = "FLATTENED", "The position was closed by the emergency stop."
    STOP_REACHED = "STOP_REACHED", "The price reached the stop that the guardian holds."
    TARGET_REACHED = "TARGET_REACHED", "The price reached the target that the guardian holds."
    STOP_REPLACED = "STOP_REPLACED", "Another stop rests in its place."
    STOP_HELD = "STOP_HELD", "The venue cannot hold the stop, so the guardian holds it."
    DUST_WRITTEN_OFF = "DUST_WRITTEN_OFF", "What is left of the position is too small to be sold."
    ADOPTED = "ADOPTED", "The venue knew the order, and its state was taken over."
    SETTLED_BY_HAND = "SETTLED_BY_HAND", "The venue tells nothing of the order, so a person said what became of it."
    SIBLING_FILLED = "SIBLING_FILLED", "The other order of the pair was filled."
    POSITION_CLOSED = "POSITION_CLOSED", "The position it protected was closed."
    # Breakers
    BREAKER_TRIPPED = "BREAKER_TRIPPED", "A threshold was crossed."
    BREAKER_COOLED_DOWN = "BREAKER_COOLED_DOWN", "The cool-down is over: trial trades are allowed."
    BREAKER_TRIALS_PASSED = "BREAKER_TRIALS_PASSED", "The trial trades went well."
    BREAKER_TRIAL_LOST = "BREAKER_TRIAL_LOST", "A trial trade lost."
    VOLATILITY_RAISED = "VOLATILITY_RAISED", "The market is volatile: sizes are lowered."
    MODE_OPERATOR = "MODE_OPERATOR", "A person changed the mode of the account."
    MODE_RECONCILIATION = "MODE_RECONCILIATION", "Books and venue differ in a way that a person has to look at."
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
