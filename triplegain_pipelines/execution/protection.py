"""Stops and targets that rest at the venue: as much of them as there is position, and none without one.

`protect` compares what rests with what is held and mends the difference, so it can be called at any time. Where a stop
cannot rest the guardian holds it, which an event and an alert say; where nobody would hold it, the position is closed
at the market at once.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from triplegain_pipelines.domain.errors import (
    PermanentError,
    StaleFenceError,
    TransientError,
    UnavailableError,
)
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.exits import HELD_ALERT, close_position
from triplegain_pipelines.execution.fence import guardian_watches
from triplegain_pipelines.execution.intents import intend
from triplegain_pipelines.execution.levels import Tick, reached
from triplegain_pipelines.execution.protection_plan import ProtectionPlan, Rules, plan_protection
from triplegain_pipelines.execution.sending import cancel, request_cancel, send
from triplegain_pipelines.execution.waiting import WAITS_ALERT
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.alerts import AlertLevel, end_alerts, raise_alert
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.standing import Standing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mending:
    """What was written down to be asked of the venue, and why.

    `holds` says whether there is a position, and `bare` that nobody holds its stop: not the venue, which has refused
    it, and no guardian.
    """

    cancel: tuple[Order, ...]
    place: tuple[Order, ...]
    holds: bool
    reason: ReasonCode = ReasonCode.POSITION_CLOSED
    bare: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be asked."""
        return not (self.cancel or self.place or self.bare)


def protect(desk: Desk, token: int, symbol: str) -> None:
    """Bring the resting orders in `symbol` in line with the position."""
    with account_transaction(desk, token) as transaction:
        mending = prepare(transaction, symbol)
    carry_out(desk, token, symbol, mending)


def protect_all(
    desk: Desk, token: int, symbols: Iterable[str], is_broken_off: Callable[[], bool] = lambda: False
) -> None:
    """`protect` each of `symbols`, unless it is broken off. One that fails leaves no other position without its stop.

    Raises:
        StaleFenceError: a newer holder has the account.
        UnavailableError: the database does not answer.
        PermanentError: a symbol could not be protected; the first error, after all others were.
    """
    failed: PermanentError | TransientError | None = None
    for symbol in sorted(symbols):
        if is_broken_off():
            break
        try:
            protect(desk, token, symbol)
        except (StaleFenceError, UnavailableError):
            raise
        except (PermanentError, TransientError) as error:
            _log.error("%s of %s is not protected: %s", symbol, desk.account, error)
            failed = failed or error
    if failed is not None:
        raise failed


def prepare(transaction: AccountTransaction, symbol: str, standing: Standing | None = None) -> Mending:
    """Plan the protection of `symbol` and write down what is going to be asked of the venue.

    `standing` is how the account stands in this transaction, where that was read already and nothing was changed since.
    """
    position, entry, plan, is_clear = _plan(transaction, symbol, standing)
    _tell(transaction, symbol, position, plan, is_clear=is_clear)
    replaced = plan.held is ReasonCode.STOP_REPLACED
    reason = ReasonCode.STOP_REPLACED if replaced else ReasonCode.POSITION_CLOSED
    pending = request_cancel(transaction, plan.cancel, reason)
    place = intend(transaction, plan.place, entry.proposal_id) if plan.place and entry is not None else ()
    refused = plan.held is ReasonCode.VENUE_REJECTED
    bare = refused and not transaction.desk.broker.traits.holds_pairs and not guardian_watches(transaction)
    return Mending(tuple(pending), tuple(place), holds=entry is not None, reason=reason, bare=bare)


def carry_out(
    desk: Desk,
    token: int,
    symbol: str,
    mending: Mending,
    then: Callable[[AccountTransaction], None] | None = None,
) -> None:
    """Ask the venue for what `prepare` wrote down, after its transaction is committed.

    Where orders are placed and none is refused, `then` writes what follows in the transaction that records them.
    """
    if mending.cancel:
        cancel(desk, token, mending.cancel, mending.reason)
        if not mending.holds:
            return
        # What was too much is cancelled now; what is left may be too little.
        with account_transaction(desk, token) as transaction:
            mending = prepare(transaction, symbol)
    if mending.place:
        refused = send(desk, token, mending.place, then)
        _disarm(desk)
        if any(order.intent.leg is Leg.STOP for order in refused):
            _hold_or_leave(desk, token, symbol)
    elif mending.bare:
        _hold_or_leave(desk, token, symbol)


def _plan(
    transaction: AccountTransaction, symbol: str, standing: Standing | None = None
) -> tuple[Position | None, Order | None, ProtectionPlan, bool]:
    """The open position, the order that entered it, what has to be done, and whether no order is unknown."""
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    position = standing.position(symbol) if standing else positions.read(connection, schema, account, symbol)
    alive = standing.alive if standing else orders.alive(connection, schema, account)
    working = [order for order in alive if order.intent.symbol == symbol]
    if position is None and not working:
        return None, None, ProtectionPlan(), True
    if standing and position is not None and position.decision_id == standing.decision_id:
        made = standing.made
    else:
        made = [] if position is None else orders.of_decision(connection, schema, account, position.decision_id)
    entry = next((order for order in made if order.intent.leg is Leg.ENTRY), None)
    rules = Rules(transaction.desk.broker.traits, transaction.desk.instrument(symbol), transaction.at)
    is_clear = not any(order.is_unresolved for order in working)
    return position, entry, plan_protection(position, working, made, rules), is_clear


def _tell(
    transaction: AccountTransaction, symbol: str, position: Position | None, plan: ProtectionPlan, *, is_clear: bool
) -> None:
    """Say that the guardian holds a stop, once each time, or that it need not any more, and that no exit waits."""
    if transaction.desk.broker.traits.holds_pairs:
        return
    connection, subject = transaction.connection, f"{transaction.account}/{symbol}"
    held = position is not None and plan.held is not None
    over = [*([] if held else [HELD_ALERT]), *([WAITS_ALERT] if is_clear else [])]
    if over:
        end_alerts(connection, over, subject, transaction.at)
    if position is None or plan.held is None:
        return
    text = f"no stop rests at the venue for {position.quantity} {symbol}; the guardian holds it at {position.stop_loss}"
    if plan.held is ReasonCode.STOP_REPLACED:
        is_new = True  # over in a moment, so that it is an event and nobody is called
    else:
        is_new = raise_alert(connection, HELD_ALERT, subject, AlertLevel.WARNING, text, transaction.at)
    if is_new:
        transaction.note(
            EventKind.PROTECTION_HELD,
            decision_id=position.decision_id,
            symbol=symbol,
            quantity=position.quantity,
            stop_loss=position.stop_loss,
            reason=plan.held,
        )


def _disarm(desk: Desk) -> None:
    """Switch the venue's dead-man timer off: a stop rests now, which it would cancel too."""
    if desk.broker.traits.dead_man_timer:
        try:
            desk.broker.keep_alive(None)
        except UnavailableError as error:
            _log.error("the dead-man timer was not switched off; the guardian tries again: %s", error)


def _hold_or_leave(desk: Desk, token: int, symbol: str) -> None:
    """The venue refused the stop: it is the guardian's from now on, or the position is closed at the market."""
    with account_transaction(desk, token) as transaction:
        position, _, plan, is_clear = _plan(transaction, symbol)
        if position is None:
            return
        stays = not desk.broker.traits.holds_pairs and guardian_watches(transaction)
        if stays:
            _tell(transaction, symbol, position, plan, is_clear=is_clear)
        else:
            transaction.note(
                EventKind.PROTECTION_FAILED,
                decision_id=position.decision_id,
                symbol=symbol,
                quantity=position.quantity,
                stop_loss=position.stop_loss,
            )
    # Some venues refuse a stop because the price has passed it already; the guardian may see no tick for a while.
    if not stays:
        close_position(desk, token, symbol, ReasonCode.VENUE_REJECTED)
    elif _is_beyond_stop(desk, position):
        close_position(desk, token, symbol, ReasonCode.STOP_REACHED)


def _is_beyond_stop(desk: Desk, position: Position) -> bool:
    try:
        quote = desk.prices.quote(position.symbol, desk.clock.now())
    except UnavailableError:
        return False
    return reached(position, Tick(position.symbol, quote.price, quote.price, quote.at)) is Leg.STOP
