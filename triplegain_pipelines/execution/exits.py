"""Closing positions at the market, outside of any decision: a level was reached, a stop cannot rest, or all has to go.

Each round looks at the books anew, in one transaction, and does the one thing that comes next: what rests is cancelled,
what is unresolved is asked for, and only where nothing else can reduce the position the exit is written, committed and
sent once. So it may be repeated after a crash at any point: an exit that is on its way is followed and never doubled.
What stays unknown is waited for, unless the venue's own balance keeps it from selling what the exit sells.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from triplegain_pipelines.domain.errors import (
    DataError,
    PermanentError,
    StaleFenceError,
    TransientError,
    UnavailableError,
)
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.backing import is_backed
from triplegain_pipelines.execution.booking import change_order
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.intents import intend, next_attempt
from triplegain_pipelines.execution.levels import is_tradable, protected_quantity
from triplegain_pipelines.execution.resolving import follow, require_undisputed
from triplegain_pipelines.execution.sending import cancel, request_cancel, send
from triplegain_pipelines.execution.waiting import WAITS_ALERT, tell_waiting
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.alerts import end_alerts
from triplegain_pipelines.store.orders import Order

HELD_ALERT = "stop_held_by_guardian"
"""That no stop of a position rests at the venue; its subject is `account/symbol`."""
_ROUNDS = 7  # what rests, what is unknown, the exit, and more for what it left
_ASKS = 2
_UNKNOWN = frozenset({OrderState.PENDING_SUBMIT, OrderState.UNKNOWN})
_NO_PRICES: Mapping[str, Decimal] = MappingProxyType({})
_log = logging.getLogger(__name__)


class Closing(StrEnum):
    """How far the closing of a position has come."""

    CLOSED = "CLOSED"  # there is no position, and nothing works in the symbol
    IN_FLIGHT = "IN_FLIGHT"  # an exit was sent, and what became of it is not known yet
    BLOCKED = "BLOCKED"  # an order in the way is neither gone nor known to be: nothing was sent
    REFUSED = "REFUSED"  # the venue did not take the exit
    TOO_SMALL = "TOO_SMALL"  # what is held is dust: no order can be made of it
    FAILED = "FAILED"  # an error, which the log tells

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self in {Closing.CLOSED, Closing.TOO_SMALL}


@dataclass(frozen=True, slots=True)
class _Round:
    """What one look at the books calls for: an end, and what has to be followed for it; or what the venue is asked."""

    end: Closing | None = None
    cancel: Sequence[Order] = ()
    follow: Sequence[Order] = ()
    send: Sequence[Order] = ()


def close_position(desk: Desk, token: int, symbol: str, reason: ReasonCode, price: Decimal | None = None) -> Closing:
    """Take back every order in `symbol` and close the position at the market.

    Args:
        desk: of the account, inside an open order path.
        token: of the newest claim.
        symbol: whose position.
        reason: why, for the trail.
        price: what the exit was decided at, in quote currency; asked for where it is not given.

    Raises:
        StaleFenceError: a newer holder has the account.
        DataError: the venue denies what it had accepted, or no order of the position is known.
        UnavailableError: the database does not answer.
    """
    price = price if price is not None else _price_now(desk, symbol)
    sent = asked = 0
    harmless: frozenset[UUID] = frozenset()
    for _ in range(_ROUNDS):
        patient = not sent and not harmless and asked < _ASKS
        with account_transaction(desk, token) as transaction:
            now = _look(transaction, symbol, reason, price, tried=sent > 0, patient=patient, harmless=harmless)
        if now.follow and now.end is not None:
            if not harmless and (harmless := _harmless(desk, symbol)):
                continue
            with account_transaction(desk, token) as transaction:
                tell_waiting(transaction, symbol, now.follow)
        if now.end is not None:
            return now.end
        if now.send:
            sent += 1
            send(desk, token, now.send)
        else:
            asked += 1
            disputes = follow(desk, token, now.follow) if now.follow else []
            cancel(desk, token, now.cancel, reason)
            require_undisputed(disputes)
    return Closing.REFUSED


def flatten(
    desk: Desk, token: int, reason: ReasonCode = ReasonCode.FLATTENED, prices: Mapping[str, Decimal] = _NO_PRICES
) -> dict[str, Closing]:
    """Cancel every order of the account and close every position; how far each symbol has come.

    One symbol that fails hides no other. `prices` are those that are known already.

    Raises:
        StaleFenceError: a newer holder has the account.
        UnavailableError: the database does not answer.
    """
    with desk.database.connection() as connection:
        held = positions.read_all(connection, desk.schema, desk.account)
        working = orders.alive(connection, desk.schema, desk.account)
    symbols = {position.symbol for position in held} | {order.intent.symbol for order in working}
    done: dict[str, Closing] = {}
    for symbol in sorted(symbols):
        try:
            done[symbol] = close_position(desk, token, symbol, reason, prices.get(symbol))
        except (StaleFenceError, UnavailableError):
            raise
        except (PermanentError, TransientError) as error:
            _log.error("closing %s of %s failed, to be tried again: %s", symbol, desk.account, error)
            done[symbol] = Closing.FAILED
    return done


def _look(
    transaction: AccountTransaction,
    symbol: str,
    reason: ReasonCode,
    price: Decimal | None,
    *,
    tried: bool,
    patient: bool,
    harmless: frozenset[UUID],
) -> _Round:
    """One look at the books, and what comes next is written down.

    `tried`: an exit was sent before in this call. `patient`: the venue may be asked once more for what works.
    `harmless` are orders that can sell nothing beside the exit.
    """
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    position = positions.read(connection, schema, account, symbol)
    working = [order for order in orders.alive(connection, schema, account) if order.intent.symbol == symbol]
    unsent = [order for order in working if order.submitted_at is None]
    for order in unsent:
        # Its claim finds it cancelled, and sends nothing. Sent beside this exit, it would sell the position twice.
        change_order(transaction, order, OrderState.CANCELED, reason)
    sent = [order for order in working if order.submitted_at is not None]
    working = [order for order in sent if order.client_order_id not in harmless]
    exits = [order for order in working if order.intent.leg is Leg.EXIT]
    if working:
        if not patient:
            waits = position is not None or any(order.intent.leg is Leg.ENTRY for order in working)
            return _Round(end=Closing.IN_FLIGHT if exits else Closing.BLOCKED, follow=working if waits else ())
        unknown = [order for order in working if order in exits or order.state in _UNKNOWN]
        resting = [order for order in working if order not in unknown]
        return _Round(cancel=request_cancel(transaction, resting, reason), follow=unknown)
    if position is None:
        end_alerts(connection, [HELD_ALERT, WAITS_ALERT], f"{account}/{symbol}", transaction.at)
        return _Round(end=Closing.CLOSED)
    quantity = protected_quantity(position, transaction.desk.instrument(symbol))
    if not _tradable(transaction.desk, position, quantity, price):
        return _Round(end=Closing.TOO_SMALL)
    made = orders.of_decision(connection, schema, account, position.decision_id)
    if not made:
        msg = f"the position in {symbol} of {position.account!r} has no order; reconcile the account with the venue"
        raise DataError(msg)
    last = max((order for order in made if order.intent.leg is Leg.EXIT), key=_attempt, default=None)
    if tried and last is not None and not last.filled_quantity:
        return _Round(end=Closing.REFUSED)  # asked again at once, the venue would refuse again
    intent = _exit(position, quantity, price or position.average_entry, next_attempt(made, Leg.EXIT))
    return _Round(send=intend(transaction, [intent], made[0].proposal_id, reason))


def _harmless(desk: Desk, symbol: str) -> frozenset[UUID]:
    """The unknown orders in `symbol` that the venue keeps from selling anything beside an exit of the position."""
    with desk.database.connection() as connection:
        position = positions.read(connection, desk.schema, desk.account, symbol)
        alive = orders.alive(connection, desk.schema, desk.account)
    if position is None or not is_backed(desk, position, alive):
        return frozenset()
    return frozenset(order.client_order_id for order in alive if order.intent.symbol == symbol)


def _tradable(desk: Desk, position: Position, quantity: Decimal, price: Decimal | None) -> bool:
    if desk.broker.traits.holds_pairs:  # the paper venue takes any quantity
        return quantity > 0
    return is_tradable(quantity, price or position.average_entry, desk.instrument(position.symbol))


def _exit(position: Position, quantity: Decimal, price: Decimal, attempt: int) -> Intent:
    return Intent(
        account=position.account,
        decision_id=position.decision_id,
        symbol=position.symbol,
        leg=Leg.EXIT,
        attempt=attempt,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        order_type=OrderType.MARKET,
        quantity=quantity,
        decided_price=price,
    )


def _attempt(order: Order) -> int:
    return order.intent.attempt


def _price_now(desk: Desk, symbol: str) -> Decimal | None:
    """The market's price; None where there is none: a market order needs no price of ours."""
    try:
        return desk.prices.quote(symbol, desk.clock.now()).price
    except UnavailableError:
        return None
