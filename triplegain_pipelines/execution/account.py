"""Opening an account and queueing decisions for it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.execution.desk import LIVE, PAPER, AccountTransaction, Desk, account_transaction
from triplegain_pipelines.portfolio.ledger import deposit_postings
from triplegain_pipelines.risk.breakers import initial_breakers
from triplegain_pipelines.risk.state import initial_risk_state
from triplegain_pipelines.store import accounts, breakers, equity, events, ledger, outbox, overview, risk_state
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.equity import EquityMark
from triplegain_pipelines.store.events import EventKind


def open_account(desk: Desk, starting_cash: Decimal, at: datetime, *, currency: str, simulated: bool) -> bool:
    """Open the desk's account with a deposit; False where it is open already, and then nothing is changed.

    Args:
        desk: the account's desk.
        starting_cash: in `currency`.
        at: the moment of the deposit and of the first mark, UTC.
        currency: what everything is paid in.
        simulated: whether the desk's market is a simulated one.

    Raises:
        InputError: paper trading has an account of that name and this one is live, or the other way round.
    """
    opened = Account(desk.account, desk.market, currency, starting_cash, simulated, at)
    with desk.database.connection() as connection:
        # Together with what follows: a second process waits here until the account is whole.
        if not accounts.insert(connection, desk.schema, opened):
            return False
        # Breakers, fences and heartbeats know an account by its name alone.
        overview.require_unused(connection, LIVE if desk.schema == PAPER else PAPER, desk.account)
        ledger.post(connection, desk.schema, deposit_postings(desk.account, currency, starting_cash, at))
        risk_state.write(connection, desk.schema, desk.account, initial_risk_state(starting_cash, at))
        breakers.insert(connection, desk.account, initial_breakers(at))
        mark = EquityMark(at, starting_cash, Decimal(0), starting_cash, starting_cash, {})
        equity.insert(connection, desk.schema, desk.account, [mark])
        payload = {"market": desk.market, "currency": currency, "starting_cash": starting_cash, "simulated": simulated}
        made = events.Event(EventKind.ACCOUNT_OPENED, at, payload)
        events.append(connection, desk.schema, desk.account, [made], events.NO_EVENTS)
    return True


def queue_decisions(desk: Desk, decisions: Sequence[Decision]) -> int:
    """Tell the trail of `decisions` and put those that ask for something into the outbox; how many were new.

    Doing it again with the same decisions changes nothing.
    """
    with account_transaction(desk, None) as transaction:
        return queue_in(transaction, decisions)


def queue_in(transaction: AccountTransaction, decisions: Sequence[Decision]) -> int:
    """`queue_decisions` in a transaction that is open."""
    schema = transaction.schema
    if not decisions:
        return 0
    known = events.decisions_made(transaction.connection, schema, [made.decision_id for made in decisions])
    new = [made for made in decisions if made.decision_id not in known]
    for made in new:
        transaction.note(
            EventKind.DECISION_MADE,
            decision_id=made.decision_id,
            symbol=made.symbol,
            as_of=made.as_of,
            action=made.action,
            reason=made.reason_code,
            p_up=made.p_up,
        )
    asking = [made for made in new if made.action is not Action.HOLD]
    outbox.queue(transaction.connection, schema, asking, transaction.at)
    return len(new)
