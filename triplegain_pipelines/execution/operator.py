"""What a person does to an account by hand: opening a breaker, or clearing it. Works without Dagster."""

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.execution.books import change_breakers, load_books
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.risk.breakers import BreakerChange, cleared_by_hand, opened_by_hand
from triplegain_pipelines.risk.state import losses_forgotten, unlocked
from triplegain_pipelines.store import risk_state

_LETS_GO = {BreakerName.DRAWDOWN: unlocked, BreakerName.CONSECUTIVE_LOSSES: losses_forgotten}


def switch_breaker(desk: Desk, name: BreakerName, state: BreakerState, operator: str, why: str) -> BreakerChange:
    """Open or clear a breaker of the desk's account, with who and why in its history and in the trail.

    Clearing also lets go of what would trip it again at the next mark: the drawdown's lock and peak, and the row of
    losses.

    Raises:
        InputError: no reason is given, or the breaker is in that state already.
    """
    if not why.strip():
        msg = "say why: the reason is kept with the breaker's history"
        raise InputError(msg)
    with account_transaction(desk, None) as transaction:
        books = load_books(transaction)
        before = books.breakers[name]
        if before.state is state:
            msg = f"breaker {name} of {desk.account} is {state} already, since {before.changed_at:%Y-%m-%d %H:%M} UTC"
            raise InputError(msg)
        by_hand = opened_by_hand if state is BreakerState.OPEN else cleared_by_hand
        change = by_hand(before, operator, why, transaction.at)
        change_breakers(transaction, [change], operator)
        if state is BreakerState.CLOSED and name in _LETS_GO:
            risk_state.write(transaction.connection, desk.schema, desk.account, _LETS_GO[name](books.risk))
    return change
