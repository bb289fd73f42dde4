"""The checks that stand between a decision and new risk, made in the transaction that inserts the order.

All of them fail closed: what is missing, stale or unknown refuses. They bind only what adds risk; closing a position
stays possible unless the account is halted. Limits are the risk engine's subject, the token is `account_transaction`'s.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, BreakerStates
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution import disk
from triplegain_pipelines.execution.desk import AccountTransaction, Desk
from triplegain_pipelines.risk.modes import no_new_risk, no_order
from triplegain_pipelines.store import new_risk
from triplegain_pipelines.store.breakers import HEARTBEAT
from triplegain_pipelines.store.heartbeats import CLOCK, GUARDIAN, RECONCILED, last_beat
from triplegain_pipelines.store.new_risk import Grounds
from triplegain_pipelines.store.orders import Order

_DAY = timedelta(days=1)
_CLOCK_SKEW = timedelta(seconds=1)
_PRICE_AGE = timedelta(seconds=60)
_CLOCK_AGE = timedelta(minutes=15)  # three comparisons of the stream service
_GUARDIAN_SILENT = timedelta(seconds=60)
_RECONCILED_AGE = timedelta(minutes=15)  # three reconciliations


def halted(transaction: AccountTransaction) -> Reason | None:
    """Why nothing at all is sent for a decision, not even what makes a position smaller, or None."""
    return no_order(transaction.mode, stopped=transaction.stopped)


def refusal(
    transaction: AccountTransaction,
    *,
    symbol: str,
    valid_until: datetime,
    states: BreakerStates,
    alive: Sequence[Order],
    grounds: Grounds,
) -> Reason | None:
    """Why no new risk may be taken in `symbol` now, or None. `alive` are the account's other unfinished orders."""
    at = transaction.at
    forbidden = no_new_risk(transaction.mode, stopped=transaction.stopped) or _not_live(transaction, grounds)
    if forbidden is not None or at > valid_until:
        return forbidden or expired(valid_until, at)
    missing = [name.value for name in BreakerName if name not in states]
    if missing:
        return Reason(ReasonCode.BREAKER_MISSING, {"missing": " ".join(missing)})
    stale = _stale_heartbeat(transaction, grounds) or _distrusted_clock(transaction, grounds) or _no_room(transaction)
    if stale:
        return stale
    unresolved = [order for order in alive if order.intent.symbol == symbol and order.is_unresolved]
    if unresolved:
        order = unresolved[0]
        return Reason(ReasonCode.UNRESOLVED_ORDER, {"order": str(order.client_order_id), "state": order.state.value})
    filling = [order for order in alive if order.intent.leg is Leg.ENTRY]
    if filling:
        order = filling[0]
        return Reason(ReasonCode.ENTRY_UNFINISHED, {"order": str(order.client_order_id), "symbol": order.intent.symbol})
    return None


def guardian_watches(transaction: AccountTransaction) -> bool:
    """Whether a guardian looks after the account, which holds what cannot rest at the venue."""
    beat = last_beat(transaction.connection, GUARDIAN, transaction.account)
    return _is_recent(beat, transaction.at, _GUARDIAN_SILENT)


def grounds_of(transaction: AccountTransaction) -> Grounds:
    """What new risk would rest on now, beside the books."""
    desk, at = transaction.desk, transaction.at
    day = floor_to(at, _DAY)
    return new_risk.read(transaction.connection, desk.schema, desk.account, desk.market, desk.config_hash, at, day)


def expired(valid_until: datetime, at: datetime) -> Reason:
    """That a decision has waited too long."""
    return Reason(ReasonCode.DECISION_EXPIRED, {"valid_until": valid_until.isoformat(), "now": at.isoformat()})


def open_breaker(states: BreakerStates) -> Reason | None:
    """The breakers that are open, as a reason to take no new risk, or None."""
    tripped = [breaker for breaker in states.values() if breaker.state is BreakerState.OPEN]
    if not tripped:
        return None
    return Reason(ReasonCode.BREAKER_OPEN, {breaker.name.value: breaker.reason for breaker in tripped})


def current_prices(
    desk: Desk, symbols: Iterable[str], at: datetime, valid_until: datetime
) -> dict[str, Decimal] | Reason:
    """A price of now for each of `symbols`, or why there is none: unknown, too old, or too late for the decision."""
    prices: dict[str, Decimal] = {}
    for symbol in symbols:
        try:
            quote = desk.prices.quote(symbol, at)
        except UnavailableError as error:
            return Reason(ReasonCode.PRICE_UNAVAILABLE, {"symbol": symbol, "error": str(error)})
        if not at - _PRICE_AGE <= quote.at <= valid_until:
            return Reason(ReasonCode.PRICE_STALE, {"symbol": symbol, "price_of": quote.at.isoformat()})
        prices[symbol] = quote.price
    return prices


def _not_live(transaction: AccountTransaction, grounds: Grounds) -> Reason | None:
    """Why real money may take no new risk: nobody armed it, the books may differ, or nobody would hold its target."""
    if not transaction.desk.live:
        return None
    account, at = transaction.account, transaction.at
    if grounds.armed_until is None:
        return Reason(ReasonCode.LIVE_NOT_ARMED, {"account": account, "now": at.isoformat()})
    compared, watched = grounds.beats.get(RECONCILED), grounds.beats.get(GUARDIAN)
    if not _is_recent(compared, at, _RECONCILED_AGE):
        last = compared.isoformat() if compared else "never"
        return Reason(ReasonCode.NOT_RECONCILED, {"last": last, "now": at.isoformat()})
    if transaction.desk.broker.traits.holds_pairs or _is_recent(watched, at, _GUARDIAN_SILENT):
        return None
    return Reason(ReasonCode.GUARDIAN_MISSING, {"account": account})


def _no_room(transaction: AccountTransaction) -> Reason | None:
    """Why new risk might not be recorded to its end. A replay has no state outside of its books."""
    if not transaction.desk.state:
        return None
    room = disk.least_room(transaction.desk.state)
    if room.free >= disk.TOO_LOW:
        return None
    return Reason(ReasonCode.DISK_LOW, {"folder": str(room.folder), "free": f"{room.free // disk.MEBIBYTE} MiB"})


def _distrusted_clock(transaction: AccountTransaction, grounds: Grounds) -> Reason | None:
    market, at = transaction.desk.market, transaction.at
    if transaction.desk.clock_compared:
        compared = grounds.beats.get(CLOCK)
        if not _is_recent(compared, at, _CLOCK_AGE):
            last = compared.isoformat() if compared else "never"
            return Reason(ReasonCode.CLOCK_DISTRUSTED, {"market": market, "compared": last, "now": at.isoformat()})
    if grounds.clock_trusted:
        return None
    return Reason(ReasonCode.CLOCK_DISTRUSTED, {"market": market})


def _stale_heartbeat(transaction: AccountTransaction, grounds: Grounds) -> Reason | None:
    beat = grounds.beats.get(HEARTBEAT)
    if _is_recent(beat, transaction.at, timedelta(seconds=transaction.desk.limits.heartbeat_seconds)):
        return None
    return Reason(
        ReasonCode.HEARTBEAT_STALE,
        {"last": beat.isoformat() if beat else "never", "now": transaction.at.isoformat()},
    )


def _is_recent(beat: datetime | None, at: datetime, allowed: timedelta) -> bool:
    """A beat from the future is a clock that is wrong, ours or the other's: its age means nothing."""
    return beat is not None and -_CLOCK_SKEW <= at - beat <= allowed
