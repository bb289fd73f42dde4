"""What an exit waits for: orders in its way of which the venue has not said yet what became of them.

The exit is not forgotten meanwhile. A decision's is remembered in the outbox, where it does not run out; a guardian's
comes again as long as its price calls for it. An alert says what is waited for, and until when at most.
"""

from collections.abc import Sequence
from uuid import UUID

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.orders import Leg, OrderState, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.steps import standing_of, stored
from triplegain_pipelines.store import outbox
from triplegain_pipelines.store.alerts import AlertLevel, raise_alert
from triplegain_pipelines.store.orders import Order

WAITS_ALERT = "closing_waits"
"""That a position cannot be left yet; its subject is `account/symbol`."""
_LEFT = {Action.CLOSE: frozenset(Side), Action.SELL: frozenset({Side.BUY}), Action.BUY: frozenset({Side.SELL})}


def leaves(decision: Decision, working: Sequence[Order]) -> bool:
    """Whether `decision` turns away from an entry that was sent and is still `working`: it may be a position by now."""
    left = _LEFT.get(decision.action, frozenset())
    entries = [order.intent for order in working if order.submitted_at is not None and order.intent.leg is Leg.ENTRY]
    return any(intent.side in left for intent in entries)


def still_in_the_way(desk: Desk, token: int, decision_id: UUID) -> UnknownOutcomeError:
    """That the decision's exit cannot be sent, because what it could sell twice may still be alive. It is remembered.

    Raises:
        StaleFenceError: a newer holder has the account.
    """
    with account_transaction(desk, token) as transaction:
        connection, reason = transaction.connection, ReasonCode.UNRESOLVED_ORDER
        outbox.hold_up(connection, transaction.schema, decision_id, reason, transaction.at)
        found = standing_of(transaction, decision_id)
        symbol = stored(decision_id, found.decision).symbol
        tell_waiting(transaction, symbol, [order for order in found.alive if order.intent.symbol == symbol])
    return UnknownOutcomeError(
        f"the venue did not confirm that the orders in the way of decision {decision_id} are gone; it is tried again"
    )


def tell_waiting(transaction: AccountTransaction, symbol: str, in_the_way: Sequence[Order]) -> None:
    """Say that closing `symbol` waits for `in_the_way`, once until that is over. The paper venue knows at once."""
    if transaction.desk.broker.traits.absence_is_final:
        return
    what = " and ".join(_in_words(order) for order in in_the_way)
    text = f"closing {symbol} of {transaction.account} waits for {what}; it is asked for again until that is clear"
    subject = f"{transaction.account}/{symbol}"
    raise_alert(transaction.connection, WAITS_ALERT, subject, AlertLevel.WARNING, text, transaction.at)


def _in_words(order: Order) -> str:
    what = f"the {order.intent.leg.value} order {order.client_order_id}, which is {order.state.value}"
    if order.state not in {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN} or order.expires_at is None:
        return what
    return f"{what} and may come alive until {order.expires_at:%H:%M:%S} UTC"
